//! A long and narrow network between a client and a server on this machine: a delay in each direction, and a rate that
//! all connections share. Counts how often the direction of the conversation turns.
//!
//! Kernels that have `netem` do the same with packets; this works everywhere, and without being root. What it leaves
//! out is loss, and TCP's slow start.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// Bytes under way in one direction of one connection: what TCP's window grows to on Linux unless told otherwise.
const WINDOW: usize = 4 << 20;

/// What a link is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Bits in a second, in each direction; 0 is no limit.
    pub(crate) bits_per_s: u64,
}

impl Nature {
    /// No distance, no limit: only the counts matter.
    pub(crate) fn near() -> Self {
        Self { round_trip: Duration::ZERO, bits_per_s: 0 }
    }
}

/// A link to a port on loopback.
pub(crate) struct Link {
    port: u16,
    counts: Arc<Counts>,
}

/// What went over a link.
#[derive(Default)]
pub(crate) struct Counts {
    connections: AtomicU64,
    turns: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl Counts {
    /// Connections.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Round trips: how often a client spoke after the server had, and once for each TCP handshake.
    pub(crate) fn round_trips(&self) -> u64 {
        self.turns.load(Ordering::SeqCst) + self.connections()
    }

    /// Bytes to the server.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::SeqCst)
    }

    /// Bytes from the server.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::SeqCst)
    }
}

impl Link {
    /// A link to this port, listening on a free one or on the given one.
    pub(crate) fn start(listen: u16, server: u16, nature: Nature) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", listen)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let (shared, pipes) = (Arc::clone(&counts), [Pipe::new(nature), Pipe::new(nature)]);
        spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { return };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                join(client, server, &shared, &pipes);
            }
        });
        Self { port, counts }
    }

    /// Where clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What went over it so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// One direction of the line, which all connections share.
#[derive(Clone)]
struct Pipe {
    nature: Nature,
    free_at: Arc<Mutex<Instant>>,
}

impl Pipe {
    fn new(nature: Nature) -> Self {
        Self { nature, free_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// When so many bytes, given now, are at the other end.
    fn arrival(&self, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().unwrap();
        let begin = (*free_at).max(Instant::now());
        let micros = (bytes as u64 * 8_000_000).checked_div(self.nature.bits_per_s).unwrap_or(0);
        *free_at = begin + Duration::from_micros(micros);
        *free_at + self.nature.round_trip / 2
    }
}

/// Pieces that are under way.
#[derive(Default)]
struct Flight {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ended: bool,
}

type Shared = Arc<(Mutex<Flight>, Condvar)>;

fn join(client: TcpStream, server: TcpStream, counts: &Arc<Counts>, pipes: &[Pipe; 2]) {
    // The last word was the server's: what the client says next begins a round trip.
    let last_from_server = Arc::new(Mutex::new(true));
    // A real handshake would have taken a round trip before the first byte.
    let opened = Instant::now() + pipes[0].nature.round_trip;
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (count, turn) = (Arc::clone(counts), Arc::clone(&last_from_server));
    carry(from, to, pipes[0].clone(), opened, move |bytes| {
        count.sent_bytes.fetch_add(bytes, Ordering::SeqCst);
        if std::mem::replace(&mut *turn.lock().unwrap(), false) {
            count.turns.fetch_add(1, Ordering::SeqCst);
        }
    });
    let count = Arc::clone(counts);
    carry(server, client, pipes[1].clone(), opened, move |bytes| {
        count.received_bytes.fetch_add(bytes, Ordering::SeqCst);
        *last_from_server.lock().unwrap() = true;
    });
}

/// Reads at one end and writes at the other when the time has come. `told` hears of what enters the line.
fn carry(mut from: TcpStream, mut to: TcpStream, pipe: Pipe, opened: Instant, told: impl Fn(u64) + Send + 'static) {
    let flight = Shared::default();
    let arriving = Arc::clone(&flight);
    spawn(move || {
        loop {
            let (lock, changed) = &*arriving;
            let mut inner = lock.lock().unwrap();
            while inner.pieces.is_empty() && !inner.ended {
                inner = changed.wait(inner).unwrap();
            }
            let Some((due, piece)) = inner.pieces.pop_front() else { break };
            drop(inner);
            sleep(due.saturating_duration_since(Instant::now()));
            let failed = to.write_all(&piece).is_err();
            lock.lock().unwrap().bytes -= piece.len();
            changed.notify_all();
            if failed {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    });
    spawn(move || {
        sleep(opened.saturating_duration_since(Instant::now()));
        let mut buffer = vec![0; 32 << 10];
        let (lock, changed) = &*flight;
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            told(count as u64);
            let due = pipe.arrival(count);
            let mut inner = lock.lock().unwrap();
            while inner.bytes > WINDOW {
                inner = changed.wait(inner).unwrap();
            }
            inner.bytes += count;
            inner.pieces.push_back((due, buffer[..count].to_vec()));
            changed.notify_all();
        }
        lock.lock().unwrap().ended = true;
        changed.notify_all();
    });
}
