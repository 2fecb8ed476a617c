//! A head in memory, shared by all clones: for tests, and the smallest thing that conforms.

use std::sync::Arc;

use annal_event::Position;
use parking_lot::Mutex;

use crate::{AppendError, Commit, CommitAuthority, Completion, ReadError, waiters::Waiters};

/// Batches in memory. Clones share one log.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    commits: Mutex<Vec<Commit>>,
    waiters: Waiters,
}

impl CommitAuthority for Memory {
    fn append(&self, after: Position, commit: Commit) -> Completion<Result<(), AppendError>> {
        let mut commits = self.shared.commits.lock();
        let actual = head(&commits);
        if actual != after {
            return Completion::Ready(Err(AppendError::HeadMoved { actual }));
        }
        assert_eq!(commit.batch.first(), after.next(), "INV-2: positions are contiguous");
        let head = commit.batch.last();
        commits.push(commit);
        drop(commits);
        self.shared.waiters.moved(head);
        Completion::Ready(Ok(()))
    }

    fn read(
        &self,
        after: Position,
        bytes_max: usize,
    ) -> Completion<Result<Vec<Commit>, ReadError>> {
        let commits = self.shared.commits.lock();
        let start = commits.partition_point(|commit| commit.batch.last() <= after);
        let mut bytes = 0;
        let mut batches = Vec::new();
        for commit in &commits[start..] {
            bytes += commit.batch.weight();
            if !batches.is_empty() && bytes > bytes_max {
                break;
            }
            batches.push(commit.clone());
        }
        Completion::Ready(Ok(batches))
    }

    fn wait(&self, after: Position) -> Completion<Result<(), ReadError>> {
        self.shared.waiters.wait(after, || head(&self.shared.commits.lock()))
    }
}

fn head(commits: &[Commit]) -> Position {
    commits.last().map_or(Position::ZERO, |commit| commit.batch.last())
}
