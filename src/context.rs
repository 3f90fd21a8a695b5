//! What every stage is given besides its own request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use crate::{
    error::{Error, Kind, Result},
    event::Sink,
    workdir::Workdir,
};

/// The directory, the listener and the wish to stop.
#[derive(Clone)]
pub struct Context {
    /// Where the artifacts are.
    pub workdir: Workdir,
    /// Who listens.
    pub out: Arc<dyn Sink>,
    /// Whether the user wants to stop.
    pub stop: Stop,
}

/// The user's wish to stop after the present batch. Cheap to clone; all clones share the wish.
#[derive(Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Default)]
struct StopState {
    wished: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Asks everybody to stop.
    pub fn wish(&self) {
        self.0.wished.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// An error if the user wants to stop: call it between batches.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check(&self) -> Result<()> {
        if self.0.wished.load(Ordering::SeqCst) { Err(interrupted()) } else { Ok(()) }
    }

    /// Returns when the user wants to stop. Safe to drop and repeat.
    pub async fn wished(&self) {
        loop {
            let notified = self.0.notify.notified();
            if self.check().is_err() {
                return;
            }
            notified.await;
        }
    }
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "stopped on request; what was committed is kept")
}
