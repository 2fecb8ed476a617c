//! Random events that are valid, in every shape a codec must keep apart.

use annal_event::{Data, Event, Value};
use proptest::prelude::*;

/// Text that attributes may have: no control characters, no noncharacters.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => prop::sample::select(vec!['é', '€', '😀', '\u{2028}', '\u{200d}', '\u{e000}', '%', '"']),
    ];
    prop::collection::vec(character, 1..24).prop_map(|c| c.into_iter().collect())
}

fn uri_reference() -> impl Strategy<Value = String> {
    "(https://example\\.com/|urn:|/|[a-z]{1,8}/)[a-zA-Z0-9._~%]{0}[a-zA-Z0-9._~/-]{0,20}"
        .prop_filter("not empty", |text| !text.is_empty())
}

pub(crate) fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        "20[0-9]{2}-0[1-9]-[12][0-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z",
        "20[0-9]{2}-0[1-9]-[12][0-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,12})?[+-]0[0-9]:30",
    ]
}

/// A time that protobuf says exactly.
fn exact_time() -> impl Strategy<Value = String> {
    "20[0-9]{2}-0[1-9]-[12][0-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{2}[1-9])?Z"
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        text().prop_map(|text| Value::String(text.into())),
        Just(Value::String("".into())),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
        Just(Value::Uri("https://example.com/a".into())),
        uri_reference().prop_map(|text| Value::UriRef(text.into())),
        exact_time().prop_map(|text| Value::Timestamp(text.into())),
    ]
}

fn json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        text().prop_map(|text| {
            let literal = serde_json::to_string(&text).expect("a string");
            format!("{{ \"a\":[1.0,  {literal},\"\\ud800\"],\"a\":{{}} }}")
        }),
        Just("{\r\n  \"a b\" : [ 1,\n\t2 ]\n}".to_owned()),
    ]
}

/// Data with the media type under which a codec must recognise it.
fn data() -> impl Strategy<Value = (Option<String>, Data<'static>)> {
    let json_type = prop::sample::select(vec![
        None,
        Some("application/json"),
        Some("application/vnd.a+json; charset=utf-8"),
    ])
    .prop_map(|ty| ty.map(str::to_owned));
    let text_type = prop::sample::select(vec!["text/plain", "application/xml"]);
    prop_oneof![
        Just((None, Data::None)),
        (json_type, json_text()).prop_map(|(ty, text)| (ty, Data::Json(text.into()))),
        (text_type.clone(), any::<String>())
            .prop_map(|(ty, text)| (Some(ty.to_owned()), Data::Text(text.into()))),
        (text_type, Just("{\"not\": \"a string\"}"))
            .prop_map(|(ty, text)| (Some(ty.to_owned()), Data::Json(text.into()))),
        Just((Some("application/json".to_owned()), Data::Text("{ no JSON".into()))),
        any::<String>().prop_map(|text| (None, Data::Text(text.into()))),
        any::<Vec<u8>>().prop_map(|bytes| (None, Data::Bytes(bytes.into()))),
        any::<Vec<u8>>().prop_map(|bytes| (
            Some("application/octet-stream".to_owned()),
            Data::Bytes(bytes.into())
        )),
        any::<Vec<u8>>().prop_map(|bytes| {
            let bytes = [b"\xFF".as_slice(), &bytes].concat();
            (Some("application/json".to_owned()), Data::Bytes(bytes.into()))
        }),
        any::<Vec<u8>>().prop_map(|bytes| {
            let url = "type.googleapis.com/a.B".into();
            (Some("application/protobuf".to_owned()), Data::Proto(url, bytes.into()))
        }),
    ]
}

/// Any valid event.
pub(crate) fn event() -> impl Strategy<Value = Event<'static>> {
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,6}|topic|tags", value(), 0..5);
    let schema = prop::option::of(Just("https://example.com/schema#a"));
    (
        (text(), uri_reference(), text(), prop::option::of(text())),
        prop::option::of(time()),
        schema,
        extensions,
        data(),
    )
        .prop_map(
            |((id, source, ty, subject), time, schema, extensions, (media_type, data))| {
                let mut event = Event::new(id, source, ty).with_data(data);
                event.subject = subject.map(Into::into);
                event.time = time.map(Into::into);
                event.dataschema = schema.map(Into::into);
                event.datacontenttype = media_type.map(Into::into);
                for (name, value) in extensions {
                    event.set_extension(name.into(), value);
                }
                event
            },
        )
}
