//! The JSON forms of API.md §2.

use annal_event::{
    Comparison, Event, EventErrorKind, Limits, Pattern, Position, Precondition, Query, Selector,
    SubjectCheck, json,
};

use crate::assert_error;

fn read(text: &str) -> Precondition {
    json::parse_precondition(text.as_bytes()).expect(text)
}

/// Every form, in the order and spelling in which it is written back.
fn forms() -> Vec<(&'static str, Precondition)> {
    let subject = |is| Precondition::Subject { subject: "orders/42".into(), recursive: false, is };
    let last = |source: Option<&str>| SubjectCheck::LastEvent {
        id: "e".into(),
        source: source.map(Into::into),
    };
    let customer = Selector {
        types: vec![Pattern::Exact("OrderPlaced".into())],
        tags: vec!["customer:7".into()],
        ..Selector::default()
    };
    let tree = Query::one(Selector {
        subjects: vec![Pattern::Tree("orders/42".into()), Pattern::Exact("b".into())],
        ..Selector::default()
    });
    let either = Query { any: vec![customer.clone(), tree.any[0].clone()] };
    let count = |op| Precondition::Count { query: tree.clone(), op, n: 100 };
    vec![
        (r#"{"subject":"orders/42","is":"none"}"#, subject(SubjectCheck::None)),
        (r#"{"subject":"orders/42","is":"exists"}"#, subject(SubjectCheck::Exists)),
        (
            r#"{"subject":"a","recursive":true,"is":"none"}"#,
            Precondition::Subject { subject: "a".into(), recursive: true, is: SubjectCheck::None },
        ),
        (
            r#"{"subject":"orders/42","is":"version","version":3}"#,
            subject(SubjectCheck::Version(3)),
        ),
        (
            r#"{"subject":"orders/42","is":"last_position","position":"41"}"#,
            subject(SubjectCheck::LastPosition(Position(41))),
        ),
        (r#"{"subject":"orders/42","is":"last_event","id":"e"}"#, subject(last(None))),
        (
            r#"{"subject":"orders/42","is":"last_event","id":"e","source":"s"}"#,
            subject(last(Some("s"))),
        ),
        (
            r#"{"absent":{"types":["OrderPlaced"],"tags":["customer:7"]},"after":"41"}"#,
            Precondition::Absent { query: Query::one(customer), after: Position(41) },
        ),
        (
            r#"{"absent":{"subjects":["orders/42/*","b"]}}"#,
            Precondition::Absent { query: tree.clone(), after: Position::ZERO },
        ),
        (
            r#"{"present":[{"types":["OrderPlaced"],"tags":["customer:7"]},{"subjects":["orders/42/*","b"]}]}"#,
            Precondition::Present { query: either },
        ),
        (r#"{"count":{"subjects":["orders/42/*","b"]},"op":"<","n":100}"#, count(Comparison::Less)),
        (
            r#"{"count":{"subjects":["orders/42/*","b"]},"op":">=","n":100}"#,
            count(Comparison::GreaterOrEqual),
        ),
        (
            r#"{"resource":"issue/123","revision":"40"}"#,
            Precondition::Resource { id: "issue/123".into(), revision: Some(Position(40)) },
        ),
        (
            r#"{"resource":"issue/123","revision":null}"#,
            Precondition::Resource { id: "issue/123".into(), revision: None },
        ),
        (r#"{"head":"41"}"#, Precondition::Head { position: Position(41) }),
    ]
}

#[test]
fn every_form_is_read_and_written_back() {
    for (text, precondition) in forms() {
        assert_eq!(read(text), precondition, "{text}");
        let mut out = Vec::new();
        json::write_precondition(&mut out, &precondition);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
    }
}

#[test]
fn the_order_of_members_does_not_matter() {
    assert_eq!(
        read(r#" { "version" : 3 , "is":"version", "subject":"orders/42" } "#),
        read(r#"{"subject":"orders/42","is":"version","version":3}"#)
    );
}

#[test]
fn comparisons() {
    for (op, below, same, above) in [
        ("<", true, false, false),
        ("<=", true, true, false),
        ("=", false, true, false),
        (">=", false, true, true),
        (">", false, false, true),
    ] {
        let text = format!(r#"{{"count":{{}},"op":"{op}","n":5}}"#);
        let Precondition::Count { op, n, query } = read(&text) else { panic!("a count") };
        assert!(query.is_all());
        assert_eq!(
            (op.holds(4, n), op.holds(5, n), op.holds(6, n)),
            (below, same, above),
            "{text}"
        );
    }
}

#[test]
fn what_has_no_form_is_refused_by_name() {
    for (text, pointer, mentions) in [
        ("1", "", "an object"),
        ("{}", "", "names one of"),
        (r#"{"is":"none"}"#, "", "names one of"),
        (r#"{"subject":"a"}"#, "/is", "missing"),
        (r#"{"subject":"a","is":"gone"}"#, "/is", "gone"),
        (r#"{"subject":1,"is":"none"}"#, "/subject", "text"),
        (r#"{"subject":"a","is":"none","version":1}"#, "/version", "does not belong"),
        (r#"{"subject":"a","is":"version"}"#, "/version", "missing"),
        (r#"{"subject":"a","is":"version","version":-1}"#, "/version", "whole number"),
        (r#"{"subject":"a","is":"version","version":1.5}"#, "/version", "whole number"),
        (r#"{"subject":"a","is":"last_position","position":41}"#, "/position", "decimal"),
        (r#"{"subject":"a","recursive":1,"is":"none"}"#, "/recursive", "true or false"),
        (r#"{"subject":"a","is":"none","subjekt":1}"#, "/subjekt", "unknown"),
        (r#"{"subject":"a","subject":"b","is":"none"}"#, "/subject", "twice"),
        (r#"{"absent":{"type":["a"]}}"#, "/absent/type", "unknown"),
        (r#"{"absent":[{},{"types":"a"}]}"#, "/absent/1/types", "array of texts"),
        (r#"{"absent":{"types":["a",1]}}"#, "/absent/types/1", "array of texts"),
        (r#"{"absent":{"types":[]}}"#, "/absent/types", "at least one"),
        (r#"{"absent":{"types":["a"],"types":["a"]}}"#, "/absent/types", "twice"),
        (r#"{"absent":[]}"#, "/absent", "matches nothing"),
        (r#"{"absent":"a"}"#, "/absent", "a query"),
        (r#"{"absent":{},"after":41}"#, "/after", "decimal"),
        (r#"{"count":{},"op":"!=","n":1}"#, "/op", "!="),
        (r#"{"count":{},"op":"<"}"#, "/n", "missing"),
        (r#"{"resource":"a"}"#, "/revision", "missing"),
        (r#"{"head":"-1"}"#, "/head", "decimal"),
        (r#"{"head":"1","after":"1"}"#, "/after", "does not belong"),
    ] {
        assert_error(json::parse_precondition(text.as_bytes()), pointer, mentions);
    }
}

#[test]
fn a_conditional_append() {
    let parse = |text: &str| {
        json::parse_append(text.as_bytes(), &mut json::Strictness::Strict, &Limits::default())
            .map(|append| (append.events.len(), append.preconditions.len()))
    };
    let event = r#"{"specversion":"1.0","id":"1","source":"a","type":"t"}"#;
    let whole = format!(r#"{{"preconditions":[{{"head":"0"}}],"events":[{event},{event}]}}"#);
    assert_eq!(parse(&whole), Ok((2, 1)));
    assert_eq!(parse(&format!(r#"{{"events":[{event}]}}"#)), Ok((1, 0)));
    assert_error(parse(r#"{"preconditions":[]}"#), "/events", "missing");
    assert_error(parse(r#"{"events":[],"precondition":[]}"#), "/precondition", "unknown");
    assert_error(parse(r#"{"events":[],"events":[]}"#), "/events", "twice");
    assert_error(parse(r#"{"events":[],"preconditions":{}}"#), "/preconditions", "array");
    let nested = r#"{"events":[],"preconditions":[{"head":"1"},{"absent":{"x":1}}]}"#;
    assert_error(parse(nested), "/preconditions/1/absent/x", "unknown");
    let error = parse(r#"{"events":[{"specversion":"1.0"}]}"#).expect_err("no id");
    assert_eq!((error.index(), error.pointer()), (Some(0), "/id"));
}

#[test]
fn queries_match_events_and_their_keys_alike() {
    let event = Event::new("1", "shop", "OrderPlaced")
        .with_subject("orders/42/items")
        .with_extension("tags", "customer:7 fast")
        .with_extension("topic", "orders");
    for (text, expected) in [
        ("{}", true),
        (r#"{"types":["OrderPlaced","x"]}"#, true),
        (r#"{"types":["OrderPlace"]}"#, false),
        (r#"{"subjects":["orders/42/*"]}"#, true),
        (r#"{"subjects":["orders/42/items/*"]}"#, true),
        (r#"{"subjects":["orders/4/*"]}"#, false),
        (r#"{"subjects":["orders/42"]}"#, false),
        (r#"{"tags":["fast","customer:7"]}"#, true),
        (r#"{"tags":["fast","slow"]}"#, false),
        (r#"{"tags":["customer"]}"#, false),
        (r#"{"types":["OrderPlaced"],"tags":["slow"]}"#, false),
        (r#"[{"tags":["slow"]},{"types":["OrderPlaced"]}]"#, true),
    ] {
        let query = json::parse_query(text.as_bytes()).expect(text);
        assert_eq!(query.matches(&event), expected, "{text}");
        assert_eq!(query.matches_keys(&event.keys()), expected, "{text}");
    }
    let selector = |sources: &[&str], topics: &[&str]| Selector {
        sources: sources.iter().map(ToString::to_string).collect(),
        topics: topics.iter().map(ToString::to_string).collect(),
        ..Selector::default()
    };
    assert!(selector(&["shop"], &["a", "orders"]).matches(&event));
    assert!(!selector(&["sho"], &[]).matches(&event));
    assert!(!selector(&[], &["order"]).matches(&event));
}

#[test]
fn a_query_that_is_wrong_says_so() {
    let error = json::parse_query(b"[]").expect_err("no query");
    assert_eq!(error.kind(), EventErrorKind::Query);
    assert_error(json::parse_query(b"{} {}"), "", "nothing may follow");
}
