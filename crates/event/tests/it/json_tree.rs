//! JSON documents as trees: exact, whatever is in them.

use std::time::{Duration, Instant};

use annal_event::json::{self, Json};
use proptest::prelude::*;

use crate::json_text::{compact, literal, spaced, value};

pub(crate) fn written(json: &Json<'_>) -> String {
    let mut out = Vec::new();
    json.write(&mut out);
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    assert_eq!(text, json.to_string());
    text
}

fn rewritten(text: &str) -> String {
    written(&Json::parse(text).expect(text))
}

#[track_caller]
fn assert_equal(left: &str, right: &str, equal: bool) {
    let (l, r) = (Json::parse(left).expect(left), Json::parse(right).expect(right));
    assert_eq!((l == r, r == l), (equal, equal), "{left} {right}");
}

#[test]
fn numbers_strings_and_order_stay_as_they_are_written() {
    let text = r#"{"z":12345678901234567890,"a":0.10,"m":[1e5,-0,"\u00e9\/\n"],"":{},"é":[]}"#;
    assert_eq!(rewritten(text), text);
    for scalar in ["null", "true", "false", "0", "\"\"", "[]", "{}", "1E+400", "\"\\ud800\""] {
        assert_eq!(rewritten(&format!(" {scalar}\n")), scalar);
    }
}

#[test]
fn of_a_name_that_stands_twice_the_last_value_wins_at_the_place_of_the_first() {
    assert_eq!(rewritten(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    assert_eq!(rewritten(r#"{"a":1,"b":2,"\u0061":3}"#), r#"{"a":3,"b":2}"#);
    assert_eq!(rewritten(r#"{"\ud800":1,"\uD800":2}"#), r#"{"\ud800":2}"#);
    assert_eq!(rewritten(r#"{"\ud83d\ude00":1,"😀":2}"#), r#"{"\ud83d\ude00":2}"#);
    assert_eq!(rewritten(r#"{"\ud800":1,"\ud801":2}"#), r#"{"\ud800":1,"\ud801":2}"#);
    assert_eq!(rewritten(r#"{"\ud800x":1,"\ud800":2}"#), r#"{"\ud800x":1,"\ud800":2}"#);
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, at, what) in [
        ("", 0, "expected a value"),
        ("{\"a\":1,}", 7, "expected a string"),
        ("[1,]", 3, "expected a value"),
        ("[1] 2", 4, "nothing may follow"),
        ("{\"a\" 1}", 5, "expected :"),
        ("[01]", 2, "expected , or ]"),
        ("\"\\x\"", 1, "an escape is unknown"),
        ("[\"a\nb\"]", 3, "a control character must be escaped"),
    ] {
        let error = Json::parse(text).expect_err(text);
        assert_eq!((error.at, error.what), (at, what), "{text}");
        assert_eq!(error.to_string(), format!("not JSON at byte {at}: {what}"));
    }
}

#[test]
fn values_are_equal_by_value() {
    assert_equal("1", "1.0", true);
    assert_equal("[1,10e-1]", "[1.0,1]", true);
    assert_equal("9007199254740993", "9007199254740992", false);
    assert_equal("\"\\u0061\\/\"", "\"a/\"", true);
    assert_equal("\"\\ud800\"", "\"\\uD800\"", true);
    assert_equal("\"\\ud800\"", "\"\\ud801\"", false);
    assert_equal("\"1\"", "1", false);
    assert_equal("null", "false", false);
    assert_equal(r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"\u0061":1}"#, true);
    assert_equal(r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#, false);
    assert_equal(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false);
    assert_equal("[1,2]", "[2,1]", false);
    assert_equal("[1]", "[1,1]", false);
    assert_equal("[]", "{}", false);
}

/// RFC 6901 §5.
#[test]
fn pointers_point() {
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"~1":9}"#;
    let json = Json::parse(text).expect("JSON");
    for (pointer, value) in [
        ("", text),
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
        ("/~01", "9"),
    ] {
        assert_eq!(json.pointer(pointer).map(written).as_deref(), Some(value), "{pointer}");
    }
    for nothing in [
        "foo",
        "/foo/00",
        "/foo/2",
        "/foo/-",
        "/foo/+1",
        "/foo/",
        "/a~b",
        "/a~2b",
        "/x",
        "//a",
        "/foo/0/0",
        "/foo/99999999999999999999999",
    ] {
        assert!(json.pointer(nothing).is_none(), "{nothing}");
    }
    assert!(json.get("foo").is_some() && json.get("bar").is_none());
    assert!(json.pointer("/foo").expect("an array").get("0").is_none());
}

#[test]
fn depth_is_what_the_bound_counts() {
    for (text, depth) in
        [("1", 0), ("[]", 0), ("{}", 0), ("[1]", 1), ("[[]]", 1), (r#"{"a":[0]}"#, 2)]
    {
        assert_eq!(Json::parse(text).expect("JSON").depth(), depth, "{text}");
    }
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(Json::parse(&nested(100)).expect("JSON").depth(), Json::DEPTH_MAX);
    for text in [nested(101), "[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
        assert_eq!(Json::parse(&text).expect_err("deep").what, "it nests deeper than 100 levels");
    }
}

#[test]
fn strings_show_what_they_mean() {
    let text = |literal: &'static str| match Json::parse(literal) {
        Ok(Json::String(text)) => text,
        other => panic!("{literal} is {other:?}"),
    };
    assert_eq!(text(r#""a""#).decode().as_deref(), Some("a"));
    assert_eq!(text(r#""\u0061\ud83d\ude00\t""#).decode().as_deref(), Some("a😀\t"));
    assert_eq!(text(r#""\ud800""#).decode(), None);
    assert_eq!(text(r#""\u0061""#).raw(), r"\u0061");
    assert!(text(r#""\u0061b""#).is("ab") && !text(r#""\u0061b""#).is("a"));
    assert!(!text(r#""\ud800""#).is("\u{fffd}"));
}

#[test]
fn texts_of_members_are_found_without_a_tree() {
    let text = r#" { "a" : [ 1, {"b":2} ] , "c":null, "\u0062":"x", "a":{ } } "#;
    let found = json::member_texts(text, ["a", "b", "d", "c"]).expect("an object");
    assert_eq!(found, [Some("{ }"), Some("\"x\""), None, Some("null")]);
    assert_eq!(json::member_texts("{}", ["a"]), Ok([None]));
    assert_eq!(json::member_texts(r#"{"\ud800":1}"#, ["a"]), Ok([None]));
    for (text, at) in [("[]", 0), ("{\"a\":1", 6), ("{\"a\":1}}", 7), ("{\"a\":01}", 6), ("", 0)] {
        assert_eq!(json::member_texts(text, ["a"]).map_err(|error| error.at), Err(at), "{text}");
    }
}

#[test]
fn the_text_at_a_path_is_found_without_a_tree() {
    let text = r#"{"author":{"name":"x","name":"A. \u0042"},"n":1.0,"list":[{"a":1}]}"#;
    assert_eq!(json::text_at(text, &["author", "name"]), Some(r#""A. \u0042""#));
    assert_eq!(json::text_at(text, &["n"]), Some("1.0"));
    assert_eq!(json::text_at(" 1 ", &[]), Some("1"));
    for path in [vec!["x"], vec!["n", "x"], vec!["list", "a"], vec!["author", "name", "x"]] {
        assert_eq!(json::text_at(text, &path), None, "{path:?}");
    }
    assert_eq!(json::text_at("{\"a\":1,}", &["a"]), None);
    assert_eq!(json::text_at("{\"a\":1} x", &["a"]), None);
}

#[test]
fn many_members_take_no_quadratic_time() {
    let begun = Instant::now();
    let names = (0..200_000).map(|n| format!("\"m{}\":{n}", n % 100_000));
    let text = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
    let json = Json::parse(&text).expect("JSON");
    let Json::Object(object) = &json else { panic!("an object") };
    assert_eq!(object.len(), 100_000);
    for n in 0..100_000 {
        let value = object.get(&format!("m{n}")).expect("a member");
        assert_eq!(value.to_string(), (n + 100_000).to_string());
    }
    assert!(json == json.clone());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn names_that_differ_at_their_end_take_no_quadratic_time() {
    let begun = Instant::now();
    let long = "\\u0061".repeat(2_000);
    let members: Vec<String> = (0..1_000).map(|n| format!("\"{long}{n}\":1")).collect();
    let text = format!("{{{}}}", members.join(","));
    let json = Json::parse(&text).expect("JSON");
    let name = format!("{}999", "a".repeat(2_000));
    for _ in 0..10_000 {
        assert!(json.get(&name).is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn only_white_space_goes(text in compact(), spaces in prop::collection::vec(any::<u8>(), 1..9)) {
        let spaced = spaced(&text, &spaces);
        let json = Json::parse(&spaced).expect(&spaced);
        prop_assert_eq!(written(&json), text.as_str());
        prop_assert!(json == Json::parse(&text).expect("JSON"));
    }

    #[test]
    fn another_reader_reads_the_same(value in value()) {
        let text = format!("{value:#}");
        let back: serde_json::Value = serde_json::from_str(&rewritten(&text)).expect("JSON");
        prop_assert_eq!(back, value);
    }

    #[test]
    fn values_are_equal_as_another_reader_finds_them(left in value(), right in value()) {
        let (l, r) = (left.to_string(), right.to_string());
        let equal = Json::parse(&l).expect("JSON") == Json::parse(&r).expect("JSON");
        prop_assert_eq!(equal, left == right);
    }

    /// Against a plain list, with names that meet in every spelling, few and many of them.
    #[test]
    fn members_are_as_in_a_plain_list(names in prop::collection::vec(literal(), 0..120)) {
        let members = names.iter().enumerate().map(|(n, name)| format!("{name}:{n}"));
        let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        let mut model: Vec<(Vec<u16>, &str, usize)> = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let units = utf16(name);
            match model.iter_mut().find(|(have, ..)| *have == units) {
                Some(member) => member.2 = n,
                None => model.push((units, name, n)),
            }
        }
        let wanted: Vec<_> = model.iter().map(|(_, name, n)| format!("{name}:{n}")).collect();
        prop_assert_eq!(rewritten(&text), format!("{{{}}}", wanted.join(",")));
        for (units, _, n) in model {
            let Ok(name) = String::from_utf16(&units) else { continue };
            let number = n.to_string();
            prop_assert_eq!(Json::parse(&text).expect("JSON").get(&name).map(written), Some(number.clone()));
            prop_assert_eq!(json::text_at(&text, &[&name]), Some(number.as_str()));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text: String, pointer: String) {
        if let Ok(json) = Json::parse(&text) {
            let _ = json.pointer(&pointer);
            prop_assert!(Json::parse(&written(&json)).expect("our own JSON") == json);
        }
        let _ = (json::member_texts(&text, ["a"]), json::text_at(&text, &["a", &pointer]));
    }
}

/// The code units that a literal of [`literal`] means.
fn utf16(literal: &str) -> Vec<u16> {
    let mut units = Vec::new();
    let mut rest = &literal[1..literal.len() - 1];
    while let Some(character) = rest.chars().next() {
        let escape = rest.strip_prefix('\\');
        if let Some(code) = escape.and_then(|rest| rest.strip_prefix('u')) {
            units.push(u16::from_str_radix(&code[..4], 16).expect("four digits"));
            rest = &code[4..];
        } else if let Some(escaped) = escape {
            units.push(if escaped.starts_with('n') {
                10
            } else {
                u16::from(escaped.as_bytes()[0])
            });
            rest = &escaped[1..];
        } else {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            rest = &rest[character.len_utf8()..];
        }
    }
    units
}
