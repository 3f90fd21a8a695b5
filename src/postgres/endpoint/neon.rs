//! What is particular about Neon's host names (<https://neon.tech/docs/connect/connection-pooling>).
//!
//! A pooled host is the direct one with `-pooler` behind the endpoint's label. Loading needs the direct one: behind
//! the pooler `SET`, session locks and COPY over several statements don't hold. The endpoint may be repeated in
//! `options` or before the password, for clients that send no server name in TLS; all places must agree.

const POOLER: &str = "-pooler";

/// Whether the host belongs to Neon by its domain, or carries an endpoint's name in another domain.
pub(super) fn is_neon(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.ends_with(".neon.tech") || host.ends_with(".neon.build") || first_label(&host).starts_with("ep-")
}

/// The direct host of a pooled one; `None` if it isn't a pooled host of Neon.
pub(super) fn direct_host(host: &str) -> Option<String> {
    let label = first_label(host);
    let direct = label.strip_suffix(POOLER).filter(|direct| !direct.is_empty())?;
    let domain = host.strip_prefix(label)?;
    is_neon(host).then(|| format!("{direct}{domain}"))
}

/// `options` with the direct endpoint's name; `None` if it names no pooled endpoint.
pub(super) fn direct_options(options: &str) -> Option<String> {
    let direct = |word: &str| {
        let (key, endpoint) = word.split_once('=')?;
        let named = matches!(key, "endpoint" | "project");
        let direct = endpoint.strip_suffix(POOLER).filter(|_| named)?;
        Some(format!("{key}={direct}"))
    };
    options.split(' ').any(|word| direct(word).is_some()).then(|| {
        options.split(' ').map(|word| direct(word).unwrap_or_else(|| word.to_owned())).collect::<Vec<_>>().join(" ")
    })
}

/// The password without the endpoint's name before it (`endpoint=ID;PASSWORD` or `endpoint=ID$PASSWORD`), if that is
/// the endpoint of this host: the server name in TLS says it already, and with it in the password the proxy would ask
/// for a clear-text password, which rules out channel binding.
pub(super) fn bare_password<'a>(host: &str, password: &'a [u8]) -> Option<&'a [u8]> {
    let label = first_label(host);
    let endpoint = label.strip_suffix(POOLER).unwrap_or(label).as_bytes();
    let rest = password.strip_prefix(b"endpoint=")?.strip_prefix(endpoint)?;
    let rest = rest.strip_prefix(POOLER.as_bytes()).unwrap_or(rest);
    match rest {
        [b';' | b'$', bare @ ..] => Some(bare),
        _ => None,
    }
}

fn first_label(host: &str) -> &str {
    host.split_once('.').map_or(host, |(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_hosts_become_direct_ones() {
        for (pooled, direct) in [
            ("ep-cool-1-pooler.us-east-2.aws.neon.tech", Some("ep-cool-1.us-east-2.aws.neon.tech")),
            ("ep-cool-1-pooler.c-2.us-east-2.aws.neon.tech", Some("ep-cool-1.c-2.us-east-2.aws.neon.tech")),
            ("ep-test-1234-pooler.neon.local", Some("ep-test-1234.neon.local")),
            ("ep-cool-1.us-east-2.aws.neon.tech", None),
            ("db-pooler.example.com", None),
            ("-pooler.neon.tech", None),
        ] {
            assert_eq!(direct_host(pooled).as_deref(), direct, "{pooled}");
        }
    }

    #[test]
    fn the_endpoint_in_the_options_follows() {
        assert_eq!(direct_options("endpoint=ep-a-pooler").as_deref(), Some("endpoint=ep-a"));
        assert_eq!(direct_options("-c x=y-pooler project=ep-a-pooler").as_deref(), Some("-c x=y-pooler project=ep-a"));
        assert_eq!(direct_options("endpoint=ep-a"), None);
        assert_eq!(direct_options("-c a=b"), None);
    }

    #[test]
    fn the_endpoint_before_the_password_goes_away_if_it_is_the_hosts() {
        let host = "ep-a-1-pooler.x.neon.tech";
        assert_eq!(bare_password(host, b"endpoint=ep-a-1;pw"), Some(&b"pw"[..]));
        assert_eq!(bare_password(host, b"endpoint=ep-a-1-pooler$pw"), Some(&b"pw"[..]));
        assert_eq!(bare_password(host, b"endpoint=ep-b;pw"), None);
        assert_eq!(bare_password(host, b"endpoint=ep-a-11;pw"), None);
        assert_eq!(bare_password(host, b"pw"), None);
    }
}
