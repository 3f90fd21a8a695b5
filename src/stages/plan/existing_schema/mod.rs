//! Makes a plan whose types come from an existing schema: its tables are made as they are, and the source's values are
//! brought to their types. Every value is looked at, so that what doesn't fit is known before anything is loaded.

mod matching;

mod columns;

mod findings;

mod units;

mod value_form;

mod keys;

mod objects;

mod values;

mod settings;

use std::path::Path;

use rusqlite::Connection;

use super::{
    assembled::Assembled,
    offtype_policy,
    override_resolution::{ResolvedOverride, ResolvedOverrides},
    table_outline::TableOutline,
};
use crate::{
    context::Cancellation,
    error::Result,
    model::{
        Finding, FindingCode, Severity, TablePlan,
        catalog::{ObjectKind, ObjectName},
        conversion_plan::RowAddress,
        existing_schema::{ExistingSchema, ExistingTable, WeakenedObject, WeakerForm},
        human_format::counted,
        overrides::Overrides,
        source_schema::SourceSchema,
    },
    rules::migration_history,
    sqlite::{open, profile::TableSurvey},
};
use matching::{Matches, TableMatch};

pub(super) use settings::SettingTrials;

/// Takes what is not created out of the tables of the plan.
pub(super) fn weaken(tables: &mut [TablePlan], weakened: &WeakenedObject) {
    let Some(table) = tables.iter_mut().find(|table| table.name == weakened.name.table) else { return };
    let name = &weakened.name.name;
    if weakened.form == WeakerForm::NotCreated {
        table.primary_key = table.primary_key.take().filter(|key| key.name != *name);
        table.uniques.retain(|key| key.name != *name);
        table.indexes.retain(|index| index.name != *name);
        table.checks.retain(|check| check.name != *name);
        table.foreign_keys.retain(|key| key.name != *name);
    }
    if weakened.form == WeakerForm::NotValid {
        table.checks.iter_mut().filter(|check| check.name == *name).for_each(|check| check.not_valid = true);
        table.foreign_keys.iter_mut().filter(|key| key.name == *name).for_each(|key| key.not_valid = true);
    }
}

/// What a plan is made of here.
pub(super) struct PlanInputs<'a> {
    /// The schema.
    pub(super) target: &'a ExistingSchema,
    /// What the source declares.
    pub(super) schema: &'a SourceSchema,
    /// What the configuration says.
    pub(super) overrides: &'a Overrides,
    /// The same, by positions.
    pub(super) decisions: &'a ResolvedOverrides,
    /// The dump.
    pub(super) path: &'a Path,
    /// a cancellation request.
    pub(super) stop: &'a Cancellation,
}

/// One table of the source with what its values are.
struct SurveyedTable<'a> {
    outline: &'a TableOutline<'a>,
    survey: &'a TableSurvey,
}

impl PlanInputs<'_> {
    /// Plans every table of the existing schema.
    ///
    /// # Errors
    /// `Config` for what the configuration names and isn't there; `SourceInvalid`; `Interrupted`.
    pub(super) fn assemble(&self, outlines: &[TableOutline<'_>], surveys: &[TableSurvey]) -> Result<Assembled> {
        matching::refuse_types(self.overrides)?;
        let matches = matching::find(self.schema, self.target, self.overrides, self.decisions)?;
        let connection = open::read_only(self.path)?;
        let mut all = Assembled::default();
        for (at, source) in self.schema.tables.iter().enumerate() {
            let Some(found) = matches.tables.get(&at) else { continue };
            let seen = outlines.iter().zip(surveys).find(|(outline, _)| outline.source.name == source.name);
            let (Some((outline, survey)), Some(target)) = (seen, self.target.tables.get(found.existing)) else {
                continue;
            };
            let table =
                self.table(&connection, &SurveyedTable { outline, survey }, at, target, found, &mut all.findings)?;
            all.weakened.extend(self.nullable(&table, target));
            all.findings.extend(self.replaced_rows(&table));
            all.tables.push(table);
        }
        self.extra_tables(&matches, &mut all);
        keys::carry(self, &mut all);
        for weakened in &all.weakened {
            weaken(&mut all.tables, weakened);
        }
        offtype_policy::restrain_keys(&mut all, Some(&self.target.catalog.schema));
        let rows = outlines.iter().zip(surveys).map(|(outline, survey)| (outline.source.name.as_str(), survey.rows));
        objects::report(self, &matches, &rows.collect(), &mut all);
        all.findings.sort_by_cached_key(|finding| {
            (std::cmp::Reverse(finding.severity), finding.code, finding.place(), finding.message.clone())
        });
        all.findings.dedup();
        Ok(all)
    }

    fn table(
        &self,
        connection: &Connection,
        seen: &SurveyedTable<'_>,
        at: usize,
        target: &ExistingTable,
        found: &TableMatch,
        findings: &mut Vec<Finding>,
    ) -> Result<TablePlan> {
        let outline = seen.outline;
        let mut table = TablePlan::new(&outline.source.name, &target.name, RowAddress::Absent);
        table.rows = seen.survey.rows;
        table.bytes = seen.survey.bytes;
        table.address = outline.address.clone();
        for (position, column) in target.columns.iter().enumerate() {
            let source = found.columns.get(&position).copied();
            table.columns.push(columns::plan(self, connection, seen, (at, source), column, findings)?);
        }
        let verdicts = values::check(connection, &table, self.target, self.stop)?;
        findings::judge(connection, &mut table, &verdicts, self.overrides, findings)?;
        let free = columns::left_over(outline.source, found);
        columns::nulls(&mut table, target, &verdicts.columns, &free, findings);
        columns::unmatched(seen, target, found, findings);
        Ok(table)
    }

    /// Rows that a file inserts into a table that the source has, too.
    fn replaced_rows(&self, table: &TablePlan) -> Option<Finding> {
        let (_, definition) = self.target.catalog.tables().find(|(name, _)| *name == table.name)?;
        let rows = definition.rows?;
        let message = format!(
            "the file inserts {} into the table {}: they are not loaded, because the source has this table",
            counted(rows, "row", "rows"),
            table.name
        );
        let finding = Finding::new(FindingCode::ClauseNotCarried, Severity::Warning, message);
        Some(finding.at_table(&table.source).counting(rows))
    }

    /// Columns that take NULL, unlike the existing ones, and the primary key that they are in.
    fn nullable(&self, table: &TablePlan, target: &ExistingTable) -> Vec<WeakenedObject> {
        let schema = &self.target.catalog.schema;
        let mut found = Vec::new();
        for (column, existing) in table.columns.iter().zip(&target.columns) {
            if column.not_null || !existing.not_null || existing.generated.is_some() {
                continue;
            }
            let key = target.primary_key.as_ref().filter(|key| key.columns.contains(&existing.name));
            if let Some(key) = key {
                let name = ObjectName::of_table(ObjectKind::Constraint, schema, &target.name, &key.name);
                found.push(WeakenedObject { name, form: WeakerForm::NotCreated });
            }
            let name = ObjectName::new(ObjectKind::Table, schema, &target.name);
            found.push(WeakenedObject { name, form: WeakerForm::NullAllowed { column: existing.name.clone() } });
        }
        found
    }

    /// Names the tables that only the existing schema has: they are created as they are, or left as they are.
    fn extra_tables(&self, matches: &Matches, all: &mut Assembled) {
        for (at, target) in self.target.tables.iter().enumerate() {
            let is_matched = matches.tables.values().any(|found| found.existing == at);
            let columns = target.columns.iter().map(|column| column.name.as_str());
            // A migration history is its framework's to make.
            if is_matched || migration_history::recognise(&target.name, columns).is_some() {
                continue;
            }
            let schema = &self.target.catalog.schema;
            let rows = self.target.rows.iter().find(|rows| rows.schema == *schema && rows.table == target.name);
            let message = match (self.target.is_live, rows) {
                (true, _) => "the source has no such table: it is left as it is where it exists".to_owned(),
                (false, Some(rows)) => {
                    format!(
                        "the source has no such table: it is created with the {} of the existing schema",
                        counted(rows.count, "row", "rows")
                    )
                }
                (false, None) => "the source has no such table: it is created empty".to_owned(),
            };
            all.findings.push(Finding::new(FindingCode::Advice, Severity::Info, message).at_table(&target.name));
        }
    }
}
