//! Handles SIGINT and SIGTERM. The handler is installed as soon as an interruptible command is parsed. The first signal
//! asks every stage to stop after its current batch, the second one stops the work at once. SIGHUP is not handled, so
//! that `nohup` works.

use std::{sync::Arc, time::Duration};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::args::Command;
use crate::{
    context::Cancellation,
    error::{Error, Kind, Result},
    event::Sink,
};

/// How long work that was cancelled may take to end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Whether a signal lets the command finish its current batch. The others have nothing to finish, and end at once.
pub(super) const fn is_interruptible(command: &Command) -> bool {
    match command {
        Command::Dump(_)
        | Command::Plan(_)
        | Command::Convert(_)
        | Command::Push(_)
        | Command::Run(_)
        | Command::Verify(_)
        | Command::Rollback(_)
        | Command::Finish(_)
        | Command::Schema(_) => true,
        Command::Status(_)
        | Command::Report(_)
        | Command::Doctor(_)
        | Command::Clean(_)
        | Command::Explain { .. }
        | Command::Completions { .. }
        | Command::Man => false,
    }
}

/// Handles signals until the process ends.
///
/// # Errors
/// `Bug` if the handler cannot be installed.
pub(super) fn listen(out: Arc<dyn Sink>, stop: Cancellation) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|cause| Error::new(Kind::Bug, format!("cannot install the signal handler: {}", cause.kind())))?;
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count == 0 {
                stop.request();
                // Before its work begins, and after it has ended, a command has nothing to finish.
                if stop.is_cancellable() {
                    out.warn("stopping after the current batch; press Ctrl-C again to stop at once");
                }
            } else {
                stop.abort();
                std::thread::sleep(LAST_WAIT);
                // The work is blocked where it cannot be cancelled.
                signal_hook::low_level::exit(i32::from(Kind::Interrupted.exit()));
            }
        }
    });
    match thread {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(Kind::Bug, "cannot start the thread that handles signals")),
    }
}
