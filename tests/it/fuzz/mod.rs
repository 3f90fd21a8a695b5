//! Mutations of valid inputs, for every reader of something that others write.
//!
//! No input may cause a panic, a hang or an allocation without bound; an error has the right kind and quotes no secret;
//! and where something else can read the same input, both read the same. `TURSO2NEON_TEST_SECONDS` says how long each
//! test tries, `TURSO2NEON_TEST_SEED` repeats one round.

mod files;

mod json;

mod texts;

mod wire;

use std::{
    fs,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use crate::support::{Rng, rng};

/// How long each test tries, by default.
const SECONDS: u64 = 2;

/// No round may take longer.
const HANG: Duration = Duration::from_secs(60);

/// By how much the process may grow at its peak: below a length of 31 bits that is believed. Threads of other tests
/// grow it, too.
const GROWTH_KIB: u64 = 1_700_000;

/// Calls `round` with one seed after the other, each on a thread of its own that has to end in time.
fn fuzz(round: fn(&mut Rng)) {
    let before = peak_kib();
    rng::rounds(SECONDS, |seed| {
        let (done, waiting) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            round(&mut Rng::new(seed));
            done.send(()).unwrap();
        });
        match waiting.recv_timeout(HANG) {
            Err(RecvTimeoutError::Timeout) => panic!("the round with TURSO2NEON_TEST_SEED={seed} hangs"),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        }
        if let Err(panic) = thread.join() {
            println!("TURSO2NEON_TEST_SEED={seed} repeats this");
            std::panic::resume_unwind(panic);
        }
    });
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "the process grew by {grown} KiB");
}

/// The largest size of the process so far, with what it reserved and gave back; 0 where the system does not tell.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Changes some bytes; `others` and `words` are pieces of valid inputs that are put in between.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, others: &[&[u8]], words: &[&[u8]]) {
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let end = at + rng.below((bytes.len() - at).min(16) + 1);
        match rng.below(10) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.pick(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'\'', b'%', b'\n']),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            4 => bytes.truncate(at),
            5 | 6 if !words.is_empty() => drop(bytes.splice(at..end, rng.pick(words).iter().copied())),
            7 if !others.is_empty() => {
                let other = rng.pick(others);
                let from = rng.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            8 if at + 4 <= bytes.len() => {
                let number = rng.pick(&[0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x0001_0000, 0x0000_1000]);
                bytes[at..at + 4].copy_from_slice(&if rng.once_in(2) {
                    number.to_be_bytes()
                } else {
                    number.to_le_bytes()
                });
            }
            _ => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
        }
    }
}

/// The same for a text.
fn mutated_text(rng: &mut Rng, text: &str, others: &[&str], words: &[&str]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let others: Vec<&[u8]> = others.iter().map(|text| text.as_bytes()).collect();
    let words: Vec<&[u8]> = words.iter().map(|text| text.as_bytes()).collect();
    mutate(rng, &mut bytes, &others, &words);
    String::from_utf8_lossy(&bytes).into_owned()
}
