//! Provides what the tests use: the tool's binary, a libSQL server, a PostgreSQL with TLS, SQLite files.
#![allow(
    dead_code,
    unused_imports,
    reason = "a fixture belongs to all test modules, whichever of them use it at present"
)]

pub(crate) mod corpus;

pub(crate) mod rng;

pub(crate) mod fixture;

pub(crate) mod environment;

pub(crate) mod fault_proxy;

pub(crate) mod http_stub;

pub(crate) mod neon_proxy;

pub(crate) mod network;

pub(crate) mod plan_builder;

pub(crate) mod process;

pub(crate) mod programs;

pub(crate) mod sample_db;

pub(crate) mod sqld;

pub(crate) mod sync_server;

pub(crate) mod target;

pub(crate) mod tool;

pub(crate) use corpus::Corpus;
pub(crate) use environment::Environment;
pub(crate) use fault_proxy::{ConnectionFault, FaultProxy};
pub(crate) use fixture::Workspace;
pub(crate) use neon_proxy::NeonProxy;
pub(crate) use programs::{MAJORS, PgVersion};
pub(crate) use rng::Rng;
pub(crate) use sqld::Sqld;
pub(crate) use sync_server::SyncServer;
pub(crate) use target::Target;
pub(crate) use tool::{Run, Tool, bin};
