//! A log of changes, the model that answers by looking at all of them, and the comparison.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use annal_event::Position;
use annal_projection::{
    Order,
    store::{Change, Key, KeyRange, Store, StoreError, StoreOptions, Value, View},
};
use annal_storage::{FaultStorage, Storage};

use crate::world::Dice;

pub(crate) const PATH: &str = "state/data.redb";
pub(crate) const FORMAT: &[u8] = b"resources 1, topics 1";
/// Small enough that a few changes fill a table and a few positions are written.
pub(crate) const OPTIONS: StoreOptions =
    StoreOptions { cache_bytes: 256 * 1024, table_bytes: 2_000, lag_positions: 7 };

/// What every position changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(pub(crate) BTreeMap<Position, Vec<Change>>);

impl Log {
    /// All rows as of a position: the model.
    pub(crate) fn rows(&self, at: Position) -> BTreeMap<Key, Value> {
        let mut rows = BTreeMap::new();
        for change in self.0.range(..=at).flat_map(|(_, changes)| changes) {
            match &change.value {
                Some(value) => rows.insert(change.key.clone(), value.clone()),
                None => rows.remove(&change.key),
            };
        }
        rows
    }

    /// A log of so many positions.
    pub(crate) fn random(dice: &mut Dice, positions: u64) -> Log {
        Log((1..=positions).map(|n| (Position(n), changes(dice))).collect())
    }

    /// Stages what the store has not folded.
    pub(crate) fn stage(&self, store: &Store) {
        let folded = store.folded();
        for (position, changes) in self.0.range((Bound::Excluded(folded), Bound::Unbounded)) {
            match changes.is_empty() {
                true => store.advance(*position),
                false => store.stage(*position, changes.clone()),
            }
        }
    }
}

/// A key out of few, some of them prefixes of others, some at the ends of what bytes can be.
pub(crate) fn key(dice: &mut Dice) -> Key {
    let stem: &[u8] =
        [&b""[..], b"r", b"r/a", b"r/b", b"t", &[0xFF], &[0xFF, 0xFF]][dice.below(7) as usize];
    let mut key = stem.to_vec();
    if dice.chance(80) {
        key.push(dice.below(40) as u8);
    }
    Key::from(key)
}

/// Mostly one or two changes, sometimes none, sometimes a long row.
pub(crate) fn changes(dice: &mut Dice) -> Vec<Change> {
    let count = [0, 1, 1, 1, 2, 2, 3, 9][dice.below(8) as usize];
    let one = |dice: &mut Dice| {
        let len = if dice.chance(3) { dice.below(20_000) } else { dice.below(300) };
        let value = vec![dice.below(256) as u8; len as usize];
        Change { key: key(dice), value: dice.chance(75).then(|| Value::from(value)) }
    };
    (0..count).map(|_| one(dice)).collect()
}

pub(crate) fn open(storage: &Arc<dyn Storage>) -> Store {
    try_open(storage).expect("the store opens")
}

pub(crate) fn try_open(storage: &Arc<dyn Storage>) -> Result<Store, StoreError> {
    Store::open(Arc::clone(storage), PATH, FORMAT, OPTIONS)
}

pub(crate) fn disk(seed: u64) -> (FaultStorage, Arc<dyn Storage>) {
    let disk = FaultStorage::new(seed);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    (disk, storage)
}

/// All rows of a range, as a scan gives them.
pub(crate) fn scan(
    view: &View,
    range: &KeyRange,
    order: Order,
) -> Result<Vec<(Key, Value)>, StoreError> {
    view.scan(range, order).collect()
}

/// What the model says about a range.
fn expected(rows: &BTreeMap<Key, Value>, range: &KeyRange, order: Order) -> Vec<(Key, Value)> {
    let from = |key: &Key| match &range.from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let to = |key: &Key| match &range.to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    };
    let inside = rows.iter().filter(|(key, _)| from(key) && to(key));
    let mut found: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if order == Order::Descending {
        found.reverse();
    }
    found
}

/// Asks a view everything and more, and compares.
pub(crate) fn compare(dice: &mut Dice, view: &View, rows: &BTreeMap<Key, Value>) {
    let all = scan(view, &KeyRange::all(), Order::Ascending).expect("a scan");
    assert_eq!(all, expected(rows, &KeyRange::all(), Order::Ascending), "{}", view.position());
    for _ in 0..4 {
        let asked = key(dice);
        let found = view.get(&asked).expect("an answer");
        assert_eq!(found.as_ref(), rows.get(&asked), "{asked:?} at {}", view.position());
        let range = match dice.below(4) {
            0 => KeyRange::prefix(&asked),
            1 => KeyRange { from: Bound::Included(asked.clone()), to: Bound::Included(asked) },
            _ => KeyRange { from: bound(dice), to: bound(dice) },
        };
        let order = if dice.chance(50) { Order::Ascending } else { Order::Descending };
        let wanted = expected(rows, &range, order);
        assert_eq!(scan(view, &range, order).expect("a scan"), wanted, "{range:?} {order:?}");
        // The same in pages.
        let mut paged = Vec::new();
        let mut rest = range;
        loop {
            let page: Result<Vec<_>, _> = view.scan(&rest, order).take(7).collect();
            let page = page.expect("a page");
            let Some((last, _)) = page.last() else { break };
            rest = rest.after(last, order);
            paged.extend(page);
        }
        assert_eq!(paged, wanted);
    }
}

fn bound(dice: &mut Dice) -> Bound<Key> {
    match dice.below(3) {
        0 => Bound::Included(key(dice)),
        1 => Bound::Excluded(key(dice)),
        _ => Bound::Unbounded,
    }
}
