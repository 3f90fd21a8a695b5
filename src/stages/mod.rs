//! Contains the stages, in the order in which they run. Each takes its input from the artifacts of the stages before it
//! and leaves its own.

pub mod dump;

pub mod plan;

pub mod convert;

pub mod push;

pub mod verify;

pub mod status;

pub mod report;

pub mod doctor;

pub mod clean;

pub mod schema;

pub mod schema_trial;
