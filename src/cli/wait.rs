//! How long to wait for others.

use std::time::Duration;

use super::{args::WaitArgs, settings::Layers};
use crate::stages::push::LOCK_WAIT;

impl Layers {
    /// How long to try to get tables that others use.
    #[must_use]
    pub fn lock_wait(&self, typed: &WaitArgs) -> Duration {
        let seconds = typed.lock_wait.or(self.file.lock_wait);
        seconds.map_or(LOCK_WAIT, |seconds| Duration::from_secs(u64::from(seconds)))
    }
}
