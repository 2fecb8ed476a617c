//! What events about consumers add up to.

use annal_event::{Format, Ordering, Retry};
use annal_storage::FaultStorage;

use super::*;
use crate::store::StoreOptions;

fn spec(id: &str) -> ConsumerSpec {
    ConsumerSpec {
        id: id.to_owned(),
        callback: "http://127.0.0.1:1/".to_owned(),
        durable: true,
        topics: Vec::new(),
        filter: None,
        from: Position(4),
        format: Format::Batch,
        batch_size: 100,
        ordering: Ordering::Subject,
        retry: Retry::default(),
        headers: Vec::new(),
    }
}

fn store() -> Arc<Store> {
    let storage = Arc::new(FaultStorage::new(7));
    let store = Store::open(storage, "data.redb", b"test", StoreOptions::default());
    Arc::new(store.expect("a store"))
}

/// Folds events, several to a draft: what is decided together is seen together.
fn fold(store: &Store, from: u64, events: &[ConsumerEvent], at_once: usize) {
    let mut position = from;
    for events in events.chunks(at_once) {
        let mut draft = Draft::new(store);
        for event in events {
            let place =
                Place { position: Position(position), recorded: Timestamp(position as i64) };
            Consumers::fold(&mut draft, event, place).expect("folded");
            draft.end_event(place.position);
            position += 1;
        }
        for (position, changes) in draft.finish() {
            store.stage(position, changes);
        }
        store.advance(Position(position - 1));
    }
}

fn dead(id: &str, positions: &[u64]) -> ConsumerEvent {
    ConsumerEvent::Dead(DeadLetters {
        id: id.to_owned(),
        positions: positions.iter().copied().map(Position).collect(),
        attempts: 10,
        status: Some(500),
        error: "answered 500".to_owned(),
    })
}

fn story() -> Vec<ConsumerEvent> {
    let id = || "a".to_owned();
    vec![
        ConsumerEvent::Registered(Box::new(spec("a"))),
        ConsumerEvent::Registered(Box::new(spec("ab"))),
        ConsumerEvent::Paused { id: id() },
        ConsumerEvent::Disabled { id: "ab".to_owned(), reason: "410 ü".to_owned() },
        ConsumerEvent::Sought { id: id(), to: Position(2) },
        dead("a", &[5, 6, 7]),
        dead("ab", &[5]),
        dead("nobody", &[5]),
        ConsumerEvent::Redriven { id: id(), positions: vec![Position(6), Position(99)] },
        ConsumerEvent::Resumed { id: id() },
        ConsumerEvent::Redriven { id: id(), positions: vec![Position(6)] },
    ]
}

#[test]
fn rows_say_what_events_add_up_to_however_many_are_decided_at_once() {
    // INV-4
    for at_once in [1, 3, 100] {
        let store = store();
        fold(&store, 1, &story(), at_once);
        let consumers = Consumers::new(Arc::clone(&store));
        let head = Position(11);
        let all = consumers.list(head, 10).expect("a list");
        assert_eq!(all.len(), 2);
        let a = consumers.get("a", head).expect("read").expect("a consumer");
        assert_eq!(a, all[0]);
        assert_eq!(
            (a.epoch, a.after, &a.state),
            (Position(5), Position(2), &ConsumerState::Active)
        );
        assert_eq!(all[1].state, ConsumerState::Disabled("410 ü".to_owned()));
        assert_eq!((all[1].after, all[1].registered), (Position(4), Timestamp(2)));
        let letters = consumers.dead_letters("a", Position::ZERO, 10, head).expect("letters");
        let positions: Vec<_> = letters.iter().map(|letter| letter.position.get()).collect();
        assert_eq!(positions, [5, 7]);
        assert_eq!((letters[0].attempts, letters[0].status), (10, Some(500)));
        assert_eq!(letters[0].time, Timestamp(6));
        let next = consumers.dead_letters("a", Position(5), 1, head).expect("letters");
        assert_eq!(next, letters[1..]);
        let redrive = consumers.next_redrive("a", Position::ZERO, head).expect("read");
        assert_eq!(redrive, Some(Redrive { by: Position(9), positions: vec![Position(6)] }));
        assert_eq!(consumers.next_redrive("a", Position(9), head).expect("read"), None);
        assert!(
            consumers.dead_letters("nobody", Position::ZERO, 9, head).expect("read").is_empty()
        );
        fold(
            &store,
            12,
            &[ConsumerEvent::Removed { id: "a".to_owned(), reason: "x".to_owned() }],
            1,
        );
        let head = Position(12);
        assert_eq!(consumers.get("a", head).expect("read"), None);
        assert!(consumers.dead_letters("a", Position::ZERO, 9, head).expect("read").is_empty());
        assert_eq!(consumers.dead_letters("ab", Position::ZERO, 9, head).expect("read").len(), 1);
    }
}
