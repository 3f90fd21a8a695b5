//! Lists what is checked of one table: each object that rests on a translated expression, with both of its spellings.

use crate::{
    model::{
        ColumnPlan, TablePlan,
        conversion_plan::{CheckPlan, IndexPlan},
        dropped_objects::{DroppedObject, DroppedObjectKind},
        identifier::quote_ident,
        source_schema::{IndexKey, SourceIndex, SourceSchema, SourceTable},
    },
    rules::expression::{JsonGuard, NameScope},
};

/// How the answers of a probe are compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ProbeForm {
    /// The value of a generated column, bit for bit.
    Column(Box<ColumnPlan>),
    /// True, false or NULL, of which NULL counts as said.
    Condition {
        /// What NULL is as good as.
        null_as: bool,
    },
    /// The value of an index key.
    Key {
        /// The collation that the index folds it under.
        collation: Option<String>,
    },
}

/// One expression in both languages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Probe {
    /// SQLite's.
    pub(super) in_sqlite: String,
    /// PostgreSQL's.
    pub(super) in_postgres: String,
    pub(super) form: ProbeForm,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct CheckedObject {
    kind: DroppedObjectKind,
    object: String,
    source: String,
    sql: String,
    pub(super) probes: Vec<Probe>,
}

/// All objects of one table that are to be tried.
#[derive(Debug, Clone)]
pub(super) struct TableChecks {
    /// Index into the plan's tables.
    pub(super) table: usize,
    pub(super) subjects: Vec<CheckedObject>,
}

impl CheckedObject {
    /// The record of an object that is not created.
    pub(super) fn dropped(&self, table: &TablePlan, reason: &str) -> DroppedObject {
        DroppedObject {
            kind: self.kind,
            table: table.source.clone(),
            object: self.object.clone(),
            source: self.source.clone(),
            reason: reason.to_owned(),
            sql: self.sql.clone(),
            guards: match self.kind {
                DroppedObjectKind::Check => true,
                DroppedObjectKind::Index => table.indexes.iter().any(|index| index.name == self.object && index.unique),
                DroppedObjectKind::Generated | DroppedObjectKind::View | DroppedObjectKind::Trigger => false,
            },
        }
    }

    /// The warning for an object without probes.
    pub(super) fn untried(&self, table: &TablePlan) -> String {
        let (name, table) = (&self.object, &table.source);
        format!("{table}: check {name} is created untried, because the source's words for it can't be found")
    }

    /// Whether PostgreSQL calls the object so.
    pub(super) fn is(&self, object: &str) -> bool {
        self.object == object
    }

    /// Columns whose values PostgreSQL's expressions depend on: two rows that agree in them get the same answer.
    pub(super) fn columns<'a>(&self, table: &'a TablePlan) -> Vec<&'a ColumnPlan> {
        let named = |column: &&ColumnPlan| {
            let name = quote_ident(&column.name);
            self.probes.iter().any(|probe| match &probe.form {
                ProbeForm::Column(of) if of.name == column.name => false,
                _ => probe.in_postgres.contains(&name),
            })
        };
        table.columns.iter().filter(named).collect()
    }
}

/// What is to be tried of a table.
pub(super) fn subjects(schema: &SourceSchema, source: &SourceTable, table: &TablePlan) -> Vec<CheckedObject> {
    let mut found = generated(source, table);
    found.extend(checks(schema, source, table));
    let created = |name: &str| source.indexes.iter().find(|index| index.name == name);
    for planned in &table.indexes {
        let Some(index) = created(&planned.source) else { continue };
        let probes = index_probes(schema, source, table, index, planned.predicate.as_deref(), &planned.keys);
        if !probes.is_empty() {
            found.push(of_index(planned, index, probes));
        }
    }
    found
}

/// An index with what is to be tried of it.
pub(super) fn of_index(planned: &IndexPlan, index: &SourceIndex, probes: Vec<Probe>) -> CheckedObject {
    CheckedObject {
        kind: DroppedObjectKind::Index,
        object: planned.name.clone(),
        source: planned.source.clone(),
        sql: index.sql.clone().unwrap_or_default(),
        probes,
    }
}

/// An index that the source doesn't have, by the statement that makes it.
pub(super) fn added(planned: &IndexPlan, sql: &str) -> CheckedObject {
    CheckedObject {
        kind: DroppedObjectKind::Index,
        object: planned.name.clone(),
        source: planned.source.clone(),
        sql: sql.to_owned(),
        probes: Vec::new(),
    }
}

/// Generated columns that PostgreSQL computes.
pub(super) fn generated(source: &SourceTable, table: &TablePlan) -> Vec<CheckedObject> {
    let one = |column: &ColumnPlan| {
        let in_postgres = column.generated.clone()?;
        let declared = source.columns.iter().find(|found| found.name == column.source)?;
        let expression = declared.generated.as_ref().map_or("", |generated| generated.expression.as_str());
        let probe = Probe {
            in_sqlite: quote_ident(&column.source),
            in_postgres,
            form: ProbeForm::Column(Box::new(column.clone())),
        };
        Some(CheckedObject {
            kind: DroppedObjectKind::Generated,
            object: column.name.clone(),
            source: column.source.clone(),
            sql: format!("GENERATED ALWAYS AS ({expression})"),
            probes: vec![probe],
        })
    };
    table.columns.iter().filter_map(one).collect()
}

/// Checks. The plan keeps PostgreSQL's words only; SQLite's are those whose translation they are. A check of which
/// these can't be found has no probes. NOT NULL is no translation and needs no proof.
pub(super) fn checks(schema: &SourceSchema, source: &SourceTable, table: &TablePlan) -> Vec<CheckedObject> {
    let scope = NameScope::new(table, source, &schema.encoding);
    let by_cast = |expression: &str| {
        let guard = JsonGuard::read(expression)?;
        let column = table.columns.iter().find(|column| column.source.eq_ignore_ascii_case(&guard.column))?;
        Some(guard.condition(&column.name))
    };
    let words = |expression: &str| {
        scope.condition(expression).map_or_else(|_| by_cast(expression), |condition| Some(condition.sql))
    };
    let mut translated: Vec<_> = source.checks.iter().map(|check| (check, words(&check.expression))).collect();
    let not_null = |planned: &CheckPlan| {
        table.columns.iter().any(|column| planned.expression == format!("{} IS NOT NULL", quote_ident(&column.name)))
    };
    let one = |planned: &CheckPlan| {
        let same_words = translated.iter().position(|(_, sql)| sql.as_ref() == Some(&planned.expression));
        let same_name = || translated.iter().position(|(check, _)| check.name.as_ref() == Some(&planned.name));
        let check = same_words.or_else(same_name).map(|at| translated.remove(at).0);
        if check.is_none() && not_null(planned) {
            return None;
        }
        let expression = check.map_or(&planned.expression, |check| &check.expression);
        Some(CheckedObject {
            kind: DroppedObjectKind::Check,
            object: planned.name.clone(),
            source: check.and_then(|check| check.name.clone()).unwrap_or_else(|| expression.clone()),
            sql: format!("CHECK ({expression})"),
            probes: check.map(|check| condition(&check.expression, &planned.expression, true)).into_iter().collect(),
        })
    };
    table.checks.iter().filter_map(one).collect()
}

fn condition(in_sqlite: &str, in_postgres: &str, null_as: bool) -> Probe {
    // A double negation makes 0, 1 or NULL of whatever SQLite takes for a condition. The line end closes a comment.
    Probe {
        in_sqlite: format!("NOT (NOT ({in_sqlite}\n))"),
        in_postgres: in_postgres.to_owned(),
        form: ProbeForm::Condition { null_as },
    }
}

fn index_probes(
    schema: &SourceSchema,
    source: &SourceTable,
    table: &TablePlan,
    index: &SourceIndex,
    predicate: Option<&str>,
    planned: &[String],
) -> Vec<Probe> {
    let scope = NameScope::new(table, source, &schema.encoding);
    let both = index.predicate.as_deref().zip(predicate);
    let mut probes: Vec<Probe> =
        both.map(|(in_sqlite, in_postgres)| condition(in_sqlite, in_postgres, false)).into_iter().collect();
    for (column, planned) in index.columns.iter().zip(planned) {
        let IndexKey::Expression(in_sqlite) = &column.key else { continue };
        let Ok(in_postgres) = scope.key(in_sqlite, column.collation.as_deref()) else { continue };
        // A key in another form than the translation's means another thing on purpose.
        if !planned.contains(&format!("({in_postgres})")) {
            continue;
        }
        let (in_sqlite, in_postgres) = match both {
            // Outside of the predicate no key is computed.
            Some((predicate, planned_predicate)) => (
                format!("CASE WHEN ({predicate}\n) THEN ({in_sqlite}\n) END"),
                format!("CASE WHEN {planned_predicate} THEN {in_postgres} END"),
            ),
            None => (format!("({in_sqlite}\n)"), in_postgres),
        };
        probes.push(Probe { in_sqlite, in_postgres, form: ProbeForm::Key { collation: column.collation.clone() } });
    }
    probes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::catalog;

    #[test]
    fn every_check_but_not_null_is_tried_or_known_as_untried() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a TEXT NOT NULL CHECK (json_valid(a)), CHECK (a <> ''))").unwrap();
        let schema = catalog::read(&connection).unwrap();
        let table: TablePlan = serde_json::from_value(serde_json::json!({
            "source": "t", "name": "t", "rows": 1, "bytes": 1, "address": { "by": "rowid", "name": "rowid" },
            "columns": [{ "source": "a", "name": "a", "declared": "TEXT", "type": "text",
                "conversion": { "how": "text", "blobs": "hex" }, "main_class": "text", "rule": "", "origin": "rule", "evidence": {} }],
            "checks": [
                { "name": "json", "expression": "\"a\"::json IS NOT NULL OR NULL" },
                { "name": "given", "expression": "\"a\" IS NOT NULL" },
                { "name": "other", "expression": "length(\"a\") < 9" },
            ],
        }))
        .unwrap();
        let found = checks(&schema, &schema.tables[0], &table);
        let found: Vec<(&str, usize)> =
            found.iter().map(|subject| (subject.object.as_str(), subject.probes.len())).collect();
        assert_eq!(found, [("json", 1), ("other", 0)]);
    }
}
