//! Flipped bits, cut and missing files: noticed, never believed.

use std::sync::Arc;

use annal_event::{Identity, Position};
use annal_projection::index::{Index, IndexError, Kind, Opened, Order};
use annal_storage::{FaultStorage, Storage};

use crate::world::{Dice, Model, compare, encode, event, open, query};

/// A disk with an index of a few runs, and what is in it.
fn written() -> (FaultStorage, Model) {
    let mut dice = Dice(21);
    let model = Model { events: (0..260).map(|n| event(&mut dice, n)).collect() };
    let disk = FaultStorage::new(21);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = open(&storage);
    let encoded = encode(&model.events);
    index.insert(Position::FIRST, &encoded, 0, encoded.len()).expect("folded");
    while index.maintain(Position(260)).expect("a step") {}
    (disk, model)
}

/// Every answer there is, or the first error.
fn ask(index: &Index, model: &Model) -> Result<Vec<Vec<Position>>, IndexError> {
    let mut dice = Dice(4);
    let mut answers = Vec::new();
    for event in &model.events {
        let mut found = Vec::new();
        index.identity(Identity::of(&event.source, &event.id), &mut found)?;
        answers.push(found);
    }
    for _ in 0..30 {
        let mut found = Vec::new();
        let mut all =
            index.select(&query(&mut dice), Position::ZERO, Position::MAX, Order::Ascending);
        while all.next(100, &mut found)? {}
        answers.push(found);
    }
    for key in index.keys(Kind::Subject, "", None, usize::MAX, Position::MAX)? {
        let state = index.subject(&key.text, false, Position::MAX)?;
        answers.push(vec![key.state.first, key.state.last, state.first, Position(state.version)]);
    }
    Ok(answers)
}

#[test]
fn a_flipped_bit_is_never_believed() {
    let (disk, model) = written();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut dice = Dice(8);
    let right = ask(&open(&storage), &model).expect("it is whole");
    let (mut empty, mut refused) = (0, 0);
    for name in storage.list("index").expect("the directory") {
        let path = format!("index/{name}");
        let content = disk.contents(&path).expect("the file");
        // Every byte of a small file, every 61st of a large one.
        let stride = if content.len() < 1_000 { 1 } else { 61 };
        for offset in (0..content.len()).step_by(stride) {
            let hurt = disk.after_crash(1);
            hurt.flip_bit(&path, offset as u64, dice.below(8) as u8).expect("a bit");
            let hurt: Arc<dyn Storage> = Arc::new(hurt);
            let index = open(&hurt);
            if let Opened::Empty { reason } = index.opened() {
                assert!(!reason.is_empty());
                assert_eq!(index.folded(), Position::ZERO);
                empty += 1;
                continue;
            }
            match ask(&index, &model) {
                Ok(answers) => assert!(answers == right, "{path} at {offset}: a wrong answer"),
                Err(IndexError::Damaged { .. }) => refused += 1,
                Err(other) => panic!("{path} at {offset}: {other}"),
            }
        }
    }
    assert!(empty > 50 && refused > 50, "both ways were seen: {empty}, {refused}");
}

#[test]
fn after_damage_it_is_cleared_and_folded_again() {
    let (disk, model) = written();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = open(&storage);
    index.clear().expect("cleared");
    assert_eq!((index.folded(), index.checkpoint()), (Position::ZERO, Position::ZERO));
    assert_eq!(storage.list("index").expect("the directory"), Vec::<String>::new());
    let encoded = encode(&model.events);
    index.insert(Position::FIRST, &encoded, 0, encoded.len()).expect("folded again");
    while index.maintain(Position(260)).expect("a step") {}
    compare(&mut Dice(1), &index, &model);
}

#[test]
fn missing_and_cut_files_open_empty() {
    let (disk, _) = written();
    let names = disk.list("index").expect("the directory");
    for name in &names {
        let path = format!("index/{name}");
        let gone = disk.after_crash(1);
        gone.remove(&path).expect("removed");
        let cut = disk.after_crash(1);
        let file = cut.open(&path).expect("a file");
        file.set_len(file.len().expect("a size") - 1).expect("cut");
        for hurt in [gone, cut] {
            let hurt: Arc<dyn Storage> = Arc::new(hurt);
            let index = open(&hurt);
            assert!(matches!(index.opened(), Opened::Empty { .. }), "{name}");
            assert_eq!(hurt.list("index").expect("the directory"), Vec::<String>::new());
        }
    }
}

#[test]
fn leftovers_are_removed() {
    let (disk, model) = written();
    disk.put("index/00000000000000000001-7.run", b"half a run");
    disk.put("index/manifest.new", b"half a manifest");
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = open(&storage);
    assert_eq!(index.opened(), &Opened::Ready);
    assert_eq!(storage.list("index").expect("the directory").len(), index.stats().runs + 1);
    let rest = encode(&model.events[index.checkpoint().0 as usize..]);
    index.insert(index.checkpoint().next(), &rest, 0, rest.len()).expect("the rest");
    compare(&mut Dice(3), &index, &model);
    assert!(index.stats().runs > 1);
}
