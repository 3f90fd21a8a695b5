//! Reads the dump file with libSQL's own engine: stock SQLite can't open RANDOM ROWID tables.

pub mod open;

pub mod error_map;

pub mod catalog;

pub mod pages;

pub mod table_rows;

pub mod constraint_stats;

pub mod profile;
