//! Tries the objects of an existing schema on the converted rows, in a scratch cluster: what a row breaks is known
//! before anything is loaded.
//!
//! The scratch database has the objects of the schema. In the place of each table that the source feeds is a trial
//! table: the columns that constraints and indexes read, with the rows of the source and a column that names the row.
//! It takes the statements of the existing schema as they are. Only where PostgreSQL refuses one, the rows that are to
//! blame are looked for.

mod columns;

mod dependents;

mod objects;

mod partitions;

mod refused_rows;

mod tables;

use std::collections::BTreeSet;

use refused_rows::RefusedRows;

use crate::{
    context::Context,
    error::Result,
    event::Event,
    model::{
        Conversion, Finding, Plan, Stage, TablePlan,
        catalog::{CatalogObject, ConstraintDefinition, ObjectFacts, ObjectKind, ObjectName, Phase, TableDefinition},
        conversion_plan::OffType,
        existing_schema::{ExistingSchema, WeakenedObject},
        human_format::counted,
    },
    postgres::{Session, existing_schema::ScratchCluster, managed::LocalChoice},
    stages::{convert, plan::TrialOutcome},
};

/// The column of a trial table that names the row of the source.
const ROW: &str = "turso2neon_row";

/// One trial.
struct Trial<'a> {
    session: Session,
    existing: &'a ExistingSchema,
    /// Tables that the source feeds.
    tables: Vec<TrialTable<'a>>,
    /// Partitions of tables with rows outside of all partitions: nothing about them is tried.
    untried: BTreeSet<&'a str>,
    /// Columns, by their tables, whose values can't be loaded: what reads them is not tried.
    blank: BTreeSet<(String, String)>,
    weakened: Vec<WeakenedObject>,
    findings: Vec<Finding>,
}

/// A table of the trial.
struct TrialTable<'a> {
    plan: &'a TablePlan,
    definition: &'a TableDefinition,
    name: &'a ObjectName,
    /// Whether it has all columns, because a materialized view may read them.
    is_whole: bool,
    /// Columns with values that can't be loaded.
    refused: BTreeSet<String>,
}

/// Tries everything. `plan` has the tables as they are planned; nothing of it is stored yet.
///
/// # Errors
/// `Local*` if the scratch cluster doesn't start or refuses what is no row's fault; `SourceInvalid`; `Interrupted`.
pub async fn run(ctx: &Context, local: &LocalChoice, plan: &Plan) -> Result<TrialOutcome> {
    let Some(existing) = &plan.existing_schema else { return Ok(TrialOutcome::default()) };
    let tables = tables::of_plan(existing, plan);
    if tables.is_empty() && existing.rows.is_empty() {
        return Ok(TrialOutcome::default());
    }
    ctx.out.emit(&Event::PhaseStarted { stage: Stage::Plan, phase: "trial", steps: None });
    let cluster = ScratchCluster::open(ctx, local).await?;
    let tried = Box::pin(try_all(ctx, &cluster, plan, existing, tables)).await;
    // The first error is the one to report.
    let closed = cluster.close().await;
    let outcome = tried?;
    closed.map(|()| outcome)
}

async fn try_all(
    ctx: &Context,
    cluster: &ScratchCluster,
    plan: &Plan,
    existing: &ExistingSchema,
    tables: Vec<TrialTable<'_>>,
) -> Result<TrialOutcome> {
    let session = Session::connect(cluster.endpoint()).await?;
    let weakened = plan.weakened.clone();
    let refused =
        tables.iter().flat_map(|table| table.refused.iter().map(|column| (table.plan.name.clone(), column.clone())));
    let blank = refused.collect();
    let mut trial =
        Trial { session, existing, tables, untried: BTreeSet::new(), blank, weakened, findings: Vec::new() };
    trial.create_tables().await?;
    let loaded = tables::loaded_plan(plan, &trial.tables);
    if !loaded.tables.is_empty() {
        Box::pin(convert::load_rows(ctx, loaded, cluster.endpoint())).await?;
    }
    for at in 0..trial.tables.len() {
        ctx.stop.check()?;
        trial.complete_columns(at).await?;
        trial.divide(at).await?;
    }
    for object in existing.catalog.in_phase(Phase::AfterRows) {
        ctx.stop.check()?;
        trial.try_object(object).await?;
    }
    let weakened = trial.weakened.split_off(plan.weakened.len());
    Ok(TrialOutcome { findings: trial.findings, weakened })
}

impl Trial<'_> {
    /// The table of the trial that an object belongs to.
    fn table_of(&self, name: &ObjectName) -> Option<&TrialTable<'_>> {
        self.tables.iter().find(|table| table.name.schema == name.schema && table.name.name == name.table)
    }

    /// Whether an object belongs or refers to a table that is not tried.
    fn is_untried(&self, object: &CatalogObject) -> bool {
        let home = &self.existing.catalog.schema;
        let parent = match &object.facts {
            ObjectFacts::Constraint(ConstraintDefinition { foreign_key: Some(key), .. }) if key.schema == *home => {
                Some(key.table.as_str())
            }
            _ => None,
        };
        let own = (object.name.schema == *home).then_some(object.name.table.as_str());
        own.into_iter().chain(parent).any(|name| self.untried.contains(name))
    }

    /// Whether statements would succeed. Nothing of them stays.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    async fn would_work(&self, statements: &[String]) -> Result<bool> {
        let tried =
            self.session.batch("trying the existing schema", &format!("BEGIN; {}", statements.join(";\n"))).await;
        if self.session.is_lost() {
            return tried.map(|()| false);
        }
        self.session.batch("ending a trial", "ROLLBACK").await?;
        Ok(tried.is_ok())
    }

    /// Whether an object reads a column whose values can't be loaded.
    fn reads_blank(&self, object: &CatalogObject) -> bool {
        let schema = &self.existing.catalog.schema;
        let (own, parent) = match &object.facts {
            ObjectFacts::Constraint(constraint) => (constraint.columns.as_slice(), constraint.foreign_key.as_ref()),
            _ => (&[][..], None),
        };
        self.blank.iter().any(|(table, column)| {
            let is_own = object.name.schema == *schema && object.name.table == *table;
            let names = |sql: &String| sql.contains(column.as_str());
            (is_own
                && (own.contains(column) || (object.name.kind == ObjectKind::Index && object.create.iter().any(names))))
                || parent
                    .is_some_and(|key| key.schema == *schema && key.table == *table && key.columns.contains(column))
                || (object.name.kind == ObjectKind::MaterializedView && object.create.iter().any(names))
        })
    }

    fn is_weakened(&self, name: &ObjectName) -> bool {
        self.weakened.iter().any(|weakened| weakened.name == *name)
    }

    /// Runs statements in a transaction of their own. Gives PostgreSQL's error if it refuses them for what they say or
    /// what the rows are.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    async fn attempt(&self, statements: &[String]) -> Result<Option<crate::error::Error>> {
        let sql = format!("BEGIN; {}; COMMIT", statements.join(";\n"));
        match self.session.batch("trying the existing schema", &sql).await {
            Ok(()) => Ok(None),
            Err(error) if self.session.is_lost() => Err(error),
            Err(error) => {
                self.session.batch("ending a trial", "ROLLBACK").await?;
                Ok(Some(error))
            }
        }
    }
}

/// The words that say how many rows, which are the first, and what they do: a verb for one row, and for several.
fn rows_words(table: &TablePlan, refused: &RefusedRows, [one, several]: [&str; 2]) -> String {
    let verb = if refused.count == 1 { one } else { several };
    let word = if table.address.rowid_name().is_some() { "rowid" } else { "row" };
    let first: Vec<String> = refused.first.iter().map(i64::to_string).collect();
    format!("{} (first at {word} {}) {verb}", counted(refused.count, "row", "rows"), first.join(", "))
}

/// The columns that a trial table has besides the row's name.
fn tried_columns<'a>(table: &TrialTable<'a>) -> BTreeSet<&'a str> {
    let definition = table.definition;
    let planned = |name: &str| table.plan.column(name);
    let is_needed = |column: &&crate::model::catalog::ColumnDefinition| {
        let loaded = planned(&column.name).is_some_and(|plan| plan.conversion != Conversion::Absent);
        // A default can fail, or give what the type refuses.
        let is_made =
            !loaded && (column.default.is_some() || column.identity.is_some() || column.data_type != column.base_type);
        column.is_read
            || is_made
            || table.is_whole
            // Its values leave rows out.
            || planned(&column.name).is_some_and(|plan| plan.exceptions.off_type.is_some())
            || column.generated.is_some()
            || (loaded
                && (column.data_type != column.base_type
                    || planned(&column.name).is_some_and(|plan| {
                        // A value that is none of the type can leave its row out.
                        plan.by_text_input() || plan.exceptions.off_type == Some(OffType::Reject)
                    })))
    };
    let mut names: BTreeSet<&str> =
        definition.columns.iter().filter(is_needed).map(|column| column.name.as_str()).collect();
    // A generated column reads others.
    if definition.columns.iter().any(|column| column.generated.is_some()) {
        names.extend(definition.columns.iter().filter(|column| column.is_read).map(|column| column.name.as_str()));
    }
    names.retain(|name| !table.refused.contains(*name));
    names
}
