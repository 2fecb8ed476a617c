//! The scanner against an independent JSON reader.

use proptest::prelude::*;

use super::scan::{Cursor, DEPTH_MAX};
use super::{Json, is_json, same_tokens, string_literal};

/// Text that is often JSON or nearly so.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\"",
        "1",
        "-0",
        "0.5",
        "1e9",
        "1E+",
        "01",
        "-",
        ".5",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\"\\n\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\x\"",
        "\"\\",
        "\"é",
        "\"",
        "\u{1}",
        "1.",
        "\t",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn accepts_what_another_reader_accepts(text in nearly_json()) {
        let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
        prop_assert_eq!(is_json(&text), theirs, "{:?}", text);
    }

    #[test]
    fn a_tree_is_read_from_what_is_accepted(text in nearly_json()) {
        prop_assert_eq!(Json::parse(&text).is_ok(), is_json(&text), "{:?}", text);
    }
}

proptest! {
    #[test]
    fn accepts_every_value(value in json_value()) {
        prop_assert!(is_json(&value.to_string()));
        let spaced = format!(" {value:#}\r\n");
        prop_assert!(is_json(&spaced));
        prop_assert!(same_tokens(&value.to_string(), &spaced));
    }

    #[test]
    fn tokens_are_the_same_only_if_values_are(left in json_value(), right in json_value()) {
        let (l, r) = (left.to_string(), right.to_string());
        prop_assert_eq!(same_tokens(&l, &r), l == r);
    }

    #[test]
    fn strings_decode_as_another_reader_decodes_them(text: String) {
        let literal = serde_json::to_string(&text).expect("a string");
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for literal in [literal, format!("\"{escaped}\"")] {
            let decoded = string_literal(&literal).map(|text| text.into_owned());
            prop_assert_eq!(decoded.as_ref(), Some(&text));
        }
    }

    #[test]
    fn strings_end_where_another_reader_ends_them(text in "[\"\\\\a-c\u{1}-\u{3}\u{1e}-\u{22}\u{7f}-\u{82}é😀]{0,24}") {
        let literal = format!("\"{text}\"");
        let theirs: Option<String> = serde_json::from_str(&literal).ok();
        prop_assert_eq!(string_literal(&literal).map(|text| text.into_owned()), theirs);
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The innermost pair is empty and opens no level.
    assert!(is_json(&nested(DEPTH_MAX as usize + 1)));
    assert!(!is_json(&nested(DEPTH_MAX as usize + 2)));
    assert!(!is_json(&"[".repeat(100_000)));
    assert!(!is_json(&"{\"a\":".repeat(100_000)));
    assert!(is_json(&format!("[{}]", vec!["[[]]"; 1_000].join(","))));
    for depth in [100, 101, 102, 103] {
        assert_eq!(Json::parse(&nested(depth)).is_ok(), is_json(&nested(depth)));
    }
}

#[test]
fn lone_surrogates_are_syntax_but_no_text() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\n""#, r#""\ud800\ud800""#, r#""\ud800x""#]
    {
        assert!(is_json(text), "{text}");
        assert_eq!(string_literal(text), None, "{text}");
    }
}

#[test]
fn a_fault_says_where() {
    let fault = Cursor::new("{\"a\": 01}").value().expect_err("a number has no leading zero");
    assert_eq!((fault.at, fault.what), (7, "expected , or }"));
}
