//! When two events are the same.

use annal_event::{Data, Event, Value};

fn event() -> Event<'static> {
    Event::new("1", "a", "t")
        .with_subject("s")
        .with_content_type("application/json")
        .with_json("{}")
}

#[test]
fn time_and_trace_context_do_not_count() {
    let other = event()
        .with_time("2026-01-01T00:00:00Z")
        .with_extension("traceparent", "00-1-2-01")
        .with_extension("tracestate", "a=b");
    assert!(event().content_eq(&other) && other.content_eq(&event()));
    let both = other.clone().with_extension("traceparent", "00-3-4-01");
    assert!(both.content_eq(&other));
}

#[test]
fn everything_else_counts() {
    let others = [
        Event { id: "2".into(), ..event() },
        Event { source: "b".into(), ..event() },
        Event { ty: "u".into(), ..event() },
        Event { subject: None, ..event() },
        Event { datacontenttype: Some("text/json".into()), ..event() },
        event().with_schema("urn:x"),
        event().with_extension("x", "1"),
        event().with_json("{\"a\":1}"),
        event().with_data(Data::None),
    ];
    for other in others {
        assert!(!event().content_eq(&other) && !other.content_eq(&event()), "{other:?}");
    }
    let (one, two) = (event().with_extension("x", "1"), event().with_extension("y", "1"));
    assert!(!one.content_eq(&two));
}

#[test]
fn values_count_by_their_canonical_text() {
    let with = |value: Value<'static>| event().with_extension("x", value);
    assert!(with(1.into()).content_eq(&with("1".into())));
    assert!(with(true.into()).content_eq(&with("true".into())));
    assert!(with(Value::Bytes(vec![0xFF].into())).content_eq(&with("/w==".into())));
    assert!(!with(1.into()).content_eq(&with("01".into())));
}

#[test]
fn white_space_counts_only_in_strings() {
    let with = |json: &'static str| event().with_json(json);
    assert!(with("{\"a\" : [1, 2]}").content_eq(&with("{\"a\":[1,\n2]}\n")));
    assert!(!with("{\"a b\":1}").content_eq(&with("{\"ab\":1}")));
    assert!(!with("{\"a\\\" b\":1}").content_eq(&with("{\"a\\\"b\":1}")));
    assert!(!with("1.0").content_eq(&with("1")));
    assert!(!with("{\"a\":1,\"b\":2}").content_eq(&with("{\"b\":2,\"a\":1}")));
}

#[test]
fn data_counts_by_the_bytes_it_means() {
    let with = |ty: Option<&'static str>, data: Data<'static>| Event {
        datacontenttype: ty.map(Into::into),
        data,
        ..event()
    };
    let text = || Data::Text("hi".into());
    let plain = Some("text/plain");
    assert!(with(plain, text()).content_eq(&with(plain, Data::Bytes(b"hi".to_vec().into()))));
    let proto = Data::Proto("u".into(), b"hi".to_vec().into());
    assert!(with(plain, proto).content_eq(&with(plain, text())));
    assert!(with(plain, text()).content_eq(&with(plain, Data::Json("\"hi\"".into()))));
    let json = Some("application/json");
    assert!(!with(json, text()).content_eq(&with(json, Data::Json("\"hi\"".into()))));
    assert!(with(json, Data::Json("1".into())).content_eq(&with(None, Data::Json("1".into()))));
    assert!(!with(plain, Data::None).content_eq(&with(plain, Data::Text("".into()))));
}
