//! Loading whole tables into a staging schema: chunks of rows by COPY, then keys, indexes and constraints.

pub(super) mod chunk;

pub(super) mod chunk_loader;

pub(super) mod copy_stream;

pub(super) mod digest_check;

pub(super) mod post_load;

pub(super) mod progress_journal;

pub(super) mod push_scope;

pub(super) mod session_pool;

pub(super) mod staging;
