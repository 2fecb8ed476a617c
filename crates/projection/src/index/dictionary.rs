//! The sorted keys of a run, front-coded in blocks of about 4 KiB.
//!
//! Every entry is a key and its posting list. In memory lies, per block, the shortest text that
//! tells it from the block before, and what the block adds up to; so a key costs one block, and the
//! number of events in a range of keys costs two, however wide the range is.
//!
//! A block grows with its first key, so that what is kept in memory stays a small part of what is
//! on disk even if all keys are very long and alike.

use std::ops::Range;

use super::{
    codec::{Reader, put_varint},
    error::IndexError,
    key::KeyRange,
    pages::{PAYLOAD_BYTES, PageReader, PageWriter, Section},
    postings::List,
    spool::{Piece, Spool},
};

/// A block begins a page, and fills it unless its first key is long.
const BLOCK_BYTES: usize = PAYLOAD_BYTES;
/// A block holds at least this many times the bytes of its first key.
const BLOCK_KEYS_MIN: usize = 8;

/// A key's place and list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) ordinal: u32,
    pub(super) list: List,
}

/// What a range of keys adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) ordinals: Range<u32>,
    pub(super) events: u64,
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Span {
    pub(super) fn empty() -> Span {
        Span { ordinals: 0..0, events: 0, first: u32::MAX, last: 0 }
    }

    fn add(&mut self, ordinals: Range<u32>, events: u64, first: u32, last: u32) {
        if self.ordinals.is_empty() {
            self.ordinals = ordinals;
        } else {
            self.ordinals.end = ordinals.end;
        }
        self.events += events;
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let List { count, first, last, .. } = entry.list;
        self.add(entry.ordinal..entry.ordinal + 1, u64::from(count), first, last);
    }
}

/// What a block adds up to.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    offset: u64,
    len: u64,
    /// Ordinal of its first key.
    ordinal: u32,
    keys: u32,
    /// Where its first list begins.
    postings: u64,
    events: u64,
    first: u32,
    last: u32,
}

/// Writes keys in order; blocks go to a spool, because the lists go to the file meanwhile.
#[derive(Debug, Default)]
pub(super) struct DictionaryWriter {
    block: Vec<u8>,
    pieces: Vec<Piece>,
    last_key: Vec<u8>,
    block_bytes_min: usize,
    entry: Vec<u8>,
    sums: Block,
    keys: u32,
    postings: u64,
    /// What will be kept in memory, encoded.
    summary: Vec<u8>,
}

impl DictionaryWriter {
    /// Number of keys so far.
    pub(super) fn len(&self) -> u32 {
        self.keys
    }

    pub(super) fn push(
        &mut self,
        spool: &mut Spool,
        key: &[u8],
        list: &List,
    ) -> Result<(), IndexError> {
        let shared = common(&self.last_key, key);
        self.entry.clear();
        put_entry(&mut self.entry, key, shared, list);
        if self.block.len() + self.entry.len() > BLOCK_BYTES.max(self.block_bytes_min) {
            self.end_block(spool)?;
        }
        if self.block.is_empty() {
            self.begin_block(key, shared);
            self.entry.clear();
            put_entry(&mut self.entry, key, 0, list);
        }
        self.block.extend_from_slice(&self.entry);
        self.account(list);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        Ok(())
    }

    fn begin_block(&mut self, key: &[u8], shared: usize) {
        let tells_apart = if self.keys == 0 { 0 } else { (shared + 1).min(key.len()) };
        put_varint(&mut self.summary, tells_apart as u64);
        self.summary.extend_from_slice(&key[..tells_apart]);
        self.block_bytes_min = BLOCK_KEYS_MIN * key.len();
        self.sums = Block { first: u32::MAX, ..Block::default() };
    }

    fn account(&mut self, list: &List) {
        self.keys += 1;
        self.sums.keys += 1;
        self.sums.events += u64::from(list.count);
        self.sums.first = self.sums.first.min(list.first);
        self.sums.last = self.sums.last.max(list.last);
        self.postings += list.len;
    }

    fn end_block(&mut self, spool: &mut Spool) -> Result<(), IndexError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.pieces.push(spool.put(&self.block)?);
        let Block { keys, events, first, last, .. } = self.sums;
        let numbers = [
            self.block.len() as u64,
            u64::from(keys),
            self.postings,
            events,
            u64::from(first),
            u64::from(last),
        ];
        numbers.into_iter().for_each(|number| put_varint(&mut self.summary, number));
        self.postings = 0;
        self.block.clear();
        Ok(())
    }

    /// Ends the last block; answers the blocks in order.
    pub(super) fn finish(&mut self, spool: &mut Spool) -> Result<Vec<Piece>, IndexError> {
        self.end_block(spool)?;
        Ok(std::mem::take(&mut self.pieces))
    }

    /// Writes what is to be kept in memory.
    pub(super) fn write_summary(&self, out: &mut PageWriter) -> Result<(), IndexError> {
        out.write(&self.summary)
    }
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_entry(out: &mut Vec<u8>, key: &[u8], shared: usize, list: &List) {
    put_varint(out, shared as u64);
    put_varint(out, (key.len() - shared) as u64);
    out.extend_from_slice(&key[shared..]);
    put_list(out, list);
}

fn put_list(out: &mut Vec<u8>, list: &List) {
    put_varint(out, u64::from(list.count));
    put_varint(out, u64::from(list.first));
    if list.count > 1 {
        put_varint(out, u64::from(list.last - list.first));
        put_varint(out, list.len);
    }
}

fn read_list(reader: &mut Reader<'_>, offset: u64) -> Option<List> {
    let count = reader.varint32()?;
    let first = reader.varint32()?;
    if count <= 1 {
        return (count == 1).then_some(List { count, first, last: first, offset, len: 0 });
    }
    let last = first.checked_add(reader.varint32()?)?;
    Some(List { count, first, last, offset, len: reader.varint()? })
}

/// The part that is kept in memory.
#[derive(Debug)]
pub(super) struct Dictionary {
    pages: PageReader,
    section: Section,
    blocks: Box<[Block]>,
    separators: Box<[u8]>,
    separator_ends: Box<[usize]>,
}

impl Dictionary {
    pub(super) fn read(
        pages: PageReader,
        section: Section,
        summary: &[u8],
    ) -> Result<Dictionary, IndexError> {
        let mut reader = Reader::new(summary);
        let (mut blocks, mut separators, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Block::default();
        while reader.remaining() > 0 {
            let block = read_summary(&mut reader, &mut separators, &mut next);
            blocks.push(block.ok_or_else(|| pages.damaged(section.page, "dictionary summary"))?);
            ends.push(separators.len());
        }
        Ok(Dictionary {
            pages,
            section,
            blocks: blocks.into_boxed_slice(),
            separators: separators.into_boxed_slice(),
            separator_ends: ends.into_boxed_slice(),
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.len() * (size_of::<Block>() + size_of::<usize>()) + self.separators.len()
    }

    /// The entry of a key.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Entry>, IndexError> {
        let Some(block) = self.blocks.get(self.block_of(key)) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.pages.read(self.section, block.offset, block.len as usize, &mut bytes)?;
        find_in_block(&bytes, block, key)
            .ok_or_else(|| self.pages.damaged(self.section.page, "dictionary block"))
    }

    /// What the keys of a range add up to, from at most two blocks.
    pub(super) fn span(&self, range: &KeyRange) -> Result<Span, IndexError> {
        let mut span = Span::empty();
        let (from, to) = (self.block_of(&range.from), self.block_of(&range.to));
        for index in [Some(from), (to > from).then_some(to)].into_iter().flatten() {
            if index == to && to > from {
                for block in &self.blocks[from + 1..to] {
                    let ordinals = block.ordinal..block.ordinal + block.keys;
                    span.add(ordinals, block.events, block.first, block.last);
                }
            }
            let mut cursor = DictionaryCursor::new(index, index + 1);
            while cursor.advance(self)? {
                if range.contains(cursor.key()) {
                    span.add_entry(&cursor.entry());
                }
            }
        }
        Ok(span)
    }

    /// A cursor before the first key that is not less than `key`, or a little earlier.
    pub(super) fn cursor_at(&self, key: &[u8]) -> DictionaryCursor {
        DictionaryCursor::new(self.block_of(key), self.blocks.len())
    }

    /// A cursor before the first key.
    pub(super) fn cursor(&self) -> DictionaryCursor {
        DictionaryCursor::new(0, self.blocks.len())
    }

    /// The block that holds a key if any does.
    fn block_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.blocks.len().max(1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.separator(middle) <= key { low = middle } else { high = middle }
        }
        low
    }

    fn separator(&self, block: usize) -> &[u8] {
        let start = if block == 0 { 0 } else { self.separator_ends[block - 1] };
        &self.separators[start..self.separator_ends[block]]
    }
}

const PAGE: u64 = PAYLOAD_BYTES as u64;

/// Reads one block's summary; `next` carries where it begins.
fn read_summary(
    reader: &mut Reader<'_>,
    separators: &mut Vec<u8>,
    next: &mut Block,
) -> Option<Block> {
    let len = reader.varint()?;
    separators.extend_from_slice(reader.take(usize::try_from(len).ok()?)?);
    let mut block = *next;
    block.len = reader.varint()?;
    block.keys = reader.varint32()?;
    let postings = reader.varint()?;
    block.events = reader.varint()?;
    block.first = reader.varint32()?;
    block.last = reader.varint32()?;
    next.offset = block.offset.checked_add(block.len)?.checked_next_multiple_of(PAGE)?;
    next.ordinal = block.ordinal.checked_add(block.keys)?;
    next.postings = block.postings.checked_add(postings)?;
    Some(block)
}

/// Looks for a key without putting the others together: how much an entry shares with the one before
/// tells whether it can be the one. `None`: the block cannot be read.
fn find_in_block(bytes: &[u8], block: &Block, key: &[u8]) -> Option<Option<Entry>> {
    let mut reader = Reader::new(bytes);
    let (mut ordinal, mut postings) = (block.ordinal, block.postings);
    // How much of `key` the entry before shares; it is less than `key`.
    let mut matched = 0;
    while reader.remaining() > 0 {
        let shared = reader.varint()? as usize;
        let fresh = reader.varint()?;
        let fresh = reader.take(usize::try_from(fresh).ok()?)?;
        let list = read_list(&mut reader, postings)?;
        if shared < matched {
            return Some(None);
        }
        if shared == matched {
            let rest = &key[matched..];
            let common = common(fresh, rest);
            if common == rest.len() && common == fresh.len() {
                return Some(Some(Entry { ordinal, list }));
            }
            if common == rest.len() || fresh.get(common).is_some_and(|byte| *byte > rest[common]) {
                return Some(None);
            }
            matched += common;
        }
        ordinal += 1;
        postings += list.len;
    }
    Some(None)
}

/// Walks the keys of a dictionary in order.
#[derive(Debug)]
pub(super) struct DictionaryCursor {
    block: usize,
    end: usize,
    bytes: Vec<u8>,
    at: usize,
    key: Vec<u8>,
    entry: Entry,
    next_ordinal: u32,
    next_postings: u64,
}

impl DictionaryCursor {
    fn new(block: usize, end: usize) -> DictionaryCursor {
        DictionaryCursor {
            block,
            end,
            bytes: Vec::new(),
            at: 0,
            key: Vec::new(),
            entry: Entry::default(),
            next_ordinal: 0,
            next_postings: 0,
        }
    }

    /// The key it stands on.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its place and list.
    pub(super) fn entry(&self) -> Entry {
        self.entry
    }

    /// Moves to the next key; `false` at the end.
    pub(super) fn advance(&mut self, dictionary: &Dictionary) -> Result<bool, IndexError> {
        if self.at == self.bytes.len() && !self.load(dictionary)? {
            return Ok(false);
        }
        let damaged = || dictionary.pages.damaged(dictionary.section.page, "dictionary block");
        self.decode().ok_or_else(damaged)?;
        Ok(true)
    }

    /// Moves to the first key that is not less than `key`; `false` if there is none.
    pub(super) fn advance_to(
        &mut self,
        dictionary: &Dictionary,
        key: &[u8],
    ) -> Result<bool, IndexError> {
        while self.advance(dictionary)? {
            if self.key.as_slice() >= key {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn load(&mut self, dictionary: &Dictionary) -> Result<bool, IndexError> {
        let Some(block) = dictionary.blocks.get(self.block).filter(|_| self.block < self.end)
        else {
            return Ok(false);
        };
        self.bytes.clear();
        self.at = 0;
        let len = block.len as usize;
        dictionary.pages.read(dictionary.section, block.offset, len, &mut self.bytes)?;
        self.block += 1;
        self.key.clear();
        self.next_ordinal = block.ordinal;
        self.next_postings = block.postings;
        Ok(true)
    }

    fn decode(&mut self) -> Option<()> {
        let mut reader = Reader::new(&self.bytes[self.at..]);
        let shared = reader.varint()? as usize;
        let fresh = reader.varint()? as usize;
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(reader.take(fresh)?);
        let list = read_list(&mut reader, self.next_postings)?;
        self.entry = Entry { ordinal: self.next_ordinal, list };
        self.next_ordinal += 1;
        self.next_postings += list.len;
        self.at = self.bytes.len() - reader.remaining();
        Some(())
    }
}
