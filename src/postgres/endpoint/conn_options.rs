//! Settings to an endpoint: what each key means, and which TLS policy follows.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, SslMode, SslNegotiation, TargetSessionAttrs},
};

use super::{
    Parsed, PgEndpoint, Role, ServerAddress,
    dsn::{Setting, unreadable},
    neon,
};
use crate::{
    error::{Error, Kind, Result},
    postgres::tls::{self, Roots, TlsPolicy, Verification},
};

/// Keys that this tool acts on.
const KNOWN: [&str; 21] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "ssl",
    "sslrootcert",
    "sslnegotiation",
    "channel_binding",
    "options",
    "connect_timeout",
    "application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "keepalives_retries",
    "tcp_user_timeout",
    "target_session_attrs",
];

/// The settings by key, with the checks that every value passes.
struct ConnSettings {
    values: BTreeMap<String, Vec<u8>>,
    notes: Vec<String>,
}

impl ConnSettings {
    fn new(list: Vec<Setting>) -> Self {
        let (known, other): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|setting| KNOWN.contains(&setting.key.as_str()));
        // The schema is read apart, as the flag for it.
        let other: Vec<_> = other.into_iter().filter(|setting| setting.key != "schema").collect();
        let notes = ignored_note(&other).into_iter().collect();
        Self { values: known.into_iter().map(|setting| (setting.key, setting.value)).collect(), notes }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    fn text(&self, key: &str) -> Result<Option<&str>> {
        let text = |value| std::str::from_utf8(value).map_err(|_| wrong(key));
        self.bytes(key).map(text).transpose()
    }

    fn parsed<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        self.text(key)?.map(|text| text.trim().parse().map_err(|_| wrong(key))).transpose()
    }

    /// Seconds as libpq counts them: none, zero and negative mean the default.
    fn seconds(&self, key: &str) -> Result<Option<Duration>> {
        let seconds = self.parsed::<i64>(key)?.and_then(|value| u64::try_from(value).ok());
        Ok(seconds.filter(|value| *value > 0).map(Duration::from_secs))
    }
}

/// Names the keys that are ignored. One that doesn't look like a key may be a piece of a password, so it isn't named.
fn ignored_note(settings: &[Setting]) -> Option<String> {
    let is_key = |key: &str| key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let mut names: Vec<&str> = settings
        .iter()
        .map(|setting| if is_key(&setting.key) { setting.key.as_str() } else { "one with an unusual name" })
        .collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty())
        .then(|| format!("settings in the connection string without meaning here are ignored: {}", names.join(", ")))
}

fn wrong(key: &str) -> Error {
    unreadable(&format!("has a value for {key} that doesn't fit"))
}

/// The endpoint that these settings describe.
pub(super) fn endpoint(list: Vec<Setting>, role: Role) -> Result<Parsed> {
    let mut settings = ConnSettings::new(list);
    let place = server_address(&mut settings)?;
    let port = settings.parsed::<u16>("port")?.unwrap_or(5432);
    let database = settings.text("dbname")?.ok_or_else(|| unreadable("names no database"))?.to_owned();
    let mut config = Config::new();
    config.port(port).dbname(&database);
    credentials(&mut settings, &place, &mut config)?;
    behaviour(&mut settings, &place, &mut config)?;
    let tls = protection(&mut settings, &place, &mut config)?;
    let address = match &place {
        ServerAddress::Socket(_) => format!("socket:{port}/{database}"),
        ServerAddress::Tcp { name, .. } if name.contains(':') => format!("[{name}]:{port}/{database}"),
        ServerAddress::Tcp { name, .. } => format!("{name}:{port}/{database}"),
    };
    Ok(Parsed { endpoint: PgEndpoint { config, place, tls, role, address }, notes: settings.notes })
}

fn server_address(settings: &mut ConnSettings) -> Result<ServerAddress> {
    let host = settings.text("host")?.map(str::to_owned);
    let address = settings.text("hostaddr")?.map(str::to_owned);
    if [&host, &address].into_iter().flatten().any(|text| text.contains(',')) {
        return Err(unreadable("names several hosts").with_hint("name the one that accepts writes"));
    }
    let address: Option<IpAddr> = address.map(|text| text.trim().parse().map_err(|_| wrong("hostaddr"))).transpose()?;
    let name = match (host, address) {
        (Some(host), None) if host.starts_with('/') => return Ok(ServerAddress::Socket(PathBuf::from(host))),
        (Some(host), _) => host,
        (None, Some(address)) => address.to_string(),
        (None, None) => return Err(unreadable("names no host")),
    };
    check_host(&name)?;
    let name = match neon::direct_host(&name) {
        Some(direct) => {
            settings.note(format!("the pooled host is replaced by the direct one, {direct}, which loading needs"));
            direct
        }
        None => name,
    };
    let loopback = is_loopback(&name) && address.is_none_or(|address| address.is_loopback());
    Ok(ServerAddress::Tcp { name, address, loopback })
}

/// A host that isn't one is most likely the rest of a password with a bare `@`, `/` or `?` in it.
fn check_host(name: &str) -> Result<()> {
    let plausible = name.parse::<IpAddr>().is_ok()
        || name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte) || !byte.is_ascii());
    if plausible {
        Ok(())
    } else {
        Err(unreadable("names a host with characters that no host has")
            .with_hint("in a password write @ as %40, / as %2F, ? as %3F, # as %23 and : as %3A"))
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn credentials(settings: &mut ConnSettings, place: &ServerAddress, config: &mut Config) -> Result<()> {
    let remote = matches!(place, ServerAddress::Tcp { loopback: false, .. });
    match settings.text("user")? {
        Some(user) => {
            config.user(user);
        }
        None if remote => return Err(unreadable("names no user")),
        None => {}
    }
    let mut password = settings.bytes("password").map(<[u8]>::to_vec);
    if let (ServerAddress::Tcp { name, .. }, Some(given)) = (place, &password)
        && neon::is_neon(name)
        && let Some(bare) = neon::bare_password(name, given).map(<[u8]>::to_vec)
    {
        settings.note("the endpoint before the password is left out; TLS names it already");
        password = Some(bare);
    }
    if let Some(password) = password {
        config.password(password);
    }
    Ok(())
}

/// Settings of the connection that have nothing to do with who and where.
fn behaviour(settings: &mut ConnSettings, place: &ServerAddress, config: &mut Config) -> Result<()> {
    config.application_name(settings.text("application_name")?.unwrap_or("turso2neon"));
    if let Some(options) = options(settings, place)? {
        config.options(options);
    }
    // Addresses that swallow packets must not eat the time for the others.
    config.connect_timeout(settings.seconds("connect_timeout")?.unwrap_or(Duration::from_secs(15)));
    config.keepalives(settings.parsed::<u32>("keepalives")?.is_none_or(|value| value != 0));
    config.keepalives_idle(settings.seconds("keepalives_idle")?.unwrap_or(Duration::from_secs(30)));
    config.keepalives_interval(settings.seconds("keepalives_interval")?.unwrap_or(Duration::from_secs(10)));
    let retries = match settings.parsed::<u32>("keepalives_count")? {
        Some(count) => Some(count),
        None => settings.parsed("keepalives_retries")?,
    };
    config.keepalives_retries(retries.filter(|count| *count > 0).unwrap_or(6));
    // Milliseconds, as in libpq. Without it a cut network shows only after a quarter of an hour.
    let unanswered = settings.parsed::<u64>("tcp_user_timeout")?.filter(|value| *value > 0);
    config.tcp_user_timeout(Duration::from_millis(unanswered.unwrap_or(300_000)));
    match settings.text("target_session_attrs")? {
        None | Some("any" | "prefer-standby") => {}
        Some("read-write" | "primary") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Some("read-only" | "standby") => {
            config.target_session_attrs(TargetSessionAttrs::ReadOnly);
        }
        Some(_) => return Err(wrong("target_session_attrs")),
    }
    Ok(())
}

/// `options` as the user wrote them, with the direct endpoint's name.
fn options(settings: &mut ConnSettings, place: &ServerAddress) -> Result<Option<String>> {
    let Some(given) = settings.text("options")?.map(str::to_owned) else { return Ok(None) };
    let neon = matches!(place, ServerAddress::Tcp { name, .. } if neon::is_neon(name));
    match neon::direct_options(&given).filter(|_| neon) {
        Some(direct) => {
            settings.note("the pooled endpoint in `options` is replaced by the direct one");
            Ok(Some(direct))
        }
        None => Ok(Some(given)),
    }
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SslModeSetting {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslModeSetting {
    fn of(settings: &ConnSettings) -> Result<Option<Self>> {
        let mode = match settings.text("sslmode")? {
            Some("disable") => Self::Disable,
            Some("allow") => Self::Allow,
            Some("prefer") => Self::Prefer,
            Some("require" | "no-verify") => Self::Require,
            Some("verify-ca") => Self::VerifyCa,
            Some("verify-full") => Self::VerifyFull,
            Some(_) => {
                return Err(
                    wrong("sslmode").with_hint("it is one of disable, allow, prefer, require, verify-ca, verify-full")
                );
            }
            // JDBC and node-postgres.
            None => match settings.text("ssl")? {
                Some("true" | "1") => Self::Require,
                Some(_) | None => return Ok(None),
            },
        };
        Ok(Some(mode))
    }
}

/// Sets the driver's TLS mode and channel binding and gives the connector.
fn protection(settings: &mut ConnSettings, place: &ServerAddress, config: &mut Config) -> Result<TlsPolicy> {
    let direct = match settings.text("sslnegotiation")? {
        None | Some("postgres") => false,
        Some("direct") => true,
        Some(_) => return Err(wrong("sslnegotiation")),
    };
    let roots = match settings.text("sslrootcert")? {
        None | Some("system") => Roots::System,
        Some(path) => Roots::File(path.to_owned()),
    };
    let named = SslModeSetting::of(settings)?;
    let (mode, verification) = match place {
        ServerAddress::Socket(_) => (SslMode::Disable, Verification::None),
        ServerAddress::Tcp { loopback: true, .. } => loopback_policy(named, settings.text("sslrootcert")?),
        ServerAddress::Tcp { loopback: false, .. } => remote_policy(named, settings)?,
    };
    channel_binding(settings, place, config)?;
    if mode == SslMode::Disable {
        config.ssl_mode(mode);
        return Ok(TlsPolicy::Plain);
    }
    if direct && mode == SslMode::Prefer {
        return Err(unreadable("has sslnegotiation=direct with a weak sslmode").with_hint("use sslmode=verify-full"));
    }
    config.ssl_mode(mode);
    config.ssl_negotiation(if direct { SslNegotiation::Direct } else { SslNegotiation::Postgres });
    tls::connector(verification, &roots, direct).map(TlsPolicy::Tls)
}

fn loopback_policy(named: Option<SslModeSetting>, root: Option<&str>) -> (SslMode, Verification) {
    match named {
        None if root == Some("system") => (SslMode::Require, Verification::ChainAndName),
        Some(SslModeSetting::Disable | SslModeSetting::Allow) => (SslMode::Disable, Verification::None),
        None | Some(SslModeSetting::Prefer) => (SslMode::Prefer, Verification::None),
        // libpq: with a root certificate, `require` checks the chain.
        Some(SslModeSetting::Require) if root.is_some() => (SslMode::Require, Verification::Chain),
        Some(SslModeSetting::Require) => (SslMode::Require, Verification::None),
        Some(SslModeSetting::VerifyCa) => (SslMode::Require, Verification::Chain),
        Some(SslModeSetting::VerifyFull) => (SslMode::Require, Verification::ChainAndName),
    }
}

fn remote_policy(named: Option<SslModeSetting>, settings: &mut ConnSettings) -> Result<(SslMode, Verification)> {
    let word = match named {
        None | Some(SslModeSetting::VerifyFull) => None,
        Some(SslModeSetting::VerifyCa) => return Ok((SslMode::Require, Verification::Chain)),
        Some(SslModeSetting::Disable) => {
            return Err(Error::new(Kind::Usage, "sslmode=disable is refused for a host that is not this machine")
                .with_hint("leave sslmode out, or write sslmode=verify-full"));
        }
        Some(SslModeSetting::Allow) => Some("allow"),
        Some(SslModeSetting::Prefer) => Some("prefer"),
        Some(SslModeSetting::Require) => Some("require"),
    };
    if let Some(word) = word {
        settings.note(format!("sslmode={word} is raised to verify-full: certificate and host name are checked"));
    }
    Ok((SslMode::Require, Verification::ChainAndName))
}

/// `prefer` uses channel binding wherever the server offers it; Neon always does, so there it is required.
fn channel_binding(settings: &ConnSettings, place: &ServerAddress, config: &mut Config) -> Result<()> {
    let neon = matches!(place, ServerAddress::Tcp { name, loopback: false, .. } if name.ends_with(".neon.tech"));
    let unbound_password = config.get_password().is_some_and(|password| password.starts_with(b"endpoint="));
    config.channel_binding(match settings.text("channel_binding")? {
        Some("disable") => ChannelBinding::Disable,
        Some("prefer") => ChannelBinding::Prefer,
        Some("require") => ChannelBinding::Require,
        Some(_) => return Err(wrong("channel_binding")),
        None if neon && !unbound_password => ChannelBinding::Require,
        None => ChannelBinding::Prefer,
    });
    Ok(())
}
