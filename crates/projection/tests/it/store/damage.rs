//! Flipped bits, cut and missing files: noticed, never believed.

use std::sync::Arc;

use annal_event::Position;
use annal_projection::{
    Order,
    store::{Change, Key, KeyRange, Opened, Store, StoreError, StoreOptions, Value},
};
use annal_storage::{FaultStorage, Storage};

use super::world::{FORMAT, Log, OPTIONS, PATH, compare, disk, open, scan};
use crate::world::Dice;

/// A closed store, and what is in it.
fn written() -> (FaultStorage, Log) {
    let (disk, storage) = disk(21);
    let log = Log::random(&mut Dice(21), 150);
    let store = open(&storage);
    for (position, changes) in &log.0 {
        store.stage(*position, changes.clone());
        store.maintain(*position).expect("a step");
    }
    store.flush(Position(150)).expect("written");
    (disk, log)
}

/// Compares every answer with the model, up to the first error.
fn ask(store: &Store, log: &Log) -> Result<(), StoreError> {
    let view = store.view(Position::MAX);
    let rows = log.rows(view.position());
    for change in log.0.values().flatten() {
        let value = view.get(&change.key)?;
        assert_eq!(value.as_ref(), rows.get(&change.key), "a wrong answer");
    }
    let found = scan(&view, &KeyRange::all(), Order::Descending)?;
    assert!(found.into_iter().rev().eq(rows), "a wrong answer");
    Ok(())
}

/// Offsets at which a bit is turned: every byte of the heads, every so manieth of the pages.
fn offsets(disk: &FaultStorage, stride: usize) -> Vec<u64> {
    let len = disk.contents(PATH).expect("the file").len();
    let heads = (0..600).chain(4096..4696).step_by(stride.div_ceil(60));
    heads.chain((8192..len).step_by(stride)).map(|offset| offset as u64).collect()
}

#[test]
fn a_bit_that_was_flipped_before_opening_is_never_believed() {
    let (disk, log) = written();
    let (mut refused, mut harmless) = (0, 0);
    let mut dice = Dice(8);
    for offset in offsets(&disk, 61) {
        let hurt = disk.after_crash(1);
        hurt.flip_bit(PATH, offset, dice.below(8) as u8).expect("it is in the file");
        let storage: Arc<dyn Storage> = Arc::new(hurt);
        let store = open(&storage);
        if let Opened::Empty { reason } = store.opened() {
            assert!(reason.contains("checksum"), "{reason}");
            assert!(is_empty(&store), "byte {offset}");
            refused += 1;
            continue;
        }
        match ask(&store, &log) {
            Ok(()) => harmless += 1,
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("byte {offset}: {error:?}"),
        }
    }
    assert!(refused > 100, "on opening or when it is asked: {refused}");
    assert!(harmless > 1_200, "one head of two is enough, and pages may be free: {harmless}");
}

/// Nothing is kept in memory, so that every answer comes from the disk.
#[test]
fn a_bit_that_is_flipped_while_it_is_open_is_never_believed() {
    let (disk, log) = written();
    let (mut refused, mut harmless) = (0, 0);
    let mut dice = Dice(9);
    for offset in offsets(&disk, 509) {
        let hurt = disk.after_crash(1);
        let storage: Arc<dyn Storage> = Arc::new(hurt.clone());
        let options = StoreOptions { cache_bytes: 0, ..OPTIONS };
        let store = Store::open(storage, PATH, FORMAT, options).expect("the store opens");
        assert_eq!(store.opened(), &Opened::Ready);
        hurt.flip_bit(PATH, offset, dice.below(8) as u8).expect("it is in the file");
        match ask(&store, &log) {
            Ok(()) => harmless += 1,
            Err(StoreError::Damaged { what, .. }) => {
                assert!(what.contains("checksum"), "{what}");
                refused += 1;
                rebuild(&store, &log);
            }
            Err(error) => panic!("byte {offset}: {error:?}"),
        }
    }
    assert!(refused > 100, "rows are refused: {refused}");
    assert!(harmless > 100, "pages may be free: {harmless}");
}

fn is_empty(store: &Store) -> bool {
    let all = scan(&store.view(Position::MAX), &KeyRange::all(), Order::Ascending);
    all.expect("an empty store is whole").is_empty() && store.checkpoint() == Position::ZERO
}

/// Damage stays until the store is emptied; then the log is folded again.
fn rebuild(store: &Store, log: &Log) {
    store.stage(store.folded().plus(100), Vec::new());
    let error = store.flush(Position::MAX).expect_err("a damaged store is not written");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    store.clear().expect("it is emptied");
    assert_eq!((store.folded(), store.checkpoint()), (Position::ZERO, Position::ZERO));
    log.stage(store);
    store.flush(Position(150)).expect("written");
    compare(&mut Dice(1), &store.view(Position::MAX), &log.rows(Position::MAX));
}

#[test]
fn a_file_that_is_cut_empty_or_missing_opens_empty() {
    let (disk, log) = written();
    let whole = disk.contents(PATH).expect("the file");
    let pages = whole.len() / 4096;
    let cuts = (0..pages).map(|page| page * 4096).chain([1, 511, 512, 4097, whole.len() - 1]);
    let mut empty = 0;
    for cut in cuts {
        let hurt = FaultStorage::new(1);
        hurt.put(PATH, &whole[..cut]);
        let storage: Arc<dyn Storage> = Arc::new(hurt);
        let store = open(&storage);
        empty += u32::from(matches!(store.opened(), Opened::Empty { .. }));
        // What is cut off may be free; what is left is believed only if it is whole.
        match (store.opened(), ask(&store, &log)) {
            (Opened::Ready, Ok(())) | (_, Err(StoreError::Damaged { .. })) => {}
            (Opened::Empty { .. }, Ok(())) => assert!(is_empty(&store), "cut at {cut}"),
            (_, Err(error)) => panic!("cut at {cut}: {error:?}"),
        }
    }
    assert!(empty > 10, "{empty}");
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
    let reason = "there is none".to_owned();
    assert_eq!(open(&storage).opened(), &Opened::Empty { reason });
}

#[test]
fn a_store_of_another_format_opens_empty() {
    let (disk, _) = written();
    let storage: Arc<dyn Storage> = Arc::new(disk);
    let store = Store::open(Arc::clone(&storage), PATH, b"resources 2", OPTIONS).expect("opens");
    let reason = "it was written by other versions of its projections".to_owned();
    assert_eq!(store.opened(), &Opened::Empty { reason });
    assert!(is_empty(&store));
    drop(store);
    let store = Store::open(storage, PATH, b"resources 2", OPTIONS).expect("opens");
    assert_eq!(store.opened(), &Opened::Ready, "and is of this one from now on");
}

#[test]
fn a_page_of_another_place_is_not_believed() {
    let (disk, log) = written();
    let whole = disk.contents(PATH).expect("the file");
    let mut refused = 0;
    for page in 3..whole.len() / 4096 - 1 {
        let mut bytes = whole.clone();
        bytes.copy_within((page + 1) * 4096..(page + 2) * 4096, page * 4096);
        if bytes == whole {
            continue;
        }
        let hurt = FaultStorage::new(1);
        hurt.put(PATH, &bytes);
        let storage: Arc<dyn Storage> = Arc::new(hurt);
        let store = open(&storage);
        match store.opened() {
            Opened::Empty { .. } => refused += 1,
            Opened::Ready => refused += u32::from(ask(&store, &log).is_err()),
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_damaged_store_answers_what_it_has_in_memory() {
    let (disk, log) = written();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let options = StoreOptions { cache_bytes: 0, ..OPTIONS };
    let store = Store::open(storage, PATH, FORMAT, options).expect("the store opens");
    for offset in offsets(&disk, 512) {
        disk.flip_bit(PATH, offset, 0).expect("it is in the file");
    }
    let change = Change { key: Key::from(*b"new"), value: Some(Value::from(*b"row")) };
    store.stage(Position(151), vec![change.clone()]);
    assert!(ask(&store, &log).is_err());
    assert_eq!(store.get(b"new", Position::MAX).expect("it is in memory"), change.value);
}
