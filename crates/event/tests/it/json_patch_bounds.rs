//! Patches that would blow up: each stops within its bound, and soon.

use std::time::{Duration, Instant};

use annal_event::json::{Json, MalformedPatch, Patch, PatchFailed, PatchFailure};

const BYTES_MAX: usize = 2_000_000;

fn patch_of(operations: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", operations.into_iter().collect::<Vec<_>>().join(","))
}

/// Applies a patch and says how it went; it may not take long.
#[track_caller]
fn applied(document: &str, patch: &str, bytes_max: usize) -> Result<String, PatchFailed> {
    let begun = Instant::now();
    let patch = Patch::parse(patch).expect("a patch");
    let result = patch.apply(Json::parse(document).expect("JSON"), bytes_max);
    let result = result.map(|json| json.to_string());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    result
}

#[track_caller]
fn assert_fails(document: &str, patch: &str, why: &PatchFailure) -> usize {
    let failed = applied(document, patch, BYTES_MAX).expect_err("too much");
    assert_eq!(&failed.why, why);
    failed.operation
}

#[test]
fn a_document_that_doubles_with_every_copy() {
    let patch = patch_of((0..60).map(|_| r#"{"op":"copy","from":"/a","path":"/a/-"}"#.to_owned()));
    // It nests by one each time, too, but its size is at its end sooner.
    let at =
        assert_fails(r#"{"a":["x"]}"#, &patch, &PatchFailure::TooLarge { bytes_max: BYTES_MAX });
    assert!((15..25).contains(&at), "{at}");
}

#[test]
fn a_document_that_nests_into_itself() {
    let copy = patch_of((0..200).map(|_| r#"{"op":"copy","from":"/a","path":"/a/b"}"#.to_owned()));
    let failed = applied(r#"{"a":{}}"#, &copy, usize::MAX).expect_err("too deep");
    assert_eq!(failed.why, PatchFailure::TooDeep);
    // `{"b":…}` around what was there, put in its place.
    let wrap = (0..200).flat_map(|_| {
        [
            r#"{"op":"move","from":"/a","path":"/old"}"#.to_owned(),
            r#"{"op":"add","path":"/a","value":{"b":{}}}"#.to_owned(),
            r#"{"op":"move","from":"/old","path":"/a/b"}"#.to_owned(),
        ]
    });
    assert_fails(r#"{"a":{"b":1}}"#, &patch_of(wrap), &PatchFailure::TooDeep);
}

#[test]
fn depth_is_bounded_to_the_level() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let add = |depth: usize| format!(r#"[{{"op":"add","path":"/a/b","value":{}}}]"#, nested(depth));
    let result = applied(r#"{"a":{}}"#, &add(98), BYTES_MAX).expect("100 levels");
    assert_eq!(Json::parse(&result).expect("JSON").depth(), 100);
    assert_fails(r#"{"a":{}}"#, &add(99), &PatchFailure::TooDeep);
    let document = format!(r#"{{"x":{},"a":{{"b":{{}}}}}}"#, nested(98));
    let operation =
        |op: &str, path: &str| format!(r#"[{{"op":"{op}","from":"/x","path":"{path}"}}]"#);
    for op in ["move", "copy"] {
        assert!(applied(&document, &operation(op, "/a/y"), BYTES_MAX).is_ok());
        assert_fails(&document, &operation(op, "/a/b/y"), &PatchFailure::TooDeep);
    }
}

#[test]
fn size_is_bounded_to_the_byte() {
    let document = r#"{"a":"xx","b":[]}"#;
    for (patch, result) in [
        (r#"[{"op":"add","path":"/c","value":"yyy"}]"#, r#"{"a":"xx","b":[],"c":"yyy"}"#),
        (r#"[{"op":"add","path":"/\"~1","value":1}]"#, r#"{"a":"xx","b":[],"\"/":1}"#),
        (r#"[{"op":"add","path":"/b/0","value":12}]"#, r#"{"a":"xx","b":[12]}"#),
        (r#"[{"op":"copy","from":"/a","path":"/b/-"}]"#, r#"{"a":"xx","b":["xx"]}"#),
        (r#"[{"op":"move","from":"/a","path":"/longer"}]"#, r#"{"b":[],"longer":"xx"}"#),
        (r#"[{"op":"replace","path":"/a","value":[1,2,3]}]"#, r#"{"a":[1,2,3],"b":[]}"#),
        (
            r#"[{"op":"replace","path":"","value":"0123456789012345678"}]"#,
            r#""0123456789012345678""#,
        ),
        (
            r#"[{"op":"remove","path":"/a"},{"op":"add","path":"/z","value":"0123456"}]"#,
            r#"{"b":[],"z":"0123456"}"#,
        ),
    ] {
        assert_eq!(applied(document, patch, result.len()).as_deref(), Ok(result), "{patch}");
        let failed = applied(document, patch, result.len() - 1).expect_err(patch);
        assert_eq!(failed.why, PatchFailure::TooLarge { bytes_max: result.len() - 1 }, "{patch}");
    }
    // What does not grow may be larger than new documents may.
    let patch = r#"[{"op":"remove","path":"/a"},{"op":"test","path":"/b","value":[]}]"#;
    assert_eq!(applied(document, patch, 1).as_deref(), Ok(r#"{"b":[]}"#));
}

#[test]
fn a_long_array_that_moves_with_every_operation() {
    let document = format!("[{}0]", "1,".repeat(500_000));
    let front = || r#"{"op":"add","path":"/0","value":1}"#.to_owned();
    let patch = patch_of((0..9_000).map(|_| front()));
    assert_fails(&document, &patch, &PatchFailure::TooMuchWork);
    let patch = patch_of((0..9_000).map(|_| r#"{"op":"remove","path":"/0"}"#.to_owned()));
    assert_fails(&document, &patch, &PatchFailure::TooMuchWork);
    // A few are nothing unusual.
    let patch = patch_of((0..100).map(|_| front()));
    assert!(applied(&document, &patch, BYTES_MAX).is_ok());
}

#[test]
fn a_large_value_that_is_copied_and_removed_again_and_again() {
    let document = format!(r#"{{"a":[{}0]}}"#, "1,".repeat(300_000));
    let pair = [
        r#"{"op":"copy","from":"/a","path":"/b"}"#.to_owned(),
        r#"{"op":"remove","path":"/b"}"#.to_owned(),
    ];
    let patch = patch_of((0..4_000).flat_map(|_| pair.clone()));
    assert_fails(&document, &patch, &PatchFailure::TooMuchWork);
    let failed = applied(&document, &patch, usize::MAX).expect_err("too much");
    assert_eq!(failed.why, PatchFailure::TooMuchWork);
    let pair = [
        r#"{"op":"move","from":"/a","path":"/b/c"}"#.to_owned(),
        r#"{"op":"move","from":"/b/c","path":"/a"}"#.to_owned(),
    ];
    let patch = patch_of((0..4_000).flat_map(|_| pair.clone()));
    let document = format!(r#"{{"b":{{}},{}"#, &document[1..]);
    assert_fails(&document, &patch, &PatchFailure::TooMuchWork);
}

#[test]
fn a_document_at_its_size_that_is_measured_again_and_again() {
    let document = format!("[{}0]", "1,".repeat(500_000));
    let pair = [
        r#"{"op":"add","path":"/-","value":1}"#.to_owned(),
        r#"{"op":"remove","path":"/500000"}"#.to_owned(),
    ];
    let patch = patch_of((0..4_000).flat_map(|_| pair.clone()));
    let failed = applied(&document, &patch, document.len() + 2).expect_err("too much");
    assert_eq!(failed.why, PatchFailure::TooMuchWork);
}

#[test]
fn a_long_number_that_is_compared_again_and_again() {
    let document = format!("1{}", "0".repeat(1_000_000));
    let test = || r#"{"op":"test","path":"","value":1e1000000}"#.to_owned();
    let patch = patch_of((0..9_000).map(|_| test()));
    assert_fails(&document, &patch, &PatchFailure::TooMuchWork);
    assert!(applied(&document, &patch_of([test()]), BYTES_MAX).is_ok());
}

#[test]
fn many_operations_on_many_members() {
    let members: Vec<String> = (0..100_000).map(|n| format!("\"m{n}\":{n}")).collect();
    let document = format!("{{{}}}", members.join(","));
    let operations = (0..5_000).flat_map(|n| {
        [
            format!(r#"{{"op":"remove","path":"/m{n}"}}"#),
            format!(r#"{{"op":"add","path":"/n{n}","value":0}}"#),
        ]
    });
    let result = applied(&document, &patch_of(operations), BYTES_MAX).expect("it applies");
    assert!(result.starts_with(r#"{"m5000":5000,"#) && result.ends_with(r#","n4999":0}"#));
}

#[test]
fn more_operations_than_a_patch_may_have() {
    let operation = || r#"{"op":"test","path":"","value":1}"#.to_owned();
    let patch = patch_of((0..10_000).map(|_| operation()));
    assert_eq!(applied("1", &patch, 10).as_deref(), Ok("1"));
    let patch = patch_of((0..10_001).map(|_| operation()));
    assert_eq!(
        Patch::parse(&patch).expect_err("one too many"),
        MalformedPatch::TooMany { max: 10_000 }
    );
}

#[test]
fn pointers_of_any_length() {
    let path = "/a".repeat(500_000);
    let patch = format!(r#"[{{"op":"add","path":"{path}","value":1}}]"#);
    assert_fails("{}", &patch, &PatchFailure::TooDeep);
    let patch = format!(r#"[{{"op":"test","path":"{path}","value":1}}]"#);
    let failed = applied("{}", &patch, BYTES_MAX).expect_err("nothing there");
    assert!(matches!(failed.why, PatchFailure::NotFound { .. }) && failed.to_string().len() < 400);
}
