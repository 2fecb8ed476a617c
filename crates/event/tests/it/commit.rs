//! JSON commits: which resource, what change, and what becomes of its document.

use annal_event::{
    Commit, CommitOutcome, Data, Event, EventErrorKind, Inapplicable, ResourceKey, is_commit_type,
    json::Json, schema_name,
};
use proptest::prelude::*;

use crate::{
    assert_error,
    json_text::{compact, spaced},
};

fn event(data: &str) -> Event<'_> {
    Event::new("1", "a", "json.commit").with_subject("issue/123").with_json(data)
}

/// Reads the commit whose data has these members.
fn commit(members: &str) -> Commit<'static> {
    let event: &'static Event<'static> =
        Box::leak(Box::new(event(&format!("{{{members}}}")).into_owned()));
    Commit::of(event).expect(members).expect("a commit's type")
}

#[track_caller]
fn assert_refused(event: &Event<'_>, pointer: &str, mentions: &str) {
    let result = Commit::of(event);
    if let Err(error) = &result {
        assert_eq!((error.kind(), error.code()), (EventErrorKind::Commit, "invalid-commit"));
    }
    assert_error(result, pointer, mentions);
}

fn applied(members: &str, document: Option<&str>) -> Result<CommitOutcome, Inapplicable> {
    commit(members).apply(document)
}

fn document(text: &str) -> Result<CommitOutcome, Inapplicable> {
    Ok(CommitOutcome::Document(text.to_owned()))
}

#[test]
fn two_types_are_commits() {
    assert!(is_commit_type("nl.vng.zaken.json-commit.v1") && is_commit_type("json.commit"));
    for ty in ["", "json.commit.v1", "JSON.commit", "nl.vng.zaken.json-commit.v2"] {
        assert!(!is_commit_type(ty), "{ty}");
        let event = Event { ty: ty.into(), ..event("not JSON") };
        assert_eq!(Commit::of(&event), Ok(None));
    }
}

#[test]
fn everything_a_commit_says() {
    let commit = commit(
        r#""schema":"http:\/\/localhost:8000\/schemas\/Issue","resource_id":"12\u0033","resource_data": { "n": 0.10 } ,"patch":{"a" : null},"deleted":false,"actor": {"name":"x"} ,"timestamp":"2026-01-15T10:30:00Z","more":1"#,
    );
    assert_eq!(commit.key, ResourceKey::new("issue", "123").expect("a key"));
    assert_eq!(commit.schema.as_deref(), Some("http://localhost:8000/schemas/Issue"));
    assert_eq!(commit.data, Some(r#"{ "n": 0.10 }"#));
    assert_eq!(commit.patch, Some(r#"{"a" : null}"#));
    assert!(!commit.deleted);
    assert_eq!(commit.actor, Some(r#"{"name":"x"}"#));
    assert_eq!(commit.timestamp.as_deref(), Some("2026-01-15T10:30:00Z"));
}

#[test]
fn null_is_absent_where_only_text_makes_sense_and_a_value_where_any_does() {
    let commit = commit(
        r#""resource_id":"1","resource_data":null,"schema":null,"actor":null,"timestamp":null"#,
    );
    assert_eq!((commit.schema, commit.actor, commit.timestamp), (None, None, None));
    assert_eq!((commit.data, commit.patch, commit.deleted), (Some("null"), None, false));
    assert_eq!(applied(r#""resource_id":"1","resource_data":null"#, None), document("null"));
    assert_eq!(applied(r#""resource_id":"1","patch":null"#, Some("{}")), document("null"));
}

#[test]
fn of_a_member_that_stands_twice_the_last_one_counts() {
    let commit =
        commit(r#""resource_id":"1","resource_data":1,"resource_\u0069d":"2","resource_data":2"#);
    assert_eq!((commit.key.id(), commit.data), ("2", Some("2")));
}

#[test]
fn the_type_comes_from_the_schema_else_the_subject_else_is_unknown() {
    let key = |schema: &str, subject: Option<&str>| {
        let data = format!(r#"{{"resource_id":"7","deleted":true,"schema":{schema}}}"#);
        let mut event = event(&data).into_owned();
        event.subject = subject.map(|subject| subject.to_owned().into());
        Commit::of(&event).expect("a commit").expect("its type").key.into_owned().to_string()
    };
    for (schema, subject, expected) in [
        (r#""https://example.com/schemas/Issue""#, Some("task/1"), "issue/7"),
        (r#""https://example.com/schemas/Issue/?v=1/x#/y""#, None, "issue/7"),
        (r#""Issue""#, None, "issue/7"),
        (r#""schemas/Ärende""#, None, "ärende/7"),
        (r#""https://example.com""#, Some("task/1"), "task/7"),
        (r##""#/Issue""##, Some("Task/1"), "Task/7"),
        (r#""""#, Some("task"), "task/7"),
        ("null", Some("task/1/2"), "task/7"),
        ("null", Some("/task"), "unknown/7"),
        ("null", None, "unknown/7"),
    ] {
        assert_eq!(key(schema, subject), expected, "{schema} {subject:?}");
    }
}

#[test]
fn the_name_of_a_schema_is_its_last_segment_as_written() {
    for (schema, name) in [
        ("http://localhost:8000/schemas/Issue", Some("Issue")),
        ("https://user@example.com:1/a//Issue//", Some("Issue")),
        ("//example.com/Issue", Some("Issue")),
        ("//example.com", None),
        ("urn:example:Issue", Some("example:Issue")),
        ("My%20Issue?x", Some("My%20Issue")),
        ("1:Issue", Some("1:Issue")),
        ("https://example.com/?Issue", None),
        ("#Issue", None),
        ("///", None),
        ("", None),
    ] {
        assert_eq!(schema_name(schema), name, "{schema}");
    }
}

#[test]
fn commits_that_are_refused_say_where_and_what_to_do() {
    for (members, pointer, mentions) in [
        (r#""patch":{}"#, "/data/resource_id", "missing"),
        (r#""patch":{},"resource_id":null"#, "/data/resource_id", "not text; send a JSON string"),
        (r#""patch":{},"resource_id":12"#, "/data/resource_id", "not text"),
        (r#""patch":{},"resource_id":"""#, "/data/resource_id", "empty"),
        (r#""patch":{},"resource_id":"a\u0000""#, "/data/resource_id", "U+0000"),
        (r#""patch":{},"resource_id":"\ud800""#, "/data/resource_id", "surrogate"),
        (r#""resource_id":"1""#, "/data", "send resource_data, patch, or deleted"),
        (r#""resource_id":"1","deleted":false"#, "/data", "send resource_data, patch"),
        (r#""resource_id":"1","deleted":null"#, "/data/deleted", "send true"),
        (r#""resource_id":"1","deleted":"true""#, "/data/deleted", "neither true nor false"),
        (r#""resource_id":"1","patch":1,"schema":{}"#, "/data/schema", "schema is not text"),
        (r#""resource_id":"1","patch":1,"schema":"/a\u0000""#, "/data/schema", "U+0000"),
        (r#""resource_id":"1","patch":1,"timestamp":12"#, "/data/timestamp", "not text"),
    ] {
        assert_refused(&event(&format!("{{{members}}}")), pointer, mentions);
    }
}

#[test]
fn data_that_is_no_object_is_refused() {
    for data in [
        Data::None,
        Data::Json("[]".into()),
        Data::Json("null".into()),
        Data::Json("{\"resource_id\":\"1\",}".into()),
        Data::Text("{}".into()),
        Data::Bytes(b"{}".to_vec().into()),
    ] {
        assert_refused(&event("{}").with_data(data), "/data", "a JSON object; send one");
    }
}

#[test]
fn types_and_ids_are_bounded() {
    let data = |id: usize, schema: usize| {
        let (id, schema) = ("é".repeat(id / 2) + &"x".repeat(id % 2), "S".repeat(schema));
        format!(r#"{{"resource_id":"{id}","schema":"/{schema}","patch":1}}"#)
    };
    assert!(Commit::of(&event(&data(1_024, 255))).is_ok());
    assert_refused(&event(&data(1_025, 1)), "/data/resource_id", "1025 bytes and may take 1024");
    assert_refused(&event(&data(1, 256)), "/data/schema", "256 bytes and may take 255");
    let long = event(r#"{"resource_id":"1","patch":1}"#).with_subject("s".repeat(256) + "/1");
    assert_refused(&long, "/subject", "shorten it");
}

#[test]
fn keys_are_split_at_the_first_slash() {
    let key = ResourceKey::from_text("issue/a/b").expect("a key");
    assert_eq!((key.ty(), key.id(), key.to_string().as_str()), ("issue", "a/b", "issue/a/b"));
    assert_eq!(
        ResourceKey::from_text("issue//").map(|key| key.id().to_owned()).as_deref(),
        Some("/")
    );
    for text in ["", "issue", "issue/", "/1"] {
        assert_eq!(ResourceKey::from_text(text), None, "{text}");
    }
    assert!(ResourceKey::new("a/b", "1").is_none());
}

#[test]
fn data_replaces_then_the_patch_merges_then_deleted_removes() {
    let id = r#""resource_id":"1""#;
    let with = |members: &str| format!("{id},{members}");
    let data = with(r#""resource_data": { "a" : 0.10, "b c": [ 1 ] }"#);
    for before in [None, Some("{\"x\":1}"), Some("not JSON")] {
        assert_eq!(applied(&data, before), document(r#"{"a":0.10,"b c":[1]}"#));
    }
    let patch = with(r#""patch":{"a":null,"z":{"y":1,"n":null}}"#);
    assert_eq!(applied(&patch, Some(r#"{"a":1,"b": 2.0}"#)), document(r#"{"b":2.0,"z":{"y":1}}"#));
    assert_eq!(applied(&patch, Some("[1]")), document(r#"{"z":{"y":1}}"#));
    let both = format!("{data},{}", r#""patch":{"a":null}"#);
    assert_eq!(applied(&both, None), document(r#"{"b c":[1]}"#));
    for members in [with(r#""deleted":true"#), format!("{both},\"deleted\":true")] {
        assert_eq!(applied(&members, None), Ok(CommitOutcome::Deleted));
        assert_eq!(applied(&members, Some("{}")), Ok(CommitOutcome::Deleted));
    }
}

#[test]
fn a_patch_of_nothing_changes_nothing() {
    for members in [r#""patch":{"a":1}"#, r#""patch":{"a":1},"deleted":true"#] {
        let members = format!("\"resource_id\":\"1\",{members}");
        assert_eq!(applied(&members, None), Err(Inapplicable::Missing));
    }
    let damaged = applied(r#""resource_id":"1","patch":{}"#, Some("{\"a\":"));
    let error = damaged.expect_err("no JSON");
    assert_eq!(error.to_string(), "not JSON at byte 5: expected a value; run annal verify");
}

#[test]
fn what_cannot_be_decoded_is_carried_along() {
    let data = r#""resource_id":"1","resource_data":{"\ud800":"\udfff","a":1}"#;
    assert_eq!(applied(data, None), document(r#"{"\ud800":"\udfff","a":1}"#));
    let patch = r#""resource_id":"1","patch":{"a":"\ud800","\uD800":"x"}"#;
    assert_eq!(
        applied(patch, Some(r#"{"\ud800":"\udfff","a":1}"#)),
        document(r#"{"\ud800":"x","a":"\ud800"}"#)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A document that is only replaced keeps all but its white space, read as a tree or not.
    #[test]
    fn replacing_keeps_all_but_white_space(
        data in compact(),
        spaces in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let text = format!(r#"{{"resource_id":"1","resource_data":{}}}"#, spaced(&data, &spaces));
        let event = event(&text);
        let commit = Commit::of(&event).expect("a commit").expect("its type");
        prop_assert_eq!(commit.apply(None), document(&data));
    }

    /// What a merge gives is what a tree would give, and is a document for the next commit.
    #[test]
    fn folding_is_merging(first in compact(), patches in prop::collection::vec(compact(), 0..4)) {
        let mut text = first.clone();
        let mut json = Json::parse(&first).expect("JSON");
        for patch in &patches {
            json.merge(Json::parse(patch).expect("JSON"));
            let data = format!(r#"{{"resource_id":"1","patch":{patch}}}"#);
            let event = event(&data);
            let commit = Commit::of(&event).expect("a commit").expect("its type");
            let Ok(CommitOutcome::Document(after)) = commit.apply(Some(&text)) else {
                return Err(TestCaseError::fail("no document"));
            };
            text = after;
            prop_assert_eq!(&text, &json.to_string());
        }
    }

    #[test]
    fn any_data_is_a_commit_or_refused(data: String, document: Option<String>) {
        let members = [r#""resource_id":"1","patch":"#, r#""resource_id":"1","resource_data":"#, ""];
        for data in members.map(|members| format!("{{{members}{data}}}")) {
            let event = event(&data);
            if let Ok(Some(commit)) = Commit::of(&event) {
                let _ = commit.apply(document.as_deref());
                let key = commit.key.to_string();
                prop_assert_eq!(ResourceKey::from_text(&key), Some(commit.key));
            }
        }
    }
}
