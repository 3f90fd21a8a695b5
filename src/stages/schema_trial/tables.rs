//! Chooses what is tried, and creates the objects and the trial tables.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::SinkExt as _;

use super::{ROW, Trial, TrialTable, tried_columns};
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, Conversion, FindingCode, PgType, Plan, Severity, TablePlan,
        catalog::{CatalogObject, ColumnDefinition, ObjectFacts, ObjectKind, Phase},
        cell::StorageClass,
        existing_schema::{ExistingRows, ExistingSchema},
        identifier::{qualified, quote_ident, quote_list},
    },
};

/// The tables that the source feeds. Values that are refused have findings of their own: their columns stay empty.
pub(super) fn of_plan<'a>(existing: &'a ExistingSchema, plan: &'a Plan) -> Vec<TrialTable<'a>> {
    let catalog = &existing.catalog;
    let refused_of = |table: &TablePlan| -> BTreeSet<String> {
        let refusals = plan.findings.iter().filter(|finding| {
            finding.severity == Severity::Refused
                && finding.table.as_ref() == Some(&table.source)
                && matches!(
                    finding.code,
                    FindingCode::TypeDoesNotFit | FindingCode::ValueTooLong | FindingCode::TextNotStorable
                )
        });
        let sources: BTreeSet<&str> = refusals.filter_map(|finding| finding.column.as_deref()).collect();
        let columns = table.columns.iter().filter(|column| sources.contains(column.source.as_str()));
        columns.map(|column| column.name.clone()).collect()
    };
    let is_whole = catalog.objects.iter().any(|object| object.name.kind == ObjectKind::MaterializedView);
    let one = |table: &'a TablePlan| {
        let (name, definition) =
            catalog.all_tables().find(|(name, _)| name.schema == catalog.schema && name.name == table.name)?;
        Some(TrialTable { plan: table, definition, name, is_whole, refused: refused_of(table) })
    };
    plan.tables.iter().filter_map(one).collect()
}

/// The plan that loads the trial tables.
pub(super) fn loaded_plan(plan: &Plan, tables: &[TrialTable<'_>]) -> Plan {
    let one = |table: &TrialTable<'_>| {
        let names = tried_columns(table);
        let mut loaded = TablePlan { columns: Vec::new(), ..table.plan.clone() };
        loaded.primary_key = None;
        loaded.identity = None;
        if let Some(rowid) = table.plan.address.rowid_name() {
            let key = ColumnPlan::new(ROW, PgType::BigInt, Conversion::Integer, StorageClass::Integer);
            loaded.columns.push(ColumnPlan { source: rowid.to_owned(), ..key });
        }
        for column in table.plan.columns.iter().filter(|column| names.contains(column.name.as_str())) {
            if column.conversion == Conversion::Absent {
                continue;
            }
            let is_generated = column.generated.is_some();
            let name = if is_generated { source_value(&column.name) } else { column.name.clone() };
            loaded.columns.push(ColumnPlan { name, generated: None, records_off_type: false, ..column.clone() });
        }
        loaded
    };
    let tables = tables.iter().map(one).filter(|table| !table.columns.is_empty()).collect();
    Plan { tables, views: Vec::new(), triggers: Vec::new(), findings: Vec::new(), ..plan.clone() }
}

/// The column of a trial table that has the source's value of a generated column.
pub(super) fn source_value(column: &str) -> String {
    let mut name = format!("turso2neon_source_{column}");
    while name.len() > 63 {
        name.pop();
    }
    name
}

impl Trial<'_> {
    /// Creates the objects that come before the rows, trial tables among them, and loads the rows that the existing
    /// schema has itself.
    ///
    /// # Errors
    /// `Config` if the schema can't be created; `LocalUnreachable`.
    pub(super) async fn create_tables(&self) -> Result<()> {
        let catalog = &self.existing.catalog;
        let settings = format!("{}; SET check_function_bodies = off", catalog.set_search_path(false));
        self.session.batch("preparing the trial", &settings).await?;
        for object in catalog.in_phase(Phase::BeforeRows) {
            if object.name.kind == ObjectKind::Extension && !self.existing.extensions.contains(&object.name.name) {
                continue;
            }
            let trial = self.tables.iter().find(|table| *table.name == object.name);
            let statements = match (trial, &object.facts) {
                (Some(table), _) => create_trial(table),
                // They are created when the rows are there.
                (None, ObjectFacts::Table(_)) if self.trial_above(object).is_some() => continue,
                (None, _) => object.create.clone(),
            };
            if let Some(error) = self.attempt(&statements).await? {
                return Err(unloadable(object, &catalog.schema, &error));
            }
        }
        for rows in &self.existing.rows {
            self.insert(rows).await?;
        }
        Ok(())
    }

    async fn insert(&self, rows: &ExistingRows) -> Result<()> {
        let doing = "loading rows of the existing schema";
        let columns = quote_list(rows.columns.iter().map(String::as_str));
        let sql = format!("COPY {} ({columns}) FROM STDIN", qualified(&rows.schema, &rows.table));
        let failed = |failure: &tokio_postgres::Error| self.session.error(doing, failure);
        let opened = self.session.client().copy_in::<_, Bytes>(&sql).await.map_err(|failure| failed(&failure))?;
        let mut sink = Box::pin(opened);
        sink.send(Bytes::from(rows.copy.clone().into_bytes())).await.map_err(|failure| failed(&failure))?;
        sink.as_mut().finish().await.map(drop).map_err(|failure| failed(&failure))
    }
}

fn unloadable(object: &CatalogObject, schema: &str, error: &Error) -> Error {
    let what = format!("the existing schema can't be created: {}: {}", object.name.words(schema), error.message());
    let hint = if object.name.kind == ObjectKind::Extension {
        "install the extension for this machine's PostgreSQL (--pg-bin names another one)"
    } else {
        "correct the schema; the message is that of PostgreSQL"
    };
    Error::new(Kind::Config, what).with_hint(hint)
}

/// The statement that creates a trial table: the columns that are loaded.
fn create_trial(table: &TrialTable<'_>) -> Vec<String> {
    let names = tried_columns(table);
    let row = if table.plan.address.rowid_name().is_some() {
        format!("{ROW} bigint")
    } else {
        format!("{ROW} bigint GENERATED BY DEFAULT AS IDENTITY")
    };
    let mut columns = vec![row];
    for column in table.definition.columns.iter().filter(|column| names.contains(column.name.as_str())) {
        let plan = table.plan.column(&column.name);
        let Some(plan) = plan.filter(|plan| plan.conversion != Conversion::Absent) else { continue };
        let name = if column.generated.is_some() { source_value(&column.name) } else { column.name.clone() };
        columns.push(format!("{} {}", quote_ident(&name), trial_type(plan, column)));
    }
    let written = qualified(&table.name.schema, &table.name.name);
    // Not UNLOGGED: foreign keys of other tables could not refer to it.
    vec![format!("CREATE TABLE {written} ({})", columns.join(", "))]
}

/// The type that a column has while the rows are loaded: domains and what PostgreSQL itself must read come later.
fn trial_type(plan: &ColumnPlan, column: &ColumnDefinition) -> String {
    if plan.by_text_input() {
        return "text".to_owned();
    }
    let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    format!("{}{collation}", column.base_type)
}
