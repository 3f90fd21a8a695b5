//! Defines what every way of applying a push works on.

use crate::{
    postgres::Session,
    stages::push::{
        load::progress_journal::ProgressJournal,
        plan::{manifest::Manifest, preflight::TargetState},
        target::session::Target,
    },
};

/// The tables of one try, where they are, and where they go.
#[derive(Clone, Copy)]
pub(crate) struct PushScope<'a> {
    /// The target.
    pub target: &'a Target<'a>,
    /// The session on the target that holds the push's lock.
    pub control: &'a Session,
    /// A session on the local PostgreSQL.
    pub reader: &'a Session,
    /// What is pushed.
    pub manifest: &'a Manifest,
    /// What the target was like before.
    pub target_state: &'a TargetState,
    /// Records what is sent and how long it takes.
    pub journal: &'a ProgressJournal,
    /// Sessions that work at once.
    pub workers: usize,
}
