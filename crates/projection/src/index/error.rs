//! What can go wrong in the index.

use std::io;

use annal_event::{EventError, Position};

/// An answer that cannot be given, or a fold that cannot go on.
///
/// After [`IndexError::Damaged`] the index is of no use: [`clear`](super::Index::clear) it and fold
/// the log again.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The disk refused.
    #[error("index file {file}: {source}")]
    Io {
        /// Path within the storage.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("index file {file} is damaged at byte {offset} ({what}); fold the log again")]
    Damaged {
        /// Path within the storage.
        file: String,
        /// Where, in bytes.
        offset: u64,
        /// What did not fit.
        what: &'static str,
    },
    /// A batch that does not follow what has been folded.
    #[error("events up to {folded} are folded, a batch at {first} leaves a gap")]
    Gap {
        /// Everything up to here is folded.
        folded: Position,
        /// First position of the batch.
        first: Position,
    },
    /// A record that cannot be read.
    #[error("the record at {position} cannot be read: {source}")]
    Record {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: EventError,
    },
    /// Events that are on disk, or being written there, cannot be forgotten.
    #[error("cannot roll back to {to}: everything up to {kept} is durable")]
    Kept {
        /// Where the caller wanted to go.
        to: Position,
        /// Everything up to here stays.
        kept: Position,
    },
}

impl IndexError {
    pub(super) fn io(file: &str, source: io::Error) -> IndexError {
        IndexError::Io { file: file.to_owned(), source }
    }

    pub(super) fn damaged(file: &str, offset: u64, what: &'static str) -> IndexError {
        IndexError::Damaged { file: file.to_owned(), offset, what }
    }
}
