//! Search: full text and fields over resources and events, on tantivy.
//!
//! It is handed documents and keeps their words, not their text: an answer names documents, and
//! whoever asked fetches them. A change is seen once it is committed; a commit carries the position
//! it has folded and is all or nothing, so after a crash the index is as the last commit left it.
//!
//! Invariants:
//! - [`Search::folded`] never leads what the caller has applied, and never what is on disk.
//! - What matches, how many, facets, histograms and orders by a field follow from the documents
//!   alone, not from how they were cut into commits. Scores also depend on deleted documents that
//!   no merge has removed yet, as in every engine of this kind.
//! - An index that is missing, damaged, of another version or made with other stemming or scope
//!   opens empty and says why; the documents must be applied again.
//!
//! It refuses to know the log, a clock or the network, and to store what documents say.
//!
//! # The language
//!
//! | written | meaning |
//! |---|---|
//! | `log rotation` | either word, best first (with [`Operator::And`]: both) |
//! | `"use after free"` | these words in this order |
//! | `a AND b`, `a OR b`, `NOT a`, `( )` | as it says; `AND` binds tighter than `OR` |
//! | `+a b -c` | a must be there, c must not, b is welcome |
//! | `title:login`, `author.name:"ada l"` | in a field: a path in the document; arrays are flattened |
//! | `title:(a OR b)`, `status: IN [open new]` | several values of a field |
//! | `price:[1 TO 5]`, `{1 TO 5}`, `[1 TO *]`, `price:>=5` | ranges of numbers, ends included or not |
//! | `date:[2021-01-01 TO 2021-12-31]`, `date:>2021-03` | ranges of dates; a year, month or day means all of it |
//! | `name:[ada TO carl]` | ranges of words |
//! | `log*`, `title:log*`, `"use after fr"*` | words that begin so |
//! | `title:*`, `*` | documents that have the field; all documents |
//! | `subject:orders/42`, `subject:orders/*`, `type:`, `source:` | attributes: exact, or their beginning |
//! | `data.type:x` | a member that is called like an attribute: `data.` always means the document |
//! | `a^2`, `"a b"~3` | counts twice; up to three words may stand between |
//!
//! Bare words are looked for in every string of a document, not in numbers or names of members;
//! one that is a whole id or subject finds that document too. Words are runs of letters and digits
//! without regard to case, so `memory-corruption` is the phrase of its two words. A value that reads
//! as a number or as `true` or `false` also matches those. Names of fields are taken as they are
//! written.

mod answer;
mod columns;
mod content;
mod dates;
mod directory;
mod document;
mod error;
mod facets;
mod field_phrase;
mod highlight;
mod histogram;
mod lower;
mod number;
mod open;
mod parse;
mod place;
mod range;
mod rank;
mod schema;
mod steady;
mod syntax;
mod target;
#[cfg(test)]
mod tests;
mod top;
mod words;
mod writer;

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use annal_event::{Position, Timestamp};
use parking_lot::Mutex;
use tantivy::{Index, IndexReader, TantivyError, tokenizer::TextAnalyzer};

use place::Place;
use schema::Fields;
use writer::Writer;

pub use answer::{DEPTH_MAX, FACET_VALUES_MAX, FACETS_MAX, Found, Hit, Scope, SearchQuery};
pub use error::{QueryError, SearchError};
pub use facets::{Facet, FacetCount, FacetValue};
pub use highlight::{Highlighter, Snippet};
pub use histogram::{Bucket, Interval};
pub use rank::{Sort, SortBy};
pub use syntax::Operator;
pub use tantivy::tokenizer::Language;

/// How the index is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchOptions {
    /// Words are reduced to their stems, by the rules of one language. Another choice makes another
    /// index.
    pub stemming: Option<Language>,
    /// Whether events are documents too, or resources alone. Another choice makes another index.
    pub events: bool,
    /// Memory for documents that are not committed yet, in bytes for each thread; at least 15 MB.
    pub writer_bytes: usize,
    /// Threads that index. They, and the one that merges, are started by whoever calls
    /// [`Search::open`] and [`Search::commit`], and inherit that thread's priority.
    pub threads: usize,
    /// An index of at most so many bytes is compared with its checksums when it is opened; a larger
    /// one is opened at once, for [`Search::verify`] to look at later.
    pub verify_bytes: u64,
}

impl Default for SearchOptions {
    fn default() -> SearchOptions {
        SearchOptions {
            stemming: None,
            events: true,
            writer_bytes: 32_000_000,
            threads: 2,
            verify_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What was found when the index was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Everything up to [`Search::folded`] is there.
    Ready,
    /// It starts empty; all documents must be applied again.
    Empty {
        /// What was missing or wrong.
        reason: String,
    },
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A resource as it is now.
    Resource,
    /// An event.
    Event,
}

/// What a document is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key<'a> {
    /// A resource by type and id: `issue/123`.
    Resource(Cow<'a, str>),
    /// An event by its position.
    Event(Position),
}

impl Key<'_> {
    /// What it is the key of.
    pub fn kind(&self) -> Kind {
        match self {
            Key::Resource(_) => Kind::Resource,
            Key::Event(_) => Kind::Event,
        }
    }

    fn to_static(&self) -> Key<'static> {
        match self {
            Key::Resource(key) => Key::Resource(Cow::Owned(key.as_ref().to_owned())),
            Key::Event(position) => Key::Event(*position),
        }
    }
}

/// A document to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// What it is known by; putting another with this key replaces it.
    pub key: Key<'a>,
    /// The resource's type or the event's.
    pub doc_type: &'a str,
    /// The subject. A resource without one has its key for a subject.
    pub subject: Option<&'a str>,
    /// The source.
    pub source: Option<&'a str>,
    /// The event's position or the resource's revision.
    pub position: Position,
    /// The event's `time`, else when it was recorded.
    pub time: Timestamp,
    /// JSON text: the resource, or the event's data. Text that is not JSON is found by its
    /// attributes alone.
    pub content: &'a str,
}

/// A change to what can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// From now on this is the document of its key.
    Put(Document<'a>),
    /// There is no document of this key any more.
    Remove(Key<'a>),
}

/// What applying changes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Documents put.
    pub put: usize,
    /// Documents that went: removed, or replaced by one that was put.
    pub replaced: usize,
    /// Documents put whose content is not JSON.
    pub unreadable: usize,
    /// Changes left out because their key is longer than 60,000 bytes.
    pub refused: usize,
}

/// Sizes and positions, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchStats {
    /// What the last commit holds.
    pub folded: Position,
    /// Documents that can be found.
    pub documents: u64,
    /// Documents that are deleted but still take space.
    pub deleted: u64,
    /// Number of segments.
    pub segments: usize,
    /// Size on disk, in bytes.
    pub bytes: u64,
}

/// The search index of one log. All methods take `&self`; share it in an `Arc`. One thread applies
/// and commits; any number may ask meanwhile.
pub struct Search {
    dir: PathBuf,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    analyzer: TextAnalyzer,
    writer: Mutex<Writer>,
    folded: AtomicU64,
    opened: Opened,
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, folded) = (&self.dir, self.folded());
        f.debug_struct("Search").field("dir", dir).field("folded", &folded).finish_non_exhaustive()
    }
}

impl Search {
    /// Opens the index in a directory, which is made if it is not there.
    ///
    /// An index that is not there or not whole is wiped and opens empty, which [`Search::opened`]
    /// tells. An error is a disk that refuses, or another process that has the index open.
    pub fn open(dir: &Path, options: SearchOptions) -> Result<Search, SearchError> {
        let open = open::open(dir, &options)?;
        let folded = Position(open.folded);
        let highest = highest(&open.reader).map_err(|source| SearchError::Read { source })?;
        let writer = Writer::new(&open.index, open.fields, options, folded, highest);
        let writer = writer.map_err(|source| match source {
            TantivyError::LockFailure(..) => SearchError::Busy { dir: dir.to_owned() },
            source => SearchError::Read { source },
        })?;
        Ok(Search {
            dir: dir.to_owned(),
            index: open.index,
            reader: open.reader,
            fields: open.fields,
            analyzer: words::plain(options.stemming),
            writer: Mutex::new(writer),
            folded: AtomicU64::new(folded.get()),
            opened: open.opened,
        })
    }

    /// What was found on opening.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Everything up to here can be found and is on disk.
    pub fn folded(&self) -> Position {
        Position(self.folded.load(Ordering::Acquire))
    }

    /// Everything up to here was applied, and is found after the next commit.
    pub fn applied(&self) -> Position {
        self.writer.lock().pending
    }

    /// The highest position of any document, deleted ones included that still take space. Past the
    /// head of the log it proves that the index belongs to another log, or to a longer one.
    pub fn highest(&self) -> Result<Position, SearchError> {
        highest(&self.reader).map_err(|source| SearchError::Read { source })
    }

    /// Takes changes in their order; `upto` is the position that the caller has folded with them.
    /// They are found after the next [`Search::commit`].
    ///
    /// After [`SearchError::Write`] nothing past [`Search::folded`] is applied.
    pub fn apply<'a>(
        &self,
        changes: impl IntoIterator<Item = Change<'a>>,
        upto: Position,
    ) -> Result<Applied, SearchError> {
        let mut writer = self.writer.lock();
        let applied = writer.apply(changes, upto, &self.reader);
        self.folded.store(writer.folded.get(), Ordering::Release);
        applied
    }

    /// Makes durable and visible what was applied; the position that can be found now. Without
    /// changes it costs nothing.
    ///
    /// After [`SearchError::Write`] nothing past [`Search::folded`] is applied.
    pub fn commit(&self) -> Result<Position, SearchError> {
        let mut writer = self.writer.lock();
        let committed = writer.commit(&self.reader);
        // Unless it is on disk and only cannot be seen yet.
        if !matches!(committed, Err(SearchError::Read { .. })) {
            self.folded.store(writer.folded.get(), Ordering::Release);
        }
        committed
    }

    /// Answers a query from the last commit.
    pub fn query(&self, query: &SearchQuery<'_>) -> Result<Found, QueryError> {
        // In this order: what is found may be newer than what is said, not older.
        let folded = self.folded();
        let searcher = self.reader.searcher();
        let mut found = answer::answer(&searcher, &self.fields, &self.analyzer, query)?;
        found.folded = folded;
        Ok(found)
    }

    /// What shows where the words of a query stand in documents.
    pub fn highlighter(&self, query: &SearchQuery<'_>) -> Result<Highlighter, QueryError> {
        let expr = parse::parse(query.text, query.operator)?;
        Ok(Highlighter::new(self.analyzer.clone(), &expr))
    }

    /// Sizes and positions.
    pub fn stats(&self) -> SearchStats {
        let searcher = self.reader.searcher();
        let segments = searcher.segment_readers();
        SearchStats {
            folded: self.folded(),
            documents: searcher.num_docs(),
            deleted: segments.iter().map(|segment| u64::from(segment.num_deleted_docs())).sum(),
            segments: segments.len(),
            bytes: directory::bytes(&self.dir),
        }
    }

    /// Compares every file with its checksum, which reads all of the index.
    pub fn verify(&self) -> Result<(), SearchError> {
        match open::damaged(&self.index).map_err(|source| SearchError::Read { source })? {
            Some(file) => Err(SearchError::Damaged { file }),
            None => Ok(()),
        }
    }

    /// Closes the index once segments that are being merged are merged. What was applied and not
    /// committed is forgotten.
    pub fn settle(self) -> Result<(), SearchError> {
        self.writer.into_inner().settle()
    }
}

fn highest(reader: &IndexReader) -> tantivy::Result<Position> {
    let mut highest = Position::ZERO;
    for segment in reader.searcher().segment_readers() {
        let places = segment.fast_fields().u64(schema::PLACE)?;
        if segment.max_doc() > 0 {
            highest = highest.max(Place(places.max_value()).position());
        }
    }
    Ok(highest)
}
