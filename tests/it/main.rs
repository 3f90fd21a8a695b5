//! Integration tests: one binary, real servers, what a user would notice.
//!
//! Every server that a test needs is started by [`support`] on loopback or a unix socket and stopped when the test
//! drops it. A missing server is a failure, never a skip: `scripts/setup` installs what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::format_collect,
    clippy::map_unwrap_or,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that can't go on should stop, and may say why"
)]

mod support;

mod convert;

mod decisions;

mod explained_settings;

mod expressions;

mod harness;

mod verify;

mod cli;

mod cli_output;

mod overrides;

mod report;

mod neon_api;

mod objects;

mod orm;

mod pipeline;

mod push;

mod errors;

mod limits;

mod resume;

mod secrecy;

mod corpus;

mod dump;

mod plan;

mod existing_constraints;

mod existing_schema;

mod existing_values;

mod fuzz;

mod hazards;

mod hostile;

mod views;

mod property;

mod schema;

mod states;
