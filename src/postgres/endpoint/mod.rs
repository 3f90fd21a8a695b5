//! Where a PostgreSQL is and how it is reached. Never prints user or password.

use std::path::Path;

use super::Role;

/// A PostgreSQL that can be connected to.
#[derive(Clone)]
pub struct PgEndpoint {
    /// What the driver needs; holds the password, so it is never printed.
    pub(super) config: tokio_postgres::Config,
    /// How the connection is protected.
    pub(super) tls: TlsPolicy,
    /// Which PostgreSQL it is.
    pub(super) role: Role,
    /// `host:port/database`.
    pub(super) address: String,
}

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsPolicy {
    /// No TLS: a unix socket or loopback.
    Plain,
}

impl PgEndpoint {
    /// A server on a unix socket in this directory.
    #[must_use]
    pub fn socket(directory: &Path, port: u16, user: &str, database: &str, role: Role) -> Self {
        let mut config = tokio_postgres::Config::new();
        config.host_path(directory).port(port).user(user).dbname(database);
        Self { config, tls: TlsPolicy::Plain, role, address: format!("socket:{port}/{database}") }
    }

    /// `host:port/database`, without user and password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Which PostgreSQL it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }
}
