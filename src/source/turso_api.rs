//! The Turso Platform API, as far as a dump needs it: where a database is, a token to read it, what it costs, and
//! whether it takes writes.
//!
//! Invariant: the API token goes to the API alone, over TLS unless the API is on this machine; a body is never quoted.

use std::time::Duration;

use reqwest::{
    Client, Method, RequestBuilder, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use super::http;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Stage, human_format},
    retry::{Failure, Tries},
    secret::Secret,
};

const DEFAULT_BASE: &str = "https://api.turso.tech";

/// How long an answer may take; all are small.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a request is sent before its failure counts.
const TRIES: u32 = 4;

/// Names that are listed when one is mistyped.
const NAMES_SHOWN: usize = 20;

/// Which database, and how to ask for it.
#[derive(Debug, Clone)]
pub struct PlatformSettings {
    /// The database's name.
    pub database: String,
    /// The organization's slug; a personal one is the user's name.
    pub organization: String,
    /// A token of the Platform API.
    pub token: Secret<String>,
    /// Another address of the API, for tests.
    pub base: Option<String>,
}

/// The API, for one database.
pub struct TursoApi {
    ctx: Context,
    client: Client,
    base: Url,
    database: String,
    organization: String,
}

/// What the API says of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its address.
    pub url: String,
    /// Whether it is of the newer (MVCC) form.
    pub is_mvcc: bool,
    /// Whether reads are refused.
    pub blocks_reads: bool,
    /// Whether writes are refused.
    pub blocks_writes: bool,
}

impl TursoApi {
    /// Prepares the client; nothing is sent yet.
    ///
    /// # Errors
    /// `Usage` for a name, token or address that can't be used.
    pub fn new(ctx: &Context, settings: &PlatformSettings) -> Result<Self> {
        for (flag, name) in [("--database", &settings.database), ("--org", &settings.organization)] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
                return Err(Error::new(Kind::Usage, format!("{flag} takes a name of letters, digits and dashes")));
            }
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", settings.token.expose()))
            .map_err(|_| Error::new(Kind::Usage, "TURSO_API_TOKEN can't be sent: it isn't one line of text"))?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let client = http::client(headers, None, TIMEOUT)?;
        let base = settings.base.as_deref().unwrap_or(DEFAULT_BASE);
        let base = Url::parse(base).map_err(|_| Error::new(Kind::Usage, "TURSO_API_BASEURL is not a URL"))?;
        if base.scheme() != "https" && !(base.scheme() == "http" && is_loopback(&base)) {
            return Err(Error::new(Kind::Usage, "TURSO_API_BASEURL must begin with https://"));
        }
        let (database, organization) = (settings.database.clone(), settings.organization.clone());
        Ok(Self { ctx: ctx.clone(), client, base, database, organization })
    }

    /// Finds the database.
    ///
    /// # Errors
    /// `Usage` with the names that there are if this one isn't; `SourceDenied`, `SourceUnreachable`,
    /// `SourceRefused`, `Interrupted`.
    pub async fn find(&self) -> Result<DatabaseInfo> {
        let path = format!("databases/{}", self.database);
        let Some(answer) = self.call(&Method::GET, &path, None).await? else { return Err(self.unknown().await?) };
        let database = field(&answer, "database").ok_or_else(unreadable)?;
        let host = field(database, "hostname").and_then(Value::as_str).ok_or_else(unreadable)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
        if !host.bytes().all(plain) {
            return Err(unreadable());
        }
        let id = field(database, "dbid").and_then(Value::as_str).unwrap_or_default().replace('-', "");
        let is_set = |name: &str| field(database, name).and_then(Value::as_bool).unwrap_or(false);
        // On this machine there is no TLS to expect; a hosted database never has such an address.
        let scheme = if host.starts_with("127.0.0.1:") && is_loopback(&self.base) { "http" } else { "https" };
        Ok(DatabaseInfo {
            url: format!("{scheme}://{host}"),
            is_mvcc: id.get(10..12) == Some("10"),
            blocks_reads: is_set("block_reads"),
            blocks_writes: is_set("block_writes"),
        })
    }

    /// A token that may only read this database, for an hour.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn reading_token(&self) -> Result<Secret<String>> {
        let path = format!("databases/{}/auth/tokens?expiration=1h&authorization=read-only", self.database);
        let answer = self.call(&Method::POST, &path, None).await?.ok_or_else(unreadable)?;
        let token = field(&answer, "jwt").and_then(Value::as_str).ok_or_else(unreadable)?;
        Ok(Secret::new(token.to_owned()))
    }

    /// What is stored, and what of the quota is used, as a sentence; none if the API doesn't say.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn usage(&self) -> Result<Option<String>> {
        let mut parts = Vec::new();
        let own = self.optional(&format!("databases/{}/usage", self.database)).await?;
        let own = own.as_ref().and_then(|own| field(own, "database"));
        let own = own.and_then(|own| field(own, "total").or_else(|| field(own, "usage")));
        if let Some(stored) = own.and_then(|own| number(own, "storage_bytes")) {
            parts.push(format!("{} holds {}", self.database, human_format::bytes(stored)));
        }
        let all = self.optional("usage").await?;
        let used = all.as_ref().and_then(|all| field(field(all, "organization")?, "usage"));
        let quotas = self.quotas().await?;
        for (name, quota, what, is_bytes) in
            [("rows_read", "rowsRead", "rows read", false), ("bytes_synced", "bytesSynced", "synced", true)]
        {
            let Some(used) = used.and_then(|used| number(used, name)) else { continue };
            let shown = |amount: u64| if is_bytes { human_format::bytes(amount) } else { human_format::count(amount) };
            let of = quotas.as_ref().and_then(|quotas| number(quotas, quota));
            let of = of.map(|of| format!(" of {}", shown(of))).unwrap_or_default();
            parts.push(format!("{} has used {}{of} {what} this month", self.organization, shown(used)));
        }
        Ok((!parts.is_empty()).then(|| parts.join("; ")))
    }

    /// The quotas of the organization's plan.
    async fn quotas(&self) -> Result<Option<Value>> {
        let Some(subscription) = self.optional("subscription").await? else { return Ok(None) };
        let plan = field(&subscription, "subscription");
        let plan = plan.and_then(|plan| plan.as_str().or_else(|| field(plan, "plan")?.as_str()));
        let Some(plans) = self.optional("plans").await? else { return Ok(None) };
        let plans = field(&plans, "plans").and_then(Value::as_array);
        let mine =
            plans.and_then(|plans| plans.iter().find(|each| field(each, "name").and_then(Value::as_str) == plan));
        Ok(mine.and_then(|mine| field(mine, "quotas")).cloned())
    }

    /// Makes the database take no writes, or take them again, and looks whether it does.
    ///
    /// # Errors
    /// As [`Self::find`]; `SourceRefused` if the API says that nothing has changed.
    pub async fn block_writes(&self, blocked: bool) -> Result<()> {
        let path = format!("databases/{}/configuration", self.database);
        if self.call(&Method::PATCH, &path, Some(json!({"block_writes": blocked}))).await?.is_none() {
            return Err(self.unknown().await?);
        }
        let now = self.call(&Method::GET, &path, None).await?.ok_or_else(unreadable)?;
        if field(&now, "block_writes").and_then(Value::as_bool) == Some(blocked) {
            return Ok(());
        }
        let state = if blocked { "still takes writes" } else { "still takes no writes" };
        Err(Error::new(Kind::SourceRefused, format!("the Platform API agreed, and the database {state}")))
    }

    /// The error for a name that isn't there, with those that are.
    async fn unknown(&self) -> Result<Error> {
        let Some(answer) = self.call(&Method::GET, "databases", None).await? else {
            return Ok(Error::new(Kind::Usage, "there is no such organization, or the API token is not for it")
                .with_hint("the slug for --org is shown by `turso org list`"));
        };
        let databases = field(&answer, "databases").and_then(Value::as_array).ok_or_else(unreadable)?;
        let mut names: Vec<&str> =
            databases.iter().filter_map(|database| field(database, "name").and_then(Value::as_str)).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMES_SHOWN);
        let mut list = names.into_iter().take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        let text = format!("the organization {} has no database {}", self.organization, self.database);
        let hint = if list.is_empty() { "it has none at all".to_owned() } else { format!("it has {list}") };
        Ok(Error::new(Kind::Usage, text).with_hint(hint))
    }

    /// An answer that is welcome but not needed.
    async fn optional(&self, path: &str) -> Result<Option<Value>> {
        match self.call(&Method::GET, path, None).await {
            Err(error) if error.kind() != Kind::Interrupted => Ok(None),
            answer => answer,
        }
    }

    /// Asks below the organization; none for status 404.
    async fn call(&self, method: &Method, path: &str, body: Option<Value>) -> Result<Option<Value>> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = format!("{base}/v1/organizations/{}/{path}", self.organization);
        let mut tries = Tries::new(&self.ctx, Stage::Dump, TRIES);
        loop {
            match self.attempt(self.client.request(method.clone(), &url), body.as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.next(failure).await?,
            }
        }
    }

    async fn attempt(
        &self,
        request: RequestBuilder,
        body: Option<&Value>,
    ) -> std::result::Result<Option<Value>, Failure> {
        let request = body.into_iter().fold(request, RequestBuilder::json);
        let sent = self.ctx.stop.or(request.send()).await?;
        let response = sent.map_err(|_| unreachable("the connection can't be made"))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let bytes = response.bytes().await.map_err(|_| unreachable("its answer broke off"))?;
                Ok(serde_json::from_slice(&bytes).map(Some).map_err(|_| unreadable())?)
            }
            status => {
                Err(refusal(status).map_or_else(|| unreachable(&format!("status {}", status.as_u16())), Failure::Final))
            }
        }
    }
}

/// The error for a status that doesn't pass by itself.
fn refusal(status: StatusCode) -> Option<Error> {
    let denied = |text: &str, hint: &str| Some(Error::new(Kind::SourceDenied, text).with_hint(hint));
    match status {
        StatusCode::UNAUTHORIZED => denied(
            "the Platform API refused access: the API token is invalid or has expired (status 401)",
            "make one with `turso auth api-tokens mint NAME` and set TURSO_API_TOKEN",
        ),
        StatusCode::FORBIDDEN => denied(
            "the Platform API forbids it to this API token (status 403)",
            "the token needs the right to read the database and to mint tokens for it (scope db:mint-token)",
        ),
        StatusCode::PAYMENT_REQUIRED => {
            denied("the Platform API asks for a payment first (status 402)", "see the billing page of the organization")
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => None,
        status if status.is_server_error() => None,
        status => {
            Some(Error::new(Kind::SourceRefused, format!("the Platform API answered with status {}", status.as_u16())))
        }
    }
}

fn unreachable(why: &str) -> Failure {
    let text = format!("the Platform API can't be reached: {why}");
    Failure::Passing(Error::new(Kind::SourceUnreachable, text), None)
}

fn unreadable() -> Error {
    Error::new(Kind::SourceRefused, "the Platform API's answer can't be read")
}

/// A member by its name in any case: the API mixes them.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    field(value, name)?.as_u64()
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}
