//! Attributes by name: the same from an event, from its record, and from where it is stored.

use std::sync::Arc;

use annal_event::{
    Attribute, Attributes, Encoded, Event, EventErrorKind, Position, StoredEvent, Timestamp, Value,
    proto,
};
use proptest::prelude::*;

use crate::strategy;

const CORE: [&str; 8] =
    ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"];

/// What an attribute is, whether it is text that stands somewhere or was made.
fn seen(attribute: Option<Attribute<'_>>) -> Option<Value<'static>> {
    Some(match attribute? {
        Attribute::Boolean(value) => Value::Boolean(value),
        Attribute::Integer(value) => Value::Integer(value),
        Attribute::Text(text) => Value::String(text.to_owned().into()),
        Attribute::Short(text) => Value::String(text.as_str().to_owned().into()),
        Attribute::Bytes(bytes) => Value::Bytes(bytes.to_vec().into()),
    })
}

proptest! {
    #[test]
    fn a_record_has_the_attributes_of_its_event(event in strategy::event(), absent in "[a-z]{1,3}") {
        let mut encoded = Encoded::default();
        encoded.push(&event);
        let record = encoded.record(0).to_vec();
        let (batch, _) = encoded.commit(Position(7), Timestamp(1));
        let stored = StoredEvent::new(Arc::new(batch), 0);
        let extensions = event.extensions.iter().map(|(name, _)| name.as_ref());
        for name in CORE.into_iter().chain(extensions).chain([absent.as_str(), "data", ""]) {
            let of_event = seen(event.attribute(name).expect("an event"));
            prop_assert_eq!(&seen(proto::attribute(&record, name).expect("a record")), &of_event);
            prop_assert_eq!(&seen(stored.attribute(name).expect("a record")), &of_event);
        }
        for (name, value) in &event.extensions {
            let text = match value {
                Value::Uri(text) | Value::UriRef(text) | Value::Timestamp(text) => text,
                other => {
                    prop_assert_eq!(seen(event.attribute(name).expect("an event")), Some(other.clone()));
                    continue;
                }
            };
            let wanted = Some(Value::String(text.clone()));
            prop_assert_eq!(seen(event.attribute(name).expect("an event")), wanted);
        }
    }

    #[test]
    fn any_bytes_are_looked_through_without_panic(record: Vec<u8>, name in "id|type|[a-z]{0,3}") {
        let _ = proto::attribute(&record, &name);
    }
}

#[test]
fn a_stored_event_knows_its_place() {
    let mut encoded = Encoded::default();
    encoded.push(&Event::new("1", "s", "t"));
    let (batch, _) = encoded.commit(Position(u64::MAX), Timestamp(1_768_473_000_123_456));
    let stored = StoredEvent::new(Arc::new(batch), 0);
    let text = |name: &str| match stored.attribute(name).expect("a record") {
        Some(Attribute::Short(text)) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text("position"), "18446744073709551615");
    assert_eq!(text("recordedtime"), "2026-01-15T10:30:00.123456Z");
}

#[test]
fn a_record_that_is_damaged_says_so() {
    let mut record = Vec::new();
    proto::encode_record(&Event::new("1", "s", "t").with_subject("orders"), &mut record);
    record.truncate(record.len() - 1);
    assert!(matches!(proto::attribute(&record, "type"), Ok(Some(Attribute::Text("t")))));
    let error = proto::attribute(&record, "subject").expect_err("it is cut");
    assert_eq!(error.kind(), EventErrorKind::Damaged);
}
