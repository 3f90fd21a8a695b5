//! A server between the tool and a real one, which passes requests on and corrupts responses at chosen bytes.
//!
//! Unlike [`crate::support::fault_proxy`] it understands HTTP: an answer may end early and yet in order, lose or repeat
//! bytes, come in another form altogether, or come over TLS.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What becomes of an answer. Places count bytes of its body from 0, in the form in which the server sent it.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The connection closes here.
    Cut(u64),
    /// The answer ends here, in order.
    End(u64),
    /// A bit of the byte here is turned.
    Flip(u64, u8),
    /// So many bytes are left out from here on.
    Drop(u64, u64),
    /// The last so many bytes come again here.
    Repeat(u64, u64),
    /// Nothing comes for so long from here on.
    Pause(u64, Duration),
    /// Status, content type and body instead.
    Instead(u16, &'static str, &'static str),
    /// A redirection to there.
    Moved(String),
    /// The connection closes without a word.
    Silence,
}

/// A fault for a path and the number of the request to it, counted from 0.
type Script = dyn Fn(&str, u32) -> Fault + Send + Sync;

/// What went through.
#[derive(Debug, Default)]
struct Seen {
    /// Requests per path.
    requests: HashMap<String, u32>,
    /// The longest answer's body per path.
    longest: HashMap<String, u64>,
    /// Bodies of requests to `/v3/` paths.
    questions: Vec<String>,
}

/// The proxy. Gone when dropped.
pub(super) struct Proxy {
    port: u16,
    is_tls: bool,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy to this port on loopback.
    pub(super) fn to(port: u16, script: impl Fn(&str, u32) -> Fault + Send + Sync + 'static) -> Self {
        Self::launch(port, None, script)
    }

    /// One that speaks TLS.
    pub(super) fn with_tls(port: u16, tls: native_tls::TlsAcceptor) -> Self {
        Self::launch(port, Some(tls), |_, _| Fault::None)
    }

    fn launch(
        far: u16,
        tls: Option<native_tls::TlsAcceptor>,
        script: impl Fn(&str, u32) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let is_tls = tls.is_some();
        let (log, stopped, script) = (seen.clone(), stop.clone(), Arc::new(script));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, tls) = (stream.unwrap(), tls.clone());
                let (log, stopped, script) = (log.clone(), stopped.clone(), script.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, far, &*script, &log, &stopped),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream) {
                            serve(stream, far, &*script, &log, &stopped);
                        }
                    }
                });
            }
        });
        Self { port, is_tls, seen, stop, thread: Some(thread) }
    }

    /// Where the tool finds it.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Bytes of the longest answer to requests to this path.
    pub(super) fn longest(&self, path: &str) -> u64 {
        self.seen.lock().unwrap().longest.get(path).copied().unwrap_or(0)
    }

    /// The SQL of the request, as JSON.
    pub(super) fn questions(&self) -> Vec<String> {
        self.seen.lock().unwrap().questions.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(near: impl Read + Write, far: u16, script: &Script, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut near = BufReader::new(near);
    let Some((head, path, body)) = request(&mut near) else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        if path.contains("/v3/") {
            seen.questions.push(String::from_utf8_lossy(&body).into_owned());
        }
        let count = seen.requests.entry(path.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let near = near.get_mut();
    let fault = script(&path, number);
    let instead = |status: u16, more: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\n{more}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    match &fault {
        Fault::Instead(status, kind, body) => {
            near.write_all(instead(*status, &format!("content-type: {kind}"), body).as_bytes()).ok();
            return;
        }
        Fault::Moved(place) => {
            near.write_all(instead(307, &format!("location: {place}"), "").as_bytes()).ok();
            return;
        }
        Fault::Silence => return,
        _ => {}
    }
    // A server that has just been stopped may not be there.
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", far)) else { return };
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    if server.write_all(&[head.as_bytes(), &body].concat()).is_err() {
        return;
    }
    let mut answer = Answer { reader: BufReader::new(server), stop, left: Length::Unknown };
    let Some(head) = answer.head() else { return };
    if near.write_all(head.as_bytes()).is_err() {
        return;
    }
    let mut faulty = FaultyBody { near, fault, at: 0, recent: Vec::new() };
    let ended = loop {
        match answer.piece() {
            Ok(Some(piece)) if faulty.pass(&piece) => {}
            Ok(Some(_)) => break false,
            Ok(None) => break true,
            Err(_) => break false,
        }
        note(seen, &path, &faulty);
    };
    note(seen, &path, &faulty);
    if ended || matches!(faulty.fault, Fault::End(place) if place <= faulty.at) {
        faulty.near.write_all(b"0\r\n\r\n").ok();
    }
}

fn note(seen: &Mutex<Seen>, path: &str, faulty: &FaultyBody<'_, impl Write>) {
    let mut seen = seen.lock().unwrap();
    let longest = seen.longest.entry(path.to_owned()).or_default();
    *longest = faulty.at.max(*longest);
}

/// The request as it is passed on, its path, and its body.
fn request(near: &mut impl BufRead) -> Option<(String, String, Vec<u8>)> {
    let (mut head, mut path, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if near.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if path.is_empty() {
            line.split(' ').nth(1)?.clone_into(&mut path);
        } else if line == "\r\n" {
            break;
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name == "content-length" {
            length = line.split(':').nth(1)?.trim().parse().ok()?;
        }
        if name != "connection" {
            head.push_str(&line);
        }
    }
    head.push_str("connection: close\r\n\r\n");
    let mut body = vec![0; length];
    near.read_exact(&mut body).ok()?;
    Some((head, path, body))
}

/// How much of an answer's body is to come.
enum Length {
    /// All until the connection closes.
    Unknown,
    /// So many bytes.
    Known(u64),
    /// So many of the present chunk; more chunks follow.
    Chunk(u64),
}

/// The real server's answer.
struct Answer<'a> {
    reader: BufReader<TcpStream>,
    stop: &'a AtomicBool,
    left: Length,
}

impl Answer<'_> {
    /// What has come and wasn't taken; waits for it until the proxy is stopped.
    fn buffer(&mut self) -> std::io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(cause) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&cause.kind()) => {
                    if self.stop.load(Ordering::SeqCst) {
                        return Err(cause);
                    }
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(self.reader.buffer())
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let Some(byte) = self.buffer()?.first().copied() else { return Err(ErrorKind::UnexpectedEof.into()) };
            self.reader.consume(1);
            line.push(byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Status and headers as they are passed on.
    fn head(&mut self) -> Option<String> {
        let mut head = format!("{}\r\n", self.line().ok()?);
        loop {
            let line = self.line().ok()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => self.left = Length::Known(value.trim().parse().ok()?),
                "transfer-encoding" => self.left = Length::Chunk(0),
                "connection" => {}
                _ => head.push_str(&format!("{line}\r\n")),
            }
        }
        head.push_str("transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        Some(head)
    }

    /// The next bytes of the body; none at its end.
    fn piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let most = match self.left {
            Length::Unknown => u64::MAX,
            Length::Known(0) => return Ok(None),
            Length::Known(left) => left,
            Length::Chunk(0) => {
                let size = u64::from_str_radix(&self.line()?, 16).map_err(|_| ErrorKind::InvalidData)?;
                if size == 0 {
                    return Ok(None);
                }
                self.left = Length::Chunk(size);
                size
            }
            Length::Chunk(left) => left,
        };
        let buffer = self.buffer()?;
        let count = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let piece = buffer[..count].to_vec();
        self.reader.consume(count);
        match &mut self.left {
            Length::Unknown if count == 0 => return Ok(None),
            _ if count == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            Length::Unknown => {}
            Length::Known(left) => *left -= count as u64,
            Length::Chunk(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.line()?;
                }
            }
        }
        Ok(Some(piece))
    }
}

/// Passes a body on with its fault.
struct FaultyBody<'a, W: Write> {
    near: &'a mut W,
    fault: Fault,
    /// Bytes that the server sent so far.
    at: u64,
    /// The last of them.
    recent: Vec<u8>,
}

impl<W: Write> FaultyBody<'_, W> {
    /// Passes a piece on; says no if the answer is over.
    fn pass(&mut self, piece: &[u8]) -> bool {
        let begun = self.at;
        self.at += piece.len() as u64;
        let inside = |place: u64| {
            let offset = place.checked_sub(begun).and_then(|offset| usize::try_from(offset).ok());
            offset.filter(|offset| *offset < piece.len())
        };
        let (mut bytes, mut over) = (piece.to_vec(), false);
        match self.fault {
            Fault::Cut(place) | Fault::End(place) => {
                if let Some(offset) = inside(place) {
                    bytes.truncate(offset);
                    over = true;
                }
            }
            Fault::Flip(place, bit) => {
                if let Some(offset) = inside(place) {
                    bytes[offset] ^= 1 << bit;
                }
            }
            Fault::Drop(place, count) => {
                let mut number = begun;
                bytes.retain(|_| {
                    number += 1;
                    !(place..place + count).contains(&(number - 1))
                });
            }
            Fault::Repeat(place, count) => {
                if let Some(offset) = inside(place) {
                    let mut before = self.recent.clone();
                    before.extend_from_slice(&piece[..offset]);
                    let from = before.len().saturating_sub(usize::try_from(count).unwrap());
                    bytes = [&piece[..offset], &before[from..], &piece[offset..]].concat();
                }
            }
            Fault::Pause(place, time) if inside(place).is_some() => {
                std::thread::sleep(time);
            }
            _ => {}
        }
        self.recent.extend_from_slice(piece);
        let excess = self.recent.len().saturating_sub(16 * 1024);
        self.recent.drain(..excess);
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
        // An empty chunk would end the body.
        let passed = bytes.is_empty() || self.near.write_all(&chunk).is_ok();
        passed && self.near.flush().is_ok() && !over
    }
}
