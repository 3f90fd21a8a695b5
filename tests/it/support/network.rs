//! A distant and narrow network for [`super::fault_proxy`]: a delay in each direction, and a rate that all connections
//! share.
//!
//! Kernels that have `netem` do the same with packets; this works everywhere, and without being root. What it leaves
//! out is loss, and TCP's slow start.

use std::{
    collections::VecDeque,
    io::Write,
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// Bytes under way in one direction of one connection: what TCP's window grows to on Linux by default.
const WINDOW: usize = 4 << 20;

/// What a network is like. Without distance and limit by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Network {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Bits in a second, in each direction; 0 is no limit.
    pub(crate) bits_per_s: u64,
}

/// One direction of the network, which all connections share.
#[derive(Clone)]
pub(super) struct Pipe {
    network: Network,
    free_at: Arc<Mutex<Instant>>,
}

impl Pipe {
    pub(super) fn new(network: Network) -> Self {
        Self { network, free_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// When so many bytes, given now, are at the other end.
    fn arrival(&self, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().unwrap();
        let begin = (*free_at).max(Instant::now());
        let micros = (bytes as u64 * 8_000_000).checked_div(self.network.bits_per_s).unwrap_or(0);
        *free_at = begin + Duration::from_micros(micros);
        *free_at + self.network.round_trip / 2
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

/// Where the bytes of one direction of a connection go.
pub(super) struct Outlet(Way);

enum Way {
    /// At once.
    Near(TcpStream),
    /// When the network has carried them.
    Far(Shared, Pipe),
}

impl Outlet {
    pub(super) fn new(to: TcpStream, pipe: &Pipe) -> Self {
        if pipe.network.round_trip.is_zero() && pipe.network.bits_per_s == 0 {
            return Self(Way::Near(to));
        }
        let flight = Shared::default();
        let arriving = Arc::clone(&flight);
        spawn(move || deliver(&arriving, to));
        Self(Way::Far(flight, pipe.clone()))
    }

    /// Passes bytes on; says no if nobody takes them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        match &mut self.0 {
            Way::Near(to) => to.write_all(bytes).is_ok(),
            Way::Far(flight, pipe) => {
                let due = pipe.arrival(bytes.len());
                let (lock, changed) = &**flight;
                let mut inner = lock.lock().unwrap();
                while inner.bytes > WINDOW && !inner.ended {
                    inner = changed.wait(inner).unwrap();
                }
                inner.bytes += bytes.len();
                inner.pieces.push_back((due, bytes.to_vec()));
                changed.notify_all();
                !inner.ended
            }
        }
    }

    /// Closes the connection, after what is under way has arrived.
    pub(super) fn end(&self, from: &TcpStream) {
        match &self.0 {
            Way::Near(to) => {
                from.shutdown(Shutdown::Both).ok();
                to.shutdown(Shutdown::Both).ok();
            }
            Way::Far(flight, _) => {
                flight.0.lock().unwrap().ended = true;
                flight.1.notify_all();
            }
        }
    }
}

fn deliver(flight: &Shared, mut to: TcpStream) {
    let (lock, changed) = &**flight;
    loop {
        let mut inner = lock.lock().unwrap();
        while inner.pieces.is_empty() && !inner.ended {
            inner = changed.wait(inner).unwrap();
        }
        let Some((due, piece)) = inner.pieces.pop_front() else { break };
        drop(inner);
        sleep(due.saturating_duration_since(Instant::now()));
        let failed = to.write_all(&piece).is_err();
        let mut inner = lock.lock().unwrap();
        inner.bytes -= piece.len();
        inner.ended |= failed;
        changed.notify_all();
        if failed {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
