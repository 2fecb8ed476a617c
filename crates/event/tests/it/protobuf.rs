//! The protobuf format, against messages written out by hand.

use annal_event::{Data, Event, EventErrorKind, Limits, Position, Timestamp, Value, proto};

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128);
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    field(5, &[field(1, name.as_bytes()), field(2, value)].concat())
}

fn message(more: &[Vec<u8>]) -> Vec<u8> {
    let required = [field(1, b"1"), field(2, b"a"), field(3, b"1.0"), field(4, b"t")];
    [required.concat(), more.concat()].concat()
}

fn record(event: &Event<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    proto::encode_record(event, &mut record);
    record
}

#[test]
fn a_record_byte_by_byte() {
    let event = Event::new("1", "a", "t")
        .with_subject("s")
        .with_time("1970-01-01T00:00:01.5Z")
        .with_schema("urn:x")
        .with_extension("b", true)
        .with_extension("n", -1)
        .with_json("{ }");
    let expected = message(&[
        attribute("subject", &field(3, b"s")),
        attribute("time", &field(3, b"1970-01-01T00:00:01.5Z")),
        attribute("dataschema", &field(5, b"urn:x")),
        attribute("b", &[1 << 3, 1]),
        attribute("n", &[2 << 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        field(7, b"{ }"),
    ]);
    assert_eq!(record(&event), expected);
}

#[test]
fn a_time_is_stored_as_an_instant_only_if_its_text_follows() {
    let stored = |time: &'static str| record(&Event::new("1", "a", "t").with_time(time));
    let instant = field(7, &[1 << 3, 1]);
    assert_eq!(stored("1970-01-01T00:00:01Z"), message(&[attribute("time", &instant)]));
    let instant = field(7, &[1 << 3, 1, 2 << 3, 0xC0, 0x84, 0x3D]);
    assert_eq!(stored("1970-01-01T00:00:01.001Z"), message(&[attribute("time", &instant)]));
    for text in ["1970-01-01T00:00:01.000Z", "1970-01-01T01:00:01+01:00", "1970-01-01t00:00:01z"] {
        assert_eq!(stored(text), message(&[attribute("time", &field(3, text.as_bytes()))]));
    }
}

#[test]
fn a_sent_time_is_always_an_instant_that_can_be_one() {
    let sent = |time: &'static str| {
        let mut out = Vec::new();
        proto::write_event(&mut out, &Event::new("1", "a", "t").with_time(time), None);
        out
    };
    let instant = attribute("time", &field(7, &[1 << 3, 1]));
    assert_eq!(sent("1970-01-01T01:00:01.0+01:00"), message(&[instant]));
    let beyond = attribute("time", &field(3, b"9999-12-31T23:59:59-01:00"));
    assert_eq!(sent("9999-12-31T23:59:59-01:00"), message(&[beyond]));
}

#[test]
fn position_and_recorded_time_are_added_and_ignored() {
    let mut out = Vec::new();
    let event = Event::new("1", "a", "t");
    proto::write_event(&mut out, &event, Some((Position(42), Timestamp(1_000_000))));
    let expected = message(&[
        attribute("position", &field(3, b"42")),
        attribute("recordedtime", &field(7, &[1 << 3, 1])),
    ]);
    assert_eq!(out, expected);
    assert_eq!(proto::parse_event(&out), Ok(event));
}

#[test]
fn an_attribute_without_a_value_is_refused() {
    // Set to nothing, and to something of a member that this version does not know.
    for value in [&b""[..], &[15 << 3, 1]] {
        for name in ["subject", "x"] {
            let message = message(&[attribute(name, value)]);
            let error = proto::parse_event(&message).expect_err("refused");
            let pointer = format!("/{name}");
            assert_eq!((error.kind(), error.pointer()), (EventErrorKind::Invalid, &*pointer));
            assert!(error.detail().contains(name), "{}", error.detail());
            assert!(proto::decode_record(&message).is_ok(), "what is stored stays readable");
        }
    }
}

#[test]
fn text_is_json_or_text_by_type_and_content() {
    let read = |ty: Option<&str>, text: &str| {
        let ty = ty.map(|ty| attribute("datacontenttype", &field(3, ty.as_bytes())));
        let message = message(&[ty.unwrap_or_default(), field(7, text.as_bytes())]);
        let event = proto::parse_event(&message).expect("an event").into_owned();
        assert_eq!(proto::decode_record(&record(&event)), Ok(event.clone()));
        event.data
    };
    assert_eq!(read(None, "{}"), Data::Json("{}".into()));
    assert_eq!(read(None, "hello"), Data::Text("hello".into()));
    assert_eq!(read(Some("application/json"), "[1 ]"), Data::Json("[1 ]".into()));
    assert_eq!(read(Some("application/json"), "[1"), Data::Text("[1".into()));
    assert_eq!(read(Some("text/plain"), "{}"), Data::Text("{}".into()));
}

#[test]
fn binary_data_is_json_by_type_and_content() {
    let json = attribute("datacontenttype", &field(3, b"application/json"));
    let read = |ty: &[u8], bytes: &[u8]| {
        let message = message(&[ty.to_vec(), field(6, bytes)]);
        proto::parse_event(&message).expect("an event").into_owned().data
    };
    assert_eq!(read(&json, b"{ }"), Data::Json("{ }".into()));
    assert_eq!(read(&json, b"\xFF"), Data::Bytes(vec![0xFF].into()));
    assert_eq!(read(b"", b"{}"), Data::Bytes(b"{}".to_vec().into()));
    assert_eq!(read(b"", b""), Data::Bytes(Vec::new().into()));
}

#[test]
fn the_last_one_wins_and_the_unknown_is_passed_over() {
    let any = field(8, &[field(1, b"type/a.B"), field(2, b"\x01")].concat());
    let message = message(&[
        field(1, b"2"),
        attribute("x", &field(3, b"first")),
        attribute("a", &[1 << 3, 0]),
        attribute("x", &field(3, b"last")),
        vec![15 << 3, 1],
        vec![14 << 3 | 5, 1, 2, 3, 4],
        vec![14 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8],
        field(13, b"unknown"),
        field(6, b"bytes"),
        any,
    ]);
    let event = proto::parse_event(&message).expect("an event");
    let expected = Event::new("2", "a", "t")
        .with_extension("x", "last")
        .with_extension("a", false)
        .with_data(Data::Proto("type/a.B".into(), vec![1].into()));
    assert_eq!(event, expected);
}

#[test]
fn every_type_of_attribute_is_read() {
    let message = message(&[
        attribute("a", &field(4, b"\xFF")),
        attribute("b", &field(5, b"urn:x")),
        attribute("c", &field(6, b"/x")),
        attribute("d", &field(7, b"")),
    ]);
    let event = proto::parse_event(&message).expect("an event");
    let values: Vec<_> = event.extensions.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(
        values,
        [
            Value::Bytes(vec![0xFF].into()),
            Value::Uri("urn:x".into()),
            Value::UriRef("/x".into()),
            Value::Timestamp("1970-01-01T00:00:00Z".into()),
        ]
    );
    let canonical: Vec<_> = values.iter().map(Value::canonical).collect();
    assert_eq!(canonical, ["/w==", "urn:x", "/x", "1970-01-01T00:00:00Z"]);
}

#[test]
fn what_is_malformed_is_refused() {
    let long = vec![1 << 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
    for more in [
        field(1, b"\xFF"),
        field(7, b"\xFF"),
        vec![1 << 3, 1],
        vec![6 << 3 | 2, 200, 1],
        vec![0x80],
        vec![6 << 3 | 3],
        vec![2, 0],
        long,
        attribute("x", &field(3, b"\xFF")),
        attribute("time", &[2 << 3, 1]),
        attribute("d", &field(7, &[2 << 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
    ] {
        let message = message(std::slice::from_ref(&more));
        let error = proto::parse_event(&message).expect_err("malformed");
        assert_eq!(error.kind(), EventErrorKind::Syntax, "{more:?}");
        let error = proto::decode_record(&message).expect_err("malformed");
        assert_eq!(error.kind(), EventErrorKind::Damaged, "{more:?}");
    }
}

#[test]
fn required_attributes_and_the_version_are_checked() {
    let no_source = [field(1, b"1"), field(3, b"1.0")].concat();
    let error = proto::parse_event(&no_source);
    assert_eq!(error.expect_err("no source").pointer(), "/source");
    let old = message(&[field(3, b"0.3")]);
    let error = proto::parse_event(&old);
    assert_eq!(error.expect_err("another version").pointer(), "/specversion");
    assert!(proto::keys(&field(1, b"1")).is_err());
}

#[test]
fn a_batch_names_the_item_that_is_wrong() {
    let limits = Limits { batch_events_max: 2, ..Limits::default() };
    let good = field(1, &message(&[]));
    let second_is_empty = [good.clone(), field(1, b"")].concat();
    let error = proto::parse_batch(&second_is_empty, &limits).expect_err("an empty event");
    assert_eq!((error.index(), error.pointer()), (Some(1), "/specversion"));
    let three = [good.clone(), good.clone(), good].concat();
    let error = proto::parse_batch(&three, &limits).expect_err("three");
    assert_eq!(error.kind(), EventErrorKind::TooMany);
}
