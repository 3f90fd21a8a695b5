//! Describes one difference between two catalogs.

use serde::Serialize;

use crate::model::catalog::{ObjectKind, ObjectName};

/// Definitions longer than this are not shown in a line.
const SHORT: usize = 80;

words! {
    /// What a change does to what is there.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Effect: word {
        /// Something new.
        Adds = "adds",
        /// Every row that was accepted still is.
        Widens = "widens",
        /// Another definition of something that holds no rows and guards none.
        Replaces = "replaces",
        /// Rows may be refused or converted that were accepted before.
        Narrows = "narrows",
        /// Something is removed.
        Drops = "drops",
    }
}

words! {
    /// How the two sides differ.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ChangeWord: word {
        /// Only the second side has it.
        Added = "added",
        /// Only the first side has it.
        Removed = "removed",
        /// Both have it, differently.
        Changed = "changed",
    }
}

words! {
    /// What of an object differs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum DifferenceKind: word {
        /// The whole object.
        Object = "object",
        /// A column.
        Column = "column",
        /// A column's type or collation.
        Type = "type",
        /// Whether a column accepts NULL.
        Nullability = "nullability",
        /// A column's default.
        Default = "default",
        /// A column's generation expression.
        Generated = "generated",
        /// How an identity column numbers rows.
        Identity = "identity",
        /// The labels of an enumerated type.
        Labels = "labels",
        /// Whether a table is unlogged.
        Persistence = "persistence",
        /// The partition key, parent or bounds.
        Partitioning = "partitioning",
        /// The tables that a table inherits from.
        Inheritance = "inheritance",
        /// Storage options of a table or its columns.
        Storage = "storage",
        /// A comment.
        Comment = "comment",
        /// A privilege.
        Privilege = "privilege",
    }
}

/// One difference. `before` is how the first side has it, `after` the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectName,
    /// The column, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What of it differs.
    pub part: DifferenceKind,
    /// How.
    pub change: ChangeWord,
    /// The first side's definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The second side's definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What making the second side like the first does to it.
    pub sync: Effect,
}

impl Difference {
    /// One line in plain words. `home` is the main schema; `first` and `second` name the sides.
    #[must_use]
    pub fn line(&self, home: &str, first: &str, second: &str) -> String {
        let what = self.words(home);
        let shown = |side: &Option<String>| match side {
            None => "none".to_owned(),
            Some(text) => text.clone(),
        };
        match self.change {
            ChangeWord::Removed => format!("{what}: only in {first}{}", in_brackets(self.before.as_deref())),
            ChangeWord::Added => format!("{what}: only in {second}{}", in_brackets(self.after.as_deref())),
            ChangeWord::Changed => {
                let (before, after) = (shown(&self.before), shown(&self.after));
                if is_short(&before) && is_short(&after) {
                    format!("{what}: {before} in {first}, {after} in {second}")
                } else {
                    format!("{what}: {first} and {second} have different definitions")
                }
            }
        }
    }

    /// The words that name what differs.
    #[must_use]
    pub fn words(&self, home: &str) -> String {
        let object = self.object.words(home);
        match (&self.column, self.part) {
            (Some(column), part) => {
                let table = object.strip_prefix("table ").unwrap_or(&object);
                match part {
                    DifferenceKind::Column => format!("column {table}.{column}"),
                    other => format!("column {table}.{column}: {}", other.word()),
                }
            }
            (None, DifferenceKind::Object) => object,
            (None, part) => format!("{object}: {}", part.word()),
        }
    }

    /// Whether it is of an object that belongs to a table.
    #[must_use]
    pub fn table(&self) -> &str {
        if self.object.kind == ObjectKind::Table { &self.object.name } else { &self.object.table }
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= SHORT && !text.contains('\n')
}

fn in_brackets(definition: Option<&str>) -> String {
    definition.filter(|text| is_short(text)).map(|text| format!(" ({text})")).unwrap_or_default()
}
