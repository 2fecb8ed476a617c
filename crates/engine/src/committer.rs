//! The committer: takes a group, has the authority append it, makes it visible, answers.
//!
//! While it waits for the disk the next group grows. INV-1: nothing is answered before the
//! authority has said that it is appended, and under [`Durability::Always`] synced.

use std::{sync::Arc, time::Duration};

use annal_authority::{AppendError as Refusal, Commit, CommitAuthority};
use annal_delivery::EventSource;
use annal_event::merkle_root;

use crate::{
    Durability, Progress,
    append::AppendError,
    engine::Core,
    stage::{Next, Sealed},
};

/// Commits groups, one after the other.
#[derive(Debug)]
pub struct Committer {
    core: Arc<Core>,
    authority: Box<dyn CommitAuthority>,
}

impl Committer {
    pub(crate) fn new(core: Arc<Core>, authority: Box<dyn CommitAuthority>) -> Committer {
        Committer { core, authority }
    }

    /// Commits the group that has grown.
    pub fn step(&mut self) -> Progress {
        match self.core.stage.take() {
            Next::Group(group) => {
                self.commit(group);
                Progress::Worked
            }
            Next::None => Progress::Idle,
            Next::Closed => Progress::Finished,
        }
    }

    fn commit(&mut self, group: Sealed) {
        let Sealed { batch, answers } = group;
        if let Some((batch, digests)) = batch {
            let commit = Commit { root: merkle_root(&digests), batch };
            if let Err(refusal) = self.append(commit) {
                let error = self.refused(refusal);
                // Answers follow the break, so that whoever hears of it finds the head settled.
                self.core.stage.break_off(error.clone());
                for answer in answers {
                    answer.fail(&error);
                }
                return;
            }
        }
        for answer in answers {
            answer.send();
        }
    }

    fn append(&mut self, commit: Commit) -> Result<(), Refusal> {
        let batch = Arc::clone(&commit.batch);
        let begun = std::time::Instant::now();
        let after = commit.batch.first().prev();
        let lost = || Err(Refusal::OutcomeUnknown { reason: "the authority went away".to_owned() });
        self.authority.append(after, commit.clone()).wait(lost)?;
        self.core.stats.committed(commit.batch.len(), begun.elapsed());
        if !self.authority.writes_log() {
            let mut log = self.core.log.lock();
            log.write(&commit.batch, &commit.root)
                .map_err(|error| Refusal::OutcomeUnknown { reason: error.to_string() })?;
            log.publish(commit.batch);
        }
        self.core.stage.landed();
        self.core.view.bell().ring(&batch);
        Ok(())
    }

    /// What the callers hear. Anything but a full disk ends appending for good: after a failed
    /// write or sync nobody knows what is on the disk, and asking again would hide it.
    fn refused(&self, refusal: Refusal) -> AppendError {
        match refusal {
            Refusal::Full { .. } => AppendError::DiskFull,
            Refusal::OutcomeUnknown { reason } => {
                self.core.fail(&reason);
                AppendError::OutcomeUnknown { reason }
            }
            other => {
                let reason = other.to_string();
                self.core.fail(&reason);
                AppendError::Unavailable { reason }
            }
        }
    }

    /// Syncs what was answered before it was synced ([`Durability::Interval`]).
    pub fn sync(&self) {
        if let Err(error) = self.authority.sync() {
            self.core.fail(&error.to_string());
        }
    }

    /// How often [`Committer::sync`] wants to be called, if at all.
    pub fn sync_every(&self) -> Option<Duration> {
        match self.core.options.durability {
            Durability::Interval { ms } => Some(Duration::from_millis(ms)),
            Durability::Always | Durability::Never => None,
        }
    }
}
