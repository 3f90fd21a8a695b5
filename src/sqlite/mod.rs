//! The dump file, through libSQL's own engine: stock SQLite can't open RANDOM ROWID tables.

pub mod open;

pub mod cause;

pub mod catalog;

pub mod facts;

pub mod profile;
