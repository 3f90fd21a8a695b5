//! Runs a TCP proxy on loopback with faults: connections that end, bytes that change, silence, a slow or distant
//! network, and a COMMIT whose answer is lost. It counts what passes.

use std::{
    io::Read,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::network::{Network, Outlet, Pipe};

/// What goes wrong on one connection, on the way to the client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ConnectionFault {
    /// The connection ends after so many bytes.
    pub(crate) cut_after: Option<u64>,
    /// The lowest bit of the byte at this place changes.
    pub(crate) flip: Option<u64>,
    /// At most so many bytes pass in a millisecond.
    pub(crate) bytes_per_ms: Option<u64>,
}

/// What goes wrong once, on all connections together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    None,
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
        number: u64,
        /// What becomes of it.
        outcome: CommitOutcome,
    },
}

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CommitOutcome {
    /// It doesn't arrive.
    Lost,
    /// It arrives, and the connection is cut at the same moment.
    Racing,
    /// It is done, and the answer doesn't arrive.
    Unanswered,
}

type ForConnection<T> = Box<dyn Fn(u64) -> T + Send + Sync>;
/// Answers a connection by itself, or gives it back to be forwarded.
type Intercept = Box<dyn Fn(u64, TcpStream) -> Option<TcpStream> + Send + Sync>;

/// What the proxy does. Connections are counted from 0.
pub(crate) struct Script {
    /// The port it listens on; 0 is a free one.
    pub(crate) listen: u16,
    /// How far the server is away.
    pub(crate) network: Network,
    /// What goes wrong once.
    pub(crate) fault: Fault,
    /// What goes wrong on each connection.
    pub(crate) connection: ForConnection<ConnectionFault>,
    /// Which connections are answered without the server.
    pub(crate) intercept: Intercept,
    /// Whether the client's messages can be read: PostgreSQL's protocol without TLS.
    pub(crate) reads_messages: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            listen: 0,
            network: Network::default(),
            fault: Fault::None,
            connection: Box::new(|_| ConnectionFault::default()),
            intercept: Box::new(|_, client| Some(client)),
            reads_messages: false,
        }
    }
}

/// The proxy. Gone, with its connections, when dropped.
pub(crate) struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    script: Script,
    pipes: [Pipe; 2],
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicU64,
    round_trips: AtomicU64,
    commits: AtomicU64,
    /// In both directions.
    bytes: AtomicU64,
    /// To clients.
    received: AtomicU64,
    happened: AtomicBool,
    silent: AtomicBool,
    answers_held: AtomicBool,
    closed: AtomicBool,
}

impl FaultProxy {
    /// A proxy to this port on loopback, without faults.
    pub(crate) fn to(port: u16) -> Self {
        Self::start(move || port, Script::default())
    }

    /// With faults on each connection.
    pub(crate) fn with_connections(
        port: u16,
        connection: impl Fn(u64) -> ConnectionFault + Send + Sync + 'static,
    ) -> Self {
        Self::start(move || port, Script { connection: Box::new(connection), ..Script::default() })
    }

    /// With a network of this kind.
    pub(crate) fn with_network(port: u16, network: Network) -> Self {
        Self::start(move || port, Script { network, ..Script::default() })
    }

    /// A proxy to a port that is asked for with each connection.
    pub(crate) fn start(server: impl Fn() -> u16 + Send + 'static, script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", script.listen)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            pipes: [Pipe::new(script.network), Pipe::new(script.network)],
            script,
            streams: Mutex::default(),
            connections: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            received: AtomicU64::new(0),
            happened: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            answers_held: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inner.closed.load(SeqCst) {
                    return;
                }
                let number = inner.connections.fetch_add(1, SeqCst);
                let Some(client) = (inner.script.intercept)(number, client) else { continue };
                // A server that has just been stopped may not be there.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server())) else { continue };
                join(&inner, number, client, server);
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// Where clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The same for HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Round trips so far: how often a client spoke after the server had, and once for each TCP handshake.
    pub(crate) fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(SeqCst) + self.connections()
    }

    /// Bytes that came through to clients so far.
    pub(crate) fn received(&self) -> u64 {
        self.shared.received.load(SeqCst)
    }

    /// Bytes in both directions so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(SeqCst)
    }

    /// Commits so far, where messages are read.
    pub(crate) fn commits(&self) -> u64 {
        self.shared.commits.load(SeqCst)
    }

    /// Whether the script's [`Fault`] came.
    pub(crate) fn happened(&self) -> bool {
        self.shared.happened.load(SeqCst)
    }

    /// From now on nothing that the server says arrives.
    pub(crate) fn hold_answers(&self) {
        self.shared.answers_held.store(true, SeqCst);
    }

    /// Cuts every connection, and lets new ones speak again.
    pub(crate) fn cut(&self) {
        self.shared.cut();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().ok();
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.answers_held.store(false, SeqCst);
    }

    /// Counts bytes. Says how many of them still pass before the fault, if it comes within them.
    fn breaks_within(&self, count: usize) -> Option<usize> {
        let before = self.bytes.fetch_add(count as u64, SeqCst);
        let Fault::Byte { at, .. } = self.script.fault else { return None };
        let hit = before <= at && before + count as u64 > at && !self.happened.swap(true, SeqCst);
        hit.then(|| usize::try_from(at - before).unwrap())
    }

    /// The silence, and what comes after it. Says whether the connections go on.
    fn fall_silent(&self) -> bool {
        let Fault::Byte { silence, heals, .. } = self.script.fault else { return true };
        self.silent.store(true, SeqCst);
        std::thread::sleep(silence);
        if !heals {
            self.cut();
        }
        self.silent.store(false, SeqCst);
        heals
    }

    /// What becomes of the COMMIT that just came.
    fn outcome_of_commit(&self) -> Option<CommitOutcome> {
        let count = self.commits.fetch_add(1, SeqCst) + 1;
        match self.script.fault {
            Fault::Commit { number, outcome } if count == number => {
                self.happened.store(true, SeqCst);
                Some(outcome)
            }
            _ => None,
        }
    }
}

/// One connection.
struct Connection {
    shared: Arc<Shared>,
    fault: ConnectionFault,
    /// The server spoke last: what the client says next begins a round trip.
    server_spoke: AtomicBool,
    /// Answers don't arrive.
    swallows: AtomicBool,
    /// One didn't.
    swallowed: AtomicBool,
}

fn join(shared: &Arc<Shared>, number: u64, client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    shared.streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let connection = Arc::new(Connection {
        shared: Arc::clone(shared),
        fault: (shared.script.connection)(number),
        server_spoke: AtomicBool::new(true),
        swallows: AtomicBool::new(false),
        swallowed: AtomicBool::new(false),
    });
    // A real handshake would have taken a round trip before the first byte.
    let opened = Instant::now() + shared.script.network.round_trip;
    let [there, back] = &shared.pipes;
    let requests = Direction {
        connection: Arc::clone(&connection),
        to: Outlet::new(server.try_clone().unwrap(), there),
        answers: false,
        passed: 0,
        messages: shared.script.reads_messages.then(Messages::default),
    };
    let answers = Direction {
        connection,
        to: Outlet::new(client.try_clone().unwrap(), back),
        answers: true,
        passed: 0,
        messages: None,
    };
    std::thread::spawn(move || requests.run(client, opened));
    std::thread::spawn(move || answers.run(server, opened));
}

/// One direction of a connection.
struct Direction {
    connection: Arc<Connection>,
    to: Outlet,
    answers: bool,
    passed: u64,
    messages: Option<Messages>,
}

impl Direction {
    fn run(mut self, mut from: TcpStream, opened: Instant) {
        std::thread::sleep(opened.saturating_duration_since(Instant::now()));
        let mut buffer = vec![0; 32 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || !self.pass(&mut buffer[..count]) {
                break;
            }
        }
        self.to.end(&from);
    }

    /// Passes bytes on; says no if the connection is over.
    fn pass(&mut self, bytes: &mut [u8]) -> bool {
        let connection = Arc::clone(&self.connection);
        let shared = &connection.shared;
        if self.answers && connection.swallows.load(SeqCst) {
            connection.swallowed.store(true, SeqCst);
            return true;
        }
        while shared.silent.load(SeqCst) || (self.answers && shared.answers_held.load(SeqCst)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if connection.server_spoke.swap(self.answers, SeqCst) && !self.answers {
            shared.round_trips.fetch_add(1, SeqCst);
        }
        if self.messages.is_some() {
            return self.pass_messages(bytes);
        }
        let (bytes, last) = if self.answers { self.damaged(bytes) } else { (&*bytes, false) };
        let passed = match shared.breaks_within(bytes.len()) {
            None => self.to.write(bytes),
            Some(part) => self.to.write(&bytes[..part]) && shared.fall_silent() && self.to.write(&bytes[part..]),
        };
        if passed && self.answers {
            shared.received.fetch_add(bytes.len() as u64, SeqCst);
            if let Some(rate) = connection.fault.bytes_per_ms {
                std::thread::sleep(Duration::from_micros(bytes.len() as u64 * 1000 / rate));
            }
        }
        passed && !last
    }

    /// The bytes with the connection's faults, and whether they are its last ones.
    fn damaged<'a>(&mut self, bytes: &'a mut [u8]) -> (&'a [u8], bool) {
        let fault = self.connection.fault;
        let left = fault.cut_after.map_or(u64::MAX, |end| end.saturating_sub(self.passed));
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let flipped = fault.flip.and_then(|at| usize::try_from(at.checked_sub(self.passed)?).ok());
        if let Some(byte) = flipped.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
        self.passed += count as u64;
        (&bytes[..count], fault.cut_after == Some(self.passed))
    }

    fn pass_messages(&mut self, bytes: &[u8]) -> bool {
        let connection = Arc::clone(&self.connection);
        connection.shared.bytes.fetch_add(bytes.len() as u64, SeqCst);
        self.messages.as_mut().unwrap().push(bytes);
        while let Some(message) = self.messages.as_mut().unwrap().next() {
            let outcome = if is_commit(&message) { connection.shared.outcome_of_commit() } else { None };
            let passed = match outcome {
                None => self.to.write(&message),
                Some(CommitOutcome::Lost) => false,
                Some(CommitOutcome::Racing) => {
                    self.to.write(&message);
                    false
                }
                Some(CommitOutcome::Unanswered) => {
                    connection.swallows.store(true, SeqCst);
                    self.to.write(&message);
                    let deadline = Instant::now() + Duration::from_secs(5);
                    while !connection.swallowed.load(SeqCst) && Instant::now() < deadline {
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
fn is_commit(message: &[u8]) -> bool {
    message.first() == Some(&b'Q') && message.strip_suffix(b"\0").is_some_and(|text| text.ends_with(b"COMMIT"))
}
