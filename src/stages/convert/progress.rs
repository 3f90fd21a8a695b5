//! Reports how far the tables are, counted on committed rows.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::load_context::LoadContext;
use crate::{event::Event, model::Stage, postgres::load_journal::CommittedChunk};

/// Progress of all tables.
pub(super) struct LoadProgress {
    tables: Mutex<Vec<TableProgress>>,
}

#[derive(Default)]
struct TableProgress {
    begun: Option<Instant>,
    chunks_left: u32,
    rows: u64,
}

impl LoadProgress {
    /// Reports what an interrupted load has committed already. `chunks` are the chunks per table in all.
    pub(super) fn new(work: &LoadContext, chunks: &[u32], committed: &[CommittedChunk]) -> Self {
        let started = |chunks: &u32| TableProgress { chunks_left: *chunks, ..TableProgress::default() };
        let progress = Self { tables: Mutex::new(chunks.iter().map(started).collect()) };
        for chunk in committed {
            let table = work.plan.tables.iter().position(|table| table.name == chunk.table);
            if let Some(table) = table {
                progress.begin(work, table);
                progress.committed(work, table, chunk);
            }
        }
        progress
    }

    /// A chunk of a table begins; the table begins if it is the first.
    pub(super) fn begin(&self, work: &LoadContext, table: usize) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(progress), Some(plan)) = (tables.get_mut(table), work.plan.tables.get(table)) else { return };
        if progress.begun.is_none() {
            progress.begun = Some(Instant::now());
            work.ctx.out.emit(&Event::TableStarted {
                stage: Stage::Convert,
                table: plan.source.clone(),
                rows_total: Some(plan.rows),
            });
        }
    }

    /// A chunk is committed; the table is finished if it is the last. Says whether it is.
    pub(super) fn committed(&self, work: &LoadContext, table: usize, chunk: &CommittedChunk) -> bool {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(progress), Some(plan)) = (tables.get_mut(table), work.plan.tables.get(table)) else { return false };
        progress.rows += chunk.rows;
        progress.chunks_left = progress.chunks_left.saturating_sub(1);
        work.ctx.out.emit(&Event::Committed {
            stage: Stage::Convert,
            table: plan.source.clone(),
            rows: chunk.rows,
            bytes: chunk.bytes,
        });
        if progress.chunks_left == 0 {
            let elapsed = progress.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            work.ctx.out.emit(&Event::TableFinished {
                stage: Stage::Convert,
                table: plan.source.clone(),
                rows: progress.rows,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
        }
        progress.chunks_left == 0
    }
}
