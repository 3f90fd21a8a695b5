//! Moves a Turso/libSQL database to Neon PostgreSQL and proves that nothing was lost.
//!
//! The program `turso2neon` is the interface that is kept stable: its exit codes, JSON lines, files and configuration.
//! The library exists for the program and its tests. Its API is not stable: any release may change or remove items.
//!
//! The way through: [`cli`] reads what was typed, [`pipeline`] calls one stage after the other, each stage takes its
//! input from the artifacts in the [`workdir`] and leaves its own there:
//!
//! ```text
//! dump  ->  plan  ->  convert  ->  push  ->  verify
//! ```
//!
//! Imports go down only: front (`cli`, `ui`) -> `pipeline` -> [`stages`] -> rules and doors ([`rules`]; [`source`],
//! [`sqlite`], [`postgres`], [`workdir`]) -> words ([`model`], [`secret`], [`error`], [`event`]). `tests/tidy`
//! holds the house to it.
//!
//! Glossary: *row*, *cell* (one value of SQLite), *conversion* (how a cell becomes a PostgreSQL value), *finding* (what
//! the plan noticed), *off-type table* (the table of storage classes that values no longer show), *marker* (the row
//! that commits with a chunk), *digest* (order-independent hash of a table's rows), *checkpoint* (what a stage leaves
//! beside its artifact), *staging schema* (where a push loads before the cutover).

#[macro_use]
mod words;

pub mod model;

pub mod neon;

pub mod secret;

pub mod error;

pub mod event;

mod file_access;

mod program;

mod tls_failure;

mod tls_roots;

pub mod context;

pub mod retry;

pub mod worker_pool;

pub mod rules;

pub mod source;

pub mod sqlite;

pub mod postgres;

pub mod workdir;

pub mod stages;

pub mod pipeline;

pub mod ui;

pub mod cli;
