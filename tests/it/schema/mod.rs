//! `schema diff` and `schema sync`.

mod commands;

mod pushed_target;

mod random_pairs;

mod random_schemas;
