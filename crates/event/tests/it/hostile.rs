//! Any bytes at all: an error or an event, never a panic, never unbounded time or depth.

use std::time::{Duration, Instant};

use annal_event::{EventError, EventErrorKind, Limits, Position, Timestamp, http, json, proto};
use proptest::prelude::*;

use crate::{assert_error, lenient, strategy, strict};

/// Valid bytes with a few of them changed, cut out or repeated.
fn mangled(bytes: Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    edits.iter().fold(bytes, |mut bytes, (index, byte, how)| {
        if bytes.is_empty() {
            return vec![*byte];
        }
        let at = index.index(bytes.len());
        match how % 3 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *byte),
        }
        bytes
    })
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 1..4)
}

fn read_as_everything(bytes: &[u8]) {
    let limits = Limits::default();
    let mut id = || "id".to_owned();
    let mut filling = json::Strictness::Lenient(json::Fill { id: &mut id, now: Timestamp(0) });
    for event in [
        json::parse_event(bytes, &mut json::Strictness::Strict),
        json::parse_event(bytes, &mut filling),
        proto::parse_event(bytes),
    ]
    .into_iter()
    .flatten()
    {
        let valid = event.validate(&limits).is_ok();
        let (mut text, mut message) = (Vec::new(), Vec::new());
        json::write_event_sse(&mut text, &event, Some((Position::MAX, Timestamp(i64::MAX))));
        text.clear();
        json::write_event(&mut text, &event, Some((Position::MAX, Timestamp(i64::MAX))));
        proto::write_event(&mut message, &event, None);
        if valid {
            let back =
                json::parse_event(&text, &mut json::Strictness::Strict).expect("our own JSON");
            assert!(back.content_eq(&event), "{event:?} came back as {back:?}");
            let back = proto::parse_event(&message).expect("our own protobuf");
            assert!(back.content_eq(&event), "{event:?} came back as {back:?}");
        }
    }
    let _ = json::parse_batch(bytes, &mut json::Strictness::Strict, &limits);
    let _ = json::parse_append(bytes, &mut json::Strictness::Strict, &limits);
    let _ = (json::parse_query(bytes), json::parse_precondition(bytes));
    // A record is our own: damage is found by checksums, and here only must not panic.
    let _ = (proto::decode_record(bytes), proto::keys(bytes), proto::parse_batch(bytes, &limits));
    let mut splitter = json::ArraySplitter::new(1_000);
    let _ = splitter.feed(bytes, |_| Ok::<(), EventError>(()));
    let _ = splitter.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_bytes(bytes: Vec<u8>) {
        read_as_everything(&bytes);
    }

    #[test]
    fn nearly_json(event in strategy::event(), edits in edits()) {
        let mut text = Vec::new();
        json::write_event(&mut text, &event, None);
        read_as_everything(&mangled(text, &edits));
    }

    #[test]
    fn nearly_protobuf(event in strategy::event(), edits in edits()) {
        let mut record = Vec::new();
        proto::encode_record(&event, &mut record);
        read_as_everything(&mangled(record, &edits));
    }

    #[test]
    fn any_headers(
        headers in prop::collection::vec(("(ce-)?[a-zA-Z0-9é-]{0,8}|content-type", any::<Vec<u8>>()), 0..6),
        body: Vec<u8>,
    ) {
        let needed: [(&str, &[u8]); 4] =
            [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"a"), ("CE-Type", b"t")];
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let _ = http::parse_event(pairs.chain(needed), &body, &mut json::Strictness::Strict)
            .map(|event| event.validate(&Limits::default()));
    }
}

fn with_data(data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"a","type":"t","data":{data}}}"#)
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        assert_error(strict(&with_data(&open.repeat(100_000))), "", "deeper than 100 levels");
        assert!(json::parse_query(open.repeat(100_000).as_bytes()).is_err());
    }
    let whole = with_data(&format!("{}{}", "[".repeat(100), "]".repeat(100)));
    assert!(strict(&whole).is_ok());
}

#[test]
fn numbers_of_any_size_are_kept() {
    let digits = "9".repeat(100_000);
    for number in [digits.clone(), format!("-{digits}.{digits}e+{digits}"), "0.10".to_owned()] {
        let text = with_data(&number);
        assert_eq!(strict(&text).expect("JSON").data.json(), Some(number.as_str()));
    }
}

#[test]
fn lone_surrogates_stay_in_data_and_are_refused_elsewhere() {
    let text = with_data(r#""\ud800""#);
    assert_eq!(strict(&text).expect("JSON").data.json(), Some(r#""\ud800""#));
    assert_error(lenient(r#"{"source":"a","type":"\udfff"}"#), "", "a surrogate stands alone");
    let plain = r#"{"source":"a","type":"t","datacontenttype":"text/plain","data":"\ud800"}"#;
    assert_error(lenient(plain), "/data", "a surrogate stands alone");
}

#[test]
fn nul_and_other_control_characters_are_refused_in_attributes() {
    for character in
        ["\\u0000", "\\n", "\\u007f", "\\u0085", "\\ufffe", "\\ufdd0", "\\ud83f\\udfff"]
    {
        let text = format!(r#"{{"source":"a","type":"t{character}"}}"#);
        let event = lenient(&text).expect("JSON");
        assert_error(event.validate(&Limits::default()), "/type", "may not have");
    }
    assert_error(lenient("{\"source\":\"a\0\"}"), "", "control character");
}

#[test]
fn many_extensions_take_no_quadratic_time() {
    let mut names: Vec<String> = (0..60_000).map(|n| format!("\"x{n}\":1")).collect();
    names.reverse();
    let text = format!(r#"{{"source":"a","type":"t",{}}}"#, names.join(","));
    let begun = Instant::now();
    let event = lenient(&text).expect("JSON");
    assert_eq!(event.extensions.len(), 60_000);
    let mut record = Vec::new();
    proto::encode_record(&event, &mut record);
    assert_eq!(proto::decode_record(&record).expect("a record").extensions.len(), 60_000);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let error = json::parse_event(b"{\"id\":\"\xFF\"}", &mut json::Strictness::Strict);
    assert_eq!(error.expect_err("not UTF-8").kind(), EventErrorKind::Syntax);
    let error = proto::parse_event(b"\x0A\x01\xFF").expect_err("not UTF-8");
    assert!(error.detail().contains("not UTF-8"), "{error}");
}
