//! What makes two events the same event: `source` and `id`.

use std::ops::RangeInclusive;

use xxhash_rust::xxh3::xxh3_64;

/// Bits of an identity that come from the source; the rest, the upper ones, come from the id.
const SOURCE_BITS: u32 = 24;

/// A 64-bit hash of (`source`, `id`): 40 bits of the id above 24 bits of the source.
///
/// Sorted by value, all identities with one id stand together, whatever their source, so one order
/// answers both "is this event there?" and "which events have this id?". Equal identities are only
/// candidates: a hit is always confirmed against the stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u64);

impl Identity {
    /// Hashes an identity.
    pub fn of(source: &str, id: &str) -> Identity {
        Identity(Self::id_part(id) | xxh3_64(source.as_bytes()) >> (64 - SOURCE_BITS))
    }

    /// Every identity that an event with this id can have.
    pub fn of_id(id: &str) -> RangeInclusive<Identity> {
        let low = Self::id_part(id);
        Identity(low)..=Identity(low | ((1 << SOURCE_BITS) - 1))
    }

    fn id_part(id: &str) -> u64 {
        xxh3_64(id.as_bytes()) >> SOURCE_BITS << SOURCE_BITS
    }
}
