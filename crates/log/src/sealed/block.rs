//! A block: consecutive records with what is needed to read them alone.
//!
//! Decompressed it is a preamble (first position, then one entry per frame that has records here:
//! count, bytes, time, flags) followed by the records. A frame may span blocks; its parts say so.

use std::sync::Arc;

use annal_event::{Batch, Position, StoredEvent, Timestamp};
use bytes::Bytes;

use crate::bytes::{put_difference, put_varint, take_difference, take_varint};

/// This part of a frame goes on from the block before.
const CONTINUED: u64 = 1;
/// This part of a frame goes on in the block after.
const CONTINUES: u64 = 2;

/// Records of one frame in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first: Position,
    pub(crate) count: u32,
    pub(crate) bytes: u32,
    pub(crate) time: Timestamp,
    pub(crate) flags: u32,
    pub(crate) continued: bool,
    pub(crate) continues: bool,
}

impl Part {
    fn last(&self) -> Position {
        self.first.plus(u64::from(self.count) - 1)
    }
}

/// A decompressed block.
#[derive(Debug)]
pub(crate) struct Block {
    parts: Box<[Part]>,
    records: Bytes,
}

/// Writes the preamble of a block.
pub(crate) fn encode_preamble(parts: &[Part], out: &mut Vec<u8>) {
    put_varint(out, parts.first().map_or(0, |part| part.first.0));
    put_varint(out, parts.len() as u64);
    let mut time = 0;
    for part in parts {
        put_varint(out, u64::from(part.count));
        put_varint(out, u64::from(part.bytes));
        put_difference(out, time, part.time.0);
        let spans = u64::from(part.continued) * CONTINUED + u64::from(part.continues) * CONTINUES;
        put_varint(out, u64::from(part.flags) << 2 | spans);
        time = part.time.0;
    }
}

impl Block {
    /// `None` if this is no block that begins at `first`.
    pub(crate) fn decode(raw: Vec<u8>, first: Position) -> Option<Block> {
        let raw = Bytes::from(raw);
        let mut rest = &raw[..];
        if take_varint(&mut rest)? != first.0 {
            return None;
        }
        let count = take_varint(&mut rest)? as usize;
        if count == 0 || count > rest.len() {
            return None;
        }
        let mut parts = Vec::with_capacity(count);
        let mut total = 0usize;
        let (mut next, mut time) = (first, 0);
        for _ in 0..count {
            let part = take_part(&mut rest, next, time)?;
            total += part.bytes as usize;
            (next, time) = (part.last().next(), part.time.0);
            parts.push(part);
        }
        if total != rest.len() {
            return None;
        }
        let records = raw.slice(raw.len() - rest.len()..);
        Some(Block { parts: parts.into(), records })
    }

    /// Memory it holds on to, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.records.len() + self.parts.len() * size_of::<Part>() + size_of::<Block>()
    }

    /// The parts of frames with their records.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, Bytes)> {
        let mut at = 0;
        self.parts.iter().map(move |part| {
            let start = at;
            at += part.bytes as usize;
            (*part, self.records.slice(start..at))
        })
    }

    /// The event at a position of this block; `None` if its record is not where it should be.
    pub(crate) fn event(&self, position: Position) -> Option<StoredEvent> {
        let (part, bytes) = self.parts().find(|(part, _)| part.last() >= position)?;
        let index = position.0.checked_sub(part.first.0)?;
        let mut at = 0usize;
        for _ in 0..index {
            at += record_bytes(&bytes, at)?;
        }
        let end = at + record_bytes(&bytes, at)?;
        if end > bytes.len() {
            return None;
        }
        let batch = Batch::parse(position, part.time, 1, bytes.slice(at..end)).ok()?;
        Some(StoredEvent::new(Arc::new(batch), 0))
    }

    /// Time of the first event at or after `time`, and its position.
    pub(crate) fn position_at(&self, time: Timestamp) -> Option<Position> {
        self.parts.iter().find(|part| part.time >= time).map(|part| part.first)
    }
}

fn take_part(rest: &mut &[u8], first: Position, time_before: i64) -> Option<Part> {
    let count = u32::try_from(take_varint(rest)?).ok().filter(|count| *count > 0)?;
    let bytes = u32::try_from(take_varint(rest)?).ok()?;
    let time = Timestamp(take_difference(rest, time_before)?);
    let flags = take_varint(rest)?;
    let (continued, continues) = (flags & CONTINUED != 0, flags & CONTINUES != 0);
    let flags = u32::try_from(flags >> 2).ok()?;
    Some(Part { first, count, bytes, time, flags, continued, continues })
}

/// Size of the record at `at` with its length prefix.
fn record_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    let prefix: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(4 + u32::from_le_bytes(prefix) as usize)
}
