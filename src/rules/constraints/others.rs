//! Records the outcome of tables, views, triggers and skipped objects.

use super::{ConstraintContext, TableContext};
use crate::model::{
    Finding, FindingCode, Severity,
    conversion_plan::Outcome,
    source_schema::{SourceTable, TableKind},
};

/// A table that is carried.
pub(super) fn table(work: &mut ConstraintContext<'_>, seat: &TableContext<'_>) {
    let source = seat.source;
    let name = source.name.as_str();
    if let TableKind::Virtual { module } = &source.kind {
        let reason = format!("a plain table with the rows of the {module} table");
        work.object(seat.position, "table", name, name, Outcome::Translated, &reason);
        let message = format!("it is carried as {reason}, without the module's functions");
        let mut finding = Finding::new(FindingCode::VirtualTableAsPlain, Severity::Warning, message);
        if module.starts_with("fts") {
            finding = finding.choice("fts = \"tsvector\"");
        }
        work.find(finding.at_table(name).with_sql(&source.sql));
    } else {
        work.object(seat.position, "table", name, name, Outcome::Carried, "");
    }
    for clause in &source.unmatched_clauses {
        let message = format!("not carried: {clause}");
        work.find(Finding::new(FindingCode::ClauseNotCarried, Severity::Warning, message).at_table(name));
    }
    // An unqualified name that starts so is looked for in the catalog first.
    if seat.plan.name.starts_with("pg_") {
        let message =
            "names that start with pg_ may be hidden by PostgreSQL's own tables: queries must name the schema";
        work.find(Finding::new(FindingCode::Advice, Severity::Info, message).at_table(name));
    }
}

/// A table that the configuration leaves out, with its indexes.
pub(super) fn left_out(work: &mut ConstraintContext<'_>, position: usize, source: &SourceTable) {
    const REASON: &str = "the configuration leaves it out";
    let name = source.name.as_str();
    work.object(position, "table", name, name, Outcome::NotCarried, REASON);
    for index in &source.indexes {
        work.object(position, "index", &index.name, name, Outcome::NotCarried, REASON);
    }
    work.find(Finding::new(FindingCode::TableSkipped, Severity::Info, REASON).at_table(name));
}

/// What the catalogue skipped. Views and triggers are translated elsewhere.
pub(super) fn rest(work: &mut ConstraintContext<'_>) {
    let schema = work.schema;
    for object in &schema.skipped {
        work.object(usize::MAX, &object.kind, &object.name, &object.table, Outcome::NotCarried, &object.reason);
        if let Some(finding) = object.finding() {
            work.find(finding);
        }
    }
    if work.schema.tables.iter().any(|table| table.rowid_alias.is_some()) {
        let message = "an INSERT of NULL into an identity column is refused by PostgreSQL, where SQLite took it for \
                       `number this row`; leave the column out instead";
        work.find(Finding::new(FindingCode::Advice, Severity::Info, message));
    }
}
