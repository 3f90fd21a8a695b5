//! What the user decided stays decided, and what was not decided does not happen.

mod other_source;

mod questions;

mod structure;
