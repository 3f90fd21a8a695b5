//! `schema diff` and `schema sync`.

mod commands;

mod random_pairs;

mod random_schemas;
