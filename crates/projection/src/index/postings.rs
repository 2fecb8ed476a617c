//! Posting lists: ascending positions relative to their run, in blocks of 128 differences.
//!
//! A list of one lies in the dictionary alone. A longer one is a sequence of blocks; each begins
//! with the distance from the end of the block before (not the first block: the dictionary has its
//! first position), so that a merge reads a list from front to back. A list of more than one block
//! is followed by a table of (first position, end offset) per block, so that a reader can go to any
//! block without loading the others, forwards or backwards.

use super::{
    codec::{Reader, put_varint},
    error::IndexError,
    pages::{PageReader, PageWriter, Section, SectionReader, Window},
};

/// Positions per block.
pub(super) const BLOCK_POSTINGS: u32 = 128;
const SKIP_BYTES: u64 = 8;

/// Where a list lies and what is known of it without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Number of positions, at least one.
    pub(super) count: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    /// Offset in the postings section, in bytes.
    pub(super) offset: u64,
    /// Blocks and table, in bytes.
    pub(super) len: u64,
}

impl List {
    fn blocks(&self) -> u32 {
        self.count.div_ceil(BLOCK_POSTINGS)
    }

    fn table_bytes(&self) -> u64 {
        if self.count <= BLOCK_POSTINGS { 0 } else { u64::from(self.blocks()) * SKIP_BYTES }
    }
}

/// Writes one list after the other.
#[derive(Debug, Default)]
pub(super) struct ListWriter {
    list: List,
    block: Vec<u8>,
    table: Vec<u8>,
    block_first: u32,
    written: u64,
}

impl ListWriter {
    /// Positions must ascend.
    pub(super) fn push(&mut self, out: &mut PageWriter, position: u32) -> Result<(), IndexError> {
        let list = &mut self.list;
        let in_block = list.count % BLOCK_POSTINGS;
        if list.count == 0 {
            list.first = position;
            list.offset = out.offset();
        } else {
            if in_block == 0 {
                self.end_block(out)?;
            }
            put_varint(&mut self.block, u64::from(position - self.list.last));
        }
        if in_block == 0 {
            self.block_first = position;
        }
        self.list.last = position;
        self.list.count += 1;
        Ok(())
    }

    /// Ends the list and answers where it lies.
    pub(super) fn finish(&mut self, out: &mut PageWriter) -> Result<List, IndexError> {
        let table_follows = self.list.count > BLOCK_POSTINGS;
        if self.list.count > 1 {
            self.end_block(out)?;
        }
        if table_follows {
            out.write(&self.table)?;
            self.written += self.table.len() as u64;
        }
        let list = List { len: self.written, ..self.list };
        self.table.clear();
        self.written = 0;
        self.list = List::default();
        Ok(list)
    }

    fn end_block(&mut self, out: &mut PageWriter) -> Result<(), IndexError> {
        out.write(&self.block)?;
        self.written += self.block.len() as u64;
        self.block.clear();
        self.table.extend_from_slice(&self.block_first.to_le_bytes());
        self.table.extend_from_slice(&(self.written as u32).to_le_bytes());
        Ok(())
    }
}

/// Reads the lists of a section from front to back, for a merge.
#[derive(Debug)]
pub(super) struct ListStream {
    bytes: SectionReader,
    list: List,
    read: u32,
    last: u32,
}

impl ListStream {
    pub(super) fn new(pages: PageReader, section: Section) -> ListStream {
        let bytes = SectionReader::new(pages, section);
        ListStream { bytes, list: List::default(), read: 0, last: 0 }
    }

    /// Begins the next list; the one before must have been read to its end.
    pub(super) fn begin(&mut self, list: List) {
        self.list = list;
        self.read = 0;
    }

    /// The next position; `None` at the end of the list.
    pub(super) fn next(&mut self) -> Result<Option<u32>, IndexError> {
        if self.read == self.list.count {
            return Ok(None);
        }
        self.last = if self.read == 0 {
            self.list.first
        } else {
            let delta = self.bytes.varint()?.and_then(|delta| u32::try_from(delta).ok());
            delta
                .and_then(|delta| self.last.checked_add(delta))
                .ok_or_else(|| self.bytes.damaged("a posting list is too short"))?
        };
        self.read += 1;
        if self.read == self.list.count {
            let skipped = self.bytes.skip(self.list.table_bytes())?;
            skipped.ok_or_else(|| self.bytes.damaged("a posting list is too short"))?;
        }
        Ok(Some(self.last))
    }
}

/// Finds positions in one list, reading only the blocks it needs.
#[derive(Debug)]
pub(super) struct ListCursor {
    list: List,
    data: Window,
    table: Window,
    /// The block that is decoded.
    block: Option<u32>,
    positions: Vec<u32>,
}

impl ListCursor {
    pub(super) fn new(pages: &PageReader, section: Section, list: List) -> ListCursor {
        ListCursor {
            list,
            data: Window::new(pages.clone(), section),
            table: Window::new(pages.clone(), section),
            block: None,
            positions: Vec::new(),
        }
    }

    pub(super) fn list(&self) -> List {
        self.list
    }

    /// The first position at or after `target`.
    pub(super) fn at_or_after(&mut self, target: u32) -> Result<Option<u32>, IndexError> {
        if target <= self.list.first {
            return Ok(Some(self.list.first));
        }
        if target >= self.list.last {
            return Ok((target == self.list.last).then_some(target));
        }
        let block = self.block_of(target)?;
        self.decode(block)?;
        let index = self.positions.partition_point(|&position| position < target);
        match self.positions.get(index) {
            Some(&position) => Ok(Some(position)),
            None => Ok(Some(self.skip_entry(block + 1)?.0)),
        }
    }

    /// The last position at or before `target`.
    pub(super) fn at_or_before(&mut self, target: u32) -> Result<Option<u32>, IndexError> {
        if target >= self.list.last {
            return Ok(Some(self.list.last));
        }
        if target <= self.list.first {
            return Ok((target == self.list.first).then_some(target));
        }
        let block = self.block_of(target)?;
        self.decode(block)?;
        let index = self.positions.partition_point(|&position| position <= target);
        Ok(index.checked_sub(1).map(|index| self.positions[index]))
    }

    /// How many positions are at or before `target`.
    pub(super) fn count_to(&mut self, target: u32) -> Result<u32, IndexError> {
        if target >= self.list.last || target < self.list.first {
            return Ok(if target < self.list.first { 0 } else { self.list.count });
        }
        let block = self.block_of(target)?;
        self.decode(block)?;
        let within = self.positions.partition_point(|&position| position <= target);
        Ok(block * BLOCK_POSTINGS + within as u32)
    }

    /// Turns to another list and appends all its positions to `out`.
    pub(super) fn collect(&mut self, list: List, out: &mut Vec<u32>) -> Result<(), IndexError> {
        self.list = list;
        self.block = None;
        for block in 0..self.list.blocks() {
            self.decode(block)?;
            out.extend_from_slice(&self.positions);
        }
        self.block = None;
        Ok(())
    }

    /// The last block whose first position is not after `target`, which lies within the list.
    fn block_of(&mut self, target: u32) -> Result<u32, IndexError> {
        let (mut low, mut high) = (0, self.list.blocks());
        if let (Some(block), Some(&first)) = (self.block, self.positions.first()) {
            if target < first {
                high = block;
            } else {
                low = block;
                // Most seeks stay in the block at hand or go on to the next.
                let next = block + 1;
                if next < high && self.skip_entry(next)?.0 > target {
                    return Ok(block);
                }
            }
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.skip_entry(middle)?.0 <= target { low = middle } else { high = middle }
        }
        Ok(low)
    }

    fn skip_entry(&mut self, block: u32) -> Result<(u32, u32), IndexError> {
        let at = self.list.offset
            + self.list.len.saturating_sub(self.list.table_bytes())
            + u64::from(block) * SKIP_BYTES;
        let mut entry = Reader::new(self.table.get(at, SKIP_BYTES as usize)?);
        Ok((entry.u32().unwrap_or_default(), entry.u32().unwrap_or_default()))
    }

    fn decode(&mut self, block: u32) -> Result<(), IndexError> {
        if self.block == Some(block) {
            return Ok(());
        }
        self.block = None;
        let (first, start, end) = self.bounds(block)?;
        let count = BLOCK_POSTINGS.min(self.list.count - block * BLOCK_POSTINGS);
        let damage = IndexError::damaged("postings", self.list.offset, "a block is too short");
        let Some(len) = end.checked_sub(start) else { return Err(damage) };
        let bytes = self.data.get(self.list.offset + u64::from(start), len as usize)?;
        self.positions.clear();
        match decode_block(bytes, first, count, block > 0, &mut self.positions) {
            Some(()) => self.block = Some(block),
            None => return Err(damage),
        }
        Ok(())
    }

    /// First position, start and end offset of a block.
    fn bounds(&mut self, block: u32) -> Result<(u32, u32, u32), IndexError> {
        if self.list.count <= BLOCK_POSTINGS {
            return Ok((self.list.first, 0, self.list.len as u32));
        }
        let start = if block == 0 { 0 } else { self.skip_entry(block - 1)?.1 };
        let (first, end) = self.skip_entry(block)?;
        Ok((first, start, end))
    }
}

fn decode_block(
    bytes: &[u8],
    first: u32,
    count: u32,
    gap_first: bool,
    out: &mut Vec<u32>,
) -> Option<()> {
    let mut reader = Reader::new(bytes);
    if gap_first {
        reader.varint32()?;
    }
    let mut position = first;
    out.push(position);
    for _ in 1..count {
        position = position.checked_add(reader.varint32()?)?;
        out.push(position);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use annal_storage::{FaultStorage, Storage};

    use super::*;

    #[test]
    fn lists_of_every_length_are_found_both_ways_and_streamed() {
        let storage = FaultStorage::new(1);
        let file = storage.create("lists").expect("a file");
        let mut pages = PageWriter::new(Arc::clone(&file), "lists".to_owned(), 5);
        let lengths = [1, 2, 127, 128, 129, 256, 257, 20_000];
        let positions = |length: u32| (0..length).map(move |n| 3 + n * 5 + n / 128 * 1_000);
        let mut writer = ListWriter::default();
        let mut lists = Vec::new();
        for length in lengths {
            for position in positions(length) {
                writer.push(&mut pages, position).expect("pushed");
            }
            lists.push(writer.finish(&mut pages).expect("finished"));
        }
        let section = pages.end_section().expect("ended");
        pages.finish().expect("written");
        let pages = PageReader::new(file, "lists".into(), 5);
        let mut stream = ListStream::new(pages.clone(), section);
        for (list, length) in lists.into_iter().zip(lengths) {
            let all: Vec<u32> = positions(length).collect();
            stream.begin(list);
            let streamed: Vec<u32> =
                std::iter::from_fn(|| stream.next().expect("a position")).collect();
            assert!(streamed == all, "{length}");
            seeks_agree(&pages, section, list, &all);
        }
    }

    fn seeks_agree(pages: &PageReader, section: Section, list: List, all: &[u32]) {
        let mut forth = ListCursor::new(pages, section, list);
        let mut back = ListCursor::new(pages, section, list);
        let end = list.last + 3;
        for target in (0..end).step_by(1 + end as usize / 900) {
            let after = all.partition_point(|position| *position < target);
            let found = forth.at_or_after(target).expect("a seek");
            assert_eq!(found, all.get(after).copied(), "{target} in {list:?}");
            let upto = all.partition_point(|position| *position <= target);
            assert_eq!(forth.count_to(target).expect("a count") as usize, upto);
            let target = end - target;
            let upto = all.partition_point(|position| *position <= target);
            let found = back.at_or_before(target).expect("a seek");
            assert_eq!(found, upto.checked_sub(1).map(|index| all[index]), "{target} in {list:?}");
        }
    }
}
