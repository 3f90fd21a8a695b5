//! Defines views and triggers as planned: SQL with places for the relations of a schema that is named only when the SQL
//! is rendered, because the same plan is carried out in more than one schema.

use serde::{Deserialize, Serialize};

use super::{
    cell::StorageClass,
    conversion::Conversion,
    identifier::qualified,
    pg_type::PgType,
    table_plan::{ColumnPlan, RowAddress, TablePlan},
};

/// One part of a [`Fragment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// SQL as it stands.
    Sql(String),
    /// The PostgreSQL name of a table or view of the plan.
    Relation(String),
}

/// SQL that names relations of the plan without their schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fragment {
    pieces: Vec<Piece>,
}

impl Fragment {
    /// A fragment of these pieces.
    #[must_use]
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces }
    }

    /// The SQL with the relations in this schema.
    #[must_use]
    pub fn render(&self, schema: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Sql(sql) => sql.clone(),
            Piece::Relation(name) => qualified(schema, name),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The relations that it names, each as often as it occurs.
    pub fn relations(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Sql(_) => None,
            Piece::Relation(name) => Some(name.as_str()),
        })
    }
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewPlan {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name.
    pub name: String,
    /// The columns in order.
    pub columns: Vec<ViewColumn>,
    /// The SELECT.
    pub query: Fragment,
    /// SQLite's CREATE VIEW.
    pub sql: String,
}

impl ViewPlan {
    /// The view as if it were a table of the source, for comparing rows.
    #[must_use]
    pub fn as_table(&self) -> TablePlan {
        let columns = self.columns.iter().map(ViewColumn::as_column).collect();
        TablePlan { columns, ..TablePlan::new(&self.source, &self.name, RowAddress::Ordinal) }
    }
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewColumn {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name.
    pub name: String,
    /// The type that PostgreSQL gives it.
    #[serde(rename = "type")]
    pub pg_type: PgType,
    /// What SQLite's value becomes.
    pub conversion: Conversion,
}

impl ViewColumn {
    /// The column as a table would have it, for comparing rows.
    #[must_use]
    pub fn as_column(&self) -> ColumnPlan {
        let column = ColumnPlan::new(&self.name, self.pg_type.clone(), self.conversion, StorageClass::Null);
        ColumnPlan { source: self.source.clone(), ..column }
    }
}

words! {
    /// When a trigger fires.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Timing: words {
        /// BEFORE.
        Before = "BEFORE",
        /// AFTER.
        After = "AFTER",
        /// INSTEAD OF, on a view.
        InsteadOf = "INSTEAD OF",
    }
}

/// A trigger and its function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerPlan {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// The PostgreSQL name of its table or view.
    pub relation: String,
    /// When it fires.
    pub timing: Timing,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub event: String,
    /// The PostgreSQL names of the columns of UPDATE OF.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// WHEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The function's PL/pgSQL, `BEGIN` to `END`.
    pub body: Fragment,
    /// SQLite's CREATE TRIGGER.
    pub sql: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_named_when_the_schema_is_known() {
        let relation = |name: &str| Piece::Relation(name.to_owned());
        let fragment = Fragment::new(vec![Piece::Sql("SELECT 1 FROM ".to_owned()), relation("a\"b"), relation("c")]);
        assert_eq!(fragment.render("s"), r#"SELECT 1 FROM "s"."a""b""s"."c""#);
        assert_eq!(fragment.relations().collect::<Vec<_>>(), ["a\"b", "c"]);
        let json = serde_json::to_string(&fragment).unwrap();
        assert_eq!(serde_json::from_str::<Fragment>(&json).unwrap(), fragment);
    }
}
