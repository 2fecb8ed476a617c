//! The examples that the specifications print.

use annal_event::{Data, Event, Limits, Value, http, json, proto};

use crate::strict;

fn valid(text: &str) -> Event<'_> {
    let event = strict(text).expect(text);
    assert_eq!(event.validate(&Limits::default()), Ok(()), "{text}");
    event
}

/// CloudEvents 1.0.2, "Example", and JSON format §3.2.
#[test]
fn json_with_text_of_another_type() {
    let event = valid(
        r#"{
            "specversion" : "1.0",
            "type" : "com.github.pull_request.opened",
            "source" : "https://github.com/cloudevents/spec/pull",
            "subject" : "123",
            "id" : "A234-1234-1234",
            "time" : "2018-04-05T17:31:00Z",
            "comexampleextension1" : "value",
            "comexampleothervalue" : 5,
            "datacontenttype" : "text/xml",
            "data" : "<much wow=\"xml\"/>"
        }"#,
    );
    assert_eq!(event.data, Data::Text("<much wow=\"xml\"/>".into()));
    assert_eq!(event.extension("comexampleothervalue"), Some(&Value::Integer(5)));
    assert_eq!(event.subject.as_deref(), Some("123"));
}

/// JSON format §3.2: null attributes, binary data, JSON data.
#[test]
fn json_with_binary_and_json_data() {
    let binary = valid(
        r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext",
            "id":"B234-1234-1234","time":"2018-04-05T17:31:00Z","unsetextension":null,
            "datacontenttype":"application/vnd.apache.thrift.binary",
            "data_base64":"aGVsbG8="}"#,
    );
    assert_eq!(binary.data, Data::Bytes(b"hello".to_vec().into()));
    assert!(binary.extensions.is_empty());
    let object = valid(
        r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","subject":null,
            "id":"C234-1234-1234","time":"2018-04-05T17:31:00Z",
            "datacontenttype":"application/json",
            "data":{"appinfoA":"abc","appinfoB":123,"appinfoC":true}}"#,
    );
    assert_eq!(object.data.json(), Some(r#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#));
    assert_eq!(object.subject, None);
    for data in ["1.5", "\"I'm just a string\"", "[1,2]", "null", "false"] {
        let text = format!(
            r#"{{"specversion":"1.0","type":"a","source":"b","id":"c","datacontenttype":"application/json","data":{data}}}"#
        );
        assert_eq!(valid(&text).data.json(), Some(data));
    }
}

/// JSON format §4.2.
#[test]
fn a_json_batch() {
    let text = r#"[
      {"specversion":"1.0","type":"com.example.someevent","source":"/mycontext/4","id":"B234-1234-1234",
       "time":"2018-04-05T17:31:00Z","comexampleextension1":"value","comexampleothervalue":5,
       "datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"YQ=="},
      {"specversion":"1.0","type":"com.example.someotherevent","source":"/mycontext/9",
       "id":"C234-1234-1234","time":"2018-04-05T17:31:05Z","comexampleextension1":"value",
       "comexampleothervalue":5,"datacontenttype":"application/json",
       "data":{"appinfoA":"abc","appinfoB":123,"appinfoC":true}}]"#;
    let limits = Limits::default();
    let events = json::parse_batch(text.as_bytes(), &mut json::Strictness::Strict, &limits);
    let events = events.expect("a batch");
    let ids: Vec<_> = events.iter().map(|event| event.id.as_ref()).collect();
    assert_eq!(ids, ["B234-1234-1234", "C234-1234-1234"]);
}

/// HTTP binding §3.1.3.2: `Euro € 😀` is encoded as `Euro%20%E2%82%AC%20%F0%9F%98%80`.
#[test]
fn a_header_value() {
    let event = Event::new("1", "a", "t").with_extension("unicode", "Euro € 😀");
    let mut found = None;
    http::write_headers(&event, None, |name, value| {
        if name == "ce-unicode" {
            found = Some(value.to_owned());
        }
    });
    assert_eq!(found.as_deref(), Some("Euro%20%E2%82%AC%20%F0%9F%98%80"));
}

/// Protobuf format §3: an event with text data, and one with a message as data, bytes as any
/// protobuf writer puts them.
#[test]
fn protobuf_messages() {
    let text = b"\x0a\x04A234\x12\x07/source\x1a\x031.0\x22\x0bcom.example\
        \x2a\x1e\x0a\x0fdatacontenttype\x12\x0b\x1a\x09text/html\
        \x2a\x12\x0a\x04time\x12\x0a\x3a\x08\x08\xd4\xba\x99\xd6\x05\x10\x00\
        \x3a\x06<html>";
    let event = proto::parse_event(text).expect("an event");
    assert_eq!(event.time.as_deref(), Some("2018-04-05T17:31:00Z"));
    assert_eq!(event.datacontenttype.as_deref(), Some("text/html"));
    assert_eq!(event.data, Data::Text("<html>".into()));
    let any = b"\x0a\x01a\x12\x01b\x1a\x031.0\x22\x01c\x42\x0b\x0a\x05u/a.B\x12\x02\x08\x01";
    let event = proto::parse_event(any).expect("an event");
    assert_eq!(event.data, Data::Proto("u/a.B".into(), vec![8, 1].into()));
}
