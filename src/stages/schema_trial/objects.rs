//! Tries constraints and indexes on the rows.

use super::{
    ROW, Trial, TrialTable,
    refused_rows::{Refusals, RefusedRows},
    rows_words,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        Finding, FindingCode, Severity,
        catalog::{CatalogObject, ConstraintDefinition, ConstraintKind, ForeignKeyDefinition, ObjectFacts, ObjectKind},
        existing_schema::{WeakenedObject, WeakerForm},
        identifier::{qualified, quote_ident},
    },
};

/// What a trial that failed means for the plan.
struct Verdict {
    code: FindingCode,
    form: WeakerForm,
    /// The verb of the sentence for one row, and for several.
    verbs: [&'static str; 2],
    /// The rest of the sentence.
    words: String,
}

impl Trial<'_> {
    /// Tries an object, if rows can break it.
    ///
    /// # Errors
    /// `Config` if PostgreSQL refuses it whatever the rows are; `LocalUnreachable`.
    pub(super) async fn try_object(&mut self, object: &CatalogObject) -> Result<()> {
        if self.is_weakened(&object.name) || self.is_untried(object) || self.reads_blank(object) {
            return Ok(());
        }
        if !matches!(object.name.kind, ObjectKind::Constraint | ObjectKind::Index) {
            return self.try_dependent(object).await;
        }
        let foreign_key = match &object.facts {
            ObjectFacts::Constraint(ConstraintDefinition { foreign_key: Some(key), .. }) => Some(key),
            _ => None,
        };
        if let Some(key) = foreign_key
            && self.parent_key_is_missing(object, key)
        {
            self.report_parent(object);
            return Ok(());
        }
        if self.lacks_need(object) {
            return self.try_dependent(object).await;
        }
        let statements: Vec<String> = object.create.iter().map(|sql| immediate(sql)).collect();
        let Some(error) = self.attempt(&statements).await? else { return Ok(()) };
        let Some(table) = self.table_of(&object.name) else {
            return self.of_other_table(object, foreign_key, &error);
        };
        let refused = match (foreign_key, self.by_query(table, object, &statements).await?) {
            (Some(key), _) => Refusals::of_integrity(self.orphans(table, object, key).await?),
            (None, Some(found)) => Refusals::of_integrity(found),
            (None, None) => self.refused_rows(table, &statements, None).await?,
        };
        if refused.all.count == 0 {
            return Err(unusable(object, &self.existing.catalog.schema, &error));
        }
        let refused_count = refused.all.count;
        let mut verdicts = vec![(verdict(object), refused.all)];
        // Rows that are not refused for their key have another finding.
        if matches!(verdicts.as_slice(), [(verdict, _)] if verdict.code == FindingCode::KeysMerged) {
            verdicts = vec![(verdict(object), refused.integrity), (unindexed(object), refused.others)];
        }
        let source = table.plan.source.clone();
        if matches!(&object.facts, ObjectFacts::Constraint(constraint) if !constraint.validated) {
            self.report_not_valid(object, &source, refused_count);
            return Ok(());
        }
        let mut findings = Vec::new();
        for (verdict, rows) in verdicts.into_iter().filter(|(_, rows)| rows.count > 0) {
            let there = if self.existing.is_live { where_it_exists(&verdict.form) } else { "" };
            let message = format!("{} {}{there}", rows_words(table.plan, &rows, verdict.verbs), verdict.words);
            let mut accept = format!("--accept {}@{source}", verdict.code.word());
            let finding = Finding::new(verdict.code, Severity::NeedsDecision, message);
            let mut finding = finding.at_table(&source).counting(rows.count);
            if let Some(column) = place(object) {
                accept.push_str(&format!(".{column}"));
                finding = finding.at_column(column);
            }
            findings.push(finding.choice("correct the rows in the source and dump again").choice(accept));
        }
        self.findings.extend(findings);
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: verdict(object).form });
        Ok(())
    }

    /// The rows that a check or a key refuses, by one query where that gives exactly the rows that PostgreSQL refuses.
    async fn by_query(
        &self,
        table: &TrialTable<'_>,
        object: &CatalogObject,
        statements: &[String],
    ) -> Result<Option<RefusedRows>> {
        let (columns, predicate, is_null_equal) = match &object.facts {
            ObjectFacts::Constraint(constraint) => match (constraint.kind, &constraint.expression) {
                (ConstraintKind::Check, Some(expression)) => {
                    // An expression that fails for a row refuses it, too.
                    let found = self.rows_where(table, &format!("NOT ({expression})")).await;
                    return if self.session.is_lost() { found.map(Some) } else { Ok(found.ok()) };
                }
                (ConstraintKind::PrimaryKey | ConstraintKind::Unique, _) => {
                    let is_null_equal = constraint.definition.starts_with("UNIQUE NULLS NOT DISTINCT");
                    (&constraint.columns, None, is_null_equal)
                }
                _ => return Ok(None),
            },
            ObjectFacts::Index(index) if index.unique => match &index.columns {
                Some(columns) => (columns, index.predicate.as_ref(), false),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let written = qualified(&table.name.schema, &table.name.name);
        let keys: Vec<String> = columns.iter().map(|column| quote_ident(column)).collect();
        let known = keys.iter().filter(|_| !is_null_equal).map(|key| format!("{key} IS NOT NULL"));
        let conditions: Vec<String> = known.chain(predicate.map(|text| format!("({text})"))).collect();
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let repeated = format!(
            "SELECT {ROW} FROM (SELECT {ROW}, row_number() OVER (PARTITION BY {} ORDER BY {ROW}) AS turso2neon_place \
             FROM {written}{filter}) AS keys WHERE turso2neon_place > 1",
            keys.join(", ")
        );
        let count = format!(
            "SELECT count(*), coalesce((array_agg({ROW} ORDER BY {ROW}))[1:3], '{{}}') FROM ({repeated}) AS repeated"
        );
        let row = self.session.query_row("counting rows", &count, &[]).await?;
        let found = RefusedRows { count: row.count(0)?, first: row.get(1)? };
        // Whether the others are taken: a value can be too large for an index.
        let mut rest = vec![format!("DELETE FROM {written} WHERE {ROW} IN ({repeated})")];
        rest.extend(statements.iter().cloned());
        let is_exact = self.would_work(&rest).await?;
        Ok(Some(found).filter(|found| is_exact && found.count > 0))
    }

    /// The rows that refer to rows which are not there.
    async fn orphans(
        &self,
        table: &TrialTable<'_>,
        object: &CatalogObject,
        key: &ForeignKeyDefinition,
    ) -> Result<RefusedRows> {
        let ObjectFacts::Constraint(constraint) = &object.facts else { return Ok(RefusedRows::default()) };
        let pairs = constraint.columns.iter().zip(&key.columns);
        let same: Vec<String> =
            pairs.map(|(child, parent)| format!("p.{} = t.{}", quote_ident(parent), quote_ident(child))).collect();
        let null = |negated: &str, word: &str| {
            let each = constraint.columns.iter().map(|column| format!("t.{} IS {negated}NULL", quote_ident(column)));
            each.collect::<Vec<_>>().join(word)
        };
        let parent = qualified(&key.schema, &key.table);
        let missing = format!(
            "({}) AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {})",
            null("NOT ", " AND "),
            same.join(" AND ")
        );
        let condition = if key.match_full {
            format!("({missing}) OR (({}) AND ({}))", null("", " OR "), null("NOT ", " OR "))
        } else {
            missing
        };
        self.rows_where(table, &condition).await
    }
}

/// What is said of rows whose values an index does not take.
fn unindexed(object: &CatalogObject) -> Verdict {
    Verdict {
        code: FindingCode::IndexNotCarried,
        form: WeakerForm::NotCreated,
        verbs: ["has", "have"],
        words: format!("values that PostgreSQL does not take into the index {}: it is not created", object.name.name),
    }
}

/// The same without NOT VALID and DEFERRABLE: a trial has to know at once.
fn immediate(sql: &str) -> String {
    let sql = sql.strip_suffix(" NOT VALID").unwrap_or(sql);
    let sql = sql.strip_suffix(" INITIALLY DEFERRED").unwrap_or(sql);
    sql.strip_suffix(" DEFERRABLE").unwrap_or(sql).to_owned()
}

/// PostgreSQL refuses the object whatever the rows are.
pub(super) fn unusable(object: &CatalogObject, schema: &str, error: &Error) -> Error {
    let what = format!("{} of the existing schema can't be created: {}", object.name.words(schema), error.message());
    Error::new(Kind::Config, what).with_hint("correct the schema; the message is that of PostgreSQL")
}

/// What becomes of an object that the application made on the target.
const fn where_it_exists(form: &WeakerForm) -> &'static str {
    match form {
        WeakerForm::NotCreated => "; on the target it is dropped",
        WeakerForm::NotValid => "; on the target it is dropped and created again",
        WeakerForm::BaseType { .. } | WeakerForm::NullAllowed { .. } => "; on the target the column is altered",
    }
}

/// What is said of rows that an object refuses, and what becomes of the object.
fn verdict(object: &CatalogObject) -> Verdict {
    let name = &object.name.name;
    let have = ["has", "have"];
    match &object.facts {
        ObjectFacts::Constraint(constraint) => match constraint.kind {
            ConstraintKind::Check => Verdict {
                code: FindingCode::CheckViolated,
                form: WeakerForm::NotValid,
                verbs: ["breaks", "break"],
                words: format!("the check {name}: it is created NOT VALID, so that it holds for new rows only"),
            },
            ConstraintKind::ForeignKey => Verdict {
                code: FindingCode::OrphanRows,
                form: WeakerForm::NotValid,
                verbs: ["refers", "refer"],
                words: format!(
                    "to rows that do not exist: the foreign key {name} is created NOT VALID, so that it holds for new rows \
                     only"
                ),
            },
            ConstraintKind::PrimaryKey | ConstraintKind::Unique | ConstraintKind::Exclusion => Verdict {
                code: FindingCode::KeysMerged,
                form: WeakerForm::NotCreated,
                verbs: have,
                words: format!("the key of an earlier row: the {} {name} is not created", constraint.kind.words()),
            },
        },
        ObjectFacts::Index(index) if index.unique => Verdict {
            code: FindingCode::KeysMerged,
            form: WeakerForm::NotCreated,
            verbs: have,
            words: format!("the key of an earlier row: the unique index {name} is not created"),
        },
        _ => unindexed(object),
    }
}

/// The column that a finding is about: that of a foreign key or of a key.
fn place(object: &CatalogObject) -> Option<String> {
    match &object.facts {
        ObjectFacts::Constraint(constraint) if !constraint.columns.is_empty() => Some(constraint.columns.join(", ")),
        ObjectFacts::Index(index) => {
            Some(index.columns.as_ref().map_or_else(|| object.name.name.clone(), |names| names.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_does_not_put_a_constraint_off() {
        assert_eq!(
            immediate("ALTER TABLE t ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED"),
            "ALTER TABLE t ADD UNIQUE (a)"
        );
        assert_eq!(immediate("ALTER TABLE t ADD UNIQUE (a) DEFERRABLE"), "ALTER TABLE t ADD UNIQUE (a)");
    }
}
