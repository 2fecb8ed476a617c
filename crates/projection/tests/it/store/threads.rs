//! One thread stages and takes back, one writes behind, two read (INV-4).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use annal_event::Position;
use annal_projection::{
    Order,
    store::{Change, Key, KeyRange, Opened, Store, Value, View},
};

use super::world::{disk, open, scan};
use crate::world::Dice;

const POSITIONS: u64 = 4_000;
const KEYS: u64 = 50;

/// What is visible, and which attempt at each position was the one that stayed.
struct Truth {
    visible: AtomicU64,
    attempts: Vec<AtomicU64>,
    checks: AtomicU64,
}

fn keys(n: u64) -> [Key; 2] {
    [b'a', b'z'].map(|side| Key::from([side, (n % KEYS) as u8]))
}

/// A position changes two rows, which say who wrote them.
fn changes(position: u64, attempt: u64) -> Vec<Change> {
    let value = Value::from([position.to_le_bytes(), attempt.to_le_bytes()].concat().repeat(8));
    keys(position).map(|key| Change { key, value: Some(value.clone()) }).into()
}

fn write(store: &Store, truth: &Truth) {
    let mut dice = Dice(4);
    let mut attempt = 0;
    while truth.visible.load(Ordering::Acquire) < POSITIONS {
        attempt += 1;
        let visible = truth.visible.load(Ordering::Acquire);
        let staged = POSITIONS.min(visible + 1 + dice.below(20));
        for position in visible + 1..=staged {
            store.stage(Position(position), changes(position, attempt));
            truth.attempts[position as usize].store(attempt, Ordering::Release);
        }
        // A part of it becomes visible, and the rest is taken back.
        let kept = visible + dice.below(staged - visible + 1);
        if kept < staged {
            store.rollback(Position(kept)).expect("it is not durable");
        }
        truth.visible.store(kept, Ordering::Release);
        // Not so fast that the others see nothing of it; but they may have failed.
        let behind = || {
            let checks = truth.checks.load(Ordering::Relaxed);
            checks < kept / 10 || store.checkpoint().get() + 500 < kept
        };
        (0..100_000).take_while(|_| behind()).for_each(|_| thread::yield_now());
    }
}

fn check(view: &View, truth: &Truth, dice: &mut Dice) {
    let at = view.position().get();
    let expected = |n: u64| {
        let position = (at.saturating_sub(KEYS - 1).max(1)..=at).find(|p| p % KEYS == n % KEYS)?;
        let attempt = truth.attempts[position as usize].load(Ordering::Acquire);
        changes(position, attempt).pop()?.value
    };
    let n = dice.below(KEYS);
    for key in keys(n) {
        assert_eq!(view.get(&key).expect("an answer"), expected(n), "key {n} at {at}");
    }
    let all = scan(view, &KeyRange::all(), Order::Ascending).expect("a scan");
    assert_eq!(all.len() as u64, 2 * at.min(KEYS));
    for (key, value) in all {
        assert_eq!(Some(value), expected(u64::from(key[1])), "key {key:?} at {at}");
    }
}

#[test]
fn whoever_reads_beside_writing_sees_whole_positions() {
    let (_, storage) = disk(1);
    let store = open(&storage);
    let attempts = (0..=POSITIONS).map(|_| AtomicU64::new(0)).collect();
    let truth = Truth { visible: AtomicU64::new(0), attempts, checks: AtomicU64::new(0) };
    let visible = || Position(truth.visible.load(Ordering::Acquire));
    let (shared, visible) = (&store, &visible);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(&store, &truth));
        let writing = Arc::new(move || !writer.is_finished());
        let upkeep = Arc::clone(&writing);
        scope.spawn(move || {
            while upkeep() {
                let durable = visible();
                shared.maintain(durable).expect("a step");
                assert!(shared.checkpoint() <= durable);
            }
        });
        for seed in 0..2 {
            let (store, truth, writing) = (&store, &truth, Arc::clone(&writing));
            scope.spawn(move || {
                let mut dice = Dice(seed);
                let mut held = store.view(Position::ZERO);
                while writing() {
                    let at = visible();
                    let view = store.view(at);
                    assert!(view.position() >= at);
                    check(&view, truth, &mut dice);
                    check(&held, truth, &mut dice);
                    truth.checks.fetch_add(1, Ordering::Relaxed);
                    if dice.chance(10) {
                        held = view;
                    }
                }
            });
        }
    });
    let checks = truth.checks.load(Ordering::Relaxed);
    assert!(checks > POSITIONS / 20, "{checks} checks were made");
    assert!(store.checkpoint() > Position(POSITIONS / 2), "it was written meanwhile");
    store.flush(Position(POSITIONS)).expect("written");
    check(&store.view(Position::MAX), &truth, &mut Dice(1));
    drop(store);
    let store = open(&storage);
    assert_eq!(store.opened(), &Opened::Ready);
    check(&store.view(Position::MAX), &truth, &mut Dice(1));
    assert_eq!(Arc::strong_count(&storage), 2, "nothing holds on to the disk");
}
