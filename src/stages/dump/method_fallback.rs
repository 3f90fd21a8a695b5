//! From what a method made to the dump: its checks, and the next method where a copy fails them.
//!
//! Only `auto` takes another method, and only for a copy that isn't what the server has. Damage in a copy that equals
//! the server's database is the source's own, and no other method may hide it.

use std::path::Path;

use super::{
    Dumped, Method,
    method_selection::{self, FailedMethod, MethodOutcome},
    on_thread_until_stopped, remove_part, resume_state,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{DumpCheckpoint, dump_method::DumpMethod},
    source::http::ServerSettings,
};

/// Reads a server; if a copy turns out not to be what the server has, `auto` takes the next method.
///
/// # Errors
/// As [`super::dump`].
pub(super) async fn from_server(
    ctx: &Context,
    settings: &ServerSettings<'_>,
    chosen: (Method, bool),
    (part, exclude): (&Path, &[String]),
    previous: Option<DumpCheckpoint>,
) -> Result<Dumped> {
    let mut failed = Vec::new();
    loop {
        let made = method_selection::copy(ctx, settings, chosen, (part, exclude), previous.as_ref(), &mut failed).await;
        match settle(ctx, made, part, previous.clone(), settings.now_s).await {
            Ok(dumped) => return Ok(dumped),
            Err(CheckFailure { error, method: Some(method) })
                if chosen.0 == Method::Auto
                    && !matches!(method, DumpMethod::Sql | DumpMethod::File)
                    && error.kind() == Kind::SourceTruncated =>
            {
                ctx.out
                    .warn(format!("the copy by {method} is not used ({}); the next method is tried", error.message()));
                failed.push(FailedMethod { method, why: error.to_string() });
            }
            Err(CheckFailure { error, .. }) => return Err(error),
        }
    }
}

/// Why there is no dump, and the method of the copy that failed its checks, if it is that.
pub(super) struct CheckFailure {
    pub(super) error: Error,
    method: Option<DumpMethod>,
}

impl From<Error> for CheckFailure {
    fn from(error: Error) -> Self {
        Self { error, method: None }
    }
}

/// Makes what a method made the dump, if it passes its checks.
///
/// # Errors
/// As [`super::dump`].
pub(super) async fn settle(
    ctx: &Context,
    made: Result<MethodOutcome>,
    part: &Path,
    previous: Option<DumpCheckpoint>,
    started_s: u64,
) -> std::result::Result<Dumped, CheckFailure> {
    match (made, previous) {
        (Ok(MethodOutcome::Copied(copy)), previous) => {
            let (ctx, kept, method) = (ctx.clone(), part.to_owned(), copy.method);
            let stop = ctx.stop.clone();
            let finished =
                on_thread_until_stopped(&stop, move || super::finish(&ctx, *copy, &kept, previous, started_s)).await;
            match &finished {
                Err(error) if error.kind() == Kind::Interrupted && resume_state::can_continue(part) => {}
                // Nobody can go on from a copy that is complete and yet not right.
                Err(_) => {
                    remove_part(part).ok();
                }
                Ok(_) => {}
            }
            finished.map_err(|error| CheckFailure { error, method: Some(method) })
        }
        (Ok(MethodOutcome::Unchanged { received_bytes }), Some(previous)) => {
            remove_part(part)?;
            Ok(super::confirm(ctx, previous, received_bytes, started_s)?)
        }
        (Ok(MethodOutcome::Unchanged { .. }), None) => {
            Err(Error::new(Kind::Bug, "the server reported no change, but there is no earlier dump").into())
        }
        (Err(error), _) => {
            if !resume_state::can_continue(part) {
                // What is left of it would only take space; the next dump removes it if this fails.
                remove_part(part).ok();
            }
            Err(error.into())
        }
    }
}
