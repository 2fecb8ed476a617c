//! The power goes at every write, sync and change of a name; a disk refuses and comes back.

use std::sync::Arc;

use annal_event::Position;
use annal_projection::index::Opened;
use annal_storage::{FaultStorage, Storage};

use crate::world::{Dice, Model, compare, encode, event, open};

fn model(count: u64) -> Model {
    let mut dice = Dice(3);
    Model { events: (0..count).map(|n| event(&mut dice, n)).collect() }
}

fn changes(disk: &FaultStorage) -> u64 {
    let counts = disk.counts();
    counts.writes + counts.syncs + counts.names
}

/// Folds all, writes behind until done or dead; the checkpoint last seen.
fn work(disk: &FaultStorage, model: &Model) -> Position {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let Ok(index) = annal_projection::index::Index::open(storage, "index", crate::world::OPTIONS)
    else {
        return Position::ZERO;
    };
    let encoded = encode(&model.events);
    index.insert(Position::FIRST, &encoded, 0, encoded.len()).expect("memory does not fail");
    while let Ok(true) = index.maintain(model.head()) {}
    index.checkpoint()
}

#[test]
fn a_crash_at_any_step_leaves_a_whole_index() {
    let model = model(480);
    let whole = FaultStorage::new(1);
    work(&whole, &model);
    let total = changes(&whole);
    assert!(total > 60, "freezes and merges were seen: {total}");
    for step in 0..total {
        let disk = FaultStorage::new(1);
        disk.die_after(step);
        let acknowledged = work(&disk, &model);
        for seed in 0..4 {
            let found: Arc<dyn Storage> = Arc::new(disk.after_crash(seed * 1_000 + step));
            let index = open(&found);
            let checkpoint = index.checkpoint();
            assert!(checkpoint >= acknowledged, "step {step}: {checkpoint} < {acknowledged}");
            let rest = encode(&model.events[checkpoint.0 as usize..]);
            index.insert(checkpoint.next(), &rest, 0, rest.len()).expect("the rest is folded");
            while index.maintain(model.head()).expect("a step") {}
            for n in 0..4 {
                compare(&mut Dice(n), &index, &model);
            }
        }
    }
}

#[test]
fn a_step_that_failed_is_done_again() {
    let model = model(480);
    let encoded = encode(&model.events);
    let mut seen = 0;
    for nth in 1..80 {
        let disk = FaultStorage::new(nth);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let index = open(&storage);
        index.insert(Position::FIRST, &encoded, 0, encoded.len()).expect("memory does not fail");
        if nth % 2 == 0 {
            disk.fail_sync(nth / 2);
        } else {
            disk.fail_write(nth);
        }
        let mut failures = 0;
        loop {
            match index.maintain(model.head()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => failures += 1,
            }
            compare(&mut Dice(nth), &index, &model);
        }
        assert!(failures <= 1, "one failure was injected");
        seen += failures;
        drop(index);
        let index = open(&storage);
        assert_eq!(index.opened(), &Opened::Ready);
        assert_eq!(index.checkpoint(), Position(450), "all full tables are in runs");
    }
    assert!(seen > 30, "{seen} failures were seen");
}

#[test]
fn a_full_disk_loses_nothing() {
    let model = model(480);
    let disk = FaultStorage::new(9);
    disk.set_capacity(Some(200_000));
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = open(&storage);
    let encoded = encode(&model.events);
    index.insert(Position::FIRST, &encoded, 0, encoded.len()).expect("memory does not fail");
    let failed = (0..10_000).any(|_| index.maintain(model.head()).is_err());
    assert!(failed, "the disk is too small");
    compare(&mut Dice(1), &index, &model);
    disk.set_capacity(None);
    while index.maintain(model.head()).expect("there is room again") {}
    compare(&mut Dice(2), &index, &model);
    assert_eq!(index.checkpoint(), Position(450));
}
