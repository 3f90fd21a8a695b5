//! Push on a real PostgreSQL with TLS and SCRAM: connections, the first load, replacement, faults.

mod account;

mod attachments;

mod campaign;

mod connection;

mod crowd;

mod cutovers;

mod depot;

mod diff;

mod doctor;

mod faults;

mod guarded;

mod leaving;

mod link;

mod parts;

mod pooled;

mod proxy;

mod readers;

mod replacement;

mod rollback;

mod versions;
