//! Checks for requests to stop, and reports progress.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    context::{Cancellation, Context},
    error::{Error, Kind, Result},
    event::{Event, Sink},
    model::Stage,
};

/// Rows between two looks at a cancellation request, and between two reports.
pub(super) const BATCH_ROWS: u64 = 8192;

/// a cancellation request, or the failure of a sibling.
#[derive(Clone)]
pub(super) struct ScanControl {
    stop: Cancellation,
    failed: Arc<AtomicBool>,
}

impl ScanControl {
    /// Of a run.
    pub(super) fn new(ctx: &Context) -> Self {
        Self { stop: ctx.stop.clone(), failed: Arc::default() }
    }

    /// Makes every scan end soon.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Called between batches.
    pub(super) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Interrupted, "stopped because another part failed"));
        }
        self.stop.check()
    }
}

/// Makes the scans of a failed or dropped verification end.
pub(super) struct FailOnDrop(pub(super) ScanControl);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// One table's progress: what all scans have passed is compared.
pub(super) struct ScanProgress {
    out: Arc<dyn Sink>,
    table: String,
    state: Mutex<ScannedCounts>,
}

#[derive(Default)]
struct ScannedCounts {
    scans: Vec<(u64, u64)>,
    reported: (u64, u64),
}

impl ScanProgress {
    /// Of a table that so many scans read at once.
    pub(super) fn new(out: &Arc<dyn Sink>, table: &str, scans: usize) -> Self {
        let state = Mutex::new(ScannedCounts { scans: vec![(0, 0); scans], reported: (0, 0) });
        Self { out: Arc::clone(out), table: table.to_owned(), state }
    }

    /// A scan has passed so many more rows and bytes.
    pub(super) fn advance(&self, scan: usize, rows: u64, bytes: u64) {
        let reported = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(passed) = state.scans.get_mut(scan) {
                *passed = (passed.0 + rows, passed.1 + bytes);
            }
            let slowest = state.scans.iter().min().copied().unwrap_or_default();
            let reported = (slowest.0.saturating_sub(state.reported.0), slowest.1.saturating_sub(state.reported.1));
            if reported.0 > 0 {
                state.reported = (state.reported.0 + reported.0, state.reported.1 + reported.1);
            }
            reported
        };
        if reported.0 > 0 {
            let table = self.table.clone();
            self.out.emit(&Event::Committed { stage: Stage::Verify, table, rows: reported.0, bytes: reported.1 });
        }
    }
}

/// One scan's counter; reports every [`BATCH_ROWS`] rows.
pub(super) struct ScanMeter<'a> {
    watch: &'a ScanControl,
    progress: Option<(&'a ScanProgress, usize)>,
    /// Rows seen.
    pub(super) rows: u64,
    bytes: u64,
    reported: (u64, u64),
}

impl<'a> ScanMeter<'a> {
    /// Of a scan that reports as number `progress.1`, or doesn't report.
    pub(super) fn new(watch: &'a ScanControl, progress: Option<(&'a ScanProgress, usize)>) -> Self {
        Self { watch, progress, rows: 0, bytes: 0, reported: (0, 0) }
    }

    /// Counts a row of so many bytes.
    pub(super) fn row(&mut self, bytes: usize) -> Result<()> {
        self.rows += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(0);
        if self.rows.is_multiple_of(BATCH_ROWS) { self.report() } else { Ok(()) }
    }

    /// Reports what isn't reported yet.
    pub(super) fn report(&mut self) -> Result<()> {
        if let Some((progress, scan)) = self.progress {
            progress.advance(scan, self.rows - self.reported.0, self.bytes - self.reported.1);
        }
        self.reported = (self.rows, self.bytes);
        self.watch.check()
    }
}
