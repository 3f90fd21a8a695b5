//! An HTTP server that answers by a script: for what has no real server that tests can have.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Method and path with its query, such as `GET /v1/x?y=z`.
    pub(super) line: String,
    /// The header `authorization`.
    pub(super) authorization: String,
    /// The body.
    pub(super) body: String,
}

/// The server. Gone when dropped.
pub(super) struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// A server that answers with the status and body that the script gives.
    pub(super) fn start(script: impl Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (asked.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.unwrap(), &log, &script);
            }
        });
        Self { port, asked, stop, thread: Some(thread) }
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on which it answers.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, script: &dyn Fn(&Asked) -> (u16, Vec<u8>)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut asked = Asked { line: String::new(), authorization: String::new(), body: String::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end();
        if asked.line.is_empty() {
            line.rsplit_once(' ').unwrap().0.clone_into(&mut asked.line);
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => value.trim().clone_into(&mut asked.authorization),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    asked.body = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push(asked.clone());
    let (status, body) = script(&asked);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).ok();
}
