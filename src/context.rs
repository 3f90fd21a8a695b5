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

/// The user's wish to stop after the present batch, or at once. Cheap to clone; all clones share the wish.
#[derive(Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Default)]
struct StopState {
    wished: AtomicBool,
    insisted: AtomicBool,
    attended: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Asks everybody to stop.
    pub fn wish(&self) {
        self.0.wished.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Asks that the work be dropped where it stands.
    pub fn insist(&self) {
        self.0.insisted.store(true, Ordering::SeqCst);
        self.wish();
    }

    /// Whether work is under way that can be stopped.
    #[must_use]
    pub fn is_attended(&self) -> bool {
        self.0.attended.load(Ordering::SeqCst)
    }

    /// Says whether work is under way that can be stopped.
    pub fn attend(&self, working: bool) {
        self.0.attended.store(working, Ordering::SeqCst);
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
        self.until(&self.0.wished).await;
    }

    /// Returns when the user wants the work to be dropped. Safe to drop and repeat.
    pub async fn insisted(&self) {
        self.until(&self.0.insisted).await;
    }

    /// What the work gives, unless the user wants to stop before.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            () = self.wished() => Err(interrupted()),
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
