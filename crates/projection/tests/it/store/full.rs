//! A disk without room: what is folded stays, answers go on, and writing does once there is room.

use std::sync::Arc;

use annal_event::Position;
use annal_projection::store::{Opened, StoreError};
use annal_storage::Storage;

use super::world::{Log, compare, disk, open};
use crate::world::Dice;

#[test]
fn a_full_disk_loses_nothing() {
    let log = Log::random(&mut Dice(31), 400);
    for capacity in [100_000, 150_000, 200_000, 300_000] {
        let (disk, storage) = disk(capacity);
        let store = open(&storage);
        disk.set_capacity(Some(capacity));
        let mut failures = 0;
        for (position, changes) in &log.0 {
            store.stage(*position, changes.clone());
            match store.maintain(*position) {
                Ok(_) => {}
                Err(StoreError::Full { .. }) => failures += 1,
                Err(error) => panic!("{error:?}"),
            }
            if position.get() % 20 == 0 || failures < 3 {
                compare(&mut Dice(1), &store.view(Position::MAX), &log.rows(*position));
            }
        }
        assert!(failures > 10, "{capacity} bytes are too little: {failures}");
        let refused = store.flush(Position(400)).expect_err("it is still full");
        assert!(refused.to_string().contains("no space left; make room"), "{refused}");
        // Also when it is opened in this state, and the power goes.
        let found = disk.after_crash(capacity);
        let crashed: Arc<dyn Storage> = Arc::new(found);
        let reopened = open(&crashed);
        assert_eq!(reopened.opened(), &Opened::Ready);
        compare(&mut Dice(2), &reopened.view(Position::MAX), &log.rows(reopened.checkpoint()));

        disk.set_capacity(None);
        store.flush(Position(400)).expect("there is room again");
        assert_eq!((store.checkpoint(), store.overlay_bytes()), (Position(400), 0));
        compare(&mut Dice(3), &store.view(Position::MAX), &log.rows(Position::MAX));
        drop(store);
        compare(&mut Dice(4), &open(&storage).view(Position::MAX), &log.rows(Position::MAX));
    }
}
