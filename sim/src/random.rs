//! Numbers from a seed (SplitMix64), and the seams of the engine that take them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use annal_engine::{Clock, Random};
use annal_event::Timestamp;

/// A stream of numbers that its seed decides.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A clock that the story moves, also backwards.
#[derive(Debug)]
pub(crate) struct SimClock(AtomicI64);

impl SimClock {
    pub(crate) fn new() -> SimClock {
        SimClock(AtomicI64::new(1_700_000_000_000_000))
    }

    pub(crate) fn jump(&self, micros: i64) {
        self.0.fetch_add(micros, Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }
}

/// Chance that the seed decides.
#[derive(Debug)]
pub(crate) struct SimRandom(AtomicU64);

impl SimRandom {
    pub(crate) fn new(seed: u64) -> SimRandom {
        SimRandom(AtomicU64::new(seed))
    }
}

impl Random for SimRandom {
    fn next(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed))
    }
}
