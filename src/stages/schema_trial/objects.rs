//! Tries constraints and indexes on the rows.

use super::{Trial, TrialTable, is_tried, refused_rows::RefusedRows, rows_words};
use crate::{
    error::{Error, Kind, Result},
    model::{
        Finding, FindingCode, Severity,
        catalog::{
            CatalogObject, ConstraintDefinition, ConstraintKind, ForeignKeyDefinition, ObjectFacts, ObjectKind,
            ObjectName,
        },
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
        let table = ObjectName::new(ObjectKind::Table, &object.name.schema, &object.name.table);
        let has_table = self.existing.catalog.object(&table).is_some();
        if !is_tried(object) || !has_table || self.is_weakened(&object.name) || self.is_untried(object) {
            return Ok(());
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
        let statements: Vec<String> = object.create.iter().map(|sql| not_deferrable(sql)).collect();
        let Some(error) = self.attempt(&statements).await? else { return Ok(()) };
        let Some(table) = self.table_of(&object.name) else {
            return self.of_other_table(object, foreign_key, &error).await;
        };
        let refused = match foreign_key {
            Some(key) => self.orphans(table, object, key).await?,
            None => self.refused_rows(table, &statements, None).await?,
        };
        if refused.count == 0 {
            return Err(unusable(object, &self.existing.catalog.schema, &error));
        }
        let verdict = verdict(object);
        let message = format!("{} {}", rows_words(table.plan, &refused, verdict.verbs), verdict.words);
        let column = place(object);
        let mut finding = Finding::new(verdict.code, Severity::NeedsDecision, message)
            .at_table(&table.plan.source)
            .counting(refused.count);
        let mut accept = format!("--accept {}@{}", verdict.code.word(), table.plan.source);
        if let Some(column) = column {
            accept.push_str(&format!(".{column}"));
            finding = finding.at_column(column);
        }
        finding = finding.choice("correct the rows in the source and dump again").choice(accept);
        self.findings.push(finding);
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: verdict.form });
        Ok(())
    }

    /// An object of a table that the source has no rows for.
    async fn of_other_table(
        &mut self,
        object: &CatalogObject,
        foreign_key: Option<&ForeignKeyDefinition>,
        error: &Error,
    ) -> Result<()> {
        let Some(key) = foreign_key else { return Err(unusable(object, &self.existing.catalog.schema, error)) };
        let words = object.name.words(&self.existing.catalog.schema);
        let message = format!(
            "rows of the existing table {} refer to rows of {} that the source does not have: the {words} is created NOT \
             VALID",
            object.name.table, key.table
        );
        let place = self
            .tables
            .iter()
            .find(|table| table.name.name == key.table)
            .map_or(&key.table, |table| &table.plan.source);
        let accept = format!("--accept orphan-rows@{place}");
        self.findings.push(
            Finding::new(FindingCode::OrphanRows, Severity::NeedsDecision, message).at_table(place).choice(accept),
        );
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotValid });
        Ok(())
    }

    /// Whether the key that a foreign key refers to is not created.
    fn parent_key_is_missing(&self, object: &CatalogObject, key: &ForeignKeyDefinition) -> bool {
        let catalog = &self.existing.catalog;
        let needs = object.needs.iter().filter_map(|place| catalog.objects.get(*place));
        let mut keys = needs.filter(|need| need.name.table == key.table && need.name.schema == key.schema);
        keys.any(|need| {
            let weakened = self.weakened.iter().filter(|weakened| weakened.name == need.name);
            weakened.into_iter().any(|weakened| weakened.form == WeakerForm::NotCreated)
        })
    }

    fn report_parent(&mut self, object: &CatalogObject) {
        let source = self.table_of(&object.name).map_or(object.name.table.clone(), |table| table.plan.source.clone());
        let message =
            format!("the foreign key {} is not created: the key that it refers to is not created", object.name.name);
        let accept = format!("--accept foreign-key-not-carried@{source}");
        let finding = Finding::new(FindingCode::ForeignKeyNotCarried, Severity::NeedsDecision, message);
        self.findings.push(finding.at_table(source).choice(accept));
        self.weakened.push(WeakenedObject { name: object.name.clone(), form: WeakerForm::NotCreated });
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

/// The same without DEFERRABLE: a trial has to know at once.
fn not_deferrable(sql: &str) -> String {
    let sql = sql.strip_suffix(" INITIALLY DEFERRED").unwrap_or(sql);
    sql.strip_suffix(" DEFERRABLE").unwrap_or(sql).to_owned()
}

/// PostgreSQL refuses the object whatever the rows are.
fn unusable(object: &CatalogObject, schema: &str, error: &Error) -> Error {
    let what = format!("{} of the existing schema can't be created: {}", object.name.words(schema), error.message());
    Error::new(Kind::Config, what).with_hint("correct the schema; the message is that of PostgreSQL")
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
        _ => Verdict {
            code: FindingCode::IndexNotCarried,
            form: WeakerForm::NotCreated,
            verbs: have,
            words: format!("values that PostgreSQL does not take into the index {name}: it is not created"),
        },
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
            not_deferrable("ALTER TABLE t ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED"),
            "ALTER TABLE t ADD UNIQUE (a)"
        );
        assert_eq!(not_deferrable("ALTER TABLE t ADD UNIQUE (a) DEFERRABLE"), "ALTER TABLE t ADD UNIQUE (a)");
    }
}
