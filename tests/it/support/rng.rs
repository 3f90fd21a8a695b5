//! Generates random values from a seed, and the time that a test may spend on it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// splitmix64.
pub(crate) struct Rng(u64);

impl Rng {
    /// With this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// With the seed that `TURSO2NEON_TEST_SEED` names, or one of chance, which is printed.
    pub(crate) fn of_chance(purpose: &str) -> Self {
        let given = std::env::var("TURSO2NEON_TEST_SEED").ok();
        let seed = given.map_or_else(chance, |text| text.parse().expect("TURSO2NEON_TEST_SEED is a number"));
        println!("{purpose}: TURSO2NEON_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).unwrap()).unwrap()
    }

    /// A number between both, included.
    pub(crate) fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = i128::from(most) - i128::from(least) + 1;
        i64::try_from(i128::from(least) + i128::from(self.roll()) % span).unwrap()
    }

    /// A moment within this time.
    pub(crate) fn within(&mut self, time: Duration) -> Duration {
        time.mul_f64(f64::from(u32::try_from(self.roll() >> 32).unwrap()) / f64::from(u32::MAX))
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

fn chance() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos())
}

/// How often a campaign repeats: `TURSO2NEON_TEST_FAULTS`, or `usual`.
pub(crate) fn times(usual: usize) -> usize {
    let given = std::env::var("TURSO2NEON_TEST_FAULTS").ok();
    given.map_or(usual, |text| text.parse().expect("TURSO2NEON_TEST_FAULTS is a number"))
}

/// Calls `round` with one seed after the other until the time is over: `TURSO2NEON_TEST_SECONDS`, or `seconds`. With
/// `TURSO2NEON_TEST_SEED` it is called once with that seed. The seed of a round that fails is the last that was
/// printed.
pub(crate) fn rounds(seconds: u64, mut round: impl FnMut(u64)) {
    if let Ok(seed) = std::env::var("TURSO2NEON_TEST_SEED") {
        return round(seed.parse().expect("TURSO2NEON_TEST_SEED is a number"));
    }
    let given = std::env::var("TURSO2NEON_TEST_SECONDS").ok();
    let seconds = given.map_or(seconds, |text| text.parse().expect("TURSO2NEON_TEST_SECONDS is a number"));
    let mut seed = chance();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut done = 0;
    while done == 0 || Instant::now() < end {
        println!("TURSO2NEON_TEST_SEED={seed}");
        round(seed);
        seed += 1;
        done += 1;
    }
    println!("{done} rounds");
}
