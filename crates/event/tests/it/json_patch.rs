//! JSON Patch (RFC 6902).

use std::{collections::HashMap, fs};

use annal_event::json::{Json, MalformedPatch, Patch, PatchFailed, PatchFailure};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use crate::{
    json_text::{compact, value},
    json_tree::written,
    shared::vectors,
};

const BYTES_MAX: usize = 1_000_000;

fn patched(document: &str, patch: &str) -> Result<String, PatchFailed> {
    let patch = Patch::parse(patch).expect(patch);
    let document = Json::parse(document).expect(document);
    patch.apply(document, BYTES_MAX).map(|json| written(&json))
}

/// Why the authors of the cases disabled some. All of them hold here.
const DISABLED: [(&str, &str); 4] = [
    ("A.13 Invalid JSON Patch Document", "most JSON readers do not see that a member stands twice"),
    ("duplicate ops", "most JSON readers do not see that a member stands twice"),
    ("Toplevel scalar values OK?", "RFC 4627 allowed only arrays and objects to be a document"),
    ("Whole document", "some took the empty pointer for no pointer"),
];

#[test]
fn the_cases_of_json_patch_tests() {
    let Some(directory) = vectors("json-patch-tests") else { return };
    let (mut enabled, mut disabled) = (0, 0);
    for name in ["spec_tests.json", "tests.json"] {
        let text = fs::read_to_string(directory.join(name)).expect("the cases");
        // Exact texts: a member that stands twice must reach the patch.
        let cases: Vec<HashMap<String, &RawValue>> = serde_json::from_str(&text).expect("JSON");
        for case in &cases {
            let comment = case.get("comment").map_or("", |text| text.get().trim_matches('"'));
            if case.get("disabled").is_some_and(|text| text.get() == "true") {
                assert!(DISABLED.iter().any(|(known, _)| *known == comment), "{comment}");
                disabled += 1;
            } else {
                enabled += 1;
            }
            check_case(case);
        }
    }
    assert_eq!((enabled, disabled), (108, DISABLED.len()));
}

fn check_case(case: &HashMap<String, &RawValue>) {
    let text = |name: &str| case.get(name).map(|text| text.get());
    let document = text("doc").expect("a document");
    let patch = Patch::parse(text("patch").expect("a patch"));
    let result = patch.as_ref().map_err(ToString::to_string).and_then(|patch| {
        let document = Json::parse(document).expect("JSON");
        patch.apply(document, BYTES_MAX).map_err(|error| error.to_string())
    });
    match (text("expected"), text("error"), result) {
        (Some(expected), None, Ok(json)) => {
            assert!(json == Json::parse(expected).expect("JSON"), "{case:?}: {json}");
        }
        (None, Some(_), Err(_)) | (None, None, Ok(_)) => {}
        (.., result) => panic!("{case:?}: {result:?}"),
    }
}

#[test]
fn malformed_patches_say_which_operation_and_what_to_do() {
    let good = r#"{"op":"remove","path":"/a"}"#;
    for (operation, mentions) in [
        ("1", "is no object"),
        ("{}", "op is missing; send add"),
        (r#"{"op":"spam","path":""}"#, "op is unknown; send add"),
        (r#"{"op":1,"path":""}"#, "op is not text"),
        (r#"{"op":"add","value":1}"#, "path is missing"),
        (r#"{"op":"add","path":null,"value":1}"#, "path is not text"),
        (r#"{"op":"add","path":"a","value":1}"#, "path is no JSON Pointer; begin it with /"),
        (r#"{"op":"add","path":"/~2","value":1}"#, "path is no JSON Pointer; write ~ as ~0"),
        (r#"{"op":"add","path":"/~","value":1}"#, "path is no JSON Pointer; write ~ as ~0"),
        (r#"{"op":"test","path":""}"#, "value is missing"),
        (r#"{"op":"copy","path":""}"#, "from is missing"),
        (r#"{"op":"move","path":"","from":7}"#, "from is not text"),
        (r#"{"op":"move","path":"/a/b","from":"/a"}"#, "inside from"),
        (r#"{"op":"move","path":"/a","from":""}"#, "inside from"),
        (r#"{"op":"remove","path":"","\u006fp":"remove"}"#, "op stands there twice"),
        (r#"{"op":"remove","path":"","value":null,"value":null}"#, "value stands there twice"),
    ] {
        let error = Patch::parse(&format!("[{good},{operation}]")).expect_err(operation);
        let MalformedPatch::Operation { operation: 1, what } = &error else {
            panic!("{operation}: {error:?}")
        };
        assert!(what.contains(mentions), "{operation}: {what} does not mention {mentions:?}");
    }
    for text in ["{}", "null", "\"[]\"", good] {
        assert_eq!(Patch::parse(text).expect_err(text), MalformedPatch::NotArray);
    }
    for text in ["", "[", "[{]", "[{}", "[] 1", r#"[{"op":"add","path":"/\ud800","value":1}]"#] {
        let error = Patch::parse(text).err();
        let refused = matches!(error, Some(MalformedPatch::NotJson(_)))
            || text == "[{}" && matches!(error, Some(MalformedPatch::Operation { .. }));
        assert!(refused, "{text}: {error:?}");
    }
}

#[test]
fn members_that_no_operation_has_are_passed_over() {
    let patch = r#"[{"op":"add","path":"/b","value":1,"xyz":{"op":2},"from":"/x"}]"#;
    assert_eq!(patched("{}", patch).as_deref(), Ok(r#"{"b":1}"#));
    assert!(Patch::parse("[]").expect("a patch").is_empty());
    assert_eq!(Patch::parse(patch).expect("a patch").len(), 1);
}

#[test]
fn what_cannot_be_applied_says_which_operation_and_why() {
    let document = r#"{"a":[1,2],"b":{"c":"x"}}"#;
    let missing = |pointer: &str| PatchFailure::NotFound { pointer: pointer.to_owned() };
    let no_place =
        |pointer: &str, items| PatchFailure::NoPlace { pointer: pointer.to_owned(), items };
    for (operation, why) in [
        (r#"{"op":"remove","path":"/x"}"#, missing("/x")),
        (r#"{"op":"remove","path":"/a/2"}"#, missing("/a/2")),
        (r#"{"op":"remove","path":"/a/-"}"#, missing("/a/-")),
        (r#"{"op":"remove","path":"/b/c/d"}"#, missing("/b/c/d")),
        (r#"{"op":"remove","path":""}"#, PatchFailure::RemovesAll),
        (r#"{"op":"replace","path":"/x","value":1}"#, missing("/x")),
        (r#"{"op":"replace","path":"/a/2","value":1}"#, missing("/a/2")),
        (r#"{"op":"add","path":"/x/y","value":1}"#, missing("/x")),
        (r#"{"op":"add","path":"/a/3","value":1}"#, no_place("/a/3", 2)),
        (r#"{"op":"add","path":"/a/01","value":1}"#, no_place("/a/01", 2)),
        (r#"{"op":"add","path":"/a/b","value":1}"#, no_place("/a/b", 2)),
        (
            r#"{"op":"add","path":"/b/c/d","value":1}"#,
            PatchFailure::NoMembers { pointer: "/b/c/d".to_owned() },
        ),
        (r#"{"op":"move","from":"/x","path":"/y"}"#, missing("/x")),
        (r#"{"op":"move","from":"/x","path":"/x"}"#, missing("/x")),
        (r#"{"op":"copy","from":"/a/2","path":"/y"}"#, missing("/a/2")),
        (r#"{"op":"test","path":"/x","value":null}"#, missing("/x")),
        (
            r#"{"op":"test","path":"/a","value":[1]}"#,
            PatchFailure::TestFailed { pointer: "/a".to_owned() },
        ),
    ] {
        let patch = format!(r#"[{{"op":"test","path":"/b/c","value":"x"}},{operation}]"#);
        assert_eq!(patched(document, &patch), Err(PatchFailed { operation: 1, why }), "{patch}");
    }
    let long = format!("/{}", "é".repeat(1_000));
    let patch = format!(r#"[{{"op":"remove","path":"{long}"}}]"#);
    let text = patched(document, &patch).expect_err("nothing there").to_string();
    assert!(text.len() < 300 && text.contains("é…"), "{text}");
}

#[test]
fn places_and_spellings_are_kept() {
    let document = r#"{"z":0.10,"a":[1,2,3],"\u0062":{}}"#;
    for (operation, result) in [
        (r#"{"op":"replace","path":"/z","value":1e2}"#, r#"{"z":1e2,"a":[1,2,3],"\u0062":{}}"#),
        (r#"{"op":"add","path":"/z","value":1e2}"#, r#"{"z":1e2,"a":[1,2,3],"\u0062":{}}"#),
        (r#"{"op":"add","path":"/b","value":1}"#, r#"{"z":0.10,"a":[1,2,3],"\u0062":1}"#),
        (
            r#"{"op":"add","path":"/n\"~1","value":1}"#,
            r#"{"z":0.10,"a":[1,2,3],"\u0062":{},"n\"/":1}"#,
        ),
        (r#"{"op":"add","path":"/","value":1}"#, r#"{"z":0.10,"a":[1,2,3],"\u0062":{},"":1}"#),
        (r#"{"op":"add","path":"/\n","value":1}"#, r#"{"z":0.10,"a":[1,2,3],"\u0062":{},"\n":1}"#),
        (r#"{"op":"move","from":"/a/0","path":"/a/2"}"#, r#"{"z":0.10,"a":[2,3,1],"\u0062":{}}"#),
        (r#"{"op":"move","from":"/z","path":"/a/-"}"#, r#"{"a":[1,2,3,0.10],"\u0062":{}}"#),
        (r#"{"op":"move","from":"/a","path":"/a"}"#, document),
        (r#"{"op":"move","from":"/a","path":""}"#, "[1,2,3]"),
        (
            r#"{"op":"copy","from":"","path":"/b/x"}"#,
            r#"{"z":0.10,"a":[1,2,3],"\u0062":{"x":{"z":0.10,"a":[1,2,3],"\u0062":{}}}}"#,
        ),
        (r#"{"op":"replace","path":"","value":"\ud800"}"#, "\"\\ud800\""),
    ] {
        assert_eq!(
            patched(document, &format!("[{operation}]")).as_deref(),
            Ok(result),
            "{operation}"
        );
    }
}

/// RFC 6902 §4 on another reader's values.
fn reference(document: &mut Value, operation: &Value) -> Option<()> {
    let text = |name: &str| operation[name].as_str().expect("text").to_owned();
    let path = text("path");
    match text("op").as_str() {
        "add" => reference_add(document, &path, operation["value"].clone()),
        "remove" => reference_remove(document, &path).map(drop),
        "replace" => {
            *document.pointer_mut(&path)? = operation["value"].clone();
            Some(())
        }
        "move" if text("from") == path => document.pointer(&path).map(drop),
        "move" => {
            let value = reference_remove(document, &text("from"))?;
            reference_add(document, &path, value)
        }
        "copy" => {
            let value = document.pointer(&text("from"))?.clone();
            reference_add(document, &path, value)
        }
        _ => (document.pointer(&path)? == &operation["value"]).then_some(()),
    }
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn reference_add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let Some((parent, last)) = split(path) else {
        *document = value;
        return Some(());
    };
    match document.pointer_mut(parent)? {
        Value::Object(members) => drop(members.insert(last, value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index: usize = last.parse().ok()?;
            let right = index <= items.len() && index.to_string() == last;
            right.then(|| items.insert(index, value))?;
        }
        _ => return None,
    }
    Some(())
}

fn reference_remove(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match document.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&last),
        Value::Array(items) => {
            let index: usize = last.parse().ok()?;
            (index < items.len() && index.to_string() == last).then(|| items.remove(index))
        }
        _ => None,
    }
}

/// A pointer that often points at something in a value of [`value`].
fn pointer() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "/a", "/b", "/c", "/a~1b", "/m~0n", "/", "/é", "/0", "/1", "/2", "/-", "/01",
    ]);
    prop::collection::vec(name, 0..4).prop_map(|names| names.concat())
}

fn operation() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (op, pointer(), pointer(), value()).prop_map(|(op, path, from, value)| {
        serde_json::json!({ "op": op, "path": path, "from": from, "value": value })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn as_the_rfc_says(document in value(), operations in prop::collection::vec(operation(), 1..5)) {
        let patch = Value::from(operations.clone()).to_string();
        let into_itself = |operation: &&Value| {
            let [from, path] = ["from", "path"].map(|name| operation[name].as_str().expect("text"));
            operation["op"] == "move" && path.starts_with(&format!("{from}/"))
        };
        if operations.iter().any(|operation| into_itself(&operation)) {
            prop_assert!(Patch::parse(&patch).is_err());
            return Ok(());
        }
        let mut model = document.clone();
        let failed = operations.iter().position(|operation| reference(&mut model, operation).is_none());
        match (patched(&document.to_string(), &patch), failed) {
            (Ok(result), None) => {
                let result: Value = serde_json::from_str(&result).expect("JSON");
                prop_assert_eq!(result, model);
            }
            (Err(error), Some(failed)) => prop_assert_eq!(error.operation, failed, "{}", error),
            (result, failed) => prop_assert!(false, "{:?} {:?}", result, failed),
        }
    }

    #[test]
    fn a_document_within_its_bounds_or_an_error(
        document in compact(),
        operations in prop::collection::vec(operation(), 1..8),
        bytes_max in 0_usize..400,
    ) {
        let patch = Value::from(operations).to_string();
        let Ok(patch) = Patch::parse(&patch) else { return Ok(()) };
        let before = Json::parse(&document).expect("JSON");
        if let Ok(json) = patch.apply(before, bytes_max.max(document.len())) {
            let text = written(&json);
            prop_assert!(text.len() <= bytes_max.max(document.len()));
            prop_assert!(Json::parse(&text).expect("our own JSON") == json);
        }
    }

    #[test]
    fn any_text_is_a_patch_or_refused(text: String, pieces in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "{", "}", ",", ":", "\"op\"", "\"add\"", "\"path\"", "\"/a\"", "\"value\"", "1", "\"from\"", "\"move\"", "null",
    ]), 0..20)) {
        for text in [text, pieces.concat(), format!("[{{\"op\":\"add\",\"path\":\"\",{}", pieces.concat())] {
            if let Ok(patch) = Patch::parse(&text) {
                let _ = patch.apply(Json::Null, 100);
            }
        }
    }
}
