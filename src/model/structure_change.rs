//! What users of the target rely on in a table, and what a push changes about it.

use std::{collections::BTreeMap, fmt};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{conversion_plan::TablePlan, finding::FindingCode, pg_type::PgType};

/// What a push does where it would change the structure of tables that are in use on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TypeChangePolicy {
    /// Stop before anything is changed, and name the changes
    #[default]
    Decide,
    /// Make the changes
    Follow,
}

words! {
    /// What of a table, or beside it, changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ChangedPart: word {
        /// A table that the target will not have any more.
        Table = "table",
        /// A column that the target will not have any more.
        Column = "column",
        /// The type of a column.
        Type = "type",
        /// Whether a column takes NULL.
        Nullability = "nullability",
        /// The primary key.
        PrimaryKey = "primary key",
        /// A UNIQUE constraint.
        Unique = "unique constraint",
        /// A foreign key.
        ForeignKey = "foreign key",
        /// An index.
        Index = "index",
        /// A view that the target will not have any more.
        View = "view",
        /// A trigger that the target will not have any more.
        Trigger = "trigger",
    }
}

/// One change of what users of the target rely on. Names places and counts, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructureChange {
    /// What changes.
    pub part: ChangedPart,
    /// PostgreSQL's name of the table, view or trigger.
    pub object: String,
    /// The column, constraint or index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What it is on the target; none if the target lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it becomes; none if the target will not have it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The finding of the plan that causes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FindingCode>,
    /// Why, as the end of a sentence that begins with `because`.
    pub cause: String,
    /// The line of the configuration that keeps what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// `prices.amount: numeric(10,2) -> text, because of 1 value (first at rowid 3)`.
impl fmt::Display for StructureChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        match (self.part, &self.member) {
            (ChangedPart::Type | ChangedPart::Nullability, Some(column)) => write!(f, "{object}.{column}:")?,
            (ChangedPart::Column, Some(column)) => write!(f, "{object}.{column}: the column")?,
            (ChangedPart::PrimaryKey, _) => write!(f, "{object}: {}", self.part)?,
            (part, Some(member)) => write!(f, "{object}: {part} {member}")?,
            (part, None) => write!(f, "{part} {object}")?,
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, " {before} -> {after}")?,
            (Some(before), None) if self.member.is_some() => write!(f, " {before} is dropped")?,
            (_, None) => write!(f, " is dropped")?,
            (None, Some(after)) => write!(f, " {after} is added")?,
        }
        write!(f, ", because {}", self.cause)
    }
}

/// What users of a table rely on. A push records it on the target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableContract {
    /// The columns by name.
    pub columns: BTreeMap<String, ColumnContract>,
    /// Primary key, UNIQUE constraints and foreign keys.
    pub keys: Vec<KeyContract>,
    /// The other indexes by name.
    pub indexes: BTreeMap<String, IndexContract>,
}

/// What users of a column rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnContract {
    /// The type, as PostgreSQL writes it without schema.
    #[serde(rename = "type")]
    pub pg_type: String,
    /// NOT NULL.
    pub not_null: bool,
}

/// A key. The name of its constraint does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyContract {
    /// Which kind of key.
    pub part: ChangedPart,
    /// The constraint's name.
    pub name: String,
    /// Its columns in their order.
    pub columns: Vec<String>,
    /// The parent table of a foreign key, and its columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<(String, Vec<String>)>,
}

impl KeyContract {
    /// Whether both are the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.part, &self.columns, &self.parent) == (other.part, &other.columns, &other.parent)
    }

    /// `(a, b)`, or `(a) to parents (id)`.
    #[must_use]
    pub fn words(&self) -> String {
        let columns = self.columns.join(", ");
        match &self.parent {
            Some((parent, referenced)) => format!("({columns}) to {parent} ({})", referenced.join(", ")),
            None => format!("({columns})"),
        }
    }
}

/// What users of an index rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexContract {
    /// UNIQUE.
    pub unique: bool,
    /// What it is on, with the predicate; none if only the catalog of the target was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

impl TableContract {
    /// That of a planned table.
    #[must_use]
    pub fn of(table: &TablePlan) -> Self {
        let is_key = |name: &String| table.primary_key.as_ref().is_some_and(|key| key.columns.contains(name));
        let columns = table.columns.iter().map(|column| {
            let not_null = column.not_null || is_key(&column.name) || table.is_identity(&column.name);
            (column.name.clone(), ColumnContract { pg_type: type_words(&column.pg_type.to_string()), not_null })
        });
        let key = |part, key: &super::constraint::KeyPlan| KeyContract {
            part,
            name: key.name.clone(),
            columns: key.columns.clone(),
            parent: None,
        };
        let primary = table.primary_key.iter().map(|found| key(ChangedPart::PrimaryKey, found));
        let unique = table.uniques.iter().map(|found| key(ChangedPart::Unique, found));
        let foreign = table.foreign_keys.iter().map(|found| KeyContract {
            part: ChangedPart::ForeignKey,
            name: found.name.clone(),
            columns: found.columns.clone(),
            parent: Some((found.parent.clone(), found.parent_columns.clone())),
        });
        let indexes = table.indexes.iter().map(|index| {
            let predicate = index.predicate.as_ref().map(|words| format!(" WHERE {words}")).unwrap_or_default();
            let on = Some(format!("({}){predicate}", index.keys.join(", ")));
            (index.name.clone(), IndexContract { unique: index.unique, on })
        });
        Self {
            columns: columns.collect(),
            keys: primary.chain(unique).chain(foreign).collect(),
            indexes: indexes.collect(),
        }
    }
}

/// A type in the one spelling that the tool uses.
#[must_use]
pub fn type_words(text: &str) -> String {
    text.parse::<PgType>().map_or_else(|_| text.to_owned(), |known| known.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(part: ChangedPart, member: Option<&str>, before: Option<&str>, after: Option<&str>) -> String {
        let text = |words: Option<&str>| words.map(str::to_owned);
        let change = StructureChange {
            part,
            object: "prices".to_owned(),
            member: text(member),
            before: text(before),
            after: text(after),
            code: None,
            cause: "of 1 value (first at rowid 3)".to_owned(),
            setting: None,
        };
        change.to_string().split(", because ").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_change_is_one_line_with_its_place() {
        use ChangedPart::{Column, ForeignKey, Index, PrimaryKey, Table, Type, View};
        assert_eq!(
            change(Type, Some("amount"), Some("numeric(10,2)"), Some("text")),
            "prices.amount: numeric(10,2) -> text"
        );
        assert_eq!(change(Column, Some("a"), Some("text"), None), "prices.a: the column text is dropped");
        assert_eq!(change(PrimaryKey, Some("p"), Some("(a)"), Some("(b)")), "prices: primary key (a) -> (b)");
        assert_eq!(
            change(ForeignKey, Some("f"), None, Some("(a) to t (id)")),
            "prices: foreign key f (a) to t (id) is added"
        );
        assert_eq!(change(Index, Some("i"), None, None), "prices: index i is dropped");
        assert_eq!(change(Table, None, None, None), "table prices is dropped");
        assert_eq!(change(View, None, None, None), "view prices is dropped");
    }

    #[test]
    fn types_of_the_catalog_are_spelled_as_the_plan_spells_them() {
        for (catalog, plan) in [
            ("timestamp with time zone", PgType::TimestampTz),
            ("character varying(7)", PgType::Varchar(7)),
            ("time without time zone", PgType::Time),
            ("numeric(10,2)", PgType::Numeric(Some((10, 2)))),
            ("\"Mood\"", PgType::Enum("Mood".to_owned())),
            ("timestamp(3) without time zone", PgType::ExistingType("timestamp(3) without time zone".to_owned())),
        ] {
            assert_eq!(type_words(catalog), type_words(&plan.to_string()), "{catalog}");
        }
    }
}
