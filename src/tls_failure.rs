//! Explains why a TLS handshake failed, from OpenSSL's text: neither `native-tls` nor OpenSSL's error codes say what is
//! wrong with a certificate.

use std::error::Error;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// The certificate is refused, and OpenSSL's reason where it gives one.
    Certificate(Option<String>),
    /// The other side does not speak TLS.
    NotTls,
    /// The connection ended during the handshake.
    Ended,
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Meaning {
    Certificate,
    NotTls,
    Ended,
}

/// OpenSSL's texts, in lower case. The first that occurs decides.
const TEXTS: [(&str, Meaning); 8] = [
    ("certificate", Meaning::Certificate),
    ("hostname", Meaning::Certificate),
    ("not trusted", Meaning::Certificate),
    ("wrong version number", Meaning::NotTls),
    ("unknown protocol", Meaning::NotTls),
    ("eof", Meaning::Ended),
    ("reset", Meaning::Ended),
    ("closed", Meaning::Ended),
];

/// OpenSSL's reasons against a certificate, in lower case, and what to do about them.
const REASONS: [(&str, &str); 5] = [
    ("expired", "the server needs a new certificate; check this machine's clock, too"),
    ("not yet valid", "check this machine's clock"),
    ("mismatch", "use the host name that the certificate has"),
    ("issuer", ROOT_HINT),
    ("self", ROOT_HINT),
];

const ROOT_HINT: &str = "name the certificate of the server's authority with sslrootcert=FILE";

/// Why TLS failed, if this error or one of its causes is a failure of TLS.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<TlsFailure> {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    chain.find(|error| error.is::<native_tls::Error>()).map(|failure| of_text(&failure.to_string()))
}

/// What to do about a certificate that is refused for this reason.
pub(crate) fn certificate_hint(reason: &str) -> Option<&'static str> {
    let reason = reason.to_ascii_lowercase();
    REASONS.iter().find(|(text, _)| reason.contains(text)).map(|(_, hint)| *hint)
}

fn of_text(text: &str) -> TlsFailure {
    let lower = text.to_ascii_lowercase();
    match TEXTS.iter().find(|(text, _)| lower.contains(text)).map(|(_, meaning)| meaning) {
        // OpenSSL adds the result of the verification in parentheses.
        Some(Meaning::Certificate) => TlsFailure::Certificate(
            text.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).map(ToOwned::to_owned),
        ),
        Some(Meaning::NotTls) => TlsFailure::NotTls,
        Some(Meaning::Ended) => TlsFailure::Ended,
        None => TlsFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssls_texts_are_understood() {
        const VERIFY: &str = "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify \
                              failed:../ssl/statem/statem_clnt.c:1889:";
        for (reason, hint) in [
            ("certificate has expired", "clock, too"),
            ("certificate is not yet valid", "this machine's clock"),
            ("hostname mismatch", "host name"),
            ("IP address mismatch", "host name"),
            ("unable to get local issuer certificate", "sslrootcert"),
            ("self-signed certificate", "sslrootcert"),
            ("self-signed certificate in certificate chain", "sslrootcert"),
        ] {
            let found = of_text(&format!("{VERIFY} ({reason})"));
            assert_eq!(found, TlsFailure::Certificate(Some(reason.to_owned())));
            assert!(certificate_hint(reason).is_some_and(|found| found.contains(hint)), "{reason}");
        }
        assert_eq!(certificate_hint("CA signature digest algorithm too weak"), None);
        for (text, meaning) in [
            (VERIFY, TlsFailure::Certificate(None)),
            ("error:0A00010B:SSL routines:ssl3_get_record:wrong version number:ssl3_record.c:354:", TlsFailure::NotTls),
            ("error:140770FC:SSL routines:SSL23_GET_SERVER_HELLO:unknown protocol:s23_clnt.c:827:", TlsFailure::NotTls),
            ("unexpected EOF", TlsFailure::Ended),
            ("Connection reset by peer (os error 104)", TlsFailure::Ended),
            ("error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:", TlsFailure::Other),
        ] {
            assert_eq!(of_text(text), meaning, "{text}");
        }
    }

    #[test]
    fn only_an_error_of_tls_is_read() {
        let looks_like = std::io::Error::other("certificate verify failed");
        assert_eq!(of(&looks_like), None);
        let pem = native_tls::Certificate::from_pem(b"no certificate").err().unwrap();
        assert!(of(&pem).is_some());
    }
}
