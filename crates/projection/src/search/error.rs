//! What can go wrong in search.

use std::path::PathBuf;

use annal_event::Position;
use tantivy::TantivyError;

/// Opening, applying or committing that failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The directory cannot be read, made or cleared.
    #[error("search index {}: {source}", dir.display())]
    Directory {
        /// Where the index is.
        dir: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// Somebody else writes to the index.
    #[error("the search index {} is in use by another process", dir.display())]
    Busy {
        /// Where the index is.
        dir: PathBuf,
    },
    /// The index cannot be read.
    #[error("the search index cannot be read: {source}")]
    Read {
        /// What the library said.
        source: TantivyError,
    },
    /// A file is not what was written. Remove the directory and open the index again.
    #[error("search index file {file} is damaged; remove the index and apply all documents again")]
    Damaged {
        /// Its name in the directory.
        file: String,
    },
    /// Nothing after `folded` is in the index; apply it again. What was committed is untouched.
    #[error("the search index went back to position {folded}: {source}")]
    Write {
        /// What the last commit holds.
        folded: Position,
        /// What the library said.
        source: TantivyError,
    },
    /// An earlier write failed and could not be undone; open the index again. Queries go on.
    #[error("the search index takes no more changes since a write failed; open it again")]
    Stopped,
}

/// Why an index that is there, or not, is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("nothing was committed")]
    Uncommitted,
    #[error("it was written by another version")]
    Version,
    #[error("it was made with another stemming")]
    Stemming,
    #[error("it was made {} events", if *.events { "with" } else { "without" })]
    Events { events: bool },
    #[error("{file} is missing")]
    FileMissing { file: String },
    #[error("{file} is damaged")]
    FileDamaged { file: String },
    #[error(transparent)]
    Unreadable(#[from] TantivyError),
}

/// A query that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text does not parse, or says something that search cannot do.
    #[error("{message} (at character {position})")]
    Text {
        /// Where, in characters from 0.
        position: usize,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A page too deep in the results.
    #[error("results end at {max}; narrow the query, or sort by a field and ask for a part of it")]
    TooDeep {
        /// Largest `offset` + `limit`.
        max: usize,
    },
    /// More facets than are counted at once.
    #[error("{asked} facets are asked for; at most {max} are counted at once")]
    TooManyFacets {
        /// How many were asked for.
        asked: usize,
        /// How many may be.
        max: usize,
    },
    /// A facet over numbers that are nearly all different.
    #[error("{path} has more than {max} different numbers; ask for a range instead of a facet")]
    TooManyNumbers {
        /// The facet.
        path: String,
        /// How many numbers are told apart.
        max: usize,
    },
    /// A histogram with more buckets than anybody can look at.
    #[error("the histogram has more than {max} buckets; take a longer interval or a shorter time")]
    TooManyBuckets {
        /// How many there may be.
        max: usize,
    },
    /// The index cannot be read.
    #[error("the search index cannot be read: {source}")]
    Read {
        /// What the library said.
        #[from]
        source: TantivyError,
    },
}

impl QueryError {
    pub(super) fn text(position: usize, message: impl Into<String>) -> QueryError {
        QueryError::Text { position, message: message.into() }
    }
}

impl From<std::io::Error> for QueryError {
    fn from(error: std::io::Error) -> QueryError {
        QueryError::Read { source: error.into() }
    }
}
