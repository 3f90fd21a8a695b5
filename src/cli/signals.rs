//! SIGINT and SIGTERM, listened to from the moment that a command which can be stopped is understood: the first one asks
//! every stage to end after its present batch, the second drops the work at once. SIGHUP keeps its meaning, so that
//! `nohup` works.

use std::{sync::Arc, time::Duration};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::args::Command;
use crate::{
    context::Stop,
    error::{Error, Kind, Result},
    event::Sink,
};

/// How long work that was dropped may take to end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Whether the command heeds the wish to stop. The others hold nothing and end as any program does.
pub(super) const fn heeds(command: &Command) -> bool {
    match command {
        Command::Dump(_)
        | Command::Plan(_)
        | Command::Convert(_)
        | Command::Push(_)
        | Command::Run(_)
        | Command::Verify(_)
        | Command::Rollback(_) => true,
        Command::Status
        | Command::Report(_)
        | Command::Doctor(_)
        | Command::Clean(_)
        | Command::Completions { .. }
        | Command::Man => false,
    }
}

/// Listens until the process ends.
///
/// # Errors
/// `Bug` if signals can't be listened to.
pub(super) fn listen(out: Arc<dyn Sink>, stop: Stop) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|cause| Error::new(Kind::Bug, format!("signals can't be listened to: {}", cause.kind())))?;
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count == 0 {
                stop.wish();
                // Before its work begins and after its end a command has nothing to finish.
                if stop.is_attended() {
                    out.warn("stopping after the present batch; press Ctrl-C again to stop at once");
                }
            } else {
                stop.insist();
                std::thread::sleep(LAST_WAIT);
                // The work is stuck where it can't be dropped.
                signal_hook::low_level::exit(i32::from(Kind::Interrupted.exit()));
            }
        }
    });
    match thread {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(Kind::Bug, "no thread could be started to listen to signals")),
    }
}
