//! Which keys a table does not have, told without its lock.
//!
//! A key sets bits within one cache line, and they stay set when its changes are rolled back: a key
//! may be asked for in vain, none is missed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits a key sets.
const PROBES: u32 = 4;
const LINE_BITS: usize = 512;
/// Bits of a hash that choose a line; the others choose bits within it.
const LINE_HASH_BITS: u32 = 28;

/// A blocked Bloom filter.
#[derive(Debug)]
pub(super) struct Filter(Box<[Line]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_BITS / 64]);

/// A key, hashed once for all filters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashed(u64);

impl Hashed {
    pub(super) fn new(key: &[u8]) -> Hashed {
        Hashed(xxhash_rust::xxh3::xxh3_64(key))
    }

    /// Word and mask of each bit.
    fn bits(self) -> impl Iterator<Item = (usize, u64)> {
        (0..PROBES).map(move |probe| {
            let bit = (self.0 >> (probe * 9)) as usize % LINE_BITS;
            (bit / 64, 1 << (bit % 64))
        })
    }
}

impl Filter {
    /// For a table of so many bytes: a bit for each 16, eight or more for a row.
    pub(super) fn new(table_bytes: usize) -> Filter {
        let lines = (table_bytes / 16 / LINE_BITS).max(1);
        Filter((0..lines).map(|_| Line::default()).collect())
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len() * LINE_BITS / 8
    }

    pub(super) fn add(&self, key: Hashed) {
        let line = self.line(key);
        for (word, mask) in key.bits() {
            line.0[word].fetch_or(mask, Relaxed);
        }
    }

    /// `false`: it was never added.
    pub(super) fn may_have(&self, key: Hashed) -> bool {
        let line = self.line(key);
        key.bits().all(|(word, mask)| line.0[word].load(Relaxed) & mask != 0)
    }

    fn line(&self, key: Hashed) -> &Line {
        let hash = key.0 >> (u64::BITS - LINE_HASH_BITS);
        &self.0[((hash * self.0.len() as u64) >> LINE_HASH_BITS) as usize]
    }
}
