//! Makes a plan whose types come from an existing schema: its tables are made as they are, and the source's values are
//! brought to their types. Every value is looked at, so that what doesn't fit is known before anything is loaded.

mod matching;

mod columns;

mod keys;

mod objects;

mod values;

use std::path::Path;

use rusqlite::Connection;

use super::{assembled::Assembled, override_resolution::ResolvedOverrides, table_outline::TableOutline};
use crate::{
    context::Cancellation,
    error::Result,
    model::{
        Finding, FindingCode, Severity, TablePlan,
        conversion_plan::RowAddress,
        existing_schema::{ExistingSchema, ExistingTable},
        overrides::Overrides,
        source_schema::SourceSchema,
    },
    sqlite::{open, profile::TableSurvey},
};
use matching::{Matches, TableMatch};

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
            all.tables.push(table);
        }
        self.extra_tables(&matches, &mut all);
        keys::carry(self, &connection, &mut all)?;
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
            table.columns.push(columns::plan(self, seen, (at, source), column, findings));
        }
        let verdicts = values::check(connection, &table, self.target, self.stop)?;
        for (column, verdict) in table.columns.iter().zip(&verdicts) {
            columns::judge(&table, column, verdict, findings);
        }
        columns::nulls(&mut table, target, findings);
        columns::unmatched(seen, target, found, findings);
        Ok(table)
    }

    /// Tables that only the existing schema has.
    fn extra_tables(&self, matches: &Matches, all: &mut Assembled) {
        for (at, target) in self.target.tables.iter().enumerate() {
            if matches.tables.values().any(|found| found.existing == at) {
                continue;
            }
            let mut table = TablePlan::new(&target.name, &target.name, RowAddress::Absent);
            table.columns = target.columns.iter().map(columns::absent).collect();
            let message = "the source has no such table: it is created empty";
            all.findings.push(Finding::new(FindingCode::Advice, Severity::Info, message).at_table(&target.name));
            all.tables.push(table);
        }
    }
}
