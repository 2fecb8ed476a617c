//! A sealed segment: immutable, compressed in blocks that can be read alone.
//!
//! Header, blocks, dictionary, block index, footer. The footer is read when the log is opened;
//! index and dictionary when the segment is first read from.

pub(crate) mod block;
pub(crate) mod build;
pub(crate) mod codec;

use std::sync::Arc;

use annal_event::{Digest, Position, Timestamp};
use annal_storage::{File, Storage};
use crc32c::{crc32c, crc32c_append};

use self::{block::Block, codec::Decompressor};
use crate::{
    Damage, Fault, ReadError,
    bytes::{array, i64_at, put, take_difference, take_varint, u32_at, u64_at},
    error::read_io,
};

/// Version of the sealed segment's format.
pub(crate) const SEALED_VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const FOOTER_BYTES: usize = 176;
/// Checksum before each compressed block.
pub(crate) const BLOCK_PREFIX_BYTES: usize = 4;

const HEADER_MAGIC: &[u8; 8] = b"ANNALSEG";
const FOOTER_MAGIC: &[u8; 8] = b"ANNALEND";

/// The end of a sealed segment: what it holds and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Position of the first event.
    pub first: Position,
    /// Number of events.
    pub events: u64,
    /// Number of frames they were committed in.
    pub frames: u64,
    /// Size of their records before compression, in bytes.
    pub payload_bytes: u64,
    /// Where the dictionary stands, its size (0: none) and checksum.
    pub dictionary: Section,
    /// Where the block index stands, its size and checksum.
    pub index: Section,
    /// Number of blocks.
    pub blocks: u32,
    /// Size of the largest block before compression, in bytes.
    pub block_bytes_max: u32,
    /// Least recorded time.
    pub time_min: Timestamp,
    /// Newest recorded time in this and all earlier segments.
    pub time_max: Timestamp,
    /// Hash chain before the first frame.
    pub chain_before: Digest,
    /// Hash chain after the last frame.
    pub chain_after: Digest,
    /// Size of the whole file, in bytes.
    pub file_bytes: u64,
}

/// A piece of a sealed segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u32,
    /// Its CRC32C.
    pub crc: u32,
}

impl Section {
    fn put(&self, bytes: &mut [u8], at: usize) {
        put(bytes, at, &self.offset.to_le_bytes());
        put(bytes, at + 8, &self.bytes.to_le_bytes());
        put(bytes, at + 12, &self.crc.to_le_bytes());
    }

    fn take(bytes: &[u8], at: usize) -> Section {
        Section {
            offset: u64_at(bytes, at),
            bytes: u32_at(bytes, at + 8),
            crc: u32_at(bytes, at + 12),
        }
    }

    fn read(&self, file: &dyn File) -> std::io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.bytes as usize];
        match file.read_exact_at(&mut bytes, self.offset) {
            Ok(()) => Ok((crc32c(&bytes) == self.crc).then_some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Footer {
    /// Position of the last event.
    pub fn last(&self) -> Position {
        self.first.plus(self.events - 1)
    }

    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        put(&mut bytes, 0, FOOTER_MAGIC);
        put(&mut bytes, 8, &SEALED_VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.first.0.to_le_bytes());
        put(&mut bytes, 24, &self.events.to_le_bytes());
        put(&mut bytes, 32, &self.frames.to_le_bytes());
        put(&mut bytes, 40, &self.payload_bytes.to_le_bytes());
        self.dictionary.put(&mut bytes, 48);
        self.index.put(&mut bytes, 64);
        put(&mut bytes, 80, &self.blocks.to_le_bytes());
        put(&mut bytes, 84, &self.block_bytes_max.to_le_bytes());
        put(&mut bytes, 88, &self.time_min.0.to_le_bytes());
        put(&mut bytes, 96, &self.time_max.0.to_le_bytes());
        put(&mut bytes, 104, &self.chain_before);
        put(&mut bytes, 136, &self.chain_after);
        put(&mut bytes, 168, &self.file_bytes.to_le_bytes());
        let crc = crc_around(&bytes);
        put(&mut bytes, 12, &crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], file_bytes: u64) -> Result<Footer, Fault> {
        if bytes[..8] != FOOTER_MAGIC[..] || u32_at(bytes, 12) != crc_around(bytes) {
            return Err(Fault::Footer);
        }
        known_version(u32_at(bytes, 8))?;
        let footer = Footer {
            first: Position(u64_at(bytes, 16)),
            events: u64_at(bytes, 24),
            frames: u64_at(bytes, 32),
            payload_bytes: u64_at(bytes, 40),
            dictionary: Section::take(bytes, 48),
            index: Section::take(bytes, 64),
            blocks: u32_at(bytes, 80),
            block_bytes_max: u32_at(bytes, 84),
            time_min: Timestamp(i64_at(bytes, 88)),
            time_max: Timestamp(i64_at(bytes, 96)),
            chain_before: array(bytes, 104),
            chain_after: array(bytes, 136),
            file_bytes: u64_at(bytes, 168),
        };
        let whole = footer.file_bytes == file_bytes && footer.events > 0;
        if whole { Ok(footer) } else { Err(Fault::Footer) }
    }
}

fn known_version(found: u32) -> Result<(), Fault> {
    match found {
        SEALED_VERSION => Ok(()),
        _ => Err(Fault::Version { found, known: SEALED_VERSION }),
    }
}

/// Checksum of everything but itself, at 12..16.
fn crc_around(bytes: &[u8]) -> u32 {
    crc32c_append(crc32c(&bytes[..12]), &bytes[16..])
}

pub(crate) fn encode_header(first: Position, chain_before: &Digest) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    put(&mut bytes, 0, HEADER_MAGIC);
    put(&mut bytes, 8, &SEALED_VERSION.to_le_bytes());
    put(&mut bytes, 16, &first.0.to_le_bytes());
    put(&mut bytes, 24, chain_before);
    let crc = crc_around(&bytes);
    put(&mut bytes, 12, &crc.to_le_bytes());
    bytes
}

fn check_header(bytes: &[u8], footer: &Footer) -> Result<(), Fault> {
    if bytes[..8] != HEADER_MAGIC[..] || u32_at(bytes, 12) != crc_around(bytes) {
        return Err(Fault::Header);
    }
    known_version(u32_at(bytes, 8))?;
    let same = u64_at(bytes, 16) == footer.first.0 && bytes[24..56] == footer.chain_before;
    if same { Ok(()) } else { Err(Fault::Header) }
}

/// What is needed to read blocks.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) footer: Footer,
    path: String,
    file: Arc<dyn File>,
    blocks: Box<[BlockPlace]>,
    decompressor: Decompressor,
}

#[derive(Clone, Copy, Debug)]
struct BlockPlace {
    first: Position,
    offset: u64,
    /// Newest recorded time up to the end of this block.
    time_max: Timestamp,
}

fn damage(path: &str, offset: u64, position: Position, fault: Fault) -> ReadError {
    Damage { file: path.to_owned(), offset, position, fault }.into()
}

impl Sealed {
    /// Reads and checks header, footer, index and dictionary. `named` is the position in the
    /// file's name.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &str,
        named: Position,
    ) -> Result<Sealed, ReadError> {
        let file = storage.open(path).map_err(read_io(path))?;
        let footer = read_footer(&*file, path, named)?;
        let section = |section: Section, fault| match section.read(&*file) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(damage(path, section.offset, named, fault)),
            Err(source) => Err(ReadError::Io { file: path.to_owned(), source }),
        };
        let dictionary = section(footer.dictionary, Fault::Dictionary)?;
        let index = section(footer.index, Fault::Index)?;
        let blocks = decode_index(&index, &footer)
            .ok_or_else(|| damage(path, footer.index.offset, named, Fault::Index))?;
        let decompressor = Decompressor::new(&dictionary);
        Ok(Sealed { footer, path: path.to_owned(), file, blocks, decompressor })
    }

    /// Memory it holds on to, in bytes. A prepared dictionary takes its size and 27 KiB of tables.
    pub(crate) fn weight(&self) -> usize {
        let dictionary = match self.footer.dictionary.bytes {
            0 => 0,
            bytes => bytes as usize + (27 << 10),
        };
        self.blocks.len() * size_of::<BlockPlace>() + dictionary + size_of::<Sealed>()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len() - 1
    }

    /// Index of the block that holds a position of this segment.
    pub(crate) fn block_of(&self, position: Position) -> usize {
        self.blocks.partition_point(|place| place.first <= position).saturating_sub(1)
    }

    /// Index of the first block with an event at or after `time`.
    pub(crate) fn block_at(&self, time: Timestamp) -> usize {
        self.blocks[..self.blocks()].partition_point(|place| place.time_max < time)
    }

    pub(crate) fn block(&self, index: usize) -> Result<Block, ReadError> {
        let mut blocks = self.read(index..index + 1)?;
        blocks.next().ok_or_else(|| self.damaged(index))?
    }

    /// Reads neighbouring blocks with one read of the file and decompresses them one by one.
    pub(crate) fn read(
        &self,
        range: std::ops::Range<usize>,
    ) -> Result<impl Iterator<Item = Result<Block, ReadError>>, ReadError> {
        let start = self.blocks[range.start].offset;
        let mut bytes = vec![0; (self.blocks[range.end].offset - start) as usize];
        match self.file.read_exact_at(&mut bytes, start) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged(range.start));
            }
            done => done.map_err(read_io(&self.path))?,
        }
        Ok(range.map(move |index| {
            let from = (self.blocks[index].offset - start) as usize;
            let to = (self.blocks[index + 1].offset - start) as usize;
            self.decode(&bytes[from..to], index).ok_or_else(|| self.damaged(index))
        }))
    }

    /// How many blocks from `index` on hold about `raw_bytes` of records, at least one.
    pub(crate) fn run(&self, index: usize, raw_bytes: usize) -> std::ops::Range<usize> {
        let per_block = (self.footer.payload_bytes / self.blocks() as u64).max(1);
        let wanted = (raw_bytes as u64 / per_block).clamp(1, 64) as usize;
        index..(index + wanted).min(self.blocks())
    }

    fn decode(&self, bytes: &[u8], index: usize) -> Option<Block> {
        let (crc, compressed) = bytes.split_at_checked(BLOCK_PREFIX_BYTES)?;
        if crc32c(compressed) != u32_at(crc, 0) {
            return None;
        }
        let raw_max = self.footer.block_bytes_max as usize;
        let raw = self.decompressor.decompress(compressed, raw_max)?;
        Block::decode(raw, self.blocks[index].first)
    }

    pub(crate) fn damaged(&self, index: usize) -> ReadError {
        let place = &self.blocks[index];
        damage(&self.path, place.offset, place.first, Fault::Block)
    }

    pub(crate) fn offset_of(&self, index: usize) -> u64 {
        self.blocks[index].offset
    }
}

fn read_footer(file: &dyn File, path: &str, named: Position) -> Result<Footer, ReadError> {
    let len = file.len().map_err(read_io(path))?;
    let Some(at) = len.checked_sub((FOOTER_BYTES + HEADER_BYTES) as u64) else {
        return Err(damage(path, 0, named, Fault::Footer));
    };
    let at = at + HEADER_BYTES as u64;
    let (mut header, mut footer) = ([0; HEADER_BYTES], [0; FOOTER_BYTES]);
    file.read_exact_at(&mut footer, at).map_err(read_io(path))?;
    file.read_exact_at(&mut header, 0).map_err(read_io(path))?;
    let footer = Footer::decode(&footer, len).map_err(|fault| damage(path, at, named, fault))?;
    check_header(&header, &footer).map_err(|fault| damage(path, 0, named, fault))?;
    if footer.first != named {
        return Err(damage(path, 0, named, Fault::Name { found: footer.first }));
    }
    Ok(footer)
}

/// One entry per block and one more for the end.
fn decode_index(mut bytes: &[u8], footer: &Footer) -> Option<Box<[BlockPlace]>> {
    let mut places = Vec::with_capacity(footer.blocks as usize + 1);
    let (mut first, mut offset, mut time) = (footer.first, HEADER_BYTES as u64, 0);
    for _ in 0..footer.blocks {
        let events = take_varint(&mut bytes)?;
        let size = take_varint(&mut bytes)?;
        time = take_difference(&mut bytes, time)?;
        places.push(BlockPlace { first, offset, time_max: Timestamp(time) });
        first = first.plus(events);
        offset = offset.checked_add(size)?;
    }
    let whole = bytes.is_empty()
        && footer.blocks > 0
        && first == footer.last().next()
        && offset == footer.dictionary.offset;
    places.push(BlockPlace { first, offset, time_max: Timestamp(i64::MAX) });
    whole.then(|| places.into())
}
