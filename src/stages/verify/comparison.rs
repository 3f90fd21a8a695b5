//! Holds what all comparisons of a verification share: the task, the sides, a worker's connections, and the answers.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use rusqlite::Connection;
use tokio::task::JoinHandle;

use super::{Difference, VerifyLevel, inputs::VerifyInputs, progress::ScanControl, schema::SchemaAnswer};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{ColumnPlan, Stage, TableDigest, TablePlan},
    postgres::{PgEndpoint, Role, Session},
    sqlite::open,
};

/// The most differences that are named.
pub(super) const NAMED_MAX: usize = 1000;

/// One server that takes part.
#[derive(Clone)]
pub(super) struct ServerSide {
    /// How to reach it.
    pub(super) endpoint: PgEndpoint,
    /// Where its tables are.
    pub(super) schema: String,
    /// What was found out about each table's schema, by source name.
    pub(super) schemas: BTreeMap<String, SchemaAnswer>,
}

/// What all workers share.
pub(super) struct Task {
    /// The run.
    pub(super) ctx: Context,
    /// Whether to go on.
    pub(super) watch: ScanControl,
    /// The artifacts.
    pub(super) scope: VerifyInputs,
    /// How deep to look.
    pub(super) level: VerifyLevel,
    /// Where to look; local first.
    pub(super) sides: Vec<ServerSide>,
    /// The tables whose cells the off-type table may name; empty without an off-type table.
    pub(super) offtype_tables: Arc<Vec<TablePlan>>,
    /// Whether the local PostgreSQL holds what the digests in the load's checkpoint are of.
    pub(super) local_is_as_loaded: bool,
}

impl Task {
    /// The digest of these columns of a table that the local PostgreSQL is known to have.
    pub(super) fn local_digest(&self, table: &TablePlan, columns: &[&ColumnPlan]) -> Option<TableDigest> {
        let load = self.scope.convert.as_ref().filter(|_| self.local_is_as_loaded)?;
        let is_of_these =
            table.compared_columns().iter().map(|column| &column.name).eq(columns.iter().map(|one| &one.name));
        load.tables.get(&table.source).filter(|_| is_of_these)?.server_digest
    }
}

/// What was found out about one table on one side.
#[derive(Debug)]
pub(super) struct SideAnswer {
    /// Which side.
    pub(super) role: Role,
    /// Rows compared.
    pub(super) rows: u64,
    /// What differs, at most [`NAMED_MAX`].
    pub(super) differences: Vec<Difference>,
    /// How much differs, named or not.
    pub(super) count: u64,
}

impl SideAnswer {
    /// Nothing differs so far.
    pub(super) fn equal(role: Role, rows: u64) -> Self {
        Self { role, rows, differences: Vec::new(), count: 0 }
    }

    /// Adds a difference of the whole table.
    pub(super) fn differs(&mut self, table: &str, what: String) {
        self.differences.push(Difference::new(self.role, table, what));
        self.count += 1;
    }
}

/// One worker's connections, opened when they are first needed.
pub(super) struct Worker {
    /// Whether to go on.
    pub(super) watch: ScanControl,
    source_db: PathBuf,
    dump: Option<Connection>,
    ctx: Context,
    endpoints: Vec<PgEndpoint>,
    sessions: Vec<(Role, Arc<Session>)>,
}

impl Worker {
    /// Without connections.
    pub(super) fn new(task: &Task) -> Self {
        Self {
            watch: task.watch.clone(),
            source_db: task.ctx.workdir.source_db(),
            dump: None,
            ctx: task.ctx.clone(),
            endpoints: task.sides.iter().map(|side| side.endpoint.clone()).collect(),
            sessions: Vec::new(),
        }
    }

    /// The dump, for a thread; give it back with [`Self::keep_dump`].
    pub(super) fn dump(&mut self) -> Result<Connection> {
        self.dump.take().map_or_else(|| open::read_only(&self.source_db), Ok)
    }

    /// Keeps the dump open for the next table.
    pub(super) fn keep_dump(&mut self, dump: Connection) {
        self.dump = Some(dump);
    }

    /// The session on one side.
    pub(super) async fn session(&mut self, role: Role) -> Result<Arc<Session>> {
        if let Some((_, session)) = self.sessions.iter().find(|(of, _)| *of == role) {
            return Ok(Arc::clone(session));
        }
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.role() == role);
        let endpoint = endpoint.ok_or_else(|| Error::new(Kind::Bug, "a side is compared that isn't open"))?;
        let opening = Session::connect_with_retry(&self.ctx, Stage::Verify, endpoint);
        let session = Arc::new(Box::pin(opening).await?);
        self.sessions.push((role, Arc::clone(&session)));
        Ok(session)
    }
}

/// Waits for a part of the work.
pub(super) async fn joined<T>(part: JoinHandle<Result<T>>) -> Result<T> {
    part.await.map_err(|_| Error::new(Kind::Bug, "a part of the comparison ended unexpectedly"))?
}
