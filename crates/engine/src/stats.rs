//! Counters that the outside may look at.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::append::AppendError;

/// Upper bounds of the commit time buckets, in microseconds; one more bucket holds the rest.
pub const COMMIT_BUCKETS_US: [u64; 12] =
    [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 102_400, 1_000_000];

/// What has happened since the start.
#[derive(Debug, Default)]
pub struct Stats {
    appended: AtomicU64,
    duplicates: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    conflicts: AtomicU64,
    preconditions_failed: AtomicU64,
    busy: AtomicU64,
    groups: AtomicU64,
    group_events: AtomicU64,
    commit_micros: AtomicU64,
    commit_buckets: [AtomicU64; COMMIT_BUCKETS_US.len() + 1],
    upkeep_errors: AtomicU64,
}

/// [`Stats`] at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatsSnapshot {
    /// Events decided to be stored.
    pub appended: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Bytes of records that came with appends.
    pub bytes: u64,
    /// Appends refused, whatever the reason.
    pub refused: u64,
    /// Of those, for an identity that has other content.
    pub conflicts: u64,
    /// Of those, for a precondition.
    pub preconditions_failed: u64,
    /// Appends not even taken, because the queue was full.
    pub busy: u64,
    /// Groups committed.
    pub groups: u64,
    /// Events in them.
    pub group_events: u64,
    /// Time spent in commits (write and sync), in microseconds.
    pub commit_micros: u64,
    /// Commits that took no longer than the bound of [`COMMIT_BUCKETS_US`] at the same index; the
    /// last entry counts the longer ones.
    pub commit_buckets: [u64; COMMIT_BUCKETS_US.len() + 1],
    /// Failed pieces of upkeep.
    pub upkeep_errors: u64,
}

impl Stats {
    pub(crate) fn decided(&self, new: usize, duplicates: usize, bytes: usize) {
        self.appended.fetch_add(new as u64, Relaxed);
        self.duplicates.fetch_add(duplicates as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn refused(&self, error: &AppendError) {
        self.refused.fetch_add(1, Relaxed);
        match error {
            AppendError::IdentityConflict { .. } => self.conflicts.fetch_add(1, Relaxed),
            AppendError::PreconditionFailed { .. } => {
                self.preconditions_failed.fetch_add(1, Relaxed)
            }
            _ => 0,
        };
    }

    pub(crate) fn busy(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    pub(crate) fn upkeep_failed(&self) {
        self.upkeep_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn committed(&self, events: usize, took: Duration) {
        let micros = took.as_micros() as u64;
        self.groups.fetch_add(1, Relaxed);
        self.group_events.fetch_add(events as u64, Relaxed);
        self.commit_micros.fetch_add(micros, Relaxed);
        let bucket = COMMIT_BUCKETS_US.partition_point(|bound| *bound < micros);
        self.commit_buckets[bucket].fetch_add(1, Relaxed);
    }

    /// The counters now.
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            appended: self.appended.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            refused: self.refused.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            preconditions_failed: self.preconditions_failed.load(Relaxed),
            busy: self.busy.load(Relaxed),
            groups: self.groups.load(Relaxed),
            group_events: self.group_events.load(Relaxed),
            commit_micros: self.commit_micros.load(Relaxed),
            commit_buckets: std::array::from_fn(|bucket| self.commit_buckets[bucket].load(Relaxed)),
            upkeep_errors: self.upkeep_errors.load(Relaxed),
        }
    }
}
