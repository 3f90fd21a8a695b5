//! The remote libSQL server as the rest may see it: where it is, how to ask it, and how its answer is read.
//!
//! Owns the only HTTP clients of the source and of its owner's API ([`platform`]). Never interprets SQL, and writes no
//! file but a database put together from pages ([`page_file`]); `stages::dump` decides what is asked and what becomes
//! of the answer.

pub mod endpoint;

pub mod token;

pub mod hrana;

pub mod cursor;

pub mod http;

pub mod generations;

pub mod grpc_web;

pub mod page_file;

pub mod page_updates;

pub mod platform;

pub mod pump;

pub mod replication;

mod whole;
