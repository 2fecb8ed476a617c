//! The laws of every projection, as checks that tests call.
//!
//! - A rebuild equals what came about step by step.
//! - Folding can be resumed at any cut, whether or not what was folded reached the disk.
//! - The size of batches does not matter.
//! - The same log gives the same files.
//!
//! A projection is described by how it is opened and what it answers; each law panics with what
//! differed.

use std::{fmt::Debug, sync::Arc};

use annal_event::{Batch, Position};
use annal_storage::Storage;

use crate::Projection;

/// A projection under test.
pub trait Subject {
    /// The projection.
    type Projection: Projection;
    /// Everything it can be asked, answered.
    type Answers: PartialEq + Debug;

    /// An empty disk.
    fn storage(&self) -> Arc<dyn Storage>;
    /// Opens the projection on a disk.
    fn open(&self, storage: &Arc<dyn Storage>) -> Self::Projection;
    /// Asks it everything.
    fn answers(&self, projection: &Self::Projection) -> Self::Answers;
    /// The files it keeps, as (path, content).
    fn files(&self, storage: &Arc<dyn Storage>) -> Vec<(String, Vec<u8>)>;
}

/// Opening what was written and folding the rest, at every batch, answers as one fold does.
pub fn resumes_at_any_cut<S: Subject>(subject: &S, log: &[Batch]) {
    let whole = rebuilt(subject, log);
    for cut in 0..=log.len() {
        let storage = subject.storage();
        fold(&subject.open(&storage), &log[..cut], true);
        let resumed = subject.open(&storage);
        assert!(resumed.checkpoint() <= end_of(&log[..cut]), "a checkpoint leads the log");
        fold(&resumed, log, true);
        assert_eq!(subject.answers(&resumed), whole, "resumed after {cut} batches");
    }
}

/// Folding with and without writing behind, and opening anew after every batch, answers alike.
pub fn rebuild_equals_incremental<S: Subject>(subject: &S, log: &[Batch]) {
    let whole = rebuilt(subject, log);
    let storage = subject.storage();
    for end in 1..=log.len() {
        let projection = subject.open(&storage);
        fold(&projection, &log[..end], true);
        if end == log.len() {
            assert_eq!(subject.answers(&projection), whole, "opened anew after every batch");
        }
    }
}

/// Two ways to cut the same events into batches answer alike and leave the same files.
pub fn batch_size_does_not_matter<S: Subject>(subject: &S, log: &[Batch], other: &[Batch]) {
    assert_eq!(end_of(log), end_of(other), "both logs hold the same events");
    let files = |log: &[Batch]| {
        let storage = subject.storage();
        let projection = subject.open(&storage);
        fold(&projection, log, false);
        settle(&projection, end_of(log));
        (subject.answers(&projection), subject.files(&storage))
    };
    let (answers, kept) = files(log);
    let (other_answers, other_kept) = files(other);
    assert_eq!(answers, other_answers, "answers depend on the size of batches");
    assert!(kept == other_kept, "files depend on the size of batches");
}

/// However often writing behind and opening come between, the same log gives the same files.
pub fn same_log_same_bytes<S: Subject>(subject: &S, log: &[Batch]) {
    let at_once = subject.storage();
    let projection = subject.open(&at_once);
    fold(&projection, log, false);
    settle(&projection, end_of(log));
    let in_steps = subject.storage();
    for end in 1..=log.len() {
        fold(&subject.open(&in_steps), &log[..end], end % 2 == 0);
    }
    settle(&subject.open(&in_steps), end_of(log));
    let (files, other) = (subject.files(&at_once), subject.files(&in_steps));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&files), names(&other));
    for ((name, bytes), (_, other)) in files.iter().zip(&other) {
        assert!(bytes == other, "{name} differs");
    }
}

fn rebuilt<S: Subject>(subject: &S, log: &[Batch]) -> S::Answers {
    let projection = subject.open(&subject.storage());
    fold(&projection, log, false);
    subject.answers(&projection)
}

fn end_of(log: &[Batch]) -> Position {
    log.last().map_or(Position::ZERO, Batch::last)
}

/// Folds what is not folded yet; with `write`, one step of writing behind after every batch.
fn fold<P: Projection>(projection: &P, log: &[Batch], write: bool) {
    for batch in log {
        projection.fold(batch).expect("a batch is folded");
        if write {
            projection.maintain(batch.last()).expect("a step of writing behind");
        }
    }
    assert_eq!(projection.folded(), end_of(log));
}

/// Writes behind until there is nothing to do.
pub fn settle<P: Projection>(projection: &P, durable: Position) {
    while projection.maintain(durable).expect("a step of writing behind") {}
    assert!(projection.checkpoint() <= durable, "a checkpoint leads the log");
}
