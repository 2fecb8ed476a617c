//! Files made of checked pages.
//!
//! A page is 4,092 bytes of payload and a CRC32C over them, the file's salt and the page's number,
//! so that a flipped bit, a page of another file and a page in the wrong place are all noticed
//! before a byte is used. A *section* is a run of whole pages; within it bytes are addressed as if
//! the checksums were not there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use annal_storage::File;

use super::{codec::Reader, error::IndexError};

/// Bytes on disk.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes of content: divisible by 1, 2, 3, 4 and 12, so that fixed-width entries never straddle.
pub(super) const PAYLOAD_BYTES: usize = PAGE_BYTES - 4;
const ZEROS: [u8; PAYLOAD_BYTES] = [0; PAYLOAD_BYTES];
/// Pages collected before they are written.
const WRITE_PAGES: usize = 32;
/// Bytes written between two syncs, so that the last one has little left to do.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// A run of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// Number of the first page.
    pub(super) page: u64,
    /// Bytes of content.
    pub(super) len: u64,
}

impl Section {
    fn pages(self) -> u64 {
        self.len.div_ceil(PAYLOAD_BYTES as u64)
    }

    /// Number of the page after the last.
    pub(super) fn end_page(self) -> u64 {
        self.page.saturating_add(self.pages())
    }
}

fn checksum(payload: &[u8], salt: u64, page: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&salt.to_le_bytes());
    place[8..].copy_from_slice(&page.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(payload), &place)
}

/// Writes sections one after the other.
#[derive(Debug)]
pub(super) struct PageWriter {
    file: Arc<dyn File>,
    name: String,
    salt: u64,
    buffer: Vec<u8>,
    flushed_pages: u64,
    synced_bytes: u64,
    section: Section,
}

impl PageWriter {
    pub(super) fn new(file: Arc<dyn File>, name: String, salt: u64) -> PageWriter {
        PageWriter {
            file,
            name,
            salt,
            buffer: Vec::with_capacity(WRITE_PAGES * PAGE_BYTES),
            flushed_pages: 0,
            synced_bytes: 0,
            section: Section::default(),
        }
    }

    /// Bytes of content written into the present section.
    pub(super) fn offset(&self) -> u64 {
        self.section.len
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), IndexError> {
        while !bytes.is_empty() {
            let room = PAYLOAD_BYTES - self.buffer.len() % PAGE_BYTES;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.section.len += now.len() as u64;
            if now.len() == room {
                self.seal_page()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Fills the page up with zeros, which count as content, unless it is just begun.
    pub(super) fn pad_page(&mut self) -> Result<(), IndexError> {
        let filled = self.buffer.len() % PAGE_BYTES;
        if filled == 0 { Ok(()) } else { self.write(&ZEROS[filled..]) }
    }

    /// Ends the section at a page boundary and begins the next.
    pub(super) fn end_section(&mut self) -> Result<Section, IndexError> {
        let filled = self.buffer.len() % PAGE_BYTES;
        if filled > 0 {
            self.buffer.resize(self.buffer.len() + PAYLOAD_BYTES - filled, 0);
            self.seal_page()?;
        }
        let ended = self.section;
        self.section = Section { page: ended.end_page(), len: 0 };
        Ok(ended)
    }

    /// Writes what is left and makes the file durable; answers its size in bytes.
    pub(super) fn finish(&mut self) -> Result<u64, IndexError> {
        self.flush()?;
        self.sync()?;
        Ok(self.flushed_pages * PAGE_BYTES as u64)
    }

    fn seal_page(&mut self) -> Result<(), IndexError> {
        let payload = &self.buffer[self.buffer.len() - PAYLOAD_BYTES..];
        let page = self.flushed_pages + (self.buffer.len() / PAGE_BYTES) as u64;
        let sum = checksum(payload, self.salt, page);
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        if self.buffer.len() >= WRITE_PAGES * PAGE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        let offset = self.flushed_pages * PAGE_BYTES as u64;
        self.file.write_at(&self.buffer, offset).map_err(|e| IndexError::io(&self.name, e))?;
        self.flushed_pages += (self.buffer.len() / PAGE_BYTES) as u64;
        self.buffer.clear();
        if offset - self.synced_bytes >= SYNC_BYTES {
            self.synced_bytes = offset;
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), IndexError> {
        self.file.sync().map_err(|e| IndexError::io(&self.name, e))
    }
}

/// Reads and checks pages of one file.
#[derive(Clone, Debug)]
pub(super) struct PageReader {
    file: Arc<dyn File>,
    name: Arc<str>,
    salt: u64,
    /// Something was not what was written; shared by all clones.
    suspect: Arc<AtomicBool>,
}

impl PageReader {
    pub(super) fn new(file: Arc<dyn File>, name: Arc<str>, salt: u64) -> PageReader {
        PageReader { file, name, salt, suspect: Arc::default() }
    }

    /// Whether damage was met since the file was opened.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Relaxed)
    }

    pub(super) fn damaged(&self, page: u64, what: &'static str) -> IndexError {
        self.suspect.store(true, Relaxed);
        IndexError::damaged(&self.name, page * PAGE_BYTES as u64, what)
    }

    /// Appends `len` bytes of content at `offset` of a section to `out`.
    pub(super) fn read(
        &self,
        section: Section,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), IndexError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > section.len) {
            return Err(self.damaged(section.page, "a reference past the end of its section"));
        }
        if len == 0 {
            return Ok(());
        }
        let first = offset / PAYLOAD_BYTES as u64;
        let last = (offset + len as u64 - 1) / PAYLOAD_BYTES as u64;
        let mut skip = (offset % PAYLOAD_BYTES as u64) as usize;
        let mut left = len;
        let mut page = section.page + first;
        let mut stack = [0; PAGE_BYTES];
        let mut heap = Vec::new();
        while left > 0 {
            let count = ((section.page + last + 1 - page) as usize).min(WRITE_PAGES);
            let raw = if count == 1 {
                &mut stack[..]
            } else {
                heap.resize(count * PAGE_BYTES, 0);
                &mut heap[..]
            };
            self.read_pages(page, raw)?;
            for raw in raw.chunks_exact(PAGE_BYTES) {
                let part = &raw[skip..PAYLOAD_BYTES.min(skip + left)];
                out.extend_from_slice(part);
                left -= part.len();
                skip = 0;
            }
            page += count as u64;
        }
        Ok(())
    }

    /// One page's content.
    pub(super) fn page(&self, page: u64) -> Result<[u8; PAGE_BYTES], IndexError> {
        let mut raw = [0; PAGE_BYTES];
        self.read_pages(page, &mut raw)?;
        Ok(raw)
    }

    /// A file that ends too early has been cut: damage, not a refusal of the disk.
    fn read_raw(&self, page: u64, raw: &mut [u8], offset: u64) -> Result<(), IndexError> {
        match self.file.read_at(raw, offset) {
            Ok(read) if read == raw.len() => Ok(()),
            Ok(_) => Err(self.damaged(page, "the file is cut off")),
            Err(error) => Err(IndexError::io(&self.name, error)),
        }
    }

    fn read_pages(&self, first: u64, raw: &mut [u8]) -> Result<(), IndexError> {
        let offset = first.saturating_mul(PAGE_BYTES as u64);
        self.read_raw(first, raw, offset)?;
        for (page, raw) in (first..).zip(raw.chunks_exact(PAGE_BYTES)) {
            let (payload, sum) = raw.split_at(PAYLOAD_BYTES);
            if checksum(payload, self.salt, page).to_le_bytes() != sum {
                return Err(self.damaged(page, "checksum"));
            }
        }
        Ok(())
    }
}

/// Reads a section from front to back.
#[derive(Debug)]
pub(super) struct SectionReader {
    pages: PageReader,
    section: Section,
    fetched: u64,
    buffer: Vec<u8>,
    at: usize,
}

const VARINT_BYTES_MAX: usize = 10;

/// Bytes fetched at a time by a [`SectionReader`].
const FETCH_BYTES: usize = 16 * PAYLOAD_BYTES;

impl SectionReader {
    pub(super) fn new(pages: PageReader, section: Section) -> SectionReader {
        SectionReader { pages, section, fetched: 0, buffer: Vec::new(), at: 0 }
    }

    /// The next `len` bytes; `None` when fewer are left.
    pub(super) fn next(&mut self, len: usize) -> Result<Option<&[u8]>, IndexError> {
        if self.buffer.len() - self.at < len && !self.fetch(len)? {
            return Ok(None);
        }
        self.at += len;
        Ok(Some(&self.buffer[self.at - len..self.at]))
    }

    /// The next number in seven-bit groups; `None` at the end.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<Option<u64>, IndexError> {
        if self.buffer.len() - self.at < VARINT_BYTES_MAX {
            let left = self.section.len - self.fetched + (self.buffer.len() - self.at) as u64;
            self.fetch(left.min(VARINT_BYTES_MAX as u64) as usize)?;
        }
        let mut reader = Reader::new(&self.buffer[self.at..]);
        let value = reader.varint();
        self.at = self.buffer.len() - reader.remaining();
        Ok(value)
    }

    /// Moves over `len` bytes.
    pub(super) fn skip(&mut self, mut len: u64) -> Result<Option<()>, IndexError> {
        while len > 0 {
            let now = len.min(FETCH_BYTES as u64);
            if self.next(now as usize)?.is_none() {
                return Ok(None);
            }
            len -= now;
        }
        Ok(Some(()))
    }

    pub(super) fn damaged(&self, what: &'static str) -> IndexError {
        self.pages.damaged(self.section.page, what)
    }

    fn fetch(&mut self, len: usize) -> Result<bool, IndexError> {
        if self.buffer.len() - self.at >= len {
            return Ok(true);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let missing = len - self.buffer.len();
        let left = self.section.len - self.fetched;
        if missing as u64 > left {
            return Ok(false);
        }
        let take = (FETCH_BYTES.max(missing) as u64).min(left) as usize;
        self.pages.read(self.section, self.fetched, take, &mut self.buffer)?;
        self.fetched += take as u64;
        Ok(true)
    }
}

/// The page or pages of a section that were read last.
#[derive(Debug)]
pub(super) struct Window {
    pages: PageReader,
    section: Section,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(pages: PageReader, section: Section) -> Window {
        Window { pages, section, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes of content at `offset`; reads whole pages, and only if they are not at hand.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], IndexError> {
        let end = offset.saturating_add(len as u64);
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            self.load(offset, end)?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + len])
    }

    fn load(&mut self, offset: u64, end: u64) -> Result<(), IndexError> {
        let payload = PAYLOAD_BYTES as u64;
        self.start = offset / payload * payload;
        self.bytes.clear();
        if end > self.section.len {
            return Err(self.pages.damaged(self.section.page, "a reference past its section"));
        }
        let until = end.div_ceil(payload).saturating_mul(payload).min(self.section.len);
        let len = (until - self.start) as usize;
        self.pages.read(self.section, self.start, len, &mut self.bytes)
    }
}
