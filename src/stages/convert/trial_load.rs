//! Loads rows of the dump into tables of a scratch server, for a trial of what the tables are to hold.

use std::sync::Arc;

use super::{
    chunking::{BegunLoad, ChunkLayout},
    load,
    load_context::{LoadContext, SessionPool},
    reader,
};
use crate::{
    context::Context,
    error::Result,
    event::NullSink,
    model::Plan,
    postgres::{
        PgEndpoint,
        load_journal::{self, LoadScope},
    },
    sqlite,
};

/// Loads the rows of the plan's tables, which are there. The user is told nothing of it.
///
/// # Errors
/// `Local*`, `DataRefused`, `SourceInvalid`, `Interrupted`.
pub(in crate::stages) async fn load_rows(ctx: &Context, plan: Plan, endpoint: &PgEndpoint) -> Result<()> {
    let silent = Context { out: Arc::new(NullSink), ..ctx.clone() };
    let source = ctx.workdir.source_db();
    let work = Arc::new(LoadContext { ctx: silent, plan, source, scope: LoadScope::Data, key: String::new() });
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let pool = SessionPool::connect(endpoint, jobs).await?;
    load_journal::prepare(pool.first()?).await?;
    pool.see_types(&work.plan).await?;
    let connection = sqlite::open::read_only(&work.source)?;
    let rowids = |table: &_| reader::rowid_range(&connection, table);
    let layout = ChunkLayout::new(&work.plan, work.scope, &BegunLoad::default(), rowids)?;
    load::load(&work, &pool, layout, &[], false).await
}
