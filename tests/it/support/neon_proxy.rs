//! A stand-in for Neon's proxy before a real PostgreSQL, with what the real one does that a client can notice:
//!
//! - it asks for SCRAM itself, and says what is wrong after that;
//! - every error is severity ERROR with SQLSTATE XX000, also PostgreSQL's own;
//! - it repeats what its control plane answered for 30 seconds;
//! - TLS records towards the client have 1 KB;
//! - startup parameters other than five are left out, and `BackendKeyData` is not that of the server.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    runtime::Runtime,
};
use tokio_native_tls::{TlsAcceptor, TlsStream};

use super::{
    Target,
    target::{OWNER, PASSWORD},
};

/// How long an answer of the control plane is repeated.
pub(crate) const REPEATED: Duration = Duration::from_secs(30);
/// The content of a TLS record towards the client.
const RECORD: usize = 1024;
const ITERATIONS: u32 = 4096;
const SALT: &[u8] = b"0123456789abcdef";
/// Startup parameters that reach the server.
const KEPT: [&str; 5] = ["user", "database", "application_name", "replication", "options"];

/// What is said to a client instead of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// By the proxy itself, once.
    Proxy(&'static str),
    /// By the control plane: repeated to whoever comes within [`REPEATED`].
    ControlPlane(&'static str),
}

/// The proxy. Gone, with its connections, when dropped.
pub(crate) struct NeonProxy {
    port: u16,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    socket: PathBuf,
    acceptor: TlsAcceptor,
    salted: [u8; 32],
    refusals: Mutex<Refusals>,
    connections: AtomicU64,
    sessions: AtomicU64,
    orderly: AtomicU64,
    cut: AtomicU64,
}

#[derive(Default)]
struct Refusals {
    coming: Vec<Refusal>,
    repeated: Option<(&'static str, Instant)>,
}

impl Refusals {
    fn next(&mut self) -> Option<&'static str> {
        if let Some((text, _)) = self.repeated.filter(|(_, since)| since.elapsed() < REPEATED) {
            return Some(text);
        }
        self.repeated = None;
        if self.coming.is_empty() {
            return None;
        }
        match self.coming.remove(0) {
            Refusal::Proxy(text) => Some(text),
            Refusal::ControlPlane(text) => {
                self.repeated = Some((text, Instant::now()));
                Some(text)
            }
        }
    }
}

impl NeonProxy {
    /// Before the target, with its certificate. Refuses the first connections with these.
    pub(crate) fn start(target: &Target, refusals: &[Refusal]) -> Self {
        Self::with_certificate(target, &target.socket_directory(), refusals)
    }

    /// With the certificate `server.pem` and its key `server.key` of a directory.
    pub(crate) fn with_certificate(target: &Target, certificates: &Path, refusals: &[Refusal]) -> Self {
        let pem = std::fs::read(certificates.join("server.pem")).unwrap();
        let key = std::fs::read(certificates.join("server.key")).unwrap();
        let identity = native_tls::Identity::from_pkcs8(&pem, &key).unwrap();
        let acceptor = TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).unwrap());
        let shared = Arc::new(Shared {
            socket: target.socket_directory().join(format!(".s.PGSQL.{}", target.port())),
            acceptor,
            salted: salted_password(PASSWORD.as_bytes()),
            refusals: Mutex::new(Refusals { coming: refusals.to_vec(), repeated: None }),
            connections: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            orderly: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                inner.connections.fetch_add(1, SeqCst);
                let shared = Arc::clone(&inner);
                tokio::spawn(async move { serve(&shared, client).await.ok() });
            }
        });
        Self { port, shared, runtime: Some(runtime) }
    }

    /// Where clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Sessions so far, of those connections.
    pub(crate) fn sessions(&self) -> u64 {
        self.shared.sessions.load(SeqCst)
    }

    /// Sessions that ended with `close_notify`, and those that ended without, once all have ended.
    pub(crate) fn ends(&self) -> (u64, u64) {
        let begun = Instant::now();
        loop {
            let (orderly, cut) = (self.shared.orderly.load(SeqCst), self.shared.cut.load(SeqCst));
            if orderly + cut == self.sessions() || begun.elapsed() > Duration::from_secs(5) {
                return (orderly, cut);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for NeonProxy {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    client.write_all(b"S").await?;
    // The client may refuse the certificate.
    let mut client = shared.acceptor.accept(client).await.map_err(io::Error::other)?;
    let mut length = [0; 4];
    client.read_exact(&mut length).await?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut startup).await?;
    let parameters = kept_parameters(&startup);
    if !authenticate(shared, &mut client).await? {
        let text = format!("password authentication failed for user '{OWNER}'");
        return refuse(&mut client, &text).await;
    }
    let refusal = shared.refusals.lock().unwrap().next();
    if let Some(text) = refusal {
        if !text.starts_with("password authentication failed") {
            client.write_all(&message(b'R', &0_u32.to_be_bytes())).await?;
        }
        return refuse(&mut client, text).await;
    }
    client.write_all(&message(b'R', &0_u32.to_be_bytes())).await?;
    let Ok(mut server) = UnixStream::connect(&shared.socket).await else {
        return refuse(&mut client, "Couldn't connect to compute node").await;
    };
    let length = u32::try_from(parameters.len() + 8).unwrap();
    server.write_all(&[&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), &parameters].concat()).await?;
    if begin_session(&mut client, &mut server).await? {
        shared.sessions.fetch_add(1, SeqCst);
        relay(shared, client, server).await;
    }
    Ok(())
}

/// The parameters that reach the server, without those in `options` that are for the proxy.
fn kept_parameters(startup: &[u8]) -> Vec<u8> {
    let words: Vec<&str> =
        startup[4..].split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap()).collect();
    let mut kept = Vec::new();
    for pair in words.chunks_exact(2).filter(|pair| KEPT.contains(&pair[0])) {
        let of_proxy = |word: &&str| word.starts_with("endpoint=") || word.starts_with("project=");
        let value = match pair[0] {
            "options" => pair[1].split(' ').filter(|word| !of_proxy(word)).collect::<Vec<_>>().join(" "),
            _ => pair[1].to_owned(),
        };
        kept.extend([pair[0], "\0", &value, "\0"].concat().into_bytes());
    }
    kept.push(0);
    kept
}

/// Passes on how the server begins the session, with another key for cancelling. Says whether there is a session.
async fn begin_session(client: &mut TlsStream<TcpStream>, server: &mut UnixStream) -> io::Result<bool> {
    loop {
        let (kind, body) = read_message(server).await?;
        match kind {
            b'R' => {}
            b'E' => {
                let text = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M")).unwrap();
                refuse(client, std::str::from_utf8(text).unwrap()).await?;
                return Ok(false);
            }
            b'K' => client.write_all(&message(b'K', &[0x5A; 8])).await?,
            kind => client.write_all(&message(kind, &body)).await?,
        }
        if kind == b'Z' {
            return Ok(true);
        }
    }
}

/// Passes bytes on in both directions until one of them ends.
async fn relay(shared: &Shared, client: TlsStream<TcpStream>, server: UnixStream) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let end = pass(&mut from_client, &mut to_server, 64 << 10).await;
        // With OpenSSL 3, an end without close_notify is an error.
        let counter = if end.is_ok() { &shared.orderly } else { &shared.cut };
        counter.fetch_add(1, SeqCst);
    };
    let back = async {
        pass(&mut from_server, &mut to_client, RECORD).await.ok();
        // The server has ended the session, as it does after the client's farewell. The client still closes its side.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        () = there => {}
        () = back => { shared.cut.fetch_add(1, SeqCst); }
    }
}

async fn pass(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), most: usize) -> io::Result<()> {
    let mut buffer = vec![0; most];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        // What can no longer be delivered is no matter of who sent it.
        if to.write_all(&buffer[..count]).await.is_ok() {
            to.flush().await.ok();
        }
    }
}

async fn refuse(client: &mut TlsStream<TcpStream>, text: &str) -> io::Result<()> {
    client.write_all(&message(b'E', format!("SERROR\0CXX000\0M{text}\0\0").as_bytes())).await?;
    client.shutdown().await
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head).await?;
    let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok((head[0], body))
}

/// The SASL exchange (RFC 5802, RFC 5929). Says whether the client knows the password.
async fn authenticate(shared: &Shared, client: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    let mechanisms = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    client.write_all(&message(b'R', mechanisms)).await?;
    let (_, first) = read_message(client).await?;
    let name = first.iter().position(|byte| *byte == 0).unwrap();
    let first = String::from_utf8(first[name + 5..].to_vec()).unwrap();
    let (_, client_first) = first.split_once(",,").unwrap();
    let (_, nonce) = client_first.split_once(",r=").unwrap();
    let server_first = format!("r={nonce}3rfcNHYJY1ZVvWVs7j,s={},i={ITERATIONS}", BASE64.encode(SALT));
    client.write_all(&message(b'R', &[&11_u32.to_be_bytes()[..], server_first.as_bytes()].concat())).await?;
    let (_, last) = read_message(client).await?;
    let last = String::from_utf8(last).unwrap();
    let (client_last, proof) = last.rsplit_once(",p=").unwrap();
    let signed = format!("{client_first},{server_first},{client_last}");
    let client_key = hmac(&shared.salted, b"Client Key");
    let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
    let expected: Vec<u8> = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
    if BASE64.decode(proof).unwrap() != expected {
        return Ok(false);
    }
    let proof = format!("v={}", BASE64.encode(hmac(&hmac(&shared.salted, b"Server Key"), signed.as_bytes())));
    client.write_all(&message(b'R', &[&12_u32.to_be_bytes()[..], proof.as_bytes()].concat())).await?;
    Ok(true)
}

fn salted_password(password: &[u8]) -> [u8; 32] {
    let mut block = hmac(password, &[SALT, &1_u32.to_be_bytes()].concat());
    let mut salted = block;
    for _ in 1..ITERATIONS {
        block = hmac(password, &block);
        salted.iter_mut().zip(block).for_each(|(salted, byte)| *salted ^= byte);
    }
    salted
}

/// HMAC-SHA-256 (RFC 2104) with a key that fits into a block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(padded, key)| *padded ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5C)).chain_update(inner).finalize().into()
}
