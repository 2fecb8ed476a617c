//! The index, held to the laws of every projection.

use std::sync::Arc;

use annal_event::{Event, Position};
use annal_projection::{
    index::{Index, KeyState, Kind, Order},
    laws::{self, Subject},
};
use annal_storage::{FaultStorage, Storage};

use crate::world::{Dice, batches, event, open, query};

struct OfIndex;

impl Subject for OfIndex {
    type Projection = Index;
    type Answers = (Vec<Vec<Position>>, Vec<KeyState>);

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(FaultStorage::new(7))
    }

    fn open(&self, storage: &Arc<dyn Storage>) -> Index {
        open(storage)
    }

    fn answers(&self, index: &Index) -> Self::Answers {
        let mut dice = Dice(11);
        let select = |query| {
            let mut found = Vec::new();
            let all = index.select(&query, Position::ZERO, Position::MAX, Order::Ascending);
            let mut all = all;
            while all.next(1_000, &mut found).expect("a page") {}
            found
        };
        let selections = (0..40).map(|_| select(query(&mut dice))).collect();
        let keys = index.keys(Kind::Subject, "", None, usize::MAX, Position::MAX);
        (selections, keys.expect("all subjects"))
    }

    fn files(&self, storage: &Arc<dyn Storage>) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| {
            let file = storage.open(&format!("index/{name}")).expect("a file");
            let mut bytes = vec![0; file.len().expect("its size") as usize];
            file.read_exact_at(&mut bytes, 0).expect("its content");
            (name, bytes)
        };
        storage.list("index").expect("the directory").into_iter().map(read).collect()
    }
}

fn events(count: u64) -> Vec<Event<'static>> {
    let mut dice = Dice(5);
    (0..count).map(|n| event(&mut dice, n)).collect()
}

#[test]
fn resumes_at_any_cut() {
    laws::resumes_at_any_cut(&OfIndex, &batches(&mut Dice(1), &events(900), 60));
}

#[test]
fn rebuild_equals_incremental() {
    laws::rebuild_equals_incremental(&OfIndex, &batches(&mut Dice(2), &events(1_500), 60));
}

#[test]
fn batch_size_does_not_matter() {
    let events = events(2_000);
    let (small, large) = (batches(&mut Dice(3), &events, 4), batches(&mut Dice(4), &events, 900));
    laws::batch_size_does_not_matter(&OfIndex, &small, &large);
}

#[test]
fn same_log_same_bytes() {
    laws::same_log_same_bytes(&OfIndex, &batches(&mut Dice(5), &events(2_000), 70));
}
