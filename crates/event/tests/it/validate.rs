//! The attribute rules.

use annal_event::{Data, Encoded, Event, EventErrorKind, Limits, Value, proto};

use crate::assert_error;

fn event() -> Event<'static> {
    Event::new("1", "a", "t")
}

#[track_caller]
fn refused(event: Event<'_>, pointer: &str, mentions: &str) {
    assert_error(event.validate(&Limits::default()), pointer, mentions);
}

#[test]
fn attributes_that_break_a_rule() {
    refused(Event { id: "".into(), ..event() }, "/id", "empty");
    refused(Event { source: "".into(), ..event() }, "/source", "empty");
    refused(Event { source: "a b".into(), ..event() }, "/source", "percent-encode");
    refused(Event { ty: "".into(), ..event() }, "/type", "empty");
    refused(Event { id: "a\0".into(), ..event() }, "/id", "U+0000");
    refused(event().with_subject(""), "/subject", "empty");
    refused(event().with_subject("a\u{9f}"), "/subject", "U+009F");
    refused(event().with_time("yesterday"), "/time", "RFC 3339");
    refused(event().with_schema(""), "/dataschema", "URI");
    refused(event().with_schema("/relative"), "/dataschema", "scheme");
    for media_type in ["", "json", "a/", "/b", "a b/c", "a/b; c=\n"] {
        refused(event().with_content_type(media_type), "/datacontenttype", "media type");
    }
}

#[test]
fn extensions_that_break_a_rule() {
    refused(event().with_extension("Upper", true), "/Upper", "lower-case");
    refused(event().with_extension("", true), "/", "lower-case");
    refused(event().with_extension("a_b", true), "/a_b", "lower-case");
    for name in ["data", "position", "recordedtime", "specversion", "id", "time"] {
        refused(event().with_extension(name, true), &format!("/{name}"), "cannot be");
    }
    refused(event().with_extension("x", "\u{7f}"), "/x", "U+007F");
    refused(event().with_extension("x", Value::Uri("a".into())), "/x", "URI");
    refused(event().with_extension("x", Value::UriRef(" ".into())), "/x", "URI-reference");
    refused(event().with_extension("x", Value::Timestamp("now".into())), "/x", "RFC 3339");
    let mut unsorted = event();
    unsorted.extensions = vec![("b".into(), true.into()), ("a".into(), true.into())];
    refused(unsorted, "/a", "not sorted");
}

#[test]
fn what_keeps_the_rules() {
    let event = Event::new("é \u{2028}", "//h/a?b#c", "t")
        .with_subject("a/b c")
        .with_time("2016-12-31T23:59:60.123456789012+14:00")
        .with_content_type("text/plain; charset=\"utf-8\"")
        .with_schema("urn:x#y")
        .with_extension("0", "")
        .with_extension("averyverylongextensionname", 1)
        .with_data(Data::Text("\0\u{ffff}".into()));
    assert_eq!(event.validate(&Limits::default()), Ok(()));
}

#[test]
fn the_size_is_that_of_the_record() {
    let event = event().with_json("x".repeat(1_000));
    let bytes = proto::record_bytes(&event);
    let limits = |event_bytes_max| Limits { event_bytes_max, ..Limits::default() };
    assert_eq!(event.validate(&limits(bytes)), Ok(()));
    let mut encoded = Encoded::default();
    let error = encoded.push_valid(&event, &limits(bytes - 1)).expect_err("one byte too many");
    assert_eq!((error.kind(), error.code()), (EventErrorKind::TooLarge, "event-too-large"));
    assert!(encoded.is_empty());
}

#[test]
fn sources_of_the_store_are_reserved() {
    for source in ["/annal", "/annal/x", "/topics/", "/topics/a"] {
        let event = Event::new("1", source, "t");
        assert_error(event.validate_producer(), "/source", "store's own");
        assert_eq!(event.validate(&Limits::default()), Ok(()));
    }
    for source in ["/annals", "annal", "/topics", "/topicsx", "a"] {
        assert_eq!(Event::new("1", source, "t").validate_producer(), Ok(()));
    }
}

#[test]
fn setting_an_extension_replaces_it() {
    let event = event().with_extension("b", 1).with_extension("a", 2).with_extension("b", "3");
    assert_eq!(event.extensions, [("a".into(), 2.into()), ("b".into(), "3".into())]);
}
