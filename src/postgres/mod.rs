//! One room, two doors: the local PostgreSQL and the target are the same [`Session`] in two roles.

pub mod endpoint;

pub mod session;

mod tls;

mod startup_limit;

pub mod error_map;

pub mod table_digest;

pub mod load_journal;

pub mod copy;

pub mod managed;

pub mod pgvector;

pub mod catalog;

pub mod existing_schema;

pub use endpoint::{Parsed, PasswordSources, PgEndpoint};
pub use session::{Parameter, Session};
pub use tls::TlsVersion;

words! {
    /// Which PostgreSQL is meant; decides kinds and exit codes of errors.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Role: word {
        /// The one that `convert` fills.
        Local = "local",
        /// The one that `push` fills.
        Target = "target",
    }
}
