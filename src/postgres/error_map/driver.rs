//! Why the driver could not connect. `tokio_postgres::Error` has no public kind, so it is read from the driver's own
//! fixed texts; the tests make each of these errors with the real driver, so that a new version can't change them
//! unnoticed.

use std::error::Error as _;

/// Why no session was established, where it was not the server that refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// TLS was not agreed upon.
    Tls,
    /// The server wants a password, and there is none.
    NoPassword,
    /// The server did not bind the password to the TLS session.
    ChannelBinding,
    /// The server wants a kind of authentication that the driver does not know.
    UnknownAuthentication,
    /// The authentication failed otherwise.
    Authentication,
    /// Anything else.
    Other,
}

/// The driver's text, the beginning of its cause's text, and what they mean. The first that fits decides.
const TEXTS: [(&str, &str, Failure); 5] = [
    ("error performing TLS handshake", "", Failure::Tls),
    ("invalid configuration", "password missing", Failure::NoPassword),
    ("authentication error", "server did not use channel binding", Failure::ChannelBinding),
    ("authentication error", "unsupported", Failure::UnknownAuthentication),
    ("authentication error", "", Failure::Authentication),
];

impl Failure {
    pub(super) fn of(failure: &tokio_postgres::Error) -> Self {
        let text = failure.to_string();
        let cause = failure.source().map(ToString::to_string).unwrap_or_default();
        let fits = |(known, begin, _): &&(&str, &str, Self)| text == *known && cause.starts_with(begin);
        TEXTS.iter().find(fits).map_or(Self::Other, |(.., meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };
    use tokio_postgres::{
        Config, NoTls,
        config::{ChannelBinding, SslMode},
    };

    use super::*;

    /// What a server asks for.
    const CLEARTEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
    const KERBEROS: &[u8] = b"R\0\0\0\x08\0\0\0\x02";
    const UNKNOWN_SASL: &[u8] = b"R\0\0\0\x0f\0\0\0\x0aX-NEW\0\0";
    const SCRAM: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";

    /// What the driver says against a server that answers every message with the same bytes.
    async fn against(config: &Config, answer: &'static [u8], with_tls: bool) -> Failure {
        let (client, mut server) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut asked = [0; 4096];
            while server.read(&mut asked).await.is_ok_and(|length| length > 0) {
                if server.write_all(answer).await.is_err() {
                    break;
                }
            }
        });
        let connecting = async {
            if with_tls {
                let connector = native_tls::TlsConnector::new().unwrap();
                let tls = postgres_native_tls::TlsConnector::new(connector, "localhost");
                config.connect_raw(client, tls).await.err()
            } else {
                config.connect_raw(client, NoTls).await.err()
            }
        };
        Failure::of(&timeout(Duration::from_secs(30), connecting).await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn the_drivers_texts_are_these() {
        let mut config = Config::new();
        config.user("u").ssl_mode(SslMode::Disable);
        assert_eq!(against(&config, CLEARTEXT, false).await, Failure::NoPassword);
        assert_eq!(against(&config, KERBEROS, false).await, Failure::UnknownAuthentication);
        config.password("p");
        assert_eq!(against(&config, UNKNOWN_SASL, false).await, Failure::UnknownAuthentication);
        // Its second message is no continuation of the exchange.
        assert_eq!(against(&config, SCRAM, false).await, Failure::Other);
        let continued: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x0d\0\0\0\x0bwrong";
        assert_eq!(against(&config, continued, false).await, Failure::Authentication);
        config.channel_binding(ChannelBinding::Require);
        assert_eq!(against(&config, SCRAM, false).await, Failure::ChannelBinding);
        config.ssl_mode(SslMode::Require);
        assert_eq!(against(&config, b"N", true).await, Failure::Tls);
        assert_eq!(against(&config, b"S, but no handshake", true).await, Failure::Tls);
    }
}
