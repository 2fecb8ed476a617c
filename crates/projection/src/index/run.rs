//! A run: an immutable file that indexes a contiguous range of positions.
//!
//! Sections, each of whole checked pages: identities (hash and position, sorted), posting lists,
//! dictionary, subject column; then what is kept in memory (first hash of every identity page, two
//! filters, summary of the dictionary); and a footer page that says where everything is. Nothing
//! else of a run is ever held: a read fetches the pages it needs.

use std::{ops::RangeInclusive, sync::Arc};

use annal_event::{Identity, Position};
use annal_storage::Storage;

use super::{
    codec::Reader,
    column::{ColumnCursor, width_for},
    dictionary::{Dictionary, Entry},
    error::IndexError,
    filter::Filter,
    pages::{PAGE_BYTES, PAYLOAD_BYTES, PageReader, Section},
    postings::{List, ListCursor},
};

/// A hash and a relative position.
pub(super) const IDENTITY_BYTES: usize = 12;
/// About one absent identity in a hundred passes.
pub(super) const IDENTITY_FILTER_BITS: u64 = 10;
/// About one absent key in forty passes.
pub(super) const KEY_FILTER_BITS: u64 = 8;
/// Events a run can hold, so that no offset within a list passes 32 bits.
pub(super) const RUN_EVENTS_MAX: u64 = 1 << 29;

const MAGIC: &[u8; 8] = b"ANNALRUN";
/// Of the file format; any other is not read.
pub(super) const VERSION: u32 = 2;

/// Distinguishes the pages of different runs.
pub(super) fn run_salt(first: Position, count: u32) -> u64 {
    first.get() ^ u64::from(count).rotate_left(40)
}

/// The last page: where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) subjects: u32,
    pub(super) identities: Section,
    pub(super) postings: Section,
    pub(super) dictionary: Section,
    pub(super) column: Section,
    pub(super) page_firsts: Section,
    pub(super) identity_filter: Section,
    pub(super) key_filter: Section,
    pub(super) summary: Section,
}

impl Footer {
    pub(super) fn new(first: Position, count: u32) -> Footer {
        let none = Section::default();
        Footer {
            first,
            count,
            subjects: 0,
            identities: none,
            postings: none,
            dictionary: none,
            column: none,
            page_firsts: none,
            identity_filter: none,
            key_filter: none,
            summary: none,
        }
    }

    fn sections(&self) -> [Section; 8] {
        [
            self.identities,
            self.postings,
            self.dictionary,
            self.column,
            self.page_firsts,
            self.identity_filter,
            self.key_filter,
            self.summary,
        ]
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from(*MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.first.get().to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.subjects.to_le_bytes());
        for section in self.sections() {
            out.extend_from_slice(&section.page.to_le_bytes());
            out.extend_from_slice(&section.len.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Footer> {
        let mut reader = Reader::new(bytes);
        if reader.take(8)? != MAGIC || reader.u32()? != VERSION {
            return None;
        }
        let mut footer = Footer::new(Position(reader.u64()?), reader.u32()?);
        footer.subjects = reader.u32()?;
        let mut next = || Some(Section { page: reader.u64()?, len: reader.u64()? });
        footer.identities = next()?;
        footer.postings = next()?;
        footer.dictionary = next()?;
        footer.column = next()?;
        footer.page_firsts = next()?;
        footer.identity_filter = next()?;
        footer.key_filter = next()?;
        footer.summary = next()?;
        Some(footer)
    }
}

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: String,
    pub(super) first: Position,
    pub(super) count: u32,
    /// How often its events have been merged.
    pub(super) level: u8,
    /// Size of the file.
    pub(super) bytes: u64,
    pub(super) pages: PageReader,
    pub(super) footer: Footer,
    page_firsts: Box<[u64]>,
    identity_filter: Filter,
    key_filter: Filter,
    pub(super) dictionary: Dictionary,
}

/// What a manifest says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunEntry {
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) level: u8,
    pub(super) bytes: u64,
}

impl RunEntry {
    /// The name follows from the range.
    pub(super) fn name(&self) -> String {
        run_name(self.first, self.count)
    }
}

/// File name of the run of `count` events from `first` on.
pub(super) fn run_name(first: Position, count: u32) -> String {
    format!("{:020}-{count}.run", first.get())
}

impl Run {
    /// Opens a run and reads what is kept in memory.
    pub(super) fn open(
        storage: &Arc<dyn Storage>,
        dir: &str,
        entry: RunEntry,
    ) -> Result<Run, IndexError> {
        let path = format!("{dir}/{}", entry.name());
        let file = storage.open(&path).map_err(|e| IndexError::io(&path, e))?;
        let bytes = file.len().map_err(|e| IndexError::io(&path, e))?;
        if bytes != entry.bytes || bytes < PAGE_BYTES as u64 {
            return Err(IndexError::damaged(&path, bytes, "size"));
        }
        let salt = run_salt(entry.first, entry.count);
        let pages = PageReader::new(file, path.as_str().into(), salt);
        let footer = read_footer(&pages, entry)?;
        let mut bytes = Vec::new();
        let page_firsts = read_all(&pages, footer.page_firsts, &mut bytes)?
            .chunks_exact(8)
            .map(|hash| u64::from_le_bytes(hash.try_into().expect("eight bytes")))
            .collect();
        let identity_filter = read_filter(&pages, footer.identity_filter, &mut bytes)?;
        let key_filter = read_filter(&pages, footer.key_filter, &mut bytes)?;
        let summary = read_all(&pages, footer.summary, &mut bytes)?;
        let dictionary = Dictionary::read(pages.clone(), footer.dictionary, summary)?;
        let RunEntry { first, count, level, bytes } = entry;
        Ok(Run {
            path,
            first,
            count,
            level,
            bytes,
            pages,
            footer,
            page_firsts,
            identity_filter,
            key_filter,
            dictionary,
        })
    }

    pub(super) fn entry(&self) -> RunEntry {
        let Run { first, count, level, bytes, .. } = *self;
        RunEntry { first, count, level, bytes }
    }

    /// Position of its last event.
    pub(super) fn last(&self) -> Position {
        Position(self.first.get() + u64::from(self.count) - 1)
    }

    /// Position of an event of the run.
    pub(super) fn position(&self, relative: u32) -> Position {
        self.first.plus(u64::from(relative))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.page_firsts.len() * 8
            + self.identity_filter.memory_bytes()
            + self.key_filter.memory_bytes()
            + self.dictionary.memory_bytes()
    }

    /// Whether an identity may be in here: one memory access.
    #[inline]
    pub(super) fn may_hold(&self, identity: Identity) -> bool {
        self.identity_filter.contains(identity.0)
    }

    /// Appends the positions of the identity hashes in a range.
    pub(super) fn identities(
        &self,
        range: &RangeInclusive<Identity>,
        out: &mut Vec<Position>,
    ) -> Result<(), IndexError> {
        let low = range.start().0;
        let start = self.page_firsts.partition_point(|&hash| hash < low).saturating_sub(1);
        for page in start..self.page_firsts.len() {
            if self.page_firsts[page] > range.end().0 {
                break;
            }
            let raw = self.pages.page(self.footer.identities.page + page as u64)?;
            let left = self.footer.identities.len - (page * PAYLOAD_BYTES) as u64;
            let entries = &raw[..PAYLOAD_BYTES.min(left as usize)];
            self.search_page(entries, range, out);
        }
        Ok(())
    }

    fn search_page(
        &self,
        entries: &[u8],
        range: &RangeInclusive<Identity>,
        out: &mut Vec<Position>,
    ) {
        let hash_at = |index: usize| {
            let at = index * IDENTITY_BYTES;
            Reader::new(&entries[at..]).u64().unwrap_or(u64::MAX)
        };
        let count = entries.len() / IDENTITY_BYTES;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if hash_at(middle) < range.start().0 { low = middle + 1 } else { high = middle }
        }
        for index in (low..count).take_while(|&index| hash_at(index) <= range.end().0) {
            let at = index * IDENTITY_BYTES + 8;
            out.push(self.position(Reader::new(&entries[at..]).u32().unwrap_or_default()));
        }
    }

    /// The entry of a key, if it is here.
    pub(super) fn find(&self, key: &[u8], hash: u64) -> Result<Option<Entry>, IndexError> {
        if !self.key_filter.contains(hash) {
            return Ok(None);
        }
        self.dictionary.find(key)
    }

    pub(super) fn list(&self, list: List) -> ListCursor {
        ListCursor::new(&self.pages, self.footer.postings, list)
    }

    /// Reads whole lists one after the other.
    pub(super) fn list_collector(&self) -> ListCursor {
        self.list(List::default())
    }

    pub(super) fn column(&self) -> ColumnCursor {
        let width = width_for(self.footer.subjects);
        ColumnCursor::new(&self.pages, self.footer.column, width, self.count)
    }
}

fn read_footer(pages: &PageReader, entry: RunEntry) -> Result<Footer, IndexError> {
    let page = entry.bytes / PAGE_BYTES as u64 - 1;
    let footer = Footer::decode(&pages.page(page)?)
        .ok_or_else(|| pages.damaged(page, "not a footer of this version"))?;
    let inside = footer.sections().iter().all(|section| section.end_page() <= page);
    if !inside || footer.first != entry.first || footer.count != entry.count {
        return Err(pages.damaged(page, "footer"));
    }
    Ok(footer)
}

fn read_all<'a>(
    pages: &PageReader,
    section: Section,
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], IndexError> {
    out.clear();
    pages.read(section, 0, section.len as usize, out)?;
    Ok(out)
}

fn read_filter(
    pages: &PageReader,
    section: Section,
    scratch: &mut Vec<u8>,
) -> Result<Filter, IndexError> {
    let bytes = read_all(pages, section, scratch)?;
    Filter::from_bytes(bytes).ok_or_else(|| pages.damaged(section.page, "filter"))
}
