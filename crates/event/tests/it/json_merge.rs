//! JSON Merge Patch (RFC 7396).

use std::{
    fs,
    time::{Duration, Instant},
};

use annal_event::json::Json;
use proptest::prelude::*;
use serde_json::Value;

use crate::{json_text::value, json_tree::written, shared::vectors};

fn merged(document: &str, patch: &str) -> String {
    let mut json = Json::parse(document).expect(document);
    json.merge(Json::parse(patch).expect(patch));
    written(&json)
}

/// RFC 7396 §2, word by word.
fn reference(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let Value::Object(mut members) =
        (if target.is_object() { target } else { serde_json::json!({}) })
    else {
        unreachable!("an object")
    };
    for (name, value) in patch {
        let old = members.remove(name);
        if !value.is_null() {
            members.insert(name.clone(), reference(old.unwrap_or_default(), value));
        }
    }
    Value::Object(members)
}

#[test]
fn the_cases_of_the_rfc() {
    let Some(directory) = vectors("json-merge-patch") else { return };
    let text = fs::read_to_string(directory.join("rfc7396_appendix_a.json")).expect("the cases");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let cases = file["tests"].as_array().expect("cases");
    assert!(cases.len() >= 17, "{} cases", cases.len());
    for case in cases {
        let result = merged(&case["original"].to_string(), &case["patch"].to_string());
        let result: Value = serde_json::from_str(&result).expect("JSON");
        assert_eq!(result, case["result"], "{case}");
    }
}

#[test]
fn members_keep_their_place_and_new_ones_come_last() {
    let document = r#"{"z":1,"a":{"x":0.10,"y":2},"m":[1]}"#;
    let patch = r#"{"n":1.50,"a":{"w":null,"y":null,"v":{"k":null}},"z":1e2}"#;
    let result = r#"{"z":1e2,"a":{"x":0.10,"v":{}},"m":[1],"n":1.50}"#;
    assert_eq!(merged(document, patch), result);
}

#[test]
fn names_meet_however_they_are_escaped() {
    assert_eq!(
        merged(r#"{"a":1,"\ud800":2,"c":3}"#, r#"{"\u0061":9,"\uD800":null}"#),
        r#"{"a":9,"c":3}"#
    );
    assert_eq!(merged(r#"{"\u0061":1}"#, r#"{"a":null}"#), "{}");
}

#[test]
fn what_is_no_object_replaces_and_is_replaced() {
    for patch in ["null", "1", "[1,null]", "\"\\ud800\""] {
        assert_eq!(merged(r#"{"a":1}"#, patch), patch);
    }
    assert_eq!(merged("[1]", r#"{"a":{"b":null},"c":null}"#), r#"{"a":{}}"#);
}

/// An object of `count` members, the first named by `from`.
fn members(from: usize, count: usize, value: &str) -> String {
    let members: Vec<_> = (from..from + count).map(|n| format!("\"m{n}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn many_members_merge_with_as_many() {
    let begun = Instant::now();
    let (left, right) = (members(0, 100_000, "1"), members(50_000, 100_000, "2"));
    let mut json = Json::parse(&left).expect("JSON");
    json.merge(Json::parse(&right).expect("JSON"));
    let Json::Object(object) = &json else { panic!("an object") };
    assert_eq!(object.len(), 150_000);
    for (n, value) in [(0, "1"), (49_999, "1"), (50_000, "2"), (149_999, "2")] {
        assert_eq!(object.get(&format!("m{n}")).map(written).as_deref(), Some(value));
    }
    // Removing from the front is where a plain list would move all the rest, each time.
    let nulls = members(0, 149_990, "null");
    json.merge(Json::parse(&nulls).expect("JSON"));
    let left = written(&json);
    assert!(left.starts_with(r#"{"m149990":2,"#) && left.len() < 200, "{left}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn merging_never_nests_deeper_than_the_deeper_one() {
    let nested = |name: &str| {
        let open = format!("{{\"{name}\":").repeat(100);
        format!("{open}1{}", "}".repeat(100))
    };
    for (left, right) in [("a", "a"), ("a", "b")] {
        let (left, right) = (nested(left), nested(right));
        let mut json = Json::parse(&left).expect("JSON");
        json.merge(Json::parse(&right).expect("JSON"));
        assert_eq!(json.depth(), 100);
        assert!(Json::parse(&written(&json)).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn as_the_rfc_says(document in value(), patch in value()) {
        let result = merged(&document.to_string(), &patch.to_string());
        let result: Value = serde_json::from_str(&result).expect("JSON");
        prop_assert_eq!(result, reference(document, &patch));
    }

    /// Removing and adding again and again, in objects small and large, against a plain list.
    #[test]
    fn members_are_as_in_a_plain_list(
        changes in prop::collection::vec((0_u8..90, any::<bool>()), 0..400),
    ) {
        let texts: Vec<String> = changes
            .iter()
            .enumerate()
            .map(|(n, (name, there))| match there {
                true => format!("{{\"m{name}\":{n}}}"),
                false => format!("{{\"m{name}\":null}}"),
            })
            .collect();
        let mut json = Json::parse("{}").expect("JSON");
        let mut model: Vec<(u8, usize)> = Vec::new();
        for (n, (name, there)) in changes.iter().enumerate() {
            json.merge(Json::parse(&texts[n]).expect("JSON"));
            match (model.iter().position(|(have, _)| have == name), there) {
                (Some(place), true) => model[place].1 = n,
                (None, true) => model.push((*name, n)),
                (Some(place), false) => drop(model.remove(place)),
                (None, false) => {}
            }
            let Json::Object(object) = &json else { panic!("an object") };
            prop_assert_eq!(object.len(), model.len());
        }
        let wanted: Vec<_> = model.iter().map(|(name, n)| format!("\"m{name}\":{n}")).collect();
        prop_assert_eq!(written(&json), format!("{{{}}}", wanted.join(",")));
    }
}
