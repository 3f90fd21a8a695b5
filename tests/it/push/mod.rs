//! Push on a real PostgreSQL with TLS and SCRAM: connections, the first load, replacement, faults.

mod account;

mod attachments;

mod campaign;

mod connection;

mod crowd;

mod cutovers;

mod depot;

mod diff;

mod digests;

mod doctor;

mod earlier_versions;

mod exchanges;

mod faults;

mod guarded;

mod leaving;

mod link;

mod parts;

mod pooled;

mod proxy;

mod readers;

mod repeated_runs;

mod replacement;

mod rollback;

mod versions;
