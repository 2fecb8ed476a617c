//! The JSON format: what is read, what is refused, what is written.

use annal_event::{Data, Event, EventErrorKind, Limits, Position, Timestamp, Value, json};

use crate::{assert_error, lenient, strict, to_json};

#[test]
fn an_event_as_served() {
    let text = r#"{"specversion":"1.0","id":"event-001","source":"my-app","type":"nl.vng.zaken.json-commit.v1","subject":"issue/123","time":"2026-01-15T10:30:00Z","datacontenttype":"application/json","dataschema":"https://example.com/Issue","flag":true,"level":-7,"topic":"a","data":{"n": 12345678901234567890, "x":0.10},"position":"42","recordedtime":"2026-01-15T10:30:00.123456Z"}"#;
    let event = strict(text).expect("an event");
    assert_eq!(event.validate(&Limits::default()), Ok(()));
    assert_eq!(event.topic(), Some("a"));
    assert_eq!(event.extension("level"), Some(&Value::Integer(-7)));
    let mut out = Vec::new();
    let recorded: Timestamp = "2026-01-15T10:30:00.123456Z".parse().expect("a time");
    json::write_event(&mut out, &event, Some((Position(42), recorded)));
    assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
}

#[test]
fn strict_reading_wants_everything() {
    for name in ["specversion", "id", "source", "type"] {
        let all = [("specversion", "1.0"), ("id", "1"), ("source", "a"), ("type", "t")];
        let members: Vec<String> = all
            .iter()
            .filter(|(have, _)| *have != name)
            .map(|(name, value)| format!("{name:?}:{value:?}"))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        assert_error(strict(&text), &format!("/{name}"), "missing");
    }
    assert_error(strict(r#"{"specversion":"0.3"}"#), "/specversion", "send 1.0");
}

#[test]
fn lenient_reading_fills_in() {
    let event = lenient(r#"{"source":"a","type":"t","id":null}"#).expect("an event");
    assert_eq!(
        (event.id.as_ref(), event.time.as_deref()),
        ("filled", Some("1970-01-01T00:00:01.500Z"))
    );
    let event = lenient(r#"{"source":"a","type":"t","id":"own","time":"2026-01-01T00:00:00Z"}"#);
    let event = event.expect("an event");
    assert_eq!((event.id.as_ref(), event.time.as_deref()), ("own", Some("2026-01-01T00:00:00Z")));
    assert_error(lenient(r#"{"type":"t"}"#), "/source", "missing");
    assert_error(lenient(r#"{"source":"a","type":"t","specversion":"2"}"#), "/specversion", "1.0");
}

#[test]
fn null_attributes_are_absent_and_null_data_is_data() {
    let event = lenient(r#"{"source":"a","type":"t","subject":null,"ext":null,"data":null}"#);
    let event = event.expect("an event");
    assert_eq!((event.subject.as_deref(), event.extensions.len()), (None, 0));
    assert_eq!(event.data, Data::Json("null".into()));
    assert_eq!(lenient(r#"{"source":"a","type":"t"}"#).expect("an event").data, Data::None);
}

#[test]
fn names_that_stand_twice_are_refused() {
    for (name, values) in [
        ("id", r#""id":"1","id":"1""#),
        ("id", r#""id":null,"id":"1""#),
        ("data", r#""data":1,"data":1"#),
        ("position", r#""position":"1","position":"2""#),
        ("ext", r#""ext":1,"ext":1"#),
        ("ext", r#""ext":null,"a":1,"ext":1"#),
        ("ext", r#""ext":1,"ext":null"#),
        ("ext", r#""ext":null,"ext":null"#),
        ("ext", r#""e\u0078t":1,"ext":2"#),
    ] {
        let text = format!(r#"{{"source":"a","type":"t",{values}}}"#);
        assert_error(lenient(&text), &format!("/{name}"), "twice");
    }
}

#[test]
fn extensions_have_json_types() {
    for (value, pointer) in [
        ("1.0", "/x"),
        ("1e2", "/x"),
        ("2147483648", "/x"),
        ("{}", "/x"),
        ("[]", "/x"),
        ("-2147483649", "/x"),
    ] {
        assert_error(
            lenient(&format!(r#"{{"source":"a","type":"t","x":{value}}}"#)),
            pointer,
            "text",
        );
    }
    let event = lenient(r#"{"source":"a","type":"t","x":-2147483648,"b":false,"s":"1"}"#);
    let names: Vec<_> = event.expect("an event").extensions.into_iter().map(|(_, v)| v).collect();
    assert_eq!(names, [Value::Boolean(false), "1".into(), Value::Integer(i32::MIN)]);
    assert_error(lenient(r#"{"source":1,"type":"t"}"#), "/source", "not text");
    assert_error(lenient(r#"{"source":"a","type":"t","a/b":{}}"#), "/a~1b", "text");
}

#[test]
fn data_and_its_media_type() {
    let data = |members: &str| {
        let text = format!(r#"{{"source":"a","type":"t",{members}}}"#);
        lenient(&text).expect("an event").into_owned().data
    };
    assert_eq!(data(r#""data":"x""#), Data::Json("\"x\"".into()));
    assert_eq!(data(r#""data":"a\nb","datacontenttype":"text/plain""#), Data::Text("a\nb".into()));
    assert_eq!(
        data(r#""data":{"a":1},"datacontenttype":"text/xml""#),
        Data::Json("{\"a\":1}".into())
    );
    assert_eq!(data(r#""data_base64":"/w==""#), Data::Bytes(vec![0xFF].into()));
    let json = data(r#""data_base64":"eyAiYSI6MSB9","datacontenttype":"application/json""#);
    assert_eq!(json, Data::Json("{ \"a\":1 }".into()));
    assert_eq!(data(r#""data_base64":null,"data":1"#), Data::Json("1".into()));
}

#[test]
fn data_that_contradicts_itself_is_refused() {
    let both = r#"{"source":"a","type":"t","data":null,"data_base64":""}"#;
    assert_error(lenient(both), "/data_base64", "one of them");
    let no_base64 = r#"{"source":"a","type":"t","data_base64":"a"}"#;
    assert_error(lenient(no_base64), "/data_base64", "not base64");
}

#[test]
fn only_line_breaks_make_data_compact() {
    let written = |data: &'static str| to_json(&Event::new("1", "a", "t").with_json(data));
    assert!(written("{ \"a\": 1 }").ends_with(r#","data":{ "a": 1 }}"#));
    let text = "{\r\n \"a b\" : \" \\\" \\\\\" ,\n\t\"c\":[ 1, 2 ] }";
    assert!(written(text).ends_with(r#","data":{"a b":" \" \\","c":[1,2]}}"#), "{}", written(text));
}

#[test]
fn strings_are_escaped() {
    let mut out = Vec::new();
    json::write_string(&mut out, "a\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}é\u{2028}");
    assert_eq!(out, "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\u{7f}é\u{2028}\"".as_bytes());
}

#[test]
fn line_separators_are_escaped_for_sse() {
    let data = "\"\u{85}\u{e9}\u{2028}\u{2029}\u{20ac}\u{202a}\"";
    let event = Event::new("1", "a", "t").with_json(data);
    let mut out = b"\xE2\x80\xA8".to_vec();
    json::write_event_sse(&mut out, &event, None);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.ends_with(",\"data\":\"\\u0085\u{e9}\\u2028\\u2029\u{20ac}\u{202a}\"}"), "{text}");
    assert!(text.starts_with('\u{2028}'), "what stood before is left alone");
}

#[test]
fn text_that_is_no_json_goes_as_base64_under_a_json_type() {
    let event = Event::new("1", "a", "t")
        .with_content_type("application/json")
        .with_data(Data::Text("{no".into()));
    assert!(to_json(&event).ends_with(r#","data_base64":"e25v"}"#));
}

#[test]
fn a_batch_names_the_item_that_is_wrong() {
    let batch = |text: &str, max| {
        let limits = Limits { batch_events_max: max, ..Limits::default() };
        json::parse_batch(text.as_bytes(), &mut json::Strictness::Strict, &limits)
            .map(|events| events.len())
    };
    let good = r#"{"specversion":"1.0","id":"1","source":"a","type":"t"}"#;
    assert_eq!(batch("[]", 10), Ok(0));
    assert_eq!(batch(&format!(" [ {good} , {good} ] "), 2), Ok(2));
    let error = batch(&format!("[{good},{{}}]"), 10).expect_err("no id");
    assert_eq!((error.index(), error.pointer()), (Some(1), "/specversion"));
    let error = batch(&format!("[{good},{good},{good}]"), 2).expect_err("three");
    assert_eq!(error.kind(), EventErrorKind::TooMany);
    assert_error(batch("{}", 10), "", "array");
    for text in ["[", "[,]", "[{}", "[1]", "[]]", "", "[{} {}]"] {
        assert!(batch(text, 10).is_err(), "{text}");
    }
}
