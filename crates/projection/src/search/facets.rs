//! The values of a field among the results, and how many documents have each.
//!
//! Counts are exact. Texts are counted by their ordinals and merged over segments in the order of
//! their dictionaries, so memory is bounded by the dictionaries' lengths, four bytes a value,
//! however many values there are.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
};

use tantivy::{DocId, SegmentReader, columnar::StrColumn};

use super::{
    Kind, QueryError,
    columns::{self, Columns, Scalar, Values},
    target::Target,
    top::Top,
};

/// Different numbers that one facet tells apart.
const NUMBERS_MAX: usize = 100_000;

/// Texts that are read from a dictionary at a time.
const CHUNK: usize = 1_024;

/// One field's values among the results.
#[derive(Clone, Debug, PartialEq)]
pub struct Facet {
    /// As asked for.
    pub path: String,
    /// The most frequent values, most frequent first; equal ones in their own order.
    pub values: Vec<FacetCount>,
    /// How many more values there are.
    pub other_values: u64,
    /// How many documents have them, a document with several counted for each.
    pub other_count: u64,
}

/// A value and how many results have it.
#[derive(Clone, Debug, PartialEq)]
pub struct FacetCount {
    /// The value.
    pub value: FacetValue,
    /// How many results have it.
    pub count: u64,
}

/// A value as it stands in documents.
#[derive(Clone, Debug, PartialEq)]
pub enum FacetValue {
    /// A text. One of more than 64 bytes is counted by its beginning, which ends in `…`.
    Text(String),
    /// An integer.
    Signed(i64),
    /// A large integer.
    Unsigned(u64),
    /// A number with a fraction.
    Float(f64),
    /// A boolean.
    Bool(bool),
}

impl From<Scalar> for FacetValue {
    fn from(scalar: Scalar) -> FacetValue {
        match scalar {
            Scalar::Bool(value) => FacetValue::Bool(value),
            Scalar::Signed(value) => FacetValue::Signed(value),
            Scalar::Unsigned(value) => FacetValue::Unsigned(value),
            Scalar::Float(value) => FacetValue::Float(value),
        }
    }
}

/// Counts one facet, segment by segment.
pub(super) struct Counter<'q> {
    path: &'q str,
    target: Target,
    kinds: &'q [Kind],
    texts: Vec<Texts>,
    scalars: BTreeMap<Scalar, u64>,
    current: Option<Current>,
    too_many: bool,
}

/// The texts of one column of one segment that were counted.
struct Texts {
    column: StrColumn,
    counts: Vec<u32>,
}

/// The segment that is being counted.
struct Current {
    columns: Columns,
    /// By column, in the order of `columns`; the fallback last.
    counts: Vec<Vec<u32>>,
    /// Values of one document, so that it counts once for each.
    ords: Vec<u64>,
    scalars: Vec<Scalar>,
}

impl<'q> Counter<'q> {
    pub(super) fn new(path: &'q str, kinds: &'q [Kind]) -> Counter<'q> {
        Counter {
            path,
            target: Target::of(path),
            kinds,
            texts: Vec::new(),
            scalars: BTreeMap::new(),
            current: None,
            too_many: false,
        }
    }

    pub(super) fn begin(&mut self, reader: &SegmentReader) -> Result<(), QueryError> {
        let columns = columns::open(reader, &self.target, self.kinds, false)?;
        let mut counts: Vec<Vec<u32>> = Vec::with_capacity(columns.all.len() + 1);
        for values in &columns.all {
            counts.push(match values {
                Values::Text(column) => vec![0; column.num_terms()],
                _ => Vec::new(),
            });
        }
        counts.extend(columns.fallback.as_ref().map(|column| vec![0; column.num_terms()]));
        self.current = Some(Current { columns, counts, ords: Vec::new(), scalars: Vec::new() });
        Ok(())
    }

    pub(super) fn count(&mut self, doc: DocId) {
        let Some(current) = &mut self.current else { return };
        let mut any = false;
        current.scalars.clear();
        for (values, counts) in current.columns.all.iter().zip(&mut current.counts) {
            match values {
                Values::Text(column) => any |= add(column, doc, &mut current.ords, counts),
                values => values.scalars(doc, |scalar| current.scalars.push(scalar)),
            }
        }
        if !any
            && let (Some(column), Some(counts)) =
                (&current.columns.fallback, current.counts.last_mut())
        {
            add(column, doc, &mut current.ords, counts);
        }
        current.scalars.sort_unstable();
        current.scalars.dedup();
        for scalar in &current.scalars {
            if self.scalars.len() < NUMBERS_MAX || self.scalars.contains_key(scalar) {
                *self.scalars.entry(*scalar).or_default() += 1;
            } else {
                self.too_many = true;
            }
        }
    }

    pub(super) fn end(&mut self) {
        let Some(current) = self.current.take() else { return };
        let columns = current.columns.all.into_iter().map(|values| match values {
            Values::Text(column) => Some(column),
            _ => None,
        });
        let columns = columns.chain([current.columns.fallback]);
        for (column, counts) in columns.zip(current.counts) {
            self.texts.extend(column.map(|column| Texts { column, counts }));
        }
    }

    pub(super) fn finish(self, limit: usize) -> Result<Facet, QueryError> {
        if self.too_many {
            let path = self.path.to_owned();
            return Err(QueryError::TooManyNumbers { path, max: NUMBERS_MAX });
        }
        let mut best = Best { top: Top::new(limit), values: 0, count: 0 };
        for (scalar, count) in &self.scalars {
            best.offer(Value::Scalar(*scalar), *count);
        }
        merge(self.texts, &mut best)?;
        Ok(best.finish(self.path))
    }
}

fn add(column: &StrColumn, doc: DocId, ords: &mut Vec<u64>, counts: &mut [u32]) -> bool {
    ords.clear();
    ords.extend(column.term_ords(doc));
    if ords.len() > 1 {
        ords.sort_unstable();
        ords.dedup();
    }
    for ord in ords.iter() {
        if let Some(count) = counts.get_mut(*ord as usize) {
            *count += 1;
        }
    }
    !ords.is_empty()
}

/// A value while it competes. The variants stand in the order of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Scalar(Scalar),
    Text(Vec<u8>),
}

struct Best {
    top: Top<(Reverse<u64>, Value)>,
    values: u64,
    count: u64,
}

impl Best {
    fn offer(&mut self, value: Value, count: u64) {
        self.values += 1;
        self.count += count;
        self.top.offer((Reverse(count), value));
    }

    fn finish(self, path: &str) -> Facet {
        let value = |(Reverse(count), value)| {
            let value = match value {
                Value::Scalar(scalar) => scalar.into(),
                Value::Text(text) => FacetValue::Text(String::from_utf8_lossy(&text).into_owned()),
            };
            FacetCount { value, count }
        };
        let values: Vec<FacetCount> = self.top.into_sorted().into_iter().map(value).collect();
        let shown: u64 = values.iter().map(|value| value.count).sum();
        Facet {
            path: path.to_owned(),
            other_values: self.values - values.len() as u64,
            other_count: self.count - shown,
            values,
        }
    }
}

/// Goes through the texts of all segments in their common order.
fn merge(texts: Vec<Texts>, best: &mut Best) -> Result<(), QueryError> {
    let mut cursors = Vec::with_capacity(texts.len());
    for texts in texts {
        let mut cursor = Cursor { texts, next: 0, chunk: Vec::new() };
        if cursor.fill()? {
            cursors.push(cursor);
        }
    }
    let mut heap: BinaryHeap<Cursor> = cursors.into();
    let mut last: Option<(Vec<u8>, u64)> = None;
    while let Some(mut cursor) = heap.pop() {
        if let Some((text, count)) = cursor.chunk.pop() {
            match &mut last {
                Some((known, sum)) if *known == text => *sum += count,
                _ => {
                    if let Some((text, count)) = last.replace((text, count)) {
                        best.offer(Value::Text(text), count);
                    }
                }
            }
        }
        if !cursor.chunk.is_empty() || cursor.fill()? {
            heap.push(cursor);
        }
    }
    if let Some((text, count)) = last {
        best.offer(Value::Text(text), count);
    }
    Ok(())
}

/// Walks the counted texts of one dictionary.
struct Cursor {
    texts: Texts,
    /// The ordinal from which to go on.
    next: usize,
    /// What was read last, the least text at the end.
    chunk: Vec<(Vec<u8>, u64)>,
}

impl Cursor {
    /// Reads on. `false`: there is no more.
    fn fill(&mut self) -> Result<bool, QueryError> {
        let mut ords = Vec::with_capacity(CHUNK);
        let mut counts = Vec::with_capacity(CHUNK);
        while ords.len() < CHUNK
            && let Some(count) = self.texts.counts.get(self.next)
        {
            if *count > 0 {
                ords.push(self.next as u64);
                counts.push(u64::from(*count));
            }
            self.next += 1;
        }
        let mut counts = counts.into_iter();
        let chunk = &mut self.chunk;
        let dictionary = self.texts.column.dictionary();
        dictionary.sorted_ords_to_term_cb(&ords, |text| {
            chunk.extend(counts.next().map(|count| (text.to_vec(), count)));
        })?;
        self.chunk.reverse();
        Ok(!self.chunk.is_empty())
    }

    fn text(&self) -> Option<&[u8]> {
        self.chunk.last().map(|(text, _)| text.as_slice())
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Cursor) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Cursor {}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Cursor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    /// The least text on top of a heap.
    fn cmp(&self, other: &Cursor) -> Ordering {
        other.text().cmp(&self.text())
    }
}
