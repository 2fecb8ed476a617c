//! Builds a sealed segment, frame by frame, into a temporary file.
//!
//! The caller has checked the frames. Nothing is durable until [`Builder::finish`] has synced; the
//! caller renames the file then.

use std::{io, sync::Arc};

use annal_event::{Digest, Position, Timestamp};
use annal_storage::File;
use crc32c::crc32c;

use super::{
    BLOCK_PREFIX_BYTES, FOOTER_BYTES, Footer, HEADER_BYTES, Section,
    block::{Part, encode_preamble},
    codec::Compressor,
    encode_header,
};
use crate::{
    LogOptions,
    bytes::{put_difference, put_varint},
    frame::FrameHeader,
};

const FLUSH_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Builder {
    file: Arc<dyn File>,
    compressor: Compressor,
    dictionary: Vec<u8>,
    block_bytes: usize,
    first: Position,
    chain_before: Digest,
    // The block being filled.
    parts: Vec<Part>,
    records: Vec<u8>,
    raw: Vec<u8>,
    compressed: Vec<u8>,
    // The file so far.
    out: Vec<u8>,
    flushed: u64,
    index: Vec<u8>,
    blocks: u32,
    block_bytes_max: u32,
    next: Position,
    frames: u64,
    payload_bytes: u64,
    time_min: Timestamp,
    time_max: Timestamp,
    time_indexed: i64,
}

impl Builder {
    /// `time_before` is the newest recorded time of all earlier segments.
    pub(crate) fn new(
        file: Arc<dyn File>,
        options: &LogOptions,
        dictionary: Vec<u8>,
        first: Position,
        chain_before: Digest,
        time_before: Timestamp,
    ) -> Builder {
        Builder {
            compressor: Compressor::new(&dictionary, options.compression_level),
            dictionary,
            block_bytes: options.block_bytes,
            first,
            chain_before,
            parts: Vec::new(),
            records: Vec::new(),
            raw: Vec::new(),
            compressed: Vec::new(),
            out: encode_header(first, &chain_before).to_vec(),
            flushed: 0,
            index: Vec::new(),
            blocks: 0,
            block_bytes_max: 0,
            next: first,
            frames: 0,
            payload_bytes: 0,
            time_min: Timestamp(i64::MAX),
            time_max: time_before,
            time_indexed: 0,
            file,
        }
    }

    /// Adds a frame whose records end at `ends` within `payload`.
    pub(crate) fn push(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        record_ends: impl Iterator<Item = usize>,
    ) -> io::Result<()> {
        self.frames += 1;
        self.payload_bytes += payload.len() as u64;
        let (mut start, mut end, mut count) = (0, 0, 0);
        for record_end in record_ends {
            let full = self.records.len() + (record_end - start) > self.block_bytes;
            if full && self.records.len() + (end - start) > 0 {
                self.add_part(header, &payload[start..end], count, start > 0, true);
                self.end_block()?;
                (start, count) = (end, 0);
            }
            (end, count) = (record_end, count + 1);
        }
        self.add_part(header, &payload[start..end], count, start > 0, false);
        Ok(())
    }

    fn add_part(
        &mut self,
        header: &FrameHeader,
        bytes: &[u8],
        count: u32,
        continued: bool,
        continues: bool,
    ) {
        if count == 0 {
            return;
        }
        self.time_min = self.time_min.min(header.time);
        self.time_max = self.time_max.max(header.time);
        self.records.extend_from_slice(bytes);
        self.parts.push(Part {
            first: self.next,
            count,
            bytes: bytes.len() as u32,
            time: header.time,
            flags: header.flags,
            continued,
            continues,
        });
        self.next = self.next.plus(u64::from(count));
    }

    fn end_block(&mut self) -> io::Result<()> {
        let Some(first) = self.parts.first().map(|part| part.first) else { return Ok(()) };
        self.raw.clear();
        encode_preamble(&self.parts, &mut self.raw);
        self.raw.extend_from_slice(&self.records);
        self.compressor.compress(&self.raw, &mut self.compressed);
        self.out.extend_from_slice(&crc32c(&self.compressed).to_le_bytes());
        self.out.extend_from_slice(&self.compressed);

        put_varint(&mut self.index, self.next.0 - first.0);
        put_varint(&mut self.index, (BLOCK_PREFIX_BYTES + self.compressed.len()) as u64);
        put_difference(&mut self.index, self.time_indexed, self.time_max.0);
        self.time_indexed = self.time_max.0;
        self.blocks += 1;
        self.block_bytes_max = self.block_bytes_max.max(self.raw.len() as u32);
        self.parts.clear();
        self.records.clear();
        if self.out.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.out, self.flushed)?;
        self.flushed += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn section(&mut self, bytes: &[u8]) -> Section {
        let offset = self.flushed + self.out.len() as u64;
        self.out.extend_from_slice(bytes);
        Section { offset, bytes: bytes.len() as u32, crc: crc32c(bytes) }
    }

    /// Writes the rest and makes the file durable.
    pub(crate) fn finish(mut self, chain_after: Digest) -> io::Result<Footer> {
        self.end_block()?;
        let dictionary = std::mem::take(&mut self.dictionary);
        let dictionary = self.section(&dictionary);
        let index = std::mem::take(&mut self.index);
        let index = self.section(&index);
        let footer = Footer {
            first: self.first,
            events: self.next.0 - self.first.0,
            frames: self.frames,
            payload_bytes: self.payload_bytes,
            dictionary,
            index,
            blocks: self.blocks,
            block_bytes_max: self.block_bytes_max,
            time_min: self.time_min,
            time_max: self.time_max,
            chain_before: self.chain_before,
            chain_after,
            file_bytes: self.flushed + (self.out.len() + FOOTER_BYTES) as u64,
        };
        self.out.extend_from_slice(&footer.encode());
        self.flush()?;
        self.file.sync()?;
        Ok(footer)
    }
}

const _: () = assert!(HEADER_BYTES.is_multiple_of(8) && FOOTER_BYTES.is_multiple_of(8));
