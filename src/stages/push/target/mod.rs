//! The target: its sessions and locks, and the record of what this tool pushed there.

pub(super) mod baseline;

pub(super) mod catalog;

pub(super) mod contract;

pub(super) mod dependents;

pub(super) mod lifecycle;

mod live_record;

pub(super) mod live_tables;

pub(super) mod lock_acquisition;

pub(super) mod lock_monitor;

pub(super) mod lock_queue;

pub(super) mod objects;

pub(super) mod record;

pub(super) mod schema_owner;

pub(super) mod session;

pub(super) mod source_identity;

pub(super) mod table_properties;

pub(super) mod table_state;

pub(super) mod tool_objects;
