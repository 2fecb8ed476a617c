//! The default authority: the log of this machine decides, by writing and syncing it.

use std::sync::Arc;

use annal_event::{Batch, Position, event_digest, merkle_root};
use annal_log::{LogReader, LogWriter, WriteError};
use parking_lot::Mutex;

use crate::{AppendError, Commit, CommitAuthority, Completion, ReadError, waiters::Waiters};

/// When an append is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncWhen {
    /// Before it is answered.
    Append,
    /// When [`CommitAuthority::sync`] is called.
    Asked,
}

/// Commits to a log on this machine's disk.
#[derive(Debug)]
pub struct Local {
    writer: Arc<Mutex<LogWriter>>,
    reader: LogReader,
    when: SyncWhen,
    waiters: Waiters,
}

impl Local {
    /// An authority over a log whose writer nobody else appends to.
    pub fn new(writer: Arc<Mutex<LogWriter>>, reader: LogReader, when: SyncWhen) -> Local {
        Local { writer, reader, when, waiters: Waiters::default() }
    }

    fn append_now(&self, after: Position, commit: Commit) -> Result<(), AppendError> {
        let mut writer = self.writer.lock();
        let actual = writer.head();
        if actual != after {
            return Err(AppendError::HeadMoved { actual });
        }
        writer.write(&commit.batch, &commit.root).map_err(refused)?;
        if self.when == SyncWhen::Append {
            writer.sync().map_err(refused)?;
        }
        let head = commit.batch.last();
        writer.publish(commit.batch);
        drop(writer);
        self.waiters.moved(head);
        Ok(())
    }
}

fn refused(error: WriteError) -> AppendError {
    let reason = error.to_string();
    match error {
        WriteError::DiskFull { .. } => AppendError::Full { reason },
        WriteError::Poisoned => AppendError::Unavailable { reason },
        _ => AppendError::OutcomeUnknown { reason },
    }
}

impl CommitAuthority for Local {
    fn append(&self, after: Position, commit: Commit) -> Completion<Result<(), AppendError>> {
        Completion::Ready(self.append_now(after, commit))
    }

    fn read(
        &self,
        after: Position,
        bytes_max: usize,
    ) -> Completion<Result<Vec<Commit>, ReadError>> {
        let read = self.reader.batches(after, bytes_max);
        Completion::Ready(match read {
            Ok(batches) => Ok(batches.into_iter().map(with_root).collect()),
            Err(error) => Err(ReadError::Unavailable { reason: error.to_string() }),
        })
    }

    fn wait(&self, after: Position) -> Completion<Result<(), ReadError>> {
        self.waiters.wait(after, || self.reader.head())
    }

    fn writes_log(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<(), AppendError> {
        self.writer.lock().sync().map(drop).map_err(refused)
    }
}

fn with_root(batch: Arc<Batch>) -> Commit {
    let digests: Vec<_> = batch.records().map(event_digest).collect();
    Commit { root: merkle_root(&digests), batch }
}
