//! The engine as its users see it: threads, a real directory, real time.

mod live;
mod resources;
mod search;
mod topics;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use annal_engine::{
    Append, AppendError, Durability, Engine, EngineOptions, Found, Holder, OpenError, Order,
    Outcome, ReadSpec, Step,
};
use annal_event::{
    Deletion, Encoded, Event, Interest, Pattern, Position, Precondition, Query, Selector,
    SubjectCheck,
};

fn event(id: &str, subject: &str) -> Event<'static> {
    Event::new(id.to_owned(), "/shop", "order.placed")
        .with_subject(subject.to_owned())
        .with_json(format!("{{\"id\":\"{id}\"}}"))
}

fn append(events: &[Event<'_>], preconditions: Vec<Precondition>) -> Append {
    let mut encoded = Encoded::default();
    events.iter().for_each(|event| encoded.push(event));
    Append { preconditions, ..Append::of(encoded) }
}

fn put(engine: &Engine, events: &[Event<'_>]) -> Vec<Outcome> {
    let ticket = engine.append(append(events, Vec::new())).expect("there is room");
    ticket.wait().expect("appended").outcomes.into_vec()
}

fn new(position: u64) -> Outcome {
    Outcome { position: Position(position), duplicate: false }
}

fn duplicate(position: u64) -> Outcome {
    Outcome { position: Position(position), duplicate: true }
}

fn with_engine(test: impl FnOnce(&Engine)) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    test(&engine);
    engine.shutdown();
}

#[test]
fn an_identity_is_stored_once() {
    // INV-3
    with_engine(|engine| {
        assert_eq!(put(engine, &[event("a", "x"), event("b", "x")]), [new(1), new(2)]);
        assert_eq!(put(engine, &[event("b", "x"), event("c", "y")]), [duplicate(2), new(3)]);
        assert_eq!(
            put(engine, &[event("d", "x"), event("d", "x"), event("a", "x")]),
            [new(4), duplicate(4), duplicate(1)]
        );
        let other = event("a", "x").with_json("{\"id\":\"other\"}");
        let ticket = engine.append(append(&[event("e", "x"), other], vec![])).expect("room");
        let conflict =
            AppendError::IdentityConflict { index: 1, with: Holder::Stored(Position(1)) };
        assert_eq!(ticket.wait(), Err(conflict));
        assert_eq!(engine.head(), Position(4), "a refused append stores nothing");
        let twins = [event("f", "x"), event("f", "x").with_json("{}")];
        let ticket = engine.append(append(&twins, vec![])).expect("room");
        let conflict = AppendError::IdentityConflict { index: 1, with: Holder::Event(0) };
        assert_eq!(ticket.wait(), Err(conflict));
        let elsewhere = Event::new("a", "/elsewhere", "order.placed");
        assert_eq!(put(engine, &[elsewhere]), [new(5)], "another source is another event");
    });
}

#[test]
fn a_retry_succeeds_although_its_own_events_break_its_preconditions() {
    with_engine(|engine| {
        let first = || {
            let subject = "order/1".to_owned();
            let is = SubjectCheck::None;
            let none = Precondition::Subject { subject, recursive: false, is };
            append(&[event("a", "order/1")], vec![none])
        };
        let begun = engine.append(first()).expect("room").wait().expect("appended");
        assert_eq!(begun.outcomes[..], [new(1)]);
        let again = engine.append(first()).expect("room").wait().expect("appended");
        assert_eq!(again.outcomes[..], [duplicate(1)]);
    });
}

#[test]
fn every_failed_precondition_is_reported_with_what_is_there() {
    with_engine(|engine| {
        put(engine, &[event("a", "order/1"), event("b", "order/1/item")]);
        let subject =
            |recursive, is| Precondition::Subject { subject: "order/1".to_owned(), recursive, is };
        let tree =
            Selector { subjects: vec![Pattern::Tree("order/1".to_owned())], ..Selector::default() };
        let preconditions = vec![
            subject(false, SubjectCheck::Version(1)),
            subject(true, SubjectCheck::Version(3)),
            Precondition::Absent { query: Query::one(tree), after: Position(1) },
            Precondition::Head { position: Position(2) },
            Precondition::Head { position: Position(1) },
        ];
        let ticket = engine.append(append(&[event("c", "order/1")], preconditions)).expect("room");
        let Err(AppendError::PreconditionFailed { failed, head }) = ticket.wait() else {
            panic!("preconditions must fail");
        };
        assert_eq!(head, Position(2));
        let indexes: Vec<_> = failed.iter().map(|failed| failed.index).collect();
        assert_eq!(indexes, [1, 2, 4]);
        assert_eq!(failed[0].actual.version, Some(2));
        assert_eq!(failed[0].actual.id.as_deref(), Some("b"));
        assert_eq!(failed[1].actual.position, Some(Position(2)));
        assert_eq!(failed[2].actual.position, Some(Position(2)));
    });
}

#[test]
fn pages_go_both_ways_and_say_whether_there_is_more() {
    with_engine(|engine| {
        for n in 0..25 {
            put(engine, &[event(&n.to_string(), if n % 5 == 0 { "five/x" } else { "other" })]);
        }
        let five =
            Selector { subjects: vec![Pattern::Tree("five".to_owned())], ..Selector::default() };
        for query in [Query::all(), Query::one(five)] {
            for order in [Order::Ascending, Order::Descending] {
                let spec = |limit| ReadSpec {
                    interest: Interest::of(query.clone()),
                    order,
                    limit,
                    ..ReadSpec::default()
                };
                let all = engine.view().read(&spec(100)).expect("reads");
                assert_eq!(all.next, None);
                let mut expected: Vec<_> =
                    (1..=25).filter(|p| query.is_all() || p % 5 == 1).map(Position).collect();
                if order == Order::Descending {
                    expected.reverse();
                }
                let positions = |page: &annal_engine::Page| {
                    page.events.iter().map(|event| event.position()).collect::<Vec<_>>()
                };
                assert_eq!(positions(&all), expected);
                let some = engine.view().read(&spec(3)).expect("reads");
                assert_eq!(positions(&some), expected[..3]);
                assert_eq!(some.next, Some(expected[2]));
                let exactly = engine.view().read(&spec(expected.len())).expect("reads");
                assert_eq!(exactly.next, None, "nothing follows the last");
            }
        }
    });
}

#[test]
fn an_event_is_found_by_id_whatever_its_source() {
    with_engine(|engine| {
        put(engine, &[event("same", "x"), Event::new("same", "/other", "t"), event("b", "x")]);
        let find = |id, source| engine.view().find(id, source, false).expect("finds").events.len();
        assert_eq!(find("same", None), 2);
        assert_eq!(find("same", Some("/other")), 1);
        assert_eq!(find("none", None), 0);
    });
}

#[test]
fn what_is_acknowledged_is_there_after_a_restart_with_or_without_the_index() {
    // INV-1, INV-4
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    for n in 0..50 {
        put(&engine, &[event(&n.to_string(), "x")]);
    }
    assert!(
        matches!(Engine::open(dir.path(), EngineOptions::default()), Err(OpenError::Lock(_))),
        "a directory is opened once"
    );
    engine.shutdown();
    for remove in [false, true] {
        if remove {
            std::fs::remove_dir_all(dir.path().join("index")).expect("removed");
        }
        let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens again");
        assert_eq!(engine.head(), Position(50));
        assert_eq!(put(&engine, &[event("7", "x")]), [duplicate(8)]);
        let state = engine.view().index().subject("x", false, Position::MAX).expect("asks");
        assert_eq!(state.version, 50);
        engine.shutdown();
    }
}

#[test]
fn a_log_that_lost_what_was_durable_is_refused() {
    // INV-1
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = EngineOptions::default();
    options.index.table_events = 10;
    let engine = Engine::open(dir.path(), options.clone()).expect("opens");
    for n in 0..50 {
        put(&engine, &[event(&n.to_string(), "x")]);
    }
    let begun = Instant::now();
    while engine.view().index().checkpoint() < Position(40) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the index is never written");
        thread::sleep(Duration::from_millis(2));
    }
    engine.shutdown();
    std::fs::remove_dir_all(dir.path().join("log")).expect("removed");
    match Engine::open(dir.path(), options) {
        Err(OpenError::LogIsShort { head: Position::ZERO, folded }) => {
            assert!(folded >= Position(40), "{folded}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscriber_is_woken_by_an_append() {
    with_engine(|engine| {
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
        let mut subscription = engine.subscribe(Interest::all(), Position::ZERO);
        assert!(matches!(subscription.next(1 << 20, &waker), Ok(Step::CaughtUp)));
        let writer = engine.clone();
        let appended = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            put(&writer, &[event("late", "x")]);
        });
        let begun = Instant::now();
        let events = loop {
            assert!(begun.elapsed() < Duration::from_secs(10), "nobody woke the subscriber");
            match subscription.next(1 << 20, &waker).expect("reads") {
                Step::Events(events) => break events,
                Step::Scanned => {}
                Step::CaughtUp => thread::park_timeout(Duration::from_secs(10)),
            }
        };
        assert!(begun.elapsed() < Duration::from_secs(5), "woken, not timed out");
        assert_eq!(events.len(), 1);
        appended.join().expect("appended");
    });
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = EngineOptions { queue_bytes_max: 64 * 1024, ..EngineOptions::default() };
    let engine = Engine::open(dir.path(), options).expect("opens");
    let big = |n: u64| event(&n.to_string(), "x").with_json(format!("\"{}\"", "z".repeat(30_000)));
    let mut tickets = Vec::new();
    let mut busy = 0;
    for n in 0..2_000 {
        match engine.append(append(&[big(n)], Vec::new())) {
            Ok(ticket) => tickets.push(ticket),
            Err(_) => busy += 1,
        }
    }
    assert!(busy > 0, "2,000 appends of 30 kB fit into 64 KiB");
    let taken = tickets.len() as u64;
    for ticket in tickets {
        ticket.wait().expect("what was taken is appended");
    }
    assert_eq!(engine.head(), Position(taken));
    assert_eq!(put(&engine, &[event("after", "x")]), [new(taken + 1)]);
    engine.shutdown();
}

#[test]
fn the_answer_says_what_holds_and_an_interval_syncs() {
    let dir = tempfile::tempdir().expect("a directory");
    let durability = Durability::Interval { ms: 10 };
    let options = EngineOptions { durability, ..EngineOptions::default() };
    let engine = Engine::open(dir.path(), options).expect("opens");
    let ticket = engine.append(append(&[event("a", "x")], Vec::new())).expect("room");
    assert_eq!(ticket.wait().expect("appended").durability, durability);
    let begun = Instant::now();
    while engine.view().log().durable() < Position(1) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never synced");
        thread::sleep(Duration::from_millis(2));
    }
    engine.shutdown();
}

#[test]
fn after_the_shutdown_a_ticket_does_not_hang() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    engine.shutdown();
    let ticket = engine.append(append(&[event("late", "x")], Vec::new())).expect("taken");
    let mut ticket = pin!(ticket);
    match ticket.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(AppendError::Unavailable { .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_deleted_stays_deleted_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let deletion = |subject: &str| Deletion {
        subject: subject.to_owned(),
        recursive: false,
        ty: None,
        from: Position::ZERO,
    };
    let delete = |engine: &Engine, subject: &str| {
        let event = deletion(subject).to_event(engine.new_id());
        let ticket = engine.append(append(&[event], vec![])).expect("room");
        ticket.wait().expect("appended").hidden
    };
    let seen = |engine: &Engine| {
        let spec = ReadSpec { limit: 100, ..ReadSpec::default() };
        let page = engine.view().read(&spec).expect("a page");
        page.events.iter().map(|stored| stored.position().0).collect::<Vec<_>>()
    };
    for without_index in [false, true] {
        let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
        if without_index {
            assert_eq!(seen(&engine), [1, 3, 5]);
            assert_eq!(delete(&engine, "x"), 0, "a deletion hides nothing that came after it");
        } else {
            put(&engine, &[event("a", "y"), event("b", "x"), event("c", "y")]);
            assert_eq!(delete(&engine, "x"), 1);
            put(&engine, &[event("d", "y")]);
        }
        engine.shutdown();
        std::fs::remove_dir_all(dir.path().join("index")).expect("removed");
    }
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    assert_eq!(seen(&engine), [1, 3, 5]);
    assert!(matches!(engine.view().get(Position(2)), Ok(Found::Deleted)));
    engine.shutdown();
}
