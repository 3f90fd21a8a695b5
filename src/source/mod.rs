//! The remote libSQL server as the rest may see it: where it is, how to ask it, and how its answer is read.
//!
//! Owns the only HTTP client of the source. Never interprets SQL and never writes a file; `stages::dump` decides
//! what is asked and what becomes of the answer.

pub mod endpoint;

pub mod token;

pub mod hrana;

pub mod cursor;

pub mod http;

pub mod grpc_web;

pub mod page_file;

pub mod page_updates;

pub mod pump;

pub mod replication;
