//! What comes in comes out, through every pair of codecs.

use annal_event::{
    Batch, Data, Encoded, Event, Keys, Limits, Position, Timestamp, http, json, proto,
};
use proptest::prelude::*;

use crate::{strategy, strict, to_json};

const STORED: Option<(Position, Timestamp)> =
    Some((Position(42), Timestamp(1_768_473_000_123_456)));

fn record(event: &Event<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    proto::encode_record(event, &mut record);
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn generated_events_are_valid(event in strategy::event()) {
        prop_assert_eq!(event.validate(&Limits::default()), Ok(()));
    }

    #[test]
    fn a_record_gives_back_exactly_what_was_stored(event in strategy::event()) {
        let record = record(&event);
        prop_assert_eq!(record.len(), proto::record_bytes(&event));
        prop_assert_eq!(proto::decode_record(&record), Ok(event));
    }

    #[test]
    fn keys_of_a_record_are_those_of_the_event(event in strategy::event()) {
        let record = record(&event);
        let keys: Keys<'_> = proto::keys(&record).expect("a record");
        prop_assert_eq!(keys, event.keys());
        prop_assert_eq!(keys.tags().collect::<Vec<_>>(), event.tags().collect::<Vec<_>>());
    }

    #[test]
    fn json_keeps_the_content_and_ignores_where_it_stood(event in strategy::event()) {
        let mut text = Vec::new();
        json::write_event(&mut text, &event, STORED);
        prop_assert!(!text.contains(&b'\n') && !text.contains(&b'\r'));
        let text = String::from_utf8(text).expect("UTF-8");
        let back = strict(&text).expect(&text);
        prop_assert_eq!(back.validate(&Limits::default()), Ok(()));
        prop_assert!(back.content_eq(&event) && event.content_eq(&back), "{}", text);
        prop_assert_eq!(&back.time, &event.time);
        if let Data::Json(data) = &event.data && !data.contains(['\n', '\r']) {
            prop_assert_eq!(back.data.json(), Some(data.as_ref()));
        }
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
    }

    #[test]
    fn json_to_record_to_json_is_the_same_text(event in strategy::event()) {
        let text = to_json(&event);
        let record = record(&strict(&text).expect(&text));
        prop_assert_eq!(to_json(&proto::decode_record(&record).expect("a record")), text);
    }

    #[test]
    fn sse_json_means_the_same_on_one_line_of_ascii_breaks(event in strategy::event()) {
        let mut text = Vec::new();
        json::write_event_sse(&mut text, &event, None);
        let text = String::from_utf8(text).expect("UTF-8");
        let breaks = ['\u{2028}', '\u{2029}', '\u{85}', '\n', '\r'];
        prop_assert!(!text.contains(breaks));
        let unescaped = |text: String| {
            let escapes = [("\\u2028", "\u{2028}"), ("\\u2029", "\u{2029}"), ("\\u0085", "\u{85}")];
            escapes.iter().fold(text, |text, (escape, break_)| text.replace(escape, break_))
        };
        prop_assert_eq!(unescaped(text), unescaped(to_json(&event)));
    }

    #[test]
    fn protobuf_keeps_the_content(event in strategy::event()) {
        let mut message = Vec::new();
        proto::write_event(&mut message, &event, STORED);
        let back = proto::parse_event(&message).expect("a message");
        prop_assert!(back.content_eq(&event) && event.content_eq(&back), "{:?}", back);
        prop_assert_eq!(back.extensions.len(), event.extensions.len());
        let mut again = Vec::new();
        proto::write_event(&mut again, &back, STORED);
        prop_assert_eq!(again, message);
    }

    #[test]
    fn a_protobuf_batch_is_its_items(events in prop::collection::vec(strategy::event(), 0..4)) {
        let mut message = Vec::new();
        for event in &events {
            proto::write_batch_item(&mut message, event, None);
        }
        let back = proto::parse_batch(&message, &Limits::default()).expect("a batch");
        prop_assert_eq!(back.len(), events.len());
        prop_assert!(back.iter().zip(&events).all(|(back, event)| back.content_eq(event)));
    }

    #[test]
    fn binary_mode_keeps_the_content(event in strategy::event()) {
        let mut headers = Vec::new();
        http::write_headers(&event, STORED, |name, value| {
            headers.push((name.to_owned(), value.to_owned()));
        });
        prop_assert!(headers.iter().all(|(_, value)| value.bytes().all(|b| (0x20..0x7F).contains(&b))));
        let body = event.data.bytes().unwrap_or_default();
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let back = http::parse_event(pairs, body, &mut json::Strictness::Strict).expect("an event");
        // An empty body is no data: HTTP cannot tell them apart.
        if !body.is_empty() {
            prop_assert!(back.content_eq(&event) && event.content_eq(&back), "{:?}", headers);
            prop_assert_eq!(back.data.bytes(), Some(body));
        }
        prop_assert_eq!(back.extensions.len(), event.extensions.len());
        prop_assert_eq!(&back.time, &event.time);
    }

    #[test]
    fn a_batch_gives_back_what_was_pushed(events in prop::collection::vec(strategy::event(), 1..6)) {
        let mut encoded = Encoded::default();
        for event in &events {
            encoded.push_valid(event, &Limits::default()).expect("a valid event");
        }
        encoded.push(&events[0]);
        encoded.pop();
        let (payload, count) = (encoded.payload().to_vec(), encoded.len());
        let (batch, _) = encoded.commit(Position(7), Timestamp(1));
        let parsed = Batch::parse(Position(7), Timestamp(1), count, payload.into()).expect("whole");
        prop_assert_eq!(&parsed, &batch);
        let back: Vec<_> = batch.records().map(|r| proto::decode_record(r).expect("a record")).collect();
        prop_assert_eq!(back, events);
    }
}
