//! A blocked Bloom filter: one cache line tells that a hash is not there.
//!
//! Every key sets a few bits within one block of 512, so an absent key costs one memory access.
//! The same hashes give the same bytes in whatever order they are added.

use super::codec::Reader;

const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: usize = BLOCK_WORDS * 64;
const BLOCK_BYTES: usize = BLOCK_WORDS * 8;
/// Bits set per key.
const PROBES: u32 = 6;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Block([u64; BLOCK_WORDS]);

/// Says "not there" for certain, or "perhaps".
#[derive(Clone, Debug)]
pub(super) struct Filter {
    blocks: Box<[Block]>,
}

impl Filter {
    /// An empty filter for `keys` hashes at `bits_per_key`.
    pub(super) fn new(keys: u64, bits_per_key: u64) -> Filter {
        let blocks = (keys * bits_per_key).div_ceil(BLOCK_BITS as u64).max(1);
        Filter { blocks: vec![Block::default(); blocks as usize].into_boxed_slice() }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let block = self.block_of(hash);
        let mask = mask(hash);
        for (word, bits) in self.blocks[block].0.iter_mut().zip(mask) {
            *word |= bits;
        }
    }

    /// `false`: certainly not inserted.
    #[inline]
    pub(super) fn contains(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block_of(hash)].0;
        bit_indexes(hash).all(|bit| block[bit >> 6] & (1 << (bit & 63)) != 0)
    }

    /// The upper half of the hash chooses the block (multiply-shift, no division).
    fn block_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// Hands the bytes over in pieces of one block.
    pub(super) fn for_each_block<E>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = [0; BLOCK_BYTES];
        for block in &self.blocks {
            for (word, out) in block.0.iter().zip(bytes.chunks_exact_mut(8)) {
                out.copy_from_slice(&word.to_le_bytes());
            }
            write(&bytes)?;
        }
        Ok(())
    }

    /// `None` unless the bytes are one or more whole blocks.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let mut blocks = vec![Block::default(); bytes.len() / BLOCK_BYTES];
        for word in blocks.iter_mut().flat_map(|block| &mut block.0) {
            *word = reader.u64()?;
        }
        Some(Filter { blocks: blocks.into_boxed_slice() })
    }
}

fn mask(hash: u64) -> [u64; BLOCK_WORDS] {
    let mut mask = [0; BLOCK_WORDS];
    for bit in bit_indexes(hash) {
        mask[bit >> 6] |= 1 << (bit & 63);
    }
    mask
}

/// Nine bits of a remixed hash for each probe, so that blocks and bits are independent.
#[inline]
fn bit_indexes(hash: u64) -> impl Iterator<Item = usize> {
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = mixed ^ (mixed >> 32);
    (0..PROBES).map(move |probe| (mixed >> (probe * 9)) as usize & (BLOCK_BITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(from: u64, count: u64) -> impl Iterator<Item = u64> {
        (from..from + count).map(|n| super::super::key::hash_key(&n.to_le_bytes()))
    }

    #[test]
    fn finds_all_and_little_else() {
        let mut filter = Filter::new(100_000, 10);
        hashes(0, 100_000).for_each(|hash| filter.insert(hash));
        assert!(hashes(0, 100_000).all(|hash| filter.contains(hash)));
        let wrong = hashes(1_000_000, 100_000).filter(|hash| filter.contains(*hash)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 absent hashes pass");
    }

    #[test]
    fn survives_bytes_and_refuses_halves() {
        let mut filter = Filter::new(1_000, 8);
        hashes(0, 1_000).for_each(|hash| filter.insert(hash));
        let mut bytes = Vec::new();
        let written: Result<(), ()> = filter.for_each_block(|block| {
            bytes.extend_from_slice(block);
            Ok(())
        });
        written.expect("a vector takes all");
        let read = Filter::from_bytes(&bytes).expect("whole blocks");
        assert!(hashes(0, 1_000).all(|hash| read.contains(hash)));
        assert!(Filter::from_bytes(&bytes[1..]).is_none());
        assert!(Filter::from_bytes(&[]).is_none());
    }
}
