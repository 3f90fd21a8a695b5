//! A wire between the tool and a server: it counts the bytes that come, and can be slow, cut, or damage a byte.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What happens to the bytes of one connection on their way to the tool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trouble {
    /// The connection ends after so many.
    pub(super) cut_after: Option<u64>,
    /// The bit with this number of the byte at this place is turned.
    pub(super) flip: Option<u64>,
    /// So many per millisecond, at most.
    pub(super) bytes_per_ms: Option<u64>,
}

/// The wire. Gone when dropped.
pub(super) struct Wire {
    port: u16,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// A wire to this port on loopback; connections are counted from 0.
    pub(super) fn to(port: u16, trouble: impl Fn(u32) -> Trouble + Send + Sync + 'static) -> Self {
        Self::switched(move || port, trouble)
    }

    /// The same to a port that is asked for with each connection.
    pub(super) fn switched(
        port: impl Fn() -> u16 + Send + Sync + 'static,
        trouble: impl Fn(u32) -> Trouble + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (received.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let number = AtomicU32::new(0);
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let trouble = trouble(number.fetch_add(1, Ordering::SeqCst));
                let (near, counter) = (stream.unwrap(), counter.clone());
                // A server that has just been stopped may not be there.
                let Ok(far) = TcpStream::connect(("127.0.0.1", port())) else { continue };
                let (up_from, up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || carry(up_from, up_to, Trouble::default(), &AtomicU64::new(0)));
                std::thread::spawn(move || carry(far, near, trouble, &counter));
            }
        });
        Self { port: own, received, stop, thread: Some(thread) }
    }

    /// Where the tool finds it.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that came through to the tool so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, trouble: Trouble, counter: &AtomicU64) {
    let mut buffer = [0_u8; 16 * 1024];
    let mut carried = 0;
    while let Ok(count) = from.read(&mut buffer) {
        let left = trouble.cut_after.map_or(u64::MAX, |end| end - carried);
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Some(at) = trouble.flip.and_then(|at| at.checked_sub(carried)).and_then(|at| usize::try_from(at).ok())
            && at < count
        {
            buffer[at] ^= 1;
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
        carried += count as u64;
        counter.fetch_add(count as u64, Ordering::SeqCst);
        if trouble.cut_after == Some(carried) {
            break;
        }
        if let Some(rate) = trouble.bytes_per_ms {
            std::thread::sleep(Duration::from_micros(count as u64 * 1000 / rate));
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
