//! How a connection is protected: which certificates are trusted, and whether the host's name must be in them.

mod stream;

use std::{fs, io};

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

/// The connector for a policy. `direct` announces the protocol, as `sslnegotiation=direct` needs.
pub(super) fn connector(verification: Verification, roots: &Roots, direct: bool) -> Result<TlsConnector> {
    let failed = |_: native_tls::Error| Error::new(Kind::Bug, "the TLS library can't be set up");
    if (verification, roots, direct) == (Verification::ChainAndName, &Roots::System, false) {
        return tls_roots::connector().map_err(failed);
    }
    let mut builder = TlsConnector::builder();
    builder.danger_accept_invalid_certs(verification == Verification::None);
    builder.danger_accept_invalid_hostnames(verification != Verification::ChainAndName);
    if let Roots::File(path) = roots {
        builder.disable_built_in_roots(true);
        for certificate in read_certificates(path)? {
            builder.add_root_certificate(certificate);
        }
    }
    if direct {
        postgres_native_tls::set_postgresql_alpn(&mut builder);
    }
    builder.build().map_err(failed)
}

fn read_certificates(path: &str) -> Result<Vec<Certificate>> {
    // The path comes from the connection string, so it isn't quoted.
    let refused = |why: &str| {
        Error::new(Kind::Usage, format!("the file named by sslrootcert {why}"))
            .with_hint("name a PEM file with the certificate of the server's authority, or write sslrootcert=system")
    };
    let pem = fs::read(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => refused("doesn't exist"),
        kind => refused(&format!("can't be read ({kind})")),
    })?;
    let certificates = Certificate::stack_from_pem(&pem).unwrap_or_default();
    if certificates.is_empty() { Err(refused("holds no PEM certificate")) } else { Ok(certificates) }
}
