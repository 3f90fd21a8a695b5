//! The remote libSQL server as the rest may see it: where it is, how to ask it, and how its answer is read.
//!
//! Owns the only HTTP clients of the source and of its owner's API ([`turso_api`]). Never interprets SQL, and writes no
//! file but a database put together from pages ([`page_assembler`]); `stages::dump` decides what is asked and what
//! becomes of the answer.

pub mod endpoint;

pub mod token;

pub mod hrana;

pub mod hrana_cursor;

pub mod http;

pub mod export_client;

pub mod grpc_web;

pub mod page_assembler;

pub mod pull_updates;

pub mod turso_api;

pub mod body_channel;

pub mod replication;

mod buffered_response;
