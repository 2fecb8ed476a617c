//! Which documents come first: by score, by place, by time or by a field.
//!
//! Scores are compared to about five digits, since the last ones depend on how a library adds up;
//! what is equal then, or has the same value, is ordered by its place, newest first. A document
//! without the field comes last, whichever way the order goes.

use std::{
    cmp::{Ordering, Reverse},
    num::NonZero,
    panic::resume_unwind,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tantivy::{
    DocAddress, DocId, Score, Searcher, SegmentReader,
    columnar::{Column, StrColumn},
    query::{EnableScoring, Query, Weight},
};

use super::{
    Kind, QueryError,
    columns::{self, Columns, Scalar, Values},
    place::Place,
    schema,
    target::Target,
    top::Top,
};

/// The order of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// What decides.
    pub by: SortBy,
    /// Greatest first. Scores always have the best first.
    pub descending: bool,
}

/// What decides the order of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// How well the text matches; the best first.
    #[default]
    Score,
    /// The position, or a resource's revision.
    Position,
    /// [`Document::time`](super::Document::time).
    Time,
    /// A field: `title`, `author.name`, `subject`. Booleans come before numbers, numbers before
    /// dates, dates before other text, which is compared byte by byte. Of several values of one
    /// document the one that comes first counts.
    Field(String),
}

impl Sort {
    /// Reads `title` or `-title`; `_score`, `_position` and `_time` are what every document has.
    pub fn parse(text: &str) -> Sort {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        let by = match name {
            "_score" => SortBy::Score,
            "_position" => SortBy::Position,
            "_time" => SortBy::Time,
            _ => SortBy::Field(name.to_owned()),
        };
        Sort { by, descending }
    }
}

/// A document among the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    pub(super) address: DocAddress,
    pub(super) place: Place,
    pub(super) score: Option<Score>,
}

/// The first `limit` documents.
pub(super) fn first(
    searcher: &Searcher,
    query: &dyn Query,
    sort: &Sort,
    kinds: &[Kind],
    limit: usize,
) -> Result<Vec<Ranked>, QueryError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    if sort.by == SortBy::Score {
        return by_score(searcher, query, limit);
    }
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut top = Top::new(limit);
    for (segment, reader) in (0..).zip(searcher.segment_readers()) {
        let keys = Keys::open(reader, &sort.by, kinds)?;
        let places = reader.fast_fields().u64(schema::PLACE)?;
        // Ordinals of different dictionaries cannot be compared.
        let mut tops: Vec<Top<Entry>> = (0..keys.dictionaries()).map(|_| Top::new(limit)).collect();
        let mut offer = |doc: DocId| {
            let place = Place(places.first(doc).unwrap_or_default());
            let key = keys.of(doc, place, sort.descending);
            let dictionary = match key {
                Some(Key::Ordinal(_, dictionary)) => dictionary,
                _ => 0,
            };
            if let Some(top) = tops.get_mut(dictionary) {
                let address = DocAddress::new(segment, doc);
                top.offer(Entry {
                    key,
                    descending: sort.descending,
                    place: Reverse(place),
                    address,
                });
            }
        };
        each_alive(&*weight, reader, &mut offer)?;
        for mut entry in tops.into_iter().flat_map(Top::into_sorted) {
            entry.key = keys.resolve(entry.key)?;
            top.offer(entry);
        }
    }
    let ranked =
        |entry: Entry| Ranked { address: entry.address, place: entry.place.0, score: None };
    Ok(top.into_sorted().into_iter().map(ranked).collect())
}

/// Calls back with every document that matches and is not deleted.
pub(super) fn each_alive(
    weight: &dyn Weight,
    reader: &SegmentReader,
    each: &mut dyn FnMut(DocId),
) -> tantivy::Result<()> {
    let alive = reader.alive_bitset();
    weight.for_each_no_score(reader, &mut |docs| {
        for doc in docs {
            if alive.is_none_or(|alive| alive.is_alive(*doc)) {
                each(*doc);
            }
        }
    })
}

/// Digits of a score that are not compared, in bits of its fraction.
const SCORE_NOISE_BITS: u32 = 7;

/// Scores are not negative, so their bits order as they do.
fn comparable(score: Score) -> u32 {
    score.max(0.0).to_bits() >> SCORE_NOISE_BITS
}

/// No score that compares as at least this one is pruned.
fn just_below(comparable: u32) -> Score {
    match comparable << SCORE_NOISE_BITS {
        0 => Score::MIN,
        bits => Score::from_bits(bits - 1),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scored {
    score: Reverse<u32>,
    place: Reverse<Place>,
    exact: u32,
    address: (u32, DocId),
}

impl Scored {
    fn new(segment: u32, doc: DocId, score: Score, places: &Column<u64>) -> Scored {
        Scored {
            score: Reverse(comparable(score)),
            place: Reverse(Place(places.first(doc).unwrap_or_default())),
            exact: score.to_bits(),
            address: (segment, doc),
        }
    }
}

/// Threads that go through the segments of one query at a time, at most.
const THREADS_MAX: usize = 4;

/// Asking takes longer than some queries.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// The best `limit` documents and how many match, in one go through all that match. Where words stand
/// has to be looked up for every document that has them, so segments are gone through side by side.
pub(super) fn best_and_count(
    searcher: &Searcher,
    query: &dyn Query,
    limit: usize,
) -> Result<(Vec<Ranked>, u64), QueryError> {
    let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut segments: Vec<(u32, &SegmentReader)> = (0..).zip(searcher.segment_readers()).collect();
    segments.sort_by_key(|(_, reader)| Reverse(reader.num_docs()));
    let next = AtomicUsize::new(0);
    let work = || -> tantivy::Result<(Top<Scored>, u64)> {
        let (mut top, mut count) = (Top::new(limit), 0);
        while let Some((segment, reader)) = segments.get(next.fetch_add(1, Relaxed)) {
            let places = reader.fast_fields().u64(schema::PLACE)?;
            let alive = reader.alive_bitset();
            weight.for_each(reader, &mut |doc, score| {
                if alive.is_none_or(|alive| alive.is_alive(doc)) {
                    count += 1;
                    if top.last().is_none_or(|last: &Scored| comparable(score) >= last.score.0) {
                        top.offer(Scored::new(*segment, doc, score, &places));
                    }
                }
            })?;
        }
        Ok((top, count))
    };
    let helpers = (*PROCESSORS).min(THREADS_MAX).min(segments.len()).saturating_sub(1);
    let (mut top, mut count) = (Top::new(limit), 0);
    thread::scope(|scope| -> Result<(), QueryError> {
        let helping: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        for helper in helping {
            parts.push(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        for part in parts {
            let (best, matching) = part?;
            best.into_sorted().into_iter().for_each(|scored| top.offer(scored));
            count += matching;
        }
        Ok(())
    })?;
    Ok((ranked(top), count))
}

fn by_score(
    searcher: &Searcher,
    query: &dyn Query,
    limit: usize,
) -> Result<Vec<Ranked>, QueryError> {
    let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut top: Top<Scored> = Top::new(limit);
    let mut threshold = Score::MIN;
    for (segment, reader) in (0..).zip(searcher.segment_readers()) {
        let places = reader.fast_fields().u64(schema::PLACE)?;
        let alive = reader.alive_bitset();
        weight.for_each_pruning(threshold, reader, &mut |doc, score| {
            if alive.is_none_or(|alive| alive.is_alive(doc)) {
                top.offer(Scored::new(segment, doc, score, &places));
                if let Some(last) = top.last() {
                    threshold = just_below(last.score.0);
                }
            }
            threshold
        })?;
    }
    Ok(ranked(top))
}

fn ranked(top: Top<Scored>) -> Vec<Ranked> {
    let ranked = |scored: Scored| Ranked {
        address: DocAddress::new(scored.address.0, scored.address.1),
        place: scored.place.0,
        score: Some(Score::from_bits(scored.exact)),
    };
    top.into_sorted().into_iter().map(ranked).collect()
}

/// What a document is ordered by. The variants stand in the order of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Scalar(Scalar),
    Instant(i64),
    /// A text by its number in the dictionary of one column of one segment.
    Ordinal(u64, usize),
    Text(Vec<u8>),
    Place(Place),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: Option<Key>,
    descending: bool,
    place: Reverse<Place>,
    address: DocAddress,
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        let by_key = match (&self.key, &other.key) {
            (Some(key), Some(other)) if self.descending => other.cmp(key),
            (Some(key), Some(other)) => key.cmp(other),
            (key, other) => key.is_none().cmp(&other.is_none()),
        };
        by_key.then_with(|| self.place.cmp(&other.place))
    }
}

/// Reads keys in one segment.
enum Keys {
    Place,
    Time(Option<Column<i64>>),
    Columns(Columns),
}

impl Keys {
    fn open(reader: &SegmentReader, by: &SortBy, kinds: &[Kind]) -> tantivy::Result<Keys> {
        Ok(match by {
            SortBy::Score | SortBy::Position => Keys::Place,
            SortBy::Time => Keys::Time(reader.fast_fields().column_opt(schema::TIME)?),
            SortBy::Field(field) => {
                Keys::Columns(columns::open(reader, &Target::of(field), kinds, true)?)
            }
        })
    }

    /// How many dictionaries ordinals may come from; at least one.
    fn dictionaries(&self) -> usize {
        match self {
            Keys::Columns(columns) => columns.all.len() + 1,
            _ => 1,
        }
    }

    fn of(&self, doc: DocId, place: Place, descending: bool) -> Option<Key> {
        let columns = match self {
            Keys::Place => return Some(Key::Place(place)),
            Keys::Time(column) => return column.as_ref()?.first(doc).map(Key::Instant),
            Keys::Columns(columns) => columns,
        };
        let mut best: Option<Key> = None;
        let mut offer = |key: Key| {
            let better = best.as_ref().is_none_or(|best| match descending {
                true => key > *best,
                false => key < *best,
            });
            if better {
                best = Some(key);
            }
        };
        // The text of a date stands beside its instant and does not count.
        let dated = columns
            .all
            .iter()
            .any(|values| matches!(values, Values::Instant(column) if column.first(doc).is_some()));
        for (index, values) in columns.all.iter().enumerate() {
            match values {
                Values::Text(_) if dated => {}
                Values::Text(column) => {
                    column.term_ords(doc).for_each(|ord| offer(Key::Ordinal(ord, index)));
                }
                Values::Instant(column) => {
                    column.values_for_doc(doc).for_each(|micros| offer(Key::Instant(micros)));
                }
                scalars => scalars.scalars(doc, |scalar| offer(Key::Scalar(scalar))),
            }
        }
        if best.is_none()
            && let Some(column) = &columns.fallback
        {
            best = column.term_ords(doc).next().map(|ord| Key::Ordinal(ord, columns.all.len()));
        }
        best
    }

    /// Makes a key comparable with those of other segments.
    fn resolve(&self, key: Option<Key>) -> Result<Option<Key>, QueryError> {
        let (Some(Key::Ordinal(ord, index)), Keys::Columns(columns)) = (&key, self) else {
            return Ok(key);
        };
        let column: Option<&StrColumn> = match columns.all.get(*index) {
            Some(Values::Text(column)) => Some(column),
            _ => columns.fallback.as_ref(),
        };
        let mut text = Vec::new();
        if let Some(column) = column {
            column.ord_to_bytes(*ord, &mut text)?;
        }
        Ok(Some(Key::Text(text)))
    }
}
