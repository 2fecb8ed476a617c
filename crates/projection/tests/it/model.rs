//! Random operations, staging, rollback, writing behind and reopening among them, against the
//! model.

use std::sync::Arc;

use annal_event::Position;
use annal_projection::index::{Index, IndexError, IndexOptions, Opened};
use annal_storage::{FaultStorage, Storage};

use crate::world::{Dice, Model, OPTIONS, compare, encode, event, open};

fn insert(dice: &mut Dice, index: &Index, model: &mut Model, count: u64) {
    let events: Vec<_> = (0..count).map(|n| event(dice, model.head().0 + n)).collect();
    let (from, to) = (dice.below(count + 1) as usize, events.len());
    let first = model.head().next();
    let encoded = encode(&events);
    index.insert(first, &encoded, 0, from).expect("the first part");
    index.insert(first.plus(from as u64), &encoded, from, to).expect("the second part");
    model.events.extend(events);
}

/// A disk, the index on it, what is in it, and how much of that is durable.
fn run(seed: u64, operations: u64, options: IndexOptions) {
    let mut dice = Dice(seed);
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(seed));
    let mut index = Index::open(Arc::clone(&storage), "index", options).expect("it opens");
    let mut model = Model::default();
    let mut durable = Position::ZERO;
    for _ in 0..operations {
        match dice.below(12) {
            0..=3 => {
                let count = 1 + dice.below(120);
                insert(&mut dice, &index, &mut model, count);
            }
            4 => durable = durable.max(Position(dice.below(model.head().0 + 1))),
            5 => {
                let to = Position(durable.0 + dice.below(model.head().0 - durable.0 + 1));
                index.rollback(to).expect("staged events can be forgotten");
                model.events.truncate(to.0 as usize);
            }
            6..=9 => {
                for _ in 0..dice.below(60) {
                    index.maintain(durable).expect("a step");
                    assert!(index.checkpoint() <= durable, "a checkpoint leads the log");
                }
            }
            10 => {
                durable = durable.max(index.checkpoint());
                index = Index::open(Arc::clone(&storage), "index", options).expect("it opens");
                let at = index.checkpoint();
                let rest = encode(&model.events[at.0 as usize..]);
                index.insert(at.next(), &rest, 0, rest.len()).expect("the rest is folded");
            }
            _ => {}
        }
        for _ in 0..3 {
            compare(&mut dice, &index, &model);
        }
    }
}

#[test]
fn answers_as_the_model_does() {
    for seed in 0..60 {
        run(seed, 60, OPTIONS);
    }
}

#[test]
fn answers_as_the_model_does_with_large_tables() {
    for seed in 100..104 {
        run(seed, 60, IndexOptions { table_events: 2_000, ..OPTIONS });
    }
}

#[test]
fn a_gap_is_refused_and_what_is_folded_is_skipped() {
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
    let index = open(&storage);
    assert!(matches!(index.opened(), Opened::Empty { .. }));
    let mut dice = Dice(1);
    let events: Vec<_> = (0..10).map(|n| event(&mut dice, n)).collect();
    let encoded = encode(&events);
    let gap = index.insert(Position(2), &encoded, 0, 10);
    assert!(matches!(gap, Err(IndexError::Gap { folded: Position(0), first: Position(2) })));
    index.insert(Position(1), &encoded, 0, 6).expect("a part");
    index.insert(Position(1), &encoded, 0, 10).expect("all, some again");
    compare(&mut dice, &index, &Model { events });
}

#[test]
fn what_is_in_runs_is_not_rolled_back() {
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
    let index = open(&storage);
    let (mut dice, mut model) = (Dice(2), Model::default());
    insert(&mut dice, &index, &mut model, 120);
    while index.maintain(Position(60)).expect("a step") {}
    assert_eq!(index.checkpoint(), Position(50));
    let refused = index.rollback(Position(49));
    assert!(matches!(refused, Err(IndexError::Kept { kept: Position(50), .. })), "{refused:?}");
    index.rollback(Position(50)).expect("all that is staged");
    model.events.truncate(50);
    compare(&mut dice, &index, &model);
}
