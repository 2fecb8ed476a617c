//! The first thing that went wrong beneath redb.
//!
//! redb closes its eyes after the first error of its file: every later call says no more than that
//! there was one. So the cause is kept here, and every redb error is translated by it.

use std::{io, sync::OnceLock};

use super::error::StoreError;

/// What went wrong since the file was opened, if anything did.
#[derive(Debug)]
pub(super) struct Fault {
    file: String,
    first: OnceLock<Cause>,
}

#[derive(Debug)]
enum Cause {
    Io(io::ErrorKind, String),
    Damaged(String),
}

impl Fault {
    /// Nothing yet.
    pub(super) fn new(file: &str) -> Fault {
        Fault { file: file.to_owned(), first: OnceLock::new() }
    }

    /// Whether redb is of no more use.
    pub(super) fn happened(&self) -> bool {
        self.first.get().is_some()
    }

    /// Whether, and how, the file is damaged.
    pub(super) fn damage(&self) -> Option<StoreError> {
        match self.first.get() {
            Some(Cause::Damaged(what)) => Some(StoreError::damaged(&self.file, what.clone())),
            _ => None,
        }
    }

    /// Remembers what the disk said.
    pub(super) fn io(&self, error: io::Error) -> io::Error {
        self.first.get_or_init(|| Cause::Io(error.kind(), error.to_string()));
        error
    }

    /// Remembers that bytes are not what was written.
    pub(super) fn damaged(&self, what: String) -> io::Error {
        self.first.get_or_init(|| Cause::Damaged(what.clone()));
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// What a redb error means.
    pub(super) fn translate(&self, said: redb::Error) -> StoreError {
        if matches!(said, redb::Error::DatabaseClosed) && !self.happened() {
            return StoreError::Closed { file: self.file.clone() };
        }
        match self.first.get_or_init(|| Cause::Damaged(said.to_string())) {
            Cause::Damaged(what) => StoreError::damaged(&self.file, what.clone()),
            Cause::Io(kind, text) => {
                StoreError::io(&self.file, io::Error::new(*kind, text.clone()))
            }
        }
    }
}
