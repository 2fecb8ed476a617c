//! Binary mode of the HTTP binding.

use annal_event::{Data, Event, EventError, Position, Timestamp, Value, http, json};

use crate::assert_error;

fn parse<'a>(headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Result<Event<'a>, EventError> {
    let needed = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "a"), ("ce-type", "t")];
    let given = headers.iter().copied();
    let pairs = given.chain(needed).map(|(name, value)| (name, value.as_bytes()));
    http::parse_event(pairs, body, &mut json::Strictness::Strict)
}

#[test]
fn values_are_unquoted_and_percent_decoded() {
    for (value, decoded) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("plain", "plain"),
        ("\"quoted \\\"text\\\" \\\\\"", "quoted \"text\" \\"),
        ("\"%E2%82%AC\"", "€"),
        ("%2525", "%25"),
        ("a\"b", "a\"b"),
        ("%22a%22", "\"a\""),
        (" spaced ", "spaced"),
        ("ünescaped", "ünescaped"),
    ] {
        let headers = [("CE-Ext", value)];
        let event = parse(&headers, b"").expect(value);
        assert_eq!(event.extension("ext"), Some(&Value::from(decoded)), "{value}");
    }
}

#[test]
fn values_that_do_not_decode_are_refused() {
    for value in
        ["%", "%4", "%zz", "%+1", "%FF", "%C0%80", "%ED%A0%80", "\"open", "\"a\"b", "\"a\\"]
    {
        assert_error(parse(&[("ce-subject", value)], b""), "/subject", "does not decode");
    }
    let raw: [(&str, &[u8]); 1] = [("ce-ext", b"\xFF")];
    let result = http::parse_event(raw, b"", &mut json::Strictness::Strict);
    assert_error(result, "/ext", "does not decode");
}

#[test]
fn headers_that_stand_twice_are_refused() {
    assert_error(parse(&[("ce-id", "2")], b""), "/id", "twice");
    assert_error(parse(&[("ce-x", "1"), ("CE-X", "2")], b""), "/x", "twice");
    assert_error(
        parse(&[("Content-Type", "a/b"), ("content-type", "a/b")], b""),
        "/datacontenttype",
        "twice",
    );
}

#[test]
fn the_body_is_data_by_its_media_type() {
    let data = |ty: &str, body: &[u8]| {
        parse(&[("content-type", ty)], body).expect("an event").into_owned().data
    };
    assert_eq!(data("application/json; charset=utf-8", b" {}\n"), Data::Json(" {}\n".into()));
    assert_eq!(data("application/x+json", b"{"), Data::Bytes(b"{".to_vec().into()));
    assert_eq!(data("text/plain", b"{}"), Data::Bytes(b"{}".to_vec().into()));
    assert_eq!(data("text/plain", b""), Data::None);
    assert_eq!(parse(&[], b"{}").expect("an event").data, Data::Bytes(b"{}".into()));
}

#[test]
fn what_is_not_the_events_is_passed_over() {
    let headers =
        [("host", "x"), ("cé", "x"), ("c", "x"), ("ce-position", "%"), ("ce-recordedtime", "x")];
    let event = parse(&headers, b"").expect("an event");
    assert_eq!(event, Event::new("1", "a", "t"));
}

#[test]
fn a_missing_id_may_be_filled_in() {
    let headers: [(&str, &[u8]); 3] =
        [("ce-specversion", b"1.0"), ("ce-source", b"a"), ("ce-type", b"t")];
    assert_error(http::parse_event(headers, b"", &mut json::Strictness::Strict), "/id", "missing");
    let mut id = || "key-1".to_owned();
    let mut fill = json::Strictness::Lenient(json::Fill { id: &mut id, now: Timestamp(0) });
    assert_eq!(http::parse_event(headers, b"", &mut fill).expect("an event").id, "key-1");
}

#[test]
fn values_are_written_percent_encoded() {
    let event = Event::new("a b%\"é~", "a", "t")
        .with_json("{}")
        .with_extension("flag", true)
        .with_extension("n", -1);
    let mut written = Vec::new();
    http::write_headers(&event, Some((Position(3), Timestamp(0))), |name, value| {
        written.push(format!("{name}: {value}"));
    });
    assert_eq!(
        written,
        [
            "ce-specversion: 1.0",
            "ce-id: a%20b%25%22%C3%A9~",
            "ce-source: a",
            "ce-type: t",
            "ce-flag: true",
            "ce-n: -1",
            "content-type: application/json",
            "ce-position: 3",
            "ce-recordedtime: 1970-01-01T00:00:00.000000Z",
        ]
    );
}
