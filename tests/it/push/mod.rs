//! Tests push on a real PostgreSQL with TLS and SCRAM: connections, the first load, replacement, faults.

mod account;

mod altered_tables;

mod attachments;

mod fault_injection;

mod connection;

mod busy_readers;

mod cutovers;

mod fixture;

mod foreign_schemas;

mod diff;

mod digests;

mod doctor;

mod drift;

mod dry_runs;

mod earlier_versions;

mod exchanges;

mod faults;

mod finish;

mod attached_objects;

mod random_walk;

mod removed_tables;

mod latency;

mod live_sequences;

mod live_tables;

mod neon_proxy;

mod neon_proxy_timing;

mod role_settings;

mod parts;

mod pooled;

mod pooler;

mod readers;

mod refusals;

mod repeated_runs;

mod replacement;

mod rollback;

mod versions;
