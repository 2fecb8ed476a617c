//! The laws of the store (INV-4).
//!
//! - It answers as the changes up to a position add up to, at every position from the checkpoint.
//! - When, how often and how far it is written does not matter, nor does opening it anew.
//! - What was rolled back has never been.
//! - A view answers the same until it is dropped.

use std::{collections::BTreeMap, sync::Arc};

use annal_event::Position;
use annal_projection::{
    Order,
    store::{Change, Key, KeyRange, Opened, Store, StoreOptions, Value, View},
};
use annal_storage::{FaultStorage, Storage};
use proptest::prelude::*;

use super::world::{self, FORMAT, Log, OPTIONS, PATH, compare, disk, open, scan};
use crate::world::Dice;

#[derive(Clone, Debug)]
enum Step {
    /// So many positions, with changes that follow from the seed.
    Stage(u8, u64),
    Advance(u8),
    /// Of what is staged, this part (of 256) becomes durable.
    Durable(u8),
    /// What is staged and not durable is taken back down to this part (of 256).
    Rollback(u8),
    Maintain,
    Flush,
    Look(u8),
    /// Keeps a view of this part (of 256) of what is staged.
    Hold(u8),
    Reopen,
    Crash(u64),
    /// The nth sync or write from now fails.
    Fail(bool, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6u8, any::<u64>()).prop_map(|(n, seed)| Step::Stage(n, seed)),
        1 => (1..12u8).prop_map(Step::Advance),
        5 => any::<u8>().prop_map(Step::Durable),
        2 => any::<u8>().prop_map(Step::Rollback),
        6 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        4 => any::<u8>().prop_map(Step::Look),
        2 => any::<u8>().prop_map(Step::Hold),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => (any::<bool>(), 1..8u8).prop_map(|(sync, nth)| Step::Fail(sync, nth)),
    ]
}

struct World {
    disk: FaultStorage,
    store: Store,
    log: Log,
    durable: Position,
    held: Vec<(View, BTreeMap<Key, Value>)>,
    dice: Dice,
    /// Failures of the disk on their way: as many calls may be refused.
    failing: u32,
    failed: bool,
}

impl World {
    fn new() -> World {
        let (disk, storage) = disk(1);
        let store = open(&storage);
        assert!(matches!(store.opened(), Opened::Empty { .. }));
        World {
            disk,
            store,
            log: Log::default(),
            durable: Position::ZERO,
            held: Vec::new(),
            dice: Dice(1),
            failing: 0,
            failed: false,
        }
    }

    fn part(&self, part: u8) -> Position {
        let (low, high) = (self.durable.get(), self.store.folded().get());
        Position(low + (high - low) * u64::from(part) / 255)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Stage(positions, seed) => {
                let mut dice = Dice(seed);
                for _ in 0..positions {
                    let changes = world::changes(&mut dice);
                    self.log.0.insert(self.store.folded().next(), changes);
                    self.log.stage(&self.store);
                }
            }
            Step::Advance(positions) => {
                let to = self.store.folded().plus(u64::from(positions));
                self.log.0.insert(to, Vec::new());
                self.store.advance(to);
            }
            Step::Durable(part) => self.durable = self.part(part),
            Step::Rollback(part) => {
                let to = self.part(part);
                self.held.retain(|(view, _)| view.position() <= to);
                self.store.rollback(to).expect("it is not durable");
                self.log.0.split_off(&to.next());
                assert_eq!(self.store.folded(), to);
            }
            Step::Maintain => match self.store.maintain(self.durable) {
                Ok(_) => {}
                Err(error) => self.failed(&error),
            },
            Step::Flush => match self.store.flush(self.durable) {
                Ok(()) => assert_eq!(self.store.checkpoint(), self.durable),
                Err(error) => self.failed(&error),
            },
            Step::Look(part) => self.look(self.part(part)),
            Step::Hold(part) => {
                let view = self.store.view(self.part(part));
                let rows = self.log.rows(view.position());
                self.held.push((view, rows));
            }
            Step::Reopen => self.reopen(self.disk.clone()),
            Step::Crash(seed) => self.reopen(self.disk.crash(seed)),
            Step::Fail(sync, nth) => {
                self.failing += 1;
                match sync {
                    true => self.disk.fail_sync(u64::from(nth)),
                    false => self.disk.fail_write(u64::from(nth)),
                }
            }
        }
        assert!(self.store.checkpoint() <= self.durable, "the checkpoint leads the log");
        self.look(self.store.folded());
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        assert!(self.failing > 0, "{error}");
        self.failing -= 1;
        self.failed = true;
    }

    fn look(&mut self, at: Position) {
        let view = self.store.view(at);
        assert_eq!(view.position(), at);
        let all = KeyRange::all();
        while let Err(error) = scan(&view, &all, Order::Ascending) {
            self.failed(&error);
        }
        compare(&mut self.dice, &view, &self.log.rows(at));
        if self.failed {
            // A view that was held while the disk failed may be refused, but never wrong.
            self.held.retain(|(view, _)| scan(view, &all, Order::Ascending).is_ok());
        }
        for (view, rows) in &self.held {
            compare(&mut self.dice, view, rows);
        }
    }

    /// What was not durable is gone; the rest is staged again.
    fn reopen(&mut self, disk: FaultStorage) {
        let acknowledged = self.store.checkpoint();
        self.held.clear();
        self.log.0.split_off(&self.durable.next());
        self.disk = disk;
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        // First the old one is closed.
        let (_, elsewhere) = world::disk(0);
        self.store = open(&elsewhere);
        self.store = loop {
            match world::try_open(&storage) {
                Ok(store) => break store,
                Err(error) => self.failed(&error),
            }
        };
        assert_eq!(self.store.opened(), &Opened::Ready);
        assert!(self.store.checkpoint() >= acknowledged, "something written was lost");
        assert!(self.store.checkpoint() <= self.durable, "the checkpoint leads the log");
        self.log.stage(&self.store);
        self.store.advance(self.durable);
    }
}

proptest! {
    #[test]
    fn it_answers_as_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
    }
}

/// Folds a log, writing after every so many positions; the rows in the end, in memory and reopened.
fn folded(log: &Log, every: u64, all: bool) -> [BTreeMap<Key, Value>; 2] {
    let (_, storage) = disk(2);
    let store = open(&storage);
    for (position, changes) in &log.0 {
        store.stage(*position, changes.clone());
        if position.get() % every == 0 {
            match all {
                true => store.flush(*position).expect("written"),
                false => drop(store.maintain(*position).expect("a step")),
            }
        }
    }
    let rows = |store: &Store| {
        let all = scan(&store.view(Position::MAX), &KeyRange::all(), Order::Ascending);
        all.expect("a scan").into_iter().collect()
    };
    let before = rows(&store);
    drop(store);
    let store = open(&storage);
    assert_eq!(store.opened(), &Opened::Ready);
    log.stage(&store);
    [before, rows(&store)]
}

#[test]
fn how_often_it_is_written_does_not_matter() {
    let log = Log::random(&mut Dice(5), 300);
    let right = log.rows(Position::MAX);
    for every in [1, 2, 7, 50, 1_000] {
        for all in [false, true] {
            let [before, after] = folded(&log, every, all);
            assert!(before == right, "written after every {every} positions, all: {all}");
            assert!(after == right, "opened anew, written after every {every}, all: {all}");
        }
    }
}

#[test]
fn it_is_resumed_at_any_cut() {
    let log = Log::random(&mut Dice(6), 60);
    for cut in 0..=60 {
        let (_, storage) = disk(cut);
        let store = open(&storage);
        log.stage(&store);
        store.flush(Position(cut)).expect("written");
        assert_eq!(store.checkpoint(), Position(cut));
        drop(store);
        let store = open(&storage);
        assert_eq!(store.folded(), Position(cut));
        compare(&mut Dice(cut), &store.view(Position::MAX), &log.rows(Position(cut)));
        log.stage(&store);
        compare(&mut Dice(cut), &store.view(Position::MAX), &log.rows(Position::MAX));
    }
}

#[test]
fn the_same_steps_leave_the_same_bytes() {
    let run = || {
        let (disk, storage) = disk(3);
        let log = Log::random(&mut Dice(7), 200);
        let store = open(&storage);
        for (position, changes) in &log.0 {
            store.stage(*position, changes.clone());
            store.maintain(*position).expect("a step");
        }
        drop(store);
        (disk.contents(PATH).expect("the file"), disk.counts())
    };
    let (bytes, counts) = run();
    let (again, other) = run();
    assert!(bytes == again && counts == other, "a simulator could not repeat it");
}

#[test]
fn only_what_is_staged_is_taken_back() {
    let (_, storage) = disk(4);
    let store = open(&storage);
    let log = Log::random(&mut Dice(8), 20);
    log.stage(&store);
    store.flush(Position(10)).expect("written");
    let error = store.rollback(Position(9)).expect_err("9 is before what is durable");
    assert_eq!(error.to_string(), "cannot roll back to 9: everything up to 10 is durable");
    store.rollback(Position(10)).expect("it is staged");
    compare(&mut Dice(1), &store.view(Position::MAX), &log.rows(Position(10)));
    log.stage(&store);
    store.flush(Position(20)).expect("written");
    assert_eq!(store.overlay_bytes(), 0, "nothing is left in memory");
}

#[test]
#[should_panic(expected = "INV-4")]
fn changes_come_in_order() {
    let (_, storage) = disk(5);
    let store = open(&storage);
    store.stage(Position(3), Vec::new());
    store.stage(Position(3), vec![Change { key: Key::from(*b"k"), value: None }]);
}

#[test]
fn a_view_of_a_closed_store_is_refused_and_leaves_the_file_alone() {
    let (disk, storage) = disk(6);
    let options = StoreOptions { cache_bytes: 0, ..OPTIONS };
    let store = Store::open(Arc::clone(&storage), PATH, FORMAT, options).expect("it opens");
    let log = Log::random(&mut Dice(9), 100);
    log.stage(&store);
    store.flush(Position(100)).expect("written");
    let view = store.view(Position::MAX);
    drop(store);
    let refused = scan(&view, &KeyRange::all(), Order::Ascending).expect_err("it is closed");
    let expected = "store file state/data.redb is closed; open the store again";
    assert_eq!(refused.to_string(), expected);
    let store = open(&storage);
    let before = disk.counts();
    drop(view);
    assert_eq!(disk.counts(), before, "another store is open in the file");
    compare(&mut Dice(1), &store.view(Position::MAX), &log.rows(Position::MAX));
}
