//! Holds what every stage uses besides its own request.

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

/// The directory, the event sink and the cancellation.
#[derive(Clone)]
pub struct Context {
    /// Where the artifacts are.
    pub workdir: Workdir,
    /// Who listens.
    pub out: Arc<dyn Sink>,
    /// Cancellation by the user.
    pub stop: Cancellation,
}

/// A request to stop after the present batch, or at once. Cheap to clone; all clones share it.
#[derive(Clone, Default)]
pub struct Cancellation(Arc<CancellationState>);

#[derive(Default)]
struct CancellationState {
    requested: AtomicBool,
    aborted: AtomicBool,
    cancellable: AtomicBool,
    notify: Notify,
}

impl Cancellation {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Asks that the work be dropped where it stands.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        self.request();
    }

    /// Whether work is under way that can be stopped.
    #[must_use]
    pub fn is_cancellable(&self) -> bool {
        self.0.cancellable.load(Ordering::SeqCst)
    }

    /// Says whether work is under way that can be stopped.
    pub fn set_cancellable(&self, working: bool) {
        self.0.cancellable.store(working, Ordering::SeqCst);
    }

    /// An error if the user wants to stop: call it between batches.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check(&self) -> Result<()> {
        if self.0.requested.load(Ordering::SeqCst) { Err(interrupted()) } else { Ok(()) }
    }

    /// Returns when the user wants to stop. Safe to drop and repeat.
    pub async fn requested(&self) {
        self.until(&self.0.requested).await;
    }

    /// Returns when the user wants the work to be dropped. Safe to drop and repeat.
    pub async fn aborted(&self) {
        self.until(&self.0.aborted).await;
    }

    /// What the work gives, unless the user wants to stop before.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            () = self.requested() => Err(interrupted()),
            answer = work => Ok(answer),
        }
    }

    async fn until(&self, flag: &AtomicBool) {
        loop {
            let notified = self.0.notify.notified();
            if flag.load(Ordering::SeqCst) {
                return;
            }
            notified.await;
        }
    }
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "stopped on request; what was committed is kept")
}
