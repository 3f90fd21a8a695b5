//! Loads the certificate authorities that this machine trusts. They are read once: that takes longer than many a
//! request.

use std::sync::OnceLock;

use native_tls::TlsConnector;

/// A connector that trusts them, and asks for the host's name in the certificate.
///
/// # Errors
/// If the TLS library can't be set up.
pub(crate) fn connector() -> Result<TlsConnector, native_tls::Error> {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    if let Some(connector) = CONNECTOR.get() {
        return Ok(connector.clone());
    }
    let connector = TlsConnector::new()?;
    Ok(CONNECTOR.get_or_init(|| connector).clone())
}
