//! Headers of an active segment and of the frames in it, as bytes. See `docs/file-format.md`.
//!
//! A frame's header is valid only under the salt of its file, so that what a recycled file held
//! before is never taken for a frame. `synced` is the position that was durable when the frame was
//! written: it lets recovery tell a torn tail from damage.

use annal_event::{Digest, Position, Timestamp};
use crc32c::crc32c_append;

use crate::{
    Fault,
    bytes::{array, i64_at, put, u32_at, u64_at},
};

/// Version of the active segment's format.
pub(crate) const LOG_VERSION: u32 = 1;
/// The file header has the first page for itself: it is never written again.
pub(crate) const FILE_HEADER_BYTES: u64 = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 80;
/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGN: u64 = 8;

const LOG_MAGIC: &[u8; 8] = b"ANNALLOG";
const FRAME_MAGIC: &[u8; 4] = b"ANFR";
const USED_HEADER_BYTES: usize = 128;

/// The beginning of an active segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHeader {
    /// Random, one per use of a file.
    pub salt: u64,
    /// Position of the first event.
    pub first: Position,
    /// Recorded time of the first batch.
    pub created: Timestamp,
    /// Newest recorded time in all segments before; the least there is if there are none.
    pub time_before: Timestamp,
    /// Hash chain up to here.
    pub chain_before: Digest,
}

impl LogHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FILE_HEADER_BYTES as usize];
        put(&mut bytes, 0, LOG_MAGIC);
        put(&mut bytes, 8, &LOG_VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.salt.to_le_bytes());
        put(&mut bytes, 24, &self.first.0.to_le_bytes());
        put(&mut bytes, 32, &self.created.0.to_le_bytes());
        put(&mut bytes, 40, &self.time_before.0.to_le_bytes());
        put(&mut bytes, 48, &self.chain_before);
        let crc = header_crc(&bytes);
        put(&mut bytes, 12, &crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<LogHeader, Fault> {
        if bytes.len() < USED_HEADER_BYTES
            || bytes[..8] != LOG_MAGIC[..]
            || u32_at(bytes, 12) != header_crc(bytes)
        {
            return Err(Fault::Header);
        }
        match u32_at(bytes, 8) {
            LOG_VERSION => {}
            found => return Err(Fault::Version { found, known: LOG_VERSION }),
        }
        Ok(LogHeader {
            salt: u64_at(bytes, 16),
            first: Position(u64_at(bytes, 24)),
            created: Timestamp(i64_at(bytes, 32)),
            time_before: Timestamp(i64_at(bytes, 40)),
            chain_before: array(bytes, 48),
        })
    }
}

/// Everything but the checksum itself, which stands at 12..16.
fn header_crc(bytes: &[u8]) -> u32 {
    crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..USED_HEADER_BYTES])
}

/// The beginning of a frame. A frame without events only vouches for what is before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Size of the records, in bytes.
    pub payload_bytes: u32,
    /// Number of events.
    pub count: u32,
    /// Position of the first event.
    pub first: Position,
    /// When they were committed.
    pub time: Timestamp,
    /// None defined yet.
    pub flags: u32,
    /// Checksum of the records.
    pub payload_crc: u32,
    /// Everything up to here was durable before this frame was written.
    pub synced: Position,
    /// Hash chain before this frame.
    pub previous: Digest,
}

impl FrameHeader {
    /// Position of the last event, if there is one.
    pub fn last(&self) -> Option<Position> {
        (self.count > 0).then(|| self.first.plus(u64::from(self.count) - 1))
    }

    /// Position after this frame.
    pub fn next(&self) -> Position {
        self.first.plus(u64::from(self.count))
    }

    /// Size on disk with header and padding, in bytes.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes as usize)
    }

    pub(crate) fn encode(&self, salt: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 0, FRAME_MAGIC);
        put(&mut bytes, 8, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, 12, &self.count.to_le_bytes());
        put(&mut bytes, 16, &self.first.0.to_le_bytes());
        put(&mut bytes, 24, &self.time.0.to_le_bytes());
        put(&mut bytes, 32, &self.flags.to_le_bytes());
        put(&mut bytes, 36, &self.payload_crc.to_le_bytes());
        put(&mut bytes, 40, &self.synced.0.to_le_bytes());
        put(&mut bytes, 48, &self.previous);
        let crc = frame_crc(&bytes, salt);
        put(&mut bytes, 4, &crc.to_le_bytes());
        bytes
    }

    /// `None` if these bytes are no frame header of a file with this salt.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<FrameHeader> {
        if bytes.len() < FRAME_HEADER_BYTES
            || bytes[..4] != FRAME_MAGIC[..]
            || u32_at(bytes, 4) != frame_crc(bytes, salt)
        {
            return None;
        }
        Some(FrameHeader {
            payload_bytes: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            first: Position(u64_at(bytes, 16)),
            time: Timestamp(i64_at(bytes, 24)),
            flags: u32_at(bytes, 32),
            payload_crc: u32_at(bytes, 36),
            synced: Position(u64_at(bytes, 40)),
            previous: array(bytes, 48),
        })
    }
}

fn frame_crc(bytes: &[u8], salt: u64) -> u32 {
    crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &bytes[8..FRAME_HEADER_BYTES])
}

/// Size on disk of a frame with a payload of so many bytes.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    ((FRAME_HEADER_BYTES + payload) as u64).next_multiple_of(FRAME_ALIGN)
}

/// Padding that follows a payload, all zeros.
pub(crate) fn padding(payload: usize) -> &'static [u8] {
    let written = FRAME_HEADER_BYTES + payload;
    &[0; FRAME_ALIGN as usize][..written.next_multiple_of(FRAME_ALIGN as usize) - written]
}
