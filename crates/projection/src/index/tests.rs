//! What only shows at size, or with hashes made to collide.

use std::sync::Arc;

use annal_event::{Identity, Keys, Pattern, Position, Query, Selector};
use annal_storage::{FaultStorage, Storage};

use super::{Entry, Index, IndexOptions, Order};

fn index(table_events: u32) -> Index {
    let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
    let options = IndexOptions { table_events, fan_out: 3, ..IndexOptions::default() };
    Index::open(storage, "index", options).expect("it opens")
}

fn push(index: &Index, identity: u64, subject: Option<&str>) {
    let keys = Keys { id: "i", source: "s", ty: "t", subject, topic: None, tags: None };
    let options = index.shared.options;
    let entry = Entry { identity: Identity(identity), keys, resource: None };
    index.shared.state.write().push(&options, &entry);
}

fn settle(index: &Index) {
    while index.maintain(index.folded()).expect("a step") {}
}

#[test]
fn what_is_on_disk_is_told_without_opening_it() {
    let index = index(100);
    let written = || Index::written_in(&index.shared.storage, "index").expect("readable");
    assert_eq!(written(), Position::ZERO);
    (1..=250).for_each(|n| push(&index, n, None));
    settle(&index);
    assert_eq!((index.folded(), written()), (Position(250), Position(200)));
}

/// Two dense subtrees, one sparse one that lies in one place, and events without a subject.
fn subject(n: u64) -> Option<String> {
    match n {
        _ if n.is_multiple_of(11) => None,
        100_000..130_000 => Some(format!("clump/{n}")),
        _ if n.is_multiple_of(3) => Some(format!("even/{}", n % 7_001)),
        _ => Some(format!("odd/{n}")),
    }
}

const EVENTS: u64 = 300_000;

fn select(index: &Index, selector: &Selector, order: Order) -> Vec<u64> {
    let query = Query::one(selector.clone());
    let mut found = Vec::new();
    let mut all = index.select(&query, Position(70), Position(EVENTS - 5), order);
    while all.next(7_777, &mut found).expect("a page") {}
    found.iter().map(|position| position.get()).collect()
}

#[test]
fn large_runs_answer_by_column_lists_and_counts() {
    let index = index(32 * 1024);
    (1..=EVENTS).for_each(|n| push(&index, n.wrapping_mul(0x9E37_79B9), subject(n).as_deref()));
    settle(&index);
    assert!(index.stats().runs == 1, "32 Ki × 9 events were merged: {:?}", index.stats());
    let patterns = [
        vec![Pattern::Tree("even".into())],
        vec![Pattern::Tree("clump".into())],
        vec![Pattern::Prefix("odd/1".into()), Pattern::Exact("even/3".into())],
        vec![Pattern::Tree("odd".into()), Pattern::Tree("even".into())],
    ];
    for subjects in patterns {
        for types in [vec![], vec![Pattern::Exact("t".into())]] {
            let selector = Selector { subjects: subjects.clone(), types, ..Selector::default() };
            let matches =
                |n: &u64| subject(*n).is_some_and(|text| subjects.iter().any(|p| p.matches(&text)));
            let mut expected: Vec<u64> = (71..EVENTS - 5).filter(matches).collect();
            assert!(select(&index, &selector, Order::Ascending) == expected, "{selector:?}");
            expected.reverse();
            assert!(select(&index, &selector, Order::Descending) == expected, "{selector:?}");
            let count = index.count(&Query::one(selector), Position::ZERO, Position::MAX, u64::MAX);
            assert_eq!(count.expect("a count"), (1..=EVENTS).filter(matches).count() as u64);
        }
    }
}

#[test]
fn equal_hashes_are_all_candidates() {
    let index = index(1_000);
    // More than fill two pages of a run, with neighbours on both sides, and some still in memory.
    (1..=4_500).for_each(|n| push(&index, if n % 3 == 0 { 77 } else { n }, None));
    for _ in 0..2 {
        let mut found = Vec::new();
        index.identity(Identity(77), &mut found).expect("candidates");
        let expected = |n: &u64| *n == 77 || n.is_multiple_of(3);
        let expected: Vec<u64> = (1..=4_500).filter(expected).collect();
        assert_eq!(found.iter().map(|p| p.get()).collect::<Vec<_>>(), expected);
        settle(&index);
    }
    index.rollback(Position(4_200)).expect("staged events");
    let mut found = Vec::new();
    index.identity(Identity(77), &mut found).expect("candidates");
    assert_eq!(found.last(), Some(&Position(4_200)));
}

#[test]
fn long_keys_fill_a_table_early_and_are_found() {
    let index = index(1_000);
    let long = |n: u64| format!("{}/{n}", "y".repeat(300_000));
    (1..=250).for_each(|n| push(&index, n, Some(&long(n))));
    settle(&index);
    assert!(index.checkpoint() >= Position(200), "tables of 32 MiB: {:?}", index.stats());
    assert!(index.stats().run_memory_bytes < 16 * 1024 * 1024, "{:?}", index.stats());
    for n in [1, 109, 200, 250] {
        let state = index.subject(&long(n), false, Position(250)).expect("a subject");
        assert_eq!((state.version, state.first), (1, Position(n)));
    }
    let root = "y".repeat(300_000);
    let state = index.subject(&root, true, Position(250)).expect("a subtree");
    assert_eq!((state.version, state.first, state.last), (250, Position(1), Position(250)));
}
