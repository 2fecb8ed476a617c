//! What can go wrong in the store.

use std::io;

use annal_event::Position;

/// An answer that cannot be given, or a step that was not taken.
///
/// After [`StoreError::Damaged`] the store is of no use: [`clear`](super::Store::clear) it and fold
/// the log again. After [`StoreError::Full`] and [`StoreError::Io`] nothing is lost; the same call
/// may be made again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room on the disk. What is folded stays in memory, and answers go on.
    #[error("store file {file}: no space left; make room, writing goes on by itself")]
    Full {
        /// Path within the storage.
        file: String,
    },
    /// The disk refused.
    #[error("store file {file}: {source}")]
    Io {
        /// Path within the storage.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("store file {file} is damaged ({what}); fold the log again")]
    Damaged {
        /// Path within the storage.
        file: String,
        /// What did not fit.
        what: String,
    },
    /// The store was dropped while a view of it was still in use.
    #[error("store file {file} is closed; open the store again")]
    Closed {
        /// Path within the storage.
        file: String,
    },
    /// Changes that are on disk, or being written there, cannot be forgotten.
    #[error("cannot roll back to {to}: everything up to {kept} is durable")]
    Kept {
        /// Where the caller wanted to go.
        to: Position,
        /// Everything up to here stays.
        kept: Position,
    },
}

impl StoreError {
    pub(super) fn io(file: &str, source: io::Error) -> StoreError {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull => StoreError::Full { file },
            _ => StoreError::Io { file, source },
        }
    }

    pub(super) fn damaged(file: &str, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { file: file.to_owned(), what: what.into() }
    }
}
