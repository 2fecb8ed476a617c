//! The power goes at every write, sync and change of a name; a disk refuses and comes back.

use std::sync::Arc;

use annal_event::Position;
use annal_projection::store::{Opened, StoreError};
use annal_storage::{FaultStorage, Storage};

use super::world::{Log, compare, disk, open, try_open};
use crate::world::Dice;

fn changes(disk: &FaultStorage) -> u64 {
    let counts = disk.counts();
    counts.writes + counts.syncs + counts.names
}

/// Folds and writes behind until done or dead. What was acknowledged: the checkpoint, once there
/// was a store.
fn work(disk: &FaultStorage, log: &Log) -> Option<Position> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let store = try_open(&storage).ok()?;
    for (position, changes) in &log.0 {
        store.stage(*position, changes.clone());
        if store.maintain(*position).is_err() {
            return Some(store.checkpoint());
        }
    }
    let _ = store.flush(Position::MAX);
    Some(store.checkpoint())
}

#[test]
fn a_crash_at_any_step_leaves_a_whole_store() {
    let log = Log::random(&mut Dice(11), 60);
    let (whole, _) = disk(1);
    work(&whole, &log);
    let total = changes(&whole);
    assert!(total > 150, "many transactions were seen: {total}");
    let mut resumed = 0;
    for step in 0..total {
        let (disk, _) = disk(1);
        disk.die_after(step);
        let acknowledged = work(&disk, &log);
        for seed in 0..4 {
            let found: Arc<dyn Storage> = Arc::new(disk.after_crash(seed * 1_000 + step));
            let store = open(&found);
            let checkpoint = store.checkpoint();
            if let Some(acknowledged) = acknowledged {
                assert_eq!(store.opened(), &Opened::Ready, "step {step}, seed {seed}");
                assert!(checkpoint >= acknowledged, "step {step}: {checkpoint} < {acknowledged}");
            }
            compare(&mut Dice(seed), &store.view(Position::MAX), &log.rows(checkpoint));
            resumed += u64::from(checkpoint > Position::ZERO);
            log.stage(&store);
            store.flush(Position(60)).expect("the rest is written");
            compare(&mut Dice(seed), &store.view(Position::MAX), &log.rows(Position::MAX));
        }
    }
    assert!(resumed > total, "most crashes leave something: {resumed}");
}

#[test]
fn a_step_that_failed_is_done_again() {
    let log = Log::random(&mut Dice(12), 60);
    let mut seen = 0;
    for nth in 1..120 {
        let (disk, storage) = disk(nth);
        let store = open(&storage);
        match nth % 2 {
            0 => disk.fail_sync(nth / 2),
            _ => disk.fail_write(nth),
        }
        let mut failures = 0;
        for (position, changes) in &log.0 {
            store.stage(*position, changes.clone());
            if let Err(error) = store.maintain(*position) {
                assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
                failures += 1;
            }
            compare(&mut Dice(nth), &store.view(Position::MAX), &log.rows(*position));
        }
        store.flush(Position(60)).expect("nothing else fails");
        assert!(failures <= 1, "one failure was injected");
        seen += failures;
        // And what the failed sync left behind survives the power.
        let found: Arc<dyn Storage> = Arc::new(disk.crash(nth));
        let store = open(&found);
        assert_eq!(store.opened(), &Opened::Ready, "failure {nth}");
        assert_eq!(store.checkpoint(), Position(60));
        compare(&mut Dice(nth), &store.view(Position::MAX), &log.rows(Position(60)));
    }
    assert!(seen > 80, "{seen} failures were seen");
}

/// A failed sync, then the power at each of the next steps: what the failed sync has not written
/// counts as written, and must not be believed.
#[test]
fn a_crash_after_a_failed_sync_leaves_a_whole_store() {
    let log = Log::random(&mut Dice(13), 40);
    for nth in 1..24 {
        for step in 0..60 {
            let (disk, storage) = disk(nth * 100 + step);
            let store = open(&storage);
            disk.fail_sync(nth);
            let mut acknowledged = Position::ZERO;
            for (position, changes) in &log.0 {
                store.stage(*position, changes.clone());
                if store.maintain(*position).is_err() && disk.counts().syncs > nth {
                    disk.die_after(step);
                }
                acknowledged = store.checkpoint();
            }
            drop(store);
            let found: Arc<dyn Storage> = Arc::new(disk.crash(step));
            let store = open(&found);
            let checkpoint = store.checkpoint();
            assert_eq!(store.opened(), &Opened::Ready, "sync {nth}, step {step}");
            assert!(checkpoint >= acknowledged, "sync {nth}, step {step}: {checkpoint}");
            compare(&mut Dice(step), &store.view(Position::MAX), &log.rows(checkpoint));
        }
    }
}
