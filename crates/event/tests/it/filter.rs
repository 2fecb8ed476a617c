//! The filter dialects of the Subscriptions API, and the two forms that API.md §6 gives a filter.

use std::collections::HashSet;

use annal_event::{Event, EventErrorKind, Filter, Value, json};

fn parse(text: &str) -> Filter {
    json::parse_filter(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn event() -> Event<'static> {
    Event::new("e-1", "https://github.com/cloudevents/spec", "com.github.push")
        .with_subject("https://github.com/cloudevents/spec")
        .with_extension("number", 7)
        .with_extension("flag", true)
        .with_extension("bytes", Value::Bytes(vec![0, 1, 2].into()))
        .with_extension("quote", "a\"b")
}

#[track_caller]
fn matches(filter: &str, expected: bool) {
    assert_eq!(parse(filter).matches(&event()), Ok(expected), "{filter}");
}

#[test]
fn the_examples_of_the_specification() {
    matches(
        r#"[{"exact":{"type":"com.github.push","subject":"https://github.com/cloudevents/spec"}}]"#,
        true,
    );
    matches(
        r#"[{"prefix":{"type":"com.github.","subject":"https://github.com/cloudevents"}}]"#,
        true,
    );
    matches(r#"[{"suffix":{"type":".created","subject":"/cloudevents/spec"}}]"#, false);
    let two = r#"[{"exact":{"type":"com.github.push"}},
                  {"exact":{"subject":"https://github.com/cloudevents/spec"}}]"#;
    matches(&format!(r#"[{{"all":{two}}}]"#), true);
    matches(&format!(r#"[{{"any":{two}}}]"#), true);
    matches(r#"[{"not":{"exact":{"type":"com.github.push"}}}]"#, false);
    matches(r#"[{"sql":"source LIKE '%cloudevents%'"}]"#, true);
}

#[test]
fn all_of_a_list_must_hold() {
    matches("[]", true);
    matches(r#"[{"sql":"TRUE"},{"sql":"FALSE"}]"#, false);
    matches(r#"[{"sql":"FALSE"},{"sql":"TRUE"}]"#, false);
    matches(
        r#"[{"exact":{"id":"e-1"}},{"prefix":{"type":"com"}},{"suffix":{"type":"push"}}]"#,
        true,
    );
    matches(r#"[{"any":[{"sql":"FALSE"},{"exact":{"id":"x"}},{"exact":{"id":"e-1"}}]}]"#, true);
    matches(r#"[{"any":[{"sql":"FALSE"},{"exact":{"id":"x"}}]}]"#, false);
    matches(r#"[{"all":[{"sql":"TRUE"},{"not":{"any":[{"sql":"FALSE"}]}}]}]"#, true);
}

#[test]
fn attributes_are_compared_as_text() {
    matches(r#"[{"exact":{"number":"7","flag":"true","bytes":"AAEC","specversion":"1.0"}}]"#, true);
    matches(r#"[{"exact":{"number":"07"}}]"#, false);
    matches(
        r#"[{"prefix":{"bytes":"AA"}},{"suffix":{"bytes":"EC"}},{"suffix":{"flag":"ue"}}]"#,
        true,
    );
    matches(r#"[{"exact":{"type":"COM.GITHUB.PUSH"}}]"#, false);
    matches(r#"[{"exact":{"quote":"a\"b"}}]"#, true);
    matches(r#"[{"exact":{"quote":"a\u0022b"}}]"#, true);
}

#[test]
fn what_is_missing_is_false_and_not_of_it_true() {
    matches(r#"[{"exact":{"nothing":"a"}}]"#, false);
    matches(r#"[{"not":{"prefix":{"nothing":"a"}}}]"#, true);
    matches(r#"[{"any":[{"suffix":{"nothing":"a"}},{"exact":{"id":"e-1"}}]}]"#, true);
}

#[test]
fn an_expression_that_fails_or_is_no_boolean_is_false() {
    for sql in ["nothing = 'a'", "1 / 0 = 1", "1", "'true'", "NOWHERE()", "type", "NOT number"] {
        matches(&format!(r#"[{{"sql":"{sql}"}}]"#), false);
        matches(&format!(r#"[{{"not":{{"sql":"{sql}"}}}}]"#), true);
        matches(&format!(r#"[{{"any":[{{"sql":"{sql}"}},{{"exact":{{"id":"e-1"}}}}]}}]"#), true);
        matches(&format!(r#"[{{"any":[{{"exact":{{"id":"x"}}}},{{"sql":"{sql}"}}]}}]"#), false);
        matches(&format!("\"{sql}\""), false);
    }
    // A failure in the middle leaves nothing behind.
    matches(r#"[{"not":{"sql":"1 + (2 * (3 + nothing)) = 1"}},{"exact":{"id":"e-1"}}]"#, true);
    matches(r#"[{"not":{"sql":"TRUE AND 1 / 0 = 1"}},{"sql":"number = 7"}]"#, true);
}

#[test]
fn a_text_is_an_expression() {
    matches(r#""type = 'com.github.push' AND number > 6""#, true);
    matches(r#"  "quote = 'a\"b'"  "#, true);
    assert_eq!(parse("\"id = 'a'\""), Filter::expression("id = 'a'").expect("an expression"));
}

#[test]
fn filters_are_written_as_they_were_read() {
    for (read, written) in [
        ("[ ]", "[]"),
        (r#" "id = \"a\"" "#, r#""id = \"a\"""#),
        (
            "[{ \"exact\" :\n{\"type\":\"a\\u0062\", \"id\" : \"é\"}}, {\"not\":{\"sql\":\"TRUE\"}}]",
            r#"[{"exact":{"type":"ab","id":"é"}},{"not":{"sql":"TRUE"}}]"#,
        ),
        (
            r#"[{"any":[{"all":[{"prefix":{"id":"a"}}]},{"suffix":{"id":"b"}}]}]"#,
            r#"[{"any":[{"all":[{"prefix":{"id":"a"}}]},{"suffix":{"id":"b"}}]}]"#,
        ),
    ] {
        let filter = parse(read);
        let mut out = Vec::new();
        json::write_filter(&mut out, &filter);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), written);
        assert_eq!(parse(written), filter);
    }
    let set: HashSet<_> = ["[]", "[ ]", "\"TRUE\""].map(parse).into();
    assert_eq!(set.len(), 2);
    assert_eq!(parse("\"a =  1\"").to_string(), "a =  1");
    assert_eq!(parse("[ {\"sql\":\"a\"} ]").to_string(), "[{\"sql\":\"a\"}]");
    assert_eq!(format!("{:?}", parse("[]")), "Filter([])");
    // The same text is another filter as a dialect than as an expression.
    assert_ne!(parse("\"[]\" ".replace("[]", "TRUE").as_str()), parse("[]"));
}

#[test]
fn what_is_no_filter_says_where_and_why() {
    for (text, pointer, mentions) in [
        ("{}", "", "a CESQL expression or an array"),
        ("7", "", "a CESQL expression or an array"),
        ("[7]", "/0", "an object with one member"),
        ("[{}]", "/0", "an object with one member"),
        (r#"[{"exactly":{"id":"a"}}]"#, "/0/exactly", "\"exactly\" is unknown; use exact"),
        (r#"[{"sql":"TRUE"},{"any":[{"a/b~":1}]}]"#, "/1/any/0/a~1b~0", "is unknown"),
        (r#"[{"exact":{"id":"a"},"prefix":{"id":"a"}}]"#, "/0/prefix", "of one dialect"),
        (r#"[{"exact":{"id":"a"},"exact":{"id":"b"}}]"#, "/0/exact", "twice"),
        (r#"[{"exact":{}}]"#, "/0/exact", "at least one"),
        (r#"[{"exact":[]}]"#, "/0/exact", "an object of attributes"),
        (r#"[{"exact":{"id":""}}]"#, "/0/exact/id", "empty"),
        (r#"[{"exact":{"":"a"}}]"#, "/0/exact/", "no attribute name"),
        (r#"[{"exact":{"Type":"a"}}]"#, "/0/exact/Type", "no attribute name"),
        (r#"[{"exact":{"id":7}}]"#, "/0/exact/id", "send a JSON string"),
        (r#"[{"exact":{"id":"a","id":"b"}}]"#, "/0/exact/id", "twice"),
        (r#"[{"all":[]}]"#, "/0/all", "at least one"),
        (r#"[{"any":{"exact":{"id":"a"}}}]"#, "/0/any", "put them in brackets"),
        (r#"[{"not":[{"exact":{"id":"a"}}]}]"#, "/0/not", "an object with one member"),
        (r#"[{"not":{"all":[{"not":7}]}}]"#, "/0/not/all/0/not", "an object with one member"),
        (r#"[{"sql":7}]"#, "/0/sql", "send a JSON string"),
        (r#"[{"sql":"TRUE"},{"sql":"TRUE AND"}]"#, "/1/sql", "a value is expected"),
    ] {
        let error = json::parse_filter(text.as_bytes()).expect_err(text);
        assert_eq!(error.kind(), EventErrorKind::Filter, "{text}");
        assert_eq!(error.pointer(), pointer, "{text}: {error}");
        assert!(error.detail().contains(mentions), "{text}: {error}");
    }
    for text in ["", "[", "[}", "\"a", "[] 1", "\"TRUE\" 1", "[{\"sql\":\"TRUE\"", "[{\"a\" 1}]"] {
        assert!(json::parse_filter(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn errors_within_expressions_have_a_position() {
    for (text, position) in [("\"'é' = \"", 6), (r#"[{"not":{"sql":"'é' = "}}]"#, 6)] {
        let error = json::parse_filter(text.as_bytes()).expect_err("no expression");
        assert_eq!((error.position(), error.code()), (Some(position), "invalid-filter"), "{text}");
    }
    assert_eq!(json::parse_filter(b"{}").expect_err("no filter").position(), None);
}

#[test]
fn filters_nest_within_bounds() {
    let nested = |depth: usize| {
        let open = "{\"not\":".repeat(depth - 1);
        format!("[{open}{{\"sql\":\"TRUE\"}}{}]", "}".repeat(depth - 1))
    };
    assert_eq!(parse(&nested(100)).matches(&event()), Ok(false));
    let error = json::parse_filter(nested(101).as_bytes()).expect_err("too deep");
    assert!(error.detail().contains("100 levels"), "{error}");
    assert_eq!(error.pointer(), format!("/0{}", "/not".repeat(100)));
}
