//! Buffers that wander between a reader thread and a connection, and come back to be filled again.
//!
//! Invariant: the bytes under way stay below a limit plus one buffer, however large single values are: who hands out
//! more waits until the connection has written what it has.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What a buffer is filled to before it is handed on.
pub const FILLED_BYTES: usize = 128 * 1024;

/// Bytes that may be under way.
const LIMIT_BYTES: usize = 16 * FILLED_BYTES;

/// Buffers grown beyond this by a large value are given back to the allocator.
const KEPT_BYTES: usize = 2 * FILLED_BYTES;

/// Buffers kept for the next filling.
const KEPT_COUNT: usize = 16;

/// The buffers of one connection.
#[derive(Default)]
pub struct Pool {
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    free: Vec<Vec<u8>>,
    under_way: usize,
}

impl Pool {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.lock().free.pop().unwrap_or_else(|| Vec::with_capacity(FILLED_BYTES + FILLED_BYTES / 4))
    }

    /// Hands a filled buffer on. Blocks while too much is under way; never for ever, because what is under way comes
    /// back when it is written or dropped.
    pub fn hand_on(self: &Arc<Self>, filled: Vec<u8>) -> Bytes {
        let mut state = self.lock();
        while state.under_way > LIMIT_BYTES {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.under_way += filled.len();
        drop(state);
        Bytes::from_owner(PooledBuffer { bytes: filled, home: Arc::clone(self) })
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(bytes.len());
        if bytes.capacity() <= KEPT_BYTES && state.free.len() < KEPT_COUNT {
            bytes.clear();
            state.free.push(bytes);
        }
        drop(state);
        self.returned.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PooledBuffer {
    bytes: Vec<u8>,
    home: Arc<Pool>,
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_when_its_last_part_is_dropped() {
        let pool = Arc::new(Pool::default());
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"abc");
        let mut handed = pool.hand_on(buffer);
        let part = handed.split_to(1);
        drop(handed);
        assert_eq!(pool.lock().under_way, 3);
        drop(part);
        assert_eq!(pool.lock().under_way, 0);
        assert!(pool.take().is_empty());
    }

    #[test]
    fn who_hands_on_too_much_waits_for_what_is_under_way() {
        let pool = Arc::new(Pool::default());
        let large = pool.hand_on(vec![0; LIMIT_BYTES + 1]);
        let second = std::thread::spawn({
            let pool = Arc::clone(&pool);
            move || pool.hand_on(vec![1]).len()
        });
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert!(!second.is_finished());
        drop(large);
        assert_eq!(second.join().unwrap(), 1);
    }
}
