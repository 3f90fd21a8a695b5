//! Contains the rules of the plan as pure functions, without I/O.

pub mod affinity;

pub mod datetime;

pub mod decimal;

pub mod value_shape;

pub mod type_choice;

pub mod expression;

pub mod query;

pub mod trigger;

pub mod identifiers;

pub mod constraints;

pub mod ddl;

pub mod existing_schema;

pub mod migration_history;

pub mod schema_sync;
