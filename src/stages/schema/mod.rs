//! Compares two schemas, and makes one like the other: `schema diff` and `schema sync`.
//!
//! Each side becomes a catalog (`sides`). If the catalogs are not equal as their servers print them, both are created
//! again in one scratch cluster and compared as that prints them (`comparison`): expressions are printed differently by
//! servers of different versions, and not always again in the form in which they were printed. The statements between
//! them come from `rules::schema_sync`; they are tried in a transaction before anything is changed (`trial`).

mod comparison;

mod scratch;

mod sides;

mod sql_text;

mod trial;

use std::{collections::BTreeSet, time::Duration};

use self::{
    comparison::Comparison,
    scratch::Scratch,
    sides::{Opened, as_far_as_planned},
    trial::Database,
};
pub use self::{
    scratch::temporary_directory,
    sides::{Side, SideSource},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    postgres::managed::LocalChoice,
    rules::schema_sync::{self, Allowed, Rename, RenameProblem, Synchronisation},
    stages::push::SchemaChange,
};

pub use crate::rules::schema_sync::{Change, Difference, Timing};

/// What to compare, and what may be changed.
#[derive(Debug, Clone)]
pub struct SchemaRequest {
    /// The first side, and the second, which is made like the first.
    pub sides: [Side; 2],
    /// The local PostgreSQL, and where the programs of the scratch cluster are.
    pub local: LocalChoice,
    /// Which changes may be made.
    pub allowed: Allowed,
    /// Tables and columns of the second side that have another name on the first.
    pub renames: Vec<Rename>,
    /// How long to wait for tables that others use.
    pub lock_wait: Duration,
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct SchemaDiff {
    /// The names of the sides.
    pub labels: [String; 2],
    /// The main schema, whose name is left out in messages.
    pub home: String,
    /// The differences.
    pub differences: Vec<Difference>,
    /// The statements of `schema sync`.
    pub sync: Synchronisation,
}

impl SchemaDiff {
    /// The statements as a file of SQL.
    #[must_use]
    pub fn sql(&self, is_live: bool) -> String {
        sql_text::render(self, is_live)
    }
}

/// Where the statements were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriedIn {
    /// There is nothing to try.
    Nothing,
    /// In a transaction of the second side's database, which was rolled back.
    Database,
    /// In a scratch cluster, without rows.
    Scratch,
}

/// What a synchronisation did.
#[derive(Debug, Clone)]
pub struct SchemaSync {
    /// The comparison before.
    pub diff: SchemaDiff,
    /// Where the statements were tried.
    pub tried: TriedIn,
    /// Whether they were executed.
    pub applied: bool,
    /// Whether the second side is a database.
    pub is_live: bool,
    /// The differences that are left after the execution, or would be.
    pub remaining: Vec<Difference>,
}

impl SchemaSync {
    /// The statements.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.diff.sync.changes
    }
}

/// Compares the two sides. Neither is changed.
///
/// # Errors
/// Those of reading a side; `Usage` for a rename that does not fit.
pub async fn diff(ctx: &Context, request: &SchemaRequest) -> Result<SchemaDiff> {
    with_sides(ctx, request, async |compared: Comparison, _: &Opened, _: &mut Scratch| described(request, &compared))
        .await
}

/// Finds the statements that make the second side like the first and tries them; executes them if `apply`.
///
/// # Errors
/// As [`diff`]; `Target*`, `Local*` or `Config` for a statement that is refused; `Usage` for an `apply` on a file.
pub async fn sync(ctx: &Context, request: &SchemaRequest, apply: bool) -> Result<SchemaSync> {
    with_sides(ctx, request, async |compared: Comparison, second: &Opened, scratch: &mut Scratch| {
        synchronise(ctx, request, apply, compared, second, scratch).await
    })
    .await
}

async fn with_sides<T>(
    ctx: &Context,
    request: &SchemaRequest,
    work: impl AsyncFnOnce(Comparison, &Opened, &mut Scratch) -> Result<T>,
) -> Result<T> {
    let mut scratch = Scratch::new(ctx, &request.local);
    let mut opened = Vec::new();
    let worked = async {
        for side in &request.sides {
            opened.push(Box::pin(Opened::open(ctx, request, side, &mut scratch)).await?);
        }
        let [first, second] = opened.as_slice() else {
            return Err(Error::new(Kind::Bug, "a schema is compared with another one"));
        };
        let compared = Comparison::make(ctx, request, [first, second], &mut scratch).await?;
        work(compared, second, &mut scratch).await
    };
    // The first error is the one to report; servers are stopped in any case.
    let worked = Box::pin(worked).await;
    let mut closed = scratch.close().await;
    for side in opened {
        closed = closed.and(side.close().await);
    }
    worked.and_then(|worked| closed.map(|()| worked))
}

fn described(request: &SchemaRequest, compared: &Comparison) -> Result<SchemaDiff> {
    let sync = if compared.differences.is_empty() {
        Synchronisation::default()
    } else {
        schema_sync::statements(&compared.first, &compared.second, request.allowed, &request.renames)
            .map_err(|problem| misfit(&problem))?
    };
    let [first, second] = &request.sides;
    Ok(SchemaDiff {
        labels: [first.label.clone(), second.label.clone()],
        home: compared.second.schema.clone(),
        differences: compared.differences.clone(),
        sync,
    })
}

fn misfit(problem: &RenameProblem) -> Error {
    Error::new(Kind::Usage, format!("--rename: {}", problem.0))
        .with_hint("the old name is that of the second side, the new one that of the first: --rename OLD=NEW")
}

/// The tables that differ.
fn changing(differences: &[Difference]) -> BTreeSet<String> {
    let table = |found: &Difference| {
        let is_table = found.object.table.is_empty();
        if is_table { found.object.name.clone() } else { found.object.table.clone() }
    };
    differences.iter().map(table).collect()
}

async fn synchronise(
    ctx: &Context,
    request: &SchemaRequest,
    apply: bool,
    compared: Comparison,
    second: &Opened,
    scratch: &mut Scratch,
) -> Result<SchemaSync> {
    let diff = described(request, &compared)?;
    let remaining = diff.sync.withheld.clone();
    let is_live = second.endpoint().is_some();
    let mut result = SchemaSync { diff, tried: TriedIn::Nothing, applied: false, is_live, remaining };
    if apply && !is_live {
        return Err(Error::new(Kind::Usage, "--apply changes a database, and the second side is a file")
            .with_hint("leave --apply out; the statements are printed"));
    }
    if result.changes().is_empty() {
        return Ok(result);
    }
    let commits_first = result.changes().iter().any(|change| change.timing == Timing::Before);
    let changing = changing(&result.diff.differences);
    let push = match (&request.sides, second.endpoint()) {
        ([_, Side { source: SideSource::Server(..), .. }], Some(endpoint)) if apply => {
            let schema = compared.second.schema.as_str();
            Some(Box::pin(SchemaChange::begin(ctx, endpoint, schema, request.lock_wait, &changing)).await?)
        }
        _ => None,
    };
    // The transaction that makes the changes is the trial, unless something is committed before it.
    if !apply || commits_first {
        result.tried = trial::attempt(ctx, request, &result.diff.sync, &compared, second, scratch).await?;
    }
    if let (true, Some(endpoint)) = (apply, second.endpoint()) {
        let database = Database { endpoint, lock_wait: request.lock_wait };
        let executed = trial::execute(ctx, &database, &result.diff.sync).await;
        // A failed index leaves the other changes.
        let recorded = match &push {
            Some(push) => push.record().await,
            None => Ok(()),
        };
        executed.and(recorded)?;
        let after = second.read().await?;
        let is_planned = matches!(request.sides, [Side { source: SideSource::Plan(_), .. }, _]);
        let after = if is_planned { as_far_as_planned(after, &compared.first) } else { after };
        result.remaining = comparison::between(ctx, request, &compared.first, after, scratch).await?;
        result.applied = true;
    }
    Ok(result)
}
