//! Runs an HTTP server that answers by a script: for what has no real server that tests can have, and for answers that
//! a real one gives on bad days.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use super::process::block_on;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Such as `GET`.
    pub(crate) method: String,
    /// The path with its query, such as `/v1/x?y=z`.
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: String,
}

impl Request {
    fn read(from: impl Read) -> Option<Self> {
        let mut reader = BufReader::new(from);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            Some(line.trim_end().to_owned())
        };
        let first = line()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// A header; empty if it didn't come.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Method and path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What the server at this URL answers to it.
    pub(crate) fn relay(&self, url: &str) -> (u16, Vec<u8>) {
        let method = reqwest::Method::from_bytes(self.method.as_bytes()).unwrap();
        let call = reqwest::Client::new()
            .request(method, format!("{url}{}", self.path))
            .header("authorization", self.header("authorization"))
            .header("content-type", "application/json")
            .body(self.body.clone());
        block_on(async move {
            let answer = call.send().await.unwrap();
            (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
        })
    }
}

/// The bytes of an answer, after which the connection ends.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// A complete answer. Each header ends with a line break.
    pub(crate) fn new(status: u16, headers: &str, body: &[u8]) -> Self {
        Self::of_length(status, headers, body, body.len())
    }

    /// One whose body ends before its announced end.
    pub(crate) fn cut(body: &[u8]) -> Self {
        Self::of_length(200, "content-type: text/plain\r\n", body, body.len() + 1000)
    }

    /// Nothing.
    pub(crate) fn silence() -> Self {
        Self(Vec::new())
    }

    /// These bytes, whether they are HTTP or not.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn of_length(status: u16, headers: &str, body: &[u8], length: usize) -> Self {
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
        Self([head.as_bytes(), body].concat())
    }
}

/// A status and JSON.
impl From<(u16, Vec<u8>)> for Answer {
    fn from((status, body): (u16, Vec<u8>)) -> Self {
        Self::new(status, "content-type: application/json\r\n", &body)
    }
}

/// The server. Gone when dropped.
pub(crate) struct HttpStub {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpStub {
    /// A server that answers with what the script gives.
    pub(crate) fn start<A: Into<Answer>>(script: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::launch(None, move |request| script(request).into())
    }

    /// One that speaks TLS.
    pub(crate) fn with_tls<A: Into<Answer>>(
        tls: native_tls::TlsAcceptor,
        script: impl Fn(&Request) -> A + Send + Sync + 'static,
    ) -> Self {
        Self::launch(Some(tls), move |request| script(request).into())
    }

    fn launch(
        tls: Option<native_tls::TlsAcceptor>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped, script) = (Arc::clone(&requests), Arc::clone(&stop), Arc::new(script));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (tls, log, script) = (tls.clone(), Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || match tls {
                    None => serve(stream, &log, &*script),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream) {
                            serve(stream, &log, &*script);
                        }
                    }
                });
            }
        });
        Self { port, requests, stop, thread: Some(thread) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on which it answers.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpStub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().ok();
    }
}

fn serve(mut stream: impl Read + Write, log: &Mutex<Vec<Request>>, script: &dyn Fn(&Request) -> Answer) {
    let Some(request) = Request::read(&mut stream) else { return };
    log.lock().unwrap().push(request.clone());
    stream.write_all(&script(&request).0).ok();
}
