//! Documents, commits and ids at the edge of what is taken.

use super::{commit, get, merge, put, schema};
use crate::fixture::Served;

#[test]
fn a_path_leads_to_the_resource() {
    let served = Served::new();
    for name in ["y%2Fhistory", "y%2F..", "y%2F.", "..%2Fy", ".%2Fhistory", "y/a%2Fhistory"] {
        let made = put(&served, name, "{\"a\":1}", "");
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/resources/{name}");
        assert_eq!(made.header("location"), Some(path.as_str()));
        let found = served.send(&format!("GET {path}"));
        assert_eq!(
            (found.text().as_str(), found.header("content-location")),
            ("{\"a\":1}", Some(path.as_str()))
        );
        let history = served.send(&format!("GET {path}/history"));
        assert_eq!(history.json().as_array().map(Vec::len), Some(1), "{path}");
    }
}

#[test]
fn a_commit_does_not_lose_its_document() {
    let served = Served::new();
    put(&served, "issue/1", "{\"a\":1}", "");
    for with in [r#""resource_data":{"b":2}"#, r#""patch":{"b":2}"#, r#""resource_data":null"#] {
        let refused = commit(&served, &format!(r#"{{"resource_id":"1","deleted":true,{with}}}"#));
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid-commit"), "{with}");
        let (detail, json) = (refused.json()["detail"].to_string(), refused.json());
        assert!(detail.contains("leave out deleted"), "{detail}");
        assert_eq!(json["pointer"], "/data/deleted");
        assert_eq!(get(&served, "issue/1").text(), "{\"a\":1}");
    }
    let kept = commit(&served, r#"{"resource_id":"1","deleted":false,"patch":{"b":2}}"#);
    assert_eq!(kept.status, 201, "{}", kept.text());
    assert_eq!(commit(&served, r#"{"resource_id":"1","deleted":true}"#).status, 201);
    let gone = get(&served, "issue/1");
    assert_eq!(gone.code(), "resource-deleted");
    assert!(gone.json()["detail"].to_string().contains("?at="), "{}", gone.text());
}

#[test]
fn a_reference_is_an_id() {
    let served = Served::new();
    assert_eq!(put(&served, "squad/7", "{}", "").status, 201);
    let old = put(&served, "issue/old", r#"{"team":7,"n":1}"#, "");
    assert_eq!(old.status, 201);
    assert_eq!(schema(&served, "Issue", r#"{"x-references":{"team":"squad"}}"#).status, 201);
    for team in
        ["7", "0.5", "true", "{\"id\":\"7\"}", "\"\"", "[\"7\",7]", "[\"7\",\"\"]", "[null]"]
    {
        let refused = put(&served, "issue/1", &format!("{{\"team\":{team}}}"), "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "constraint-violation"),
            "{team}"
        );
        let json = refused.json();
        assert_eq!(json["member"], "team");
        assert!(json["detail"].to_string().contains("resource_id, an array of them, or null"));
    }
    for document in
        ["{\"team\":\"7\"}", "{\"team\":[\"7\"]}", "{\"team\":[]}", "{\"team\":null}", "{}"]
    {
        let taken = put(&served, "issue/1", document, "");
        assert!(taken.status < 300, "{document}: {}", taken.text());
    }
    assert_eq!(merge(&served, "issue/old", r#"{"n":2}"#, "").status, 200, "it was so before");
    assert_eq!(merge(&served, "issue/old", r#"{"team":8}"#, "").status, 409);
}

#[test]
fn what_breaks_a_schema_is_told_briefly() {
    let served = Served::new();
    let all: Vec<String> = (1..60).map(|n| format!("{{\"maxItems\":{n}}}")).collect();
    schema(&served, "Issue", &format!("{{\"allOf\":[{}]}}", all.join(",")));
    let document = format!("[\"{}\"{}]", "x".repeat(900_000), ",1".repeat(60));
    let refused = put(&served, "issue/1", &document, "");
    assert_eq!((refused.status, refused.code().as_str()), (422, "schema-violation"));
    assert!(refused.body.len() < 20_000, "{} bytes", refused.body.len());
}
