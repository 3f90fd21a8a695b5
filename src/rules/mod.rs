//! Pure decisions: words in, words out. No I/O.

pub mod affinity;

pub mod datetime;

pub mod decimal;

pub mod shape;

pub mod type_choice;

pub mod expression;

pub mod query;

pub mod trigger;

pub mod naming;

pub mod keys;

pub mod ddl;

pub mod given;
