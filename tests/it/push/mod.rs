//! Tests push on a real PostgreSQL with TLS and SCRAM: connections, the first load, replacement, faults.

mod account;

mod attachments;

mod fault_injection;

mod connection;

mod busy_readers;

mod cutovers;

mod fixture;

mod diff;

mod digests;

mod doctor;

mod drift;

mod dry_runs;

mod earlier_versions;

mod exchanges;

mod faults;

mod attached_objects;

mod removed_tables;

mod latency;

mod parts;

mod pooled;

mod proxy;

mod readers;

mod repeated_runs;

mod replacement;

mod rollback;

mod versions;
