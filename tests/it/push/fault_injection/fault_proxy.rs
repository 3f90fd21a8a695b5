//! A stretch of network that breaks by itself: after so many bytes, or around a COMMIT, whose answer it can swallow.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// When it breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trigger {
    /// Never; bytes and commits are counted.
    Never,
    /// After so many bytes in both directions: silence for a while, then every connection is cut or goes on.
    Byte {
        /// The byte.
        at: u64,
        /// The silence.
        silence: Duration,
        /// Whether the connections go on after it.
        heals: bool,
    },
    /// At the COMMIT of this number, counted from 1. Only without TLS.
    Commit {
        /// The number.
        number: usize,
        /// What becomes of it.
        fate: Fate,
    },
}

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// It doesn't arrive.
    Lost,
    /// It arrives, and the connection is cut at the same moment.
    Racing,
    /// It is done, and the answer doesn't arrive.
    Unanswered,
}

/// Forwards connections to a port on loopback.
pub(super) struct Snare {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    trigger: Trigger,
    /// The client's messages can be read.
    plain: bool,
    bytes: AtomicU64,
    commits: AtomicUsize,
    sprung: AtomicBool,
    silent: AtomicBool,
    closed: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// One connection.
struct Line {
    shared: Arc<Shared>,
    /// Answers are swallowed.
    mute: AtomicBool,
    /// One was.
    swallowed: AtomicBool,
}

impl Snare {
    pub(super) fn to(server: u16, plain: bool, trigger: Trigger) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            trigger,
            plain,
            bytes: AtomicU64::new(0),
            commits: AtomicUsize::new(0),
            sprung: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if inner.closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    connect(&inner, client);
                }
            }
        });
        Self { port, shared }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes and commits so far.
    pub(super) fn counted(&self) -> (u64, usize) {
        (self.shared.bytes.load(Ordering::SeqCst), self.shared.commits.load(Ordering::SeqCst))
    }

    /// Whether it broke.
    pub(super) fn sprung(&self) -> bool {
        self.shared.sprung.load(Ordering::SeqCst)
    }
}

impl Drop for Snare {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.cut();
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Shared {
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// How many of these bytes still pass before it breaks, if it breaks within them.
    fn breaks_within(&self, count: usize) -> Option<usize> {
        let before = self.bytes.fetch_add(count as u64, Ordering::SeqCst);
        let Trigger::Byte { at, .. } = self.trigger else { return None };
        let hit = before <= at && before + count as u64 > at && !self.sprung.swap(true, Ordering::SeqCst);
        hit.then(|| usize::try_from(at - before).unwrap())
    }

    /// The silence, and what comes after it. Says whether the connections go on.
    fn fall_silent(&self) -> bool {
        let Trigger::Byte { silence, heals, .. } = self.trigger else { return true };
        self.silent.store(true, Ordering::SeqCst);
        std::thread::sleep(silence);
        if !heals {
            self.cut();
        }
        self.silent.store(false, Ordering::SeqCst);
        heals
    }

    fn wait_while_silent(&self) {
        while self.silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    shared.streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let line =
        Arc::new(Line { shared: Arc::clone(shared), mute: AtomicBool::new(false), swallowed: AtomicBool::new(false) });
    let (from, to, there) = (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&line));
    std::thread::spawn(move || there.forward(from, to, there.shared.plain));
    std::thread::spawn(move || line.forward(server, client, false));
}

impl Line {
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, reads_messages: bool) {
        let mut buffer = vec![0; 16 << 10];
        let mut messages = reads_messages.then(Messages::default);
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let bytes = &buffer[..count];
            if messages.is_none() && self.mute.load(Ordering::SeqCst) {
                self.swallowed.store(true, Ordering::SeqCst);
                continue;
            }
            self.shared.wait_while_silent();
            let sent = match &mut messages {
                Some(messages) => self.pass_messages(messages, bytes, &mut to),
                None => self.pass(bytes, &mut to),
            };
            if !sent {
                break;
            }
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }

    fn pass(&self, bytes: &[u8], to: &mut TcpStream) -> bool {
        let Some(part) = self.shared.breaks_within(bytes.len()) else { return to.write_all(bytes).is_ok() };
        to.write_all(&bytes[..part]).is_ok() && self.shared.fall_silent() && to.write_all(&bytes[part..]).is_ok()
    }

    fn pass_messages(&self, messages: &mut Messages, bytes: &[u8], to: &mut TcpStream) -> bool {
        self.shared.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        messages.push(bytes);
        while let Some(message) = messages.next() {
            let fate = if commits(&message) { self.fate() } else { None };
            let passed = match fate {
                None => to.write_all(&message).is_ok(),
                Some(Fate::Lost) => false,
                Some(Fate::Racing) => {
                    to.write_all(&message).ok();
                    false
                }
                Some(Fate::Unanswered) => {
                    self.mute.store(true, Ordering::SeqCst);
                    to.write_all(&message).ok();
                    let deadline = Instant::now() + Duration::from_secs(5);
                    while !self.swallowed.load(Ordering::SeqCst) && Instant::now() < deadline {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    false
                }
            };
            if !passed {
                return false;
            }
        }
        true
    }

    /// What becomes of the COMMIT that just came.
    fn fate(&self) -> Option<Fate> {
        let count = self.shared.commits.fetch_add(1, Ordering::SeqCst) + 1;
        match self.shared.trigger {
            Trigger::Commit { number, fate } if count == number => {
                self.shared.sprung.store(true, Ordering::SeqCst);
                Some(fate)
            }
            _ => None,
        }
    }
}

/// The client's messages, put together from what arrives.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    /// The first message has no type.
    begun: bool,
}

impl Messages {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let head = usize::from(self.begun);
        let length = self.bytes.get(head..head + 4)?;
        let length = head + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if self.bytes.len() < length {
            return None;
        }
        self.begun = true;
        let rest = self.bytes.split_off(length);
        Some(std::mem::replace(&mut self.bytes, rest))
    }
}

/// Whether the message is a query whose last statement is a COMMIT.
fn commits(message: &[u8]) -> bool {
    message.first() == Some(&b'Q') && message.strip_suffix(b"\0").is_some_and(|text| text.ends_with(b"COMMIT"))
}
