//! Tests the local PostgreSQL and what `convert` loads into it, read back from the server itself.
//!
//! Plans are made by hand here, so that each conversion is met by values that the planner would rarely choose it for.

mod fixture;

mod load;

mod server;

mod session;

mod values;
