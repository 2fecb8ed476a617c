//! The subject of every event, as a number of fixed width: one more than the ordinal of its key in
//! the run's dictionary, or zero. A dense subtree is found by scanning it.
//!
//! Keys arrive in order of text, the column is in order of position: pairs are set aside by range
//! of positions and put in place one range at a time, so that memory does not grow with the run.

use std::ops::Range;

use super::{
    codec::Reader,
    error::IndexError,
    pages::{PAYLOAD_BYTES, PageReader, PageWriter, Section},
    spool::{Piece, Spool},
};

/// Positions put in place at a time.
const BUCKET_POSITIONS: usize = 1 << 18;
/// Pairs of four bytes each, set aside at a time.
const PAIR_BYTES: usize = 8;
const PIECE_BYTES: usize = 1024 * PAIR_BYTES;

/// Bytes for numbers up to `max`.
pub(super) fn width_for(max: u32) -> usize {
    (4 - max.leading_zeros() as usize / 8).max(1)
}

#[derive(Debug, Default)]
struct Bucket {
    pairs: Vec<u8>,
    pieces: Vec<Piece>,
}

/// Collects (position, ordinal) pairs and puts them in order.
#[derive(Debug)]
pub(super) struct ColumnWriter {
    count: u32,
    buckets: Vec<Bucket>,
    scratch: Vec<u8>,
}

impl ColumnWriter {
    pub(super) fn new(count: u32) -> ColumnWriter {
        let buckets = (count as usize).div_ceil(BUCKET_POSITIONS);
        ColumnWriter {
            count,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn push(
        &mut self,
        spool: &mut Spool,
        position: u32,
        ordinal: u32,
    ) -> Result<(), IndexError> {
        let bucket = &mut self.buckets[position as usize / BUCKET_POSITIONS];
        bucket.pairs.extend_from_slice(&position.to_le_bytes());
        bucket.pairs.extend_from_slice(&(ordinal + 1).to_le_bytes());
        if bucket.pairs.len() >= PIECE_BYTES {
            bucket.pieces.push(spool.put(&bucket.pairs)?);
            bucket.pairs.clear();
        }
        Ok(())
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Writes the positions of one bucket; buckets in order make the column.
    pub(super) fn write_bucket(
        &mut self,
        index: usize,
        width: usize,
        spool: &Spool,
        out: &mut PageWriter,
    ) -> Result<(), IndexError> {
        let start = index * BUCKET_POSITIONS;
        let len = BUCKET_POSITIONS.min(self.count as usize - start);
        let bucket = std::mem::take(&mut self.buckets[index]);
        let mut column = vec![0; len * width];
        place(&bucket.pairs, start, width, &mut column);
        for piece in bucket.pieces {
            spool.get(piece, &mut self.scratch)?;
            place(&self.scratch, start, width, &mut column);
        }
        out.write(&column)
    }
}

fn place(pairs: &[u8], start: usize, width: usize, column: &mut [u8]) {
    for pair in pairs.chunks_exact(PAIR_BYTES) {
        let mut reader = Reader::new(pair);
        let position = reader.u32().unwrap_or_default() as usize;
        let at = (position - start) * width;
        column[at..at + width].copy_from_slice(&pair[4..4 + width]);
    }
}

/// Reads the column of a run, a page at a time.
#[derive(Debug)]
pub(super) struct ColumnCursor {
    pages: PageReader,
    section: Section,
    width: usize,
    count: u32,
    /// Position of the first decoded value.
    start: u32,
    values: Vec<u32>,
}

impl ColumnCursor {
    pub(super) fn new(pages: &PageReader, section: Section, width: usize, count: u32) -> Self {
        ColumnCursor { pages: pages.clone(), section, width, count, start: 0, values: Vec::new() }
    }

    fn per_page(&self) -> u32 {
        (PAYLOAD_BYTES / self.width) as u32
    }

    /// Whether the event at a position has a subject among `ordinals`.
    pub(super) fn holds(&mut self, at: u32, ordinals: &[Range<u32>]) -> Result<bool, IndexError> {
        if at >= self.count {
            return Ok(false);
        }
        self.load(at)?;
        Ok(is_among(self.values[(at - self.start) as usize], ordinals))
    }

    /// The first position in `from..to` with a subject among `ordinals`.
    pub(super) fn first(
        &mut self,
        mut from: u32,
        to: u32,
        ordinals: &[Range<u32>],
    ) -> Result<Option<u32>, IndexError> {
        let to = to.min(self.count);
        while from < to {
            self.load(from)?;
            let at = (from - self.start) as usize;
            let end = self.values.len().min((to - self.start) as usize);
            if let Some(found) = self.values[at..end].iter().position(|v| is_among(*v, ordinals)) {
                return Ok(Some(from + found as u32));
            }
            from = self.start + end as u32;
        }
        Ok(None)
    }

    /// The last position in `from..=to` with a subject among `ordinals`.
    pub(super) fn last(
        &mut self,
        from: u32,
        to: u32,
        ordinals: &[Range<u32>],
    ) -> Result<Option<u32>, IndexError> {
        let mut to = to.min(self.count.saturating_sub(1));
        while from <= to && self.count > 0 {
            self.load(to)?;
            let start = from.max(self.start);
            let slice = &self.values[(start - self.start) as usize..=(to - self.start) as usize];
            if let Some(found) = slice.iter().rposition(|value| is_among(*value, ordinals)) {
                return Ok(Some(start + found as u32));
            }
            match start.checked_sub(1) {
                Some(before) => to = before,
                None => break,
            }
        }
        Ok(None)
    }

    fn load(&mut self, position: u32) -> Result<(), IndexError> {
        let end = u64::from(self.start) + self.values.len() as u64;
        if position >= self.start && u64::from(position) < end {
            return Ok(());
        }
        let index = position / self.per_page();
        let raw = self.pages.page(self.section.page + u64::from(index))?;
        self.start = index * self.per_page();
        let len = self.per_page().min(self.count - self.start) as usize;
        self.values.clear();
        self.values.extend(raw.chunks_exact(self.width).take(len).map(widen));
        Ok(())
    }
}

fn widen(bytes: &[u8]) -> u32 {
    let mut wide = [0; 4];
    wide[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(wide)
}

fn is_among(value: u32, ordinals: &[Range<u32>]) -> bool {
    value > 0 && ordinals.iter().any(|range| range.contains(&(value - 1)))
}
