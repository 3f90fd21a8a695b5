//! The one HTTP client of the source: TLS, timeouts, retries, and what each answer means.
//!
//! Decisions: gzip only (a libSQL server spends minutes of CPU on brotli); no limit on the whole of a request, only
//! on silence; redirects only to the same host, so that no token goes elsewhere.
//!
//! Invariant: a body is never quoted and a library's error never kept; a message holds status, content type and the
//! address without query.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use reqwest::{
    Certificate, Client, ClientBuilder, Method, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};

use super::{
    endpoint::Endpoint,
    hrana::{self, StatementAnswer},
    token,
};
use crate::{
    context::{Cancellation, Context},
    error::{Error, Kind, Result},
    model::Stage,
    retry::{self, Failure, Tries},
    secret::Secret,
    tls_failure::{self, TlsFailure},
    tls_roots,
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may say nothing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a request is sent before its failure counts.
const TRIES: u32 = 4;

/// Bytes of a pipeline's answer that are read at most; servers stop at 10 MB themselves.
const PIPELINE_BYTES_MAX: usize = 64 << 20;

/// How to reach a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings<'a> {
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// The token, wherever it came from.
    pub token: Option<&'a Secret<String>>,
    /// A PEM file of certificates to trust besides the system's.
    pub ca_file: Option<&'a Path>,
    /// The namespace, where a server has several and doesn't tell them apart by host name.
    pub namespace: Option<&'a str>,
    /// The present time, to say that a token has expired: seconds since 1970.
    pub now_s: u64,
}

/// A libSQL server. Cheap to share; holds no transaction.
pub struct Server {
    client: Client,
    endpoint: Endpoint,
    token: Option<Secret<String>>,
    namespace: Option<String>,
    authorization: Option<HeaderValue>,
    now_s: u64,
    ctx: Context,
}

impl Server {
    /// Prepares the client; nothing is sent yet.
    ///
    /// # Errors
    /// `Usage` for a CA file, token or namespace that can't be used.
    pub fn new(ctx: &Context, settings: &ServerSettings<'_>) -> Result<Self> {
        let headers = headers(settings)?;
        let authorization = headers.get(AUTHORIZATION).cloned();
        let client = client(headers, settings.ca_file, SILENCE_TIMEOUT)?;
        Ok(Self {
            client,
            endpoint: settings.endpoint.clone(),
            token: settings.token.cloned(),
            namespace: settings.namespace.map(str::to_owned),
            authorization,
            now_s: settings.now_s,
            ctx: ctx.clone(),
        })
    }

    /// Runs statements one after the other outside any transaction, and gives each one's rows or error code.
    ///
    /// # Errors
    /// `SourceUnreachable`, `SourceDenied`, `SourceRefused`, `SourceTruncated`, `Interrupted`.
    pub async fn query(&self, statements: &[&str]) -> Result<Vec<StatementAnswer>> {
        let request = hrana::pipeline_body(statements.iter().copied());
        let newer = self.probe_whole(&json_call("v3/pipeline", request), PIPELINE_BYTES_MAX).await?;
        let body = if newer.is_there {
            newer.body
        } else {
            // Servers of Hrana 2 give the same answer in another place.
            let request = hrana::older_pipeline_body(statements.iter().copied());
            self.send_whole(&json_call("v2/pipeline", request), PIPELINE_BYTES_MAX).await?
        };
        hrana::parse_pipeline(&body, statements.len()).ok_or_else(|| self.refused(not_hrana(&body)))
    }

    /// The error for an answer that isn't what was asked for.
    #[must_use]
    pub fn refused(&self, why: &str) -> Error {
        Error::new(Kind::SourceRefused, format!("{} doesn't answer as a libSQL server: {why}", self.endpoint))
    }

    /// Whether nobody on the way can change what is sent without notice.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.endpoint.is_encrypted()
    }

    pub(super) fn ctx(&self) -> &Context {
        &self.ctx
    }

    pub(super) fn stop(&self) -> &Cancellation {
        &self.ctx.stop
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The namespace that was named.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What proves who we are, for protocols that look for it in a header of their own.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// The token's words for `refused access`, for protocols that say so elsewhere than in the status.
    pub(super) fn denied(&self, how: &str) -> Error {
        let why = match (&self.token, self.endpoint.basic()) {
            (None, Some(_)) => "the server says that the user or the password is wrong".to_owned(),
            (token, _) => token::refusal(token.as_ref(), self.now_s),
        };
        Error::new(Kind::SourceDenied, format!("{} refused access: {why} ({how})", self.endpoint))
    }

    /// Sends a request until it is accepted, its refusal is final, or the tries are used up.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response> {
        match self.ask(call, false).await? {
            ProbeResponse::Answered(response) => Ok(response),
            // Only a probe is told so.
            ProbeResponse::Absent(response) => {
                Err(self.refused(&format!("it answered with status {}", response.status().as_u16())))
            }
        }
    }

    /// The same for a path that a server need not have.
    pub(super) async fn probe(&self, call: &Call<'_>) -> Result<ProbeResponse> {
        self.ask(call, true).await
    }

    async fn ask(&self, call: &Call<'_>, may_lack: bool) -> Result<ProbeResponse> {
        let mut tries = Tries::new(&self.ctx, Stage::Dump, TRIES);
        loop {
            let request = self.client.request(call.method.clone(), self.endpoint.path(call.path));
            let request = request.headers(call.headers.clone()).header(CONTENT_TYPE, call.content_type);
            let request = request.body(call.body.clone());
            let failure = match self.ctx.stop.or(request.send()).await? {
                Ok(response) if may_lack && is_absent(&response) => return Ok(ProbeResponse::Absent(response)),
                Ok(response) => match self.classify(&response) {
                    None => return Ok(ProbeResponse::Answered(response)),
                    Some(failure) => failure,
                },
                Err(failure) => self.unreachable(&failure),
            };
            tries.next(failure).await?;
        }
    }

    /// Says that something is tried again and waits.
    ///
    /// # Errors
    /// `Interrupted`.
    pub async fn wait(&self, reason: &str, attempt: u32) -> Result<()> {
        retry::wait_because(&self.ctx, Stage::Dump, reason, attempt).await
    }

    fn classify(&self, response: &Response) -> Option<Failure> {
        let status = response.status();
        let address = &self.endpoint;
        let failed = |kind, message: String| Error::new(kind, message);
        Some(match status {
            StatusCode::OK if is_html(response) => Failure::Final(self.refused("it sent a web page")),
            StatusCode::OK => return None,
            StatusCode::UNAUTHORIZED => Failure::Final(self.denied("status 401")),
            StatusCode::FORBIDDEN => Failure::Final(
                failed(Kind::SourceDenied, format!("{address} forbids reading this database (status 403)")).with_hint(
                    "check that the token is for this database, and that its allow-list admits this machine",
                ),
            ),
            StatusCode::NOT_FOUND => Failure::Final(
                failed(Kind::SourceRefused, format!("{address} has no such database or isn't a libSQL server (404)"))
                    .with_hint("check the host name, the --namespace, and that the token is for this database"),
            ),
            _ if status.is_redirection() => Failure::Final(self.refused("it redirects to another address")),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Failure::Passing(
                failed(Kind::SourceUnreachable, format!("{address} is too busy (status {})", status.as_u16())),
                retry_after(response),
            ),
            _ if status.is_server_error() => Failure::Passing(
                failed(Kind::SourceUnreachable, format!("{address} failed (status {})", status.as_u16())),
                retry_after(response),
            ),
            _ => Failure::Final(self.refused(&format!("it answered with status {}", status.as_u16()))),
        })
    }

    fn unreachable(&self, failure: &reqwest::Error) -> Failure {
        let address = &self.endpoint;
        let error = |why: &str| Error::new(Kind::SourceUnreachable, format!("{address} can't be reached: {why}"));
        match tls_failure::of(failure) {
            Some(TlsFailure::Certificate(_)) => {
                let hint = "use the host name of the certificate, or name its CA with --ca-file";
                return Failure::Final(error("its certificate is not trusted").with_hint(hint));
            }
            Some(TlsFailure::NotTls) => {
                let hint = "for a server without TLS give http://HOST:PORT or libsql://HOST:PORT?tls=0";
                return Failure::Final(error("it doesn't speak TLS").with_hint(hint));
            }
            Some(TlsFailure::Ended | TlsFailure::Other) | None => {}
        }
        let refused = |cause: &io::Error| cause.kind() == io::ErrorKind::ConnectionRefused;
        let why = if cause::<UnknownHost>(failure).is_some() {
            "its name is not known"
        } else if cause::<io::Error>(failure).is_some_and(refused) {
            "nobody listens there"
        } else if failure.is_timeout() {
            "it doesn't answer in time"
        } else if failure.is_connect() {
            "the connection can't be made"
        } else {
            "the connection broke"
        };
        Failure::Passing(error(why), None)
    }
}

/// A client with these headers in every request, that waits so long for a server that says nothing.
pub(super) fn client(headers: HeaderMap, ca_file: Option<&Path>, silence: Duration) -> Result<Client> {
    let mut builder = Client::builder()
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(silence)
        .redirect(same_host_only())
        .dns_resolver(Arc::new(Resolver))
        .user_agent(concat!("turso2neon/", env!("CARGO_PKG_VERSION")));
    let failed = || Error::new(Kind::Usage, "the TLS client can't be set up; check the certificates");
    builder = match ca_file {
        Some(path) => certificates(path)?.into_iter().fold(builder, ClientBuilder::add_root_certificate),
        None => builder.use_preconfigured_tls(tls_roots::connector().map_err(|_| failed())?),
    };
    builder.build().map_err(|_| failed())
}

/// Whether a failure means that the server said nothing for too long.
pub(super) fn is_silence(failure: &reqwest::Error) -> bool {
    failure.is_timeout()
}

/// Why a body isn't what was asked for, in words that don't quote it.
#[must_use]
pub fn not_hrana(body: &[u8]) -> &'static str {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "its answer is empty",
        Some(b'<') => "it sent a web page",
        Some(_) => "its answer is not Hrana 3",
    }
}

/// The error for a statement that the server refused with this code.
#[must_use]
pub fn statement_refused(doing: &str, code: &str) -> Error {
    if code == "BLOCKED" {
        return Error::new(Kind::SourceDenied, format!("{doing}: the server blocks reading (BLOCKED)")).with_hint(
            "the plan's quota is used up or reads are blocked; see the usage in the dashboard or with `turso plan show`",
        );
    }
    Error::new(Kind::SourceRefused, format!("{doing}: the server refused the statement ({code})"))
}

/// What is sent to one of the server's paths.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Without the leading slash.
    pub(super) path: &'a str,
    pub(super) content_type: &'static str,
    /// Besides those of every request.
    pub(super) headers: HeaderMap,
    pub(super) body: bytes::Bytes,
}

pub(super) fn json_call(path: &str, body: String) -> Call<'_> {
    let content_type = "application/json";
    Call { method: Method::POST, path, content_type, headers: HeaderMap::new(), body: body.into() }
}

/// What a probe found.
pub(super) enum ProbeResponse {
    /// The server has the path.
    Answered(Response),
    /// It doesn't, and said so with this status.
    Absent(Response),
}

/// Whether a server says that it has no such path, or none for such a request.
fn is_absent(response: &Response) -> bool {
    let status = response.status().as_u16();
    // A web page of another status is what something in between says of a failure.
    matches!(status, 400 | 404 | 405 | 406 | 415 | 501) || (status == 200 && is_html(response))
}

fn headers(settings: &ServerSettings<'_>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let authorization = match (settings.token, settings.endpoint.basic()) {
        (Some(token), _) => Some(format!("Bearer {}", token.expose())),
        (None, Some(basic)) => Some(format!("Basic {}", hrana::base64_padded(basic.expose().as_bytes()))),
        (None, None) => None,
    };
    if let Some(text) = authorization {
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Error::new(Kind::Usage, "the source's token can't be sent: it isn't one line of text"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(namespace) = settings.namespace {
        if namespace.is_empty() {
            return Err(Error::new(Kind::Usage, "the namespace is empty"));
        }
        let value = HeaderValue::from_str(&hrana::base64_bare(namespace.as_bytes()))
            .map_err(|_| Error::new(Kind::Usage, "the namespace can't be sent"))?;
        headers.insert("x-namespace-bin", value);
    }
    Ok(headers)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let pem = std::fs::read_to_string(path)
        .map_err(|cause| Error::io(Kind::Usage, "reading the CA file", path, &cause).with_hint("see --ca-file"))?;
    let unusable = || {
        Error::new(Kind::Usage, format!("the CA file {} holds no certificate in PEM form", path.display()))
            .with_hint("a PEM certificate begins with -----BEGIN CERTIFICATE-----")
    };
    let blocks: Vec<&str> = pem.split_inclusive(END).filter(|block| block.ends_with(END)).collect();
    if blocks.is_empty() {
        return Err(unusable());
    }
    blocks.into_iter().map(|block| Certificate::from_pem(block.as_bytes()).map_err(|_| unusable())).collect()
}

fn same_host_only() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt.previous().first().is_some_and(|first| {
            first.host() == attempt.url().host()
                && first.port_or_known_default() == attempt.url().port_or_known_default()
                && first.scheme() == attempt.url().scheme()
        });
        if same && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
    })
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The cause of a failure that is of this type.
fn cause<T: std::error::Error + 'static>(failure: &reqwest::Error) -> Option<&T> {
    let first: &(dyn std::error::Error + 'static) = failure;
    std::iter::successors(Some(first), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// Looks names up as the system does. Its failure has a type of its own, because the system's has none.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| UnknownHost)?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// A host whose name the system doesn't know.
#[derive(Debug)]
struct UnknownHost;

impl fmt::Display for UnknownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host name is not known")
    }
}

impl std::error::Error for UnknownHost {}
