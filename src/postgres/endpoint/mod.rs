//! Where a PostgreSQL is and how it is reached. Never prints user or password.
//!
//! The driver's own parser knows neither `sslmode=verify-full` nor `sslrootcert` nor the keys that other tools add,
//! and its errors quote the text; hence this one.
//!
//! Decisions: a host that is neither loopback nor a unix socket is always verified by certificate and name, whatever
//! weaker `sslmode` the string has (`verify-ca` leaves out the name, `disable` is refused); on loopback `sslmode`
//! means what it means to libpq. Neon's pooled host is replaced by the direct one.

mod neon;

mod conn_options;

mod dsn;

mod password;

#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

pub use self::password::PasswordSources;
use super::{Role, tls::TlsPolicy};
use crate::{error::Result, secret::Secret};

/// A PostgreSQL that can be connected to.
#[derive(Clone)]
pub struct PgEndpoint {
    /// What the driver needs except the host; holds the password, so it is never printed.
    pub(super) config: tokio_postgres::Config,
    /// Where it listens.
    pub(super) place: ServerAddress,
    /// How the connection is protected.
    pub(super) tls: TlsPolicy,
    /// Which PostgreSQL it is.
    pub(super) role: Role,
    /// `host:port/database`.
    pub(super) address: String,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerAddress {
    /// A unix socket in this directory.
    Socket(PathBuf),
    /// A TCP port.
    Tcp {
        /// The name in the server's certificate.
        name: String,
        /// Where to connect, if not where the name resolves to.
        address: Option<IpAddr>,
        /// The policy is that of loopback, so no other address may be used.
        loopback: bool,
    },
}

/// An endpoint and what the user should know about how it was read.
#[derive(Clone)]
pub struct Parsed {
    /// The endpoint.
    pub endpoint: PgEndpoint,
    /// Sentences without secrets: what was changed or ignored.
    pub notes: Vec<String>,
}

impl PgEndpoint {
    /// A server on a unix socket in this directory.
    #[must_use]
    pub fn socket(directory: &Path, port: u16, user: &str, database: &str, role: Role) -> Self {
        let mut config = tokio_postgres::Config::new();
        config.port(port).user(user).dbname(database).application_name("turso2neon");
        Self {
            config,
            place: ServerAddress::Socket(directory.to_owned()),
            tls: TlsPolicy::Plain,
            role,
            address: format!("socket:{port}/{database}"),
        }
    }

    /// Reads a URL or a `key=value` string.
    ///
    /// # Errors
    /// `Usage`, with a reason that quotes nothing of the string.
    pub fn parse(url: &Secret<String>, role: Role) -> Result<Parsed> {
        conn_options::endpoint(dsn::read(url.expose())?, role)
    }

    /// Another database of the same server.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(database);
        let server = self.address.rsplit_once('/').map_or(self.address.as_str(), |(server, _)| server);
        other.address = format!("{server}/{database}");
        other
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

    /// The host, if it is one of Neon: its first label names the endpoint.
    pub(super) fn neon_host(&self) -> Option<&str> {
        match &self.place {
            ServerAddress::Tcp { name, .. } if neon::is_neon(name) => Some(name),
            ServerAddress::Tcp { .. } | ServerAddress::Socket(_) => None,
        }
    }
}
