//! Sends requests to Neon's API, retries them, and waits for operations.
//!
//! Decisions, after Neon's specification: 423, 429 and 503 mean that nothing was done, so every request is sent again;
//! any other failure of a request that changes something is final, because nobody knows whether it was carried out.
//! Nothing counts as done before its operations are.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode, header::RETRY_AFTER, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::Stage,
    retry::{self, Failure, Tries},
    secret::Secret,
    tls_roots,
};

/// Where Neon's API is.
const HOST: &str = "https://console.neon.tech/api/v2";
/// How often a request is sent before its failure counts.
const TRIES: u32 = 8;
/// How long operations are waited for.
const OPERATIONS_MAX: Duration = Duration::from_secs(600);
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A client of Neon's API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    key: Secret<String>,
    client: Client,
    operations_max: Duration,
}

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Lasting,
}

/// Whether this is plain HTTP to this machine, as tests use it.
fn is_plain_loopback(base: &str) -> bool {
    let hosts = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    // Another host may begin with one of these.
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '/']);
    hosts.iter().any(|host| base.strip_prefix(host).is_some_and(ends))
}

impl Api {
    /// Prepares the client; nothing is sent yet. `host` replaces Neon's own address.
    ///
    /// # Errors
    /// `Usage` for an address that would show the key to others.
    pub fn new(key: Secret<String>, host: Option<&str>) -> Result<Self> {
        let base = host.unwrap_or(HOST).trim_end_matches('/').to_owned();
        if !base.starts_with("https://") && !is_plain_loopback(&base) {
            return Err(Error::new(Kind::Usage, "NEON_API_HOST must begin with https://")
                .with_hint(format!("leave it unset to use {HOST}")));
        }
        let failed = || Error::new(Kind::Bug, "the client for Neon's API can't be made");
        let client = Client::builder()
            .use_preconfigured_tls(tls_roots::connector().map_err(|_| failed())?)
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .redirect(redirect::Policy::none())
            .user_agent(concat!("turso2neon/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| failed())?;
        Ok(Self { base, key, client, operations_max: OPERATIONS_MAX })
    }

    /// The same client, which waits no longer than this for operations.
    #[must_use]
    pub fn with_operations_timeout(self, operations_max: Duration) -> Self {
        Self { operations_max, ..self }
    }

    /// Asks.
    ///
    /// # Errors
    /// `TargetUnreachable`, `TargetDenied`, `TargetRejected`, `Interrupted`.
    pub async fn get(&self, ctx: &Context, path: &str) -> Result<Value> {
        self.request(ctx, Method::GET, path, &Value::Null, Effect::None).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, ctx: &Context, path: &str, body: &Value) -> Result<Value> {
        self.request(ctx, Method::POST, path, body, Effect::Lasting).await
    }

    async fn request(&self, ctx: &Context, method: Method, path: &str, body: &Value, effect: Effect) -> Result<Value> {
        let mut tries = Tries::new(ctx, Stage::Push, TRIES);
        loop {
            ctx.stop.check()?;
            match self.attempt(&method, path, body, effect).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.next(failure).await?,
            }
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        effect: Effect,
    ) -> std::result::Result<Value, Failure> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        request = request.bearer_auth(self.key.expose());
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(failure) => {
                let what = if failure.is_timeout() { "no answer in time" } else { "no connection" };
                let error = Error::new(Kind::TargetUnreachable, format!("Neon's API: {what}"));
                return Err(lost(error, effect, failure.is_connect()));
            }
        };
        let status = answer.status();
        let pause = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if answer.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX) {
            return Err(unexpected("a far too long answer").into());
        }
        let Ok(text) = answer.bytes().await else {
            let error = Error::new(Kind::TargetUnreachable, "Neon's API: the answer was cut off");
            return Err(lost(error, effect, false));
        };
        let value: Option<Value> = serde_json::from_slice(&text).ok();
        if status.is_success() {
            return value.ok_or_else(|| unexpected("something that isn't JSON").into());
        }
        let error = refused(status, value.as_ref());
        Err(match status.as_u16() {
            423 | 429 | 503 => Failure::Passing(error, pause.map(Duration::from_secs)),
            500..=599 if effect == Effect::None => Failure::Passing(error, None),
            _ => Failure::Final(error),
        })
    }

    /// Waits for the operations that an answer names.
    ///
    /// # Errors
    /// `TargetRejected` if one fails, `TargetUnreachable` if they take too long, `Interrupted`.
    pub async fn await_operations(&self, ctx: &Context, project: &str, answer: &Value) -> Result<()> {
        let begun = Instant::now();
        let operations = answer.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
        for operation in operations {
            let id = operation.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut status = operation.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            loop {
                match status.as_str() {
                    "finished" | "skipped" => break,
                    "failed" | "error" | "cancelled" => {
                        let text = format!("Neon's operation {} ended as {status}", super::encoded(&id));
                        return Err(
                            Error::new(Kind::TargetRejected, text).with_hint("see the project in Neon's console")
                        );
                    }
                    _ => {}
                }
                if begun.elapsed() > self.operations_max {
                    let seconds = self.operations_max.as_secs();
                    let text = format!("Neon's operation {} isn't done after {seconds} s", super::encoded(&id));
                    return Err(Error::new(Kind::TargetUnreachable, text)
                        .with_hint("see the project in Neon's console, then run the command again"));
                }
                retry::rest(ctx, Duration::from_millis(500)).await?;
                let path = format!("/projects/{}/operations/{}", super::encoded(project), super::encoded(&id));
                let answer = self.get(ctx, &path).await?;
                status = answer.pointer("/operation/status").and_then(Value::as_str).unwrap_or_default().to_owned();
            }
        }
        Ok(())
    }
}

/// A request whose answer didn't come is sent again only if it can't have had an effect.
fn lost(error: Error, effect: Effect, never_sent: bool) -> Failure {
    if effect == Effect::None || never_sent {
        return Failure::Passing(error, None);
    }
    Failure::Final(error.with_hint("look in Neon's console whether it was carried out, then run the command again"))
}

fn refused(status: StatusCode, answer: Option<&Value>) -> Error {
    let kind = match status.as_u16() {
        401 | 403 => Kind::TargetDenied,
        404 => Kind::Usage,
        423 | 429 | 500..=599 => Kind::TargetUnreachable,
        _ => Kind::TargetRejected,
    };
    let words = answer.and_then(|answer| answer.get("message")).and_then(Value::as_str).unwrap_or_default();
    let words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
    let colon = if words.is_empty() { "" } else { ": " };
    let error = Error::new(kind, format!("Neon's API answered {}{colon}{words}", status.as_u16()));
    match kind {
        Kind::TargetDenied => error.with_hint("check NEON_API_KEY, and that it may use this project"),
        Kind::Usage => error.with_hint("check --neon-project and --neon-branch"),
        _ => error,
    }
}

/// The error for an answer that doesn't fit the specification.
pub(super) fn unexpected(what: &str) -> Error {
    Error::new(Kind::TargetRejected, format!("Neon's API gave {what}"))
        .with_hint("check NEON_API_HOST; without it the API of Neon itself is used")
}

/// A part of an answer.
pub(super) fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<T> {
    let value = value.cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|_| unexpected("an answer of another form than its specification"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_nowhere_in_plain_text_but_to_this_machine() {
        let refused = |host: &str| Api::new(Secret::new("key".to_owned()), Some(host)).is_err();
        for host in
            ["http://neon.example", "http://localhost.neon.example", "http://127.0.0.1.neon.example", "ftp://localhost"]
        {
            assert!(refused(host), "{host}");
        }
        for host in [
            "https://neon.example/",
            "http://localhost",
            "http://localhost:81",
            "http://127.0.0.1:81/api",
            "http://[::1]/",
        ] {
            assert!(!refused(host), "{host}");
        }
    }
}
