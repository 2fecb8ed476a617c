//! Events about consumers, written and read back.

use super::*;

fn spec() -> ConsumerSpec {
    ConsumerSpec {
        id: "0198-\"x\"".to_owned(),
        callback: "https://example.com/hook?a=1".to_owned(),
        durable: true,
        topics: vec![
            TopicStart { topic: "user-events".to_owned(), after: Position(5) },
            TopicStart { topic: "é".to_owned(), after: Position::ZERO },
        ],
        filter: Some("[{\"exact\":{\"type\":\"a\"}}]".to_owned()),
        from: Position(3),
        format: Format::CloudEventsBatch,
        batch_size: 10,
        ordering: Ordering::None,
        retry: Retry { schedule_ms: vec![1, 20], timeout_ms: 3, max_age_ms: Some(9) },
        headers: vec!["authorization".to_owned()],
    }
}

#[test]
fn events_about_consumers_read_back() {
    let id = || "c-1".to_owned();
    let least = ConsumerSpec {
        topics: Vec::new(),
        filter: None,
        durable: false,
        retry: Retry::default(),
        headers: Vec::new(),
        ..spec()
    };
    let letters = DeadLetters {
        id: id(),
        positions: vec![Position(4), Position(9)],
        attempts: 10,
        status: Some(500),
        error: "answered 500".to_owned(),
    };
    let events = [
        ConsumerEvent::Registered(Box::new(spec())),
        ConsumerEvent::Registered(Box::new(least)),
        ConsumerEvent::Removed { id: id(), reason: "deleted".to_owned() },
        ConsumerEvent::Paused { id: id() },
        ConsumerEvent::Resumed { id: id() },
        ConsumerEvent::Disabled { id: id(), reason: "410".to_owned() },
        ConsumerEvent::Sought { id: id(), to: Position(7) },
        ConsumerEvent::SecretRotated { id: id() },
        ConsumerEvent::Dead(DeadLetters { status: None, ..letters.clone() }),
        ConsumerEvent::Dead(letters),
        ConsumerEvent::Redriven { id: id(), positions: vec![Position(4)] },
    ];
    for about in events {
        let event = about.to_event("e-1".to_owned());
        assert!(event.is_marked() && event.subject.is_none());
        assert_eq!(ConsumerEvent::of(&event), Ok(Some(about)), "{event:?}");
    }
}

#[test]
fn other_events_are_none_and_broken_ones_say_so() {
    let foreign = Event::new("a", "/shop", "annal.consumer.paused").with_json("{}");
    assert_eq!(ConsumerEvent::of(&foreign), Ok(None));
    let later = Event::new("a", SYSTEM_SOURCE, "annal.consumer.praised")
        .with_json("{\"consumerId\":\"x\"}");
    assert_eq!(ConsumerEvent::of(&later), Ok(None));
    for data in ["{}", "[]", "{\"consumerId\":1}", "{\"consumerId\":\"x\",\"to\":7}"] {
        let broken = Event::new("a", SYSTEM_SOURCE, "annal.consumer.sought").with_json(data);
        assert!(ConsumerEvent::of(&broken).is_err(), "{data}");
    }
    assert_eq!(ConsumerSpec::from_json(&spec().to_json()), Some(spec()));
    assert_eq!(ConsumerSpec::from_json("{}"), None);
}
