//! How a connection is protected: which certificates are trusted, and whether the host's name must be in them.

mod stream;

use std::{
    fs, io,
    sync::{Mutex, PoisonError},
};

use native_tls::{Certificate, TlsConnector};

pub(super) use self::stream::SessionTls;
pub use self::stream::TlsVersion;
use crate::{
    error::{Error, Kind, Result},
    tls_roots,
};

/// How a connection is protected.
#[derive(Clone)]
pub(super) enum TlsPolicy {
    /// No TLS: a unix socket or loopback.
    Plain,
    /// TLS with this connector; the driver's `ssl_mode` says whether the server may decline.
    Tls(TlsConnector),
}

/// What must be true of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// Nothing: only on loopback.
    None,
    /// It descends from a trusted authority.
    Chain,
    /// It descends from a trusted authority and bears the host's name.
    ChainAndName,
}

/// Whom to trust.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// The system's authorities.
    System,
    /// The authorities in this PEM file only.
    File(String),
}

/// What a connector is made of.
#[derive(PartialEq, Eq)]
struct ConnectorFacts {
    verification: Verification,
    /// The content of the PEM file; the system's authorities without one.
    pem: Option<Vec<u8>>,
    direct: bool,
}

/// The connectors of this process: making one reads all authorities that the system has, which takes longer than many a
/// connection.
static MADE: Mutex<Vec<(ConnectorFacts, TlsConnector)>> = Mutex::new(Vec::new());

/// The connector for a policy. `direct` announces the protocol, as `sslnegotiation=direct` needs.
pub(super) fn connector(verification: Verification, roots: &Roots, direct: bool) -> Result<TlsConnector> {
    if (verification, roots, direct) == (Verification::ChainAndName, &Roots::System, false) {
        return tls_roots::connector().map_err(failed);
    }
    let pem = match roots {
        Roots::System => None,
        Roots::File(path) => Some(read_file(path)?),
    };
    let facts = ConnectorFacts { verification, pem, direct };
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, connector)) = made.iter().find(|(known, _)| *known == facts) {
        return Ok(connector.clone());
    }
    let connector = make(&facts)?;
    made.push((facts, connector.clone()));
    Ok(connector)
}

fn failed(_: native_tls::Error) -> Error {
    Error::new(Kind::Bug, "the TLS library can't be set up")
}

fn make(facts: &ConnectorFacts) -> Result<TlsConnector> {
    let mut builder = TlsConnector::builder();
    builder.danger_accept_invalid_certs(facts.verification == Verification::None);
    builder.danger_accept_invalid_hostnames(facts.verification != Verification::ChainAndName);
    if let Some(pem) = &facts.pem {
        builder.disable_built_in_roots(true);
        for certificate in certificates(pem)? {
            builder.add_root_certificate(certificate);
        }
    }
    if facts.direct {
        postgres_native_tls::set_postgresql_alpn(&mut builder);
    }
    builder.build().map_err(failed)
}

/// An error about the file. The path comes from the connection string, so it isn't quoted.
fn refused(why: &str) -> Error {
    Error::new(Kind::Usage, format!("the file named by sslrootcert {why}"))
        .with_hint("name a PEM file with the certificate of the server's authority, or write sslrootcert=system")
}

fn read_file(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => refused("doesn't exist"),
        kind => refused(&format!("can't be read ({kind})")),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>> {
    let certificates = Certificate::stack_from_pem(pem).unwrap_or_default();
    if certificates.is_empty() { Err(refused("holds no PEM certificate")) } else { Ok(certificates) }
}
