//! The remote libSQL server as the rest may see it.

pub mod endpoint;

pub mod http;

pub mod grpc_web;

pub mod page_file;
