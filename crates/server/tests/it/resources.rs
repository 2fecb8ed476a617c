//! Documents over HTTP: written as events, read as they are and were.

mod edges;

use std::{sync::Arc, thread};

use crate::{
    client::{Answer, Client},
    fixture::Served,
};

fn put(served: &Served, name: &str, document: &str, headers: &str) -> Answer {
    served.send(&format!(
        "PUT /resources/{name}\ncontent-type: application/json\n{headers}\n{document}"
    ))
}

fn merge(served: &Served, name: &str, patch: &str, headers: &str) -> Answer {
    served.send(&format!(
        "PATCH /resources/{name}\ncontent-type: application/merge-patch+json\n{headers}\n{patch}"
    ))
}

fn patch(served: &Served, name: &str, patch: &str) -> Answer {
    served.send(&format!(
        "PATCH /resources/{name}\ncontent-type: application/json-patch+json\n\n{patch}"
    ))
}

fn commit(served: &Served, data: &str) -> Answer {
    served.send(&format!(
        "POST /events\ncontent-type: application/json\n\n\
         {{\"source\":\"/app\",\"type\":\"json.commit\",\"subject\":\"issue/x\",\"data\":{data}}}"
    ))
}

fn get(served: &Served, path: &str) -> Answer {
    served.send(&format!("GET /resources/{path}"))
}

#[test]
fn a_document_lives_and_dies_as_events() {
    let served = Served::new();
    served.check(
        "PUT /resources/issue/123\ncontent-type: application/json\n\n\
         { \"title\": \"Login broken\", \"n\": 0.10, \"big\": 12345678901234567890 }",
        "201\n\
         content-type: application/json\n\
         etag: \"1\"\n\
         location: /resources/issue/123\n\n\
         {\"id\":\"issue-123\",\"resource_type\":\"issue\",\"resource_id\":\"123\",\
         \"subject\":\"issue/123\",\"revision\":\"1\"}",
    );
    let found = get(&served, "issue/123");
    assert_eq!(found.text(), r#"{"title":"Login broken","n":0.10,"big":12345678901234567890}"#);
    assert_eq!(found.header("etag"), Some("\"1\""));
    assert_eq!(found.header("content-location"), Some("/resources/issue/123"));
    assert!(found.header("last-modified").is_some_and(|date| date.ends_with(" GMT")));
    let patched = merge(&served, "issue-123", r#"{"n":null,"who":{"name":"Ann"}}"#, "");
    assert_eq!((patched.status, patched.header("etag")), (200, Some("\"2\"")));
    let operations = r#"[{"op":"test","path":"/who/name","value":"Ann"},
        {"op":"replace","path":"/title","value":"Login mended"}]"#;
    assert_eq!(patch(&served, "123", operations).status, 200);
    let mended = r#"{"title":"Login mended","big":12345678901234567890,"who":{"name":"Ann"}}"#;
    assert_eq!(get(&served, "123").text(), mended);
    let gone = served.send("DELETE /resources/issue/123");
    assert_eq!((gone.status, gone.header("etag"), gone.text().as_str()), (204, Some("\"4\""), ""));
    assert_eq!(get(&served, "issue/123").code(), "resource-deleted");
    assert_eq!(served.send("DELETE /resources/issue/123").status, 410);
    assert_eq!(get(&served, "issue/123?at=3").text(), mended);
    assert_eq!(get(&served, "issue/123?at=4").status, 410);
    assert_eq!(get(&served, "issue/123?at=0").status, 404);
    assert_eq!(get(&served, "issue/123?at=2100-01-01T00:00:00Z").status, 410);
    assert_eq!(get(&served, "issue/123?at=2000-01-01T00:00:00Z").status, 404);
    assert_eq!(put(&served, "issue/123", "[1]", "").status, 201, "it may come back");
    let events = served.send("GET /events?subject=issue/123").json();
    let types: Vec<_> =
        events["events"].as_array().expect("events").iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["json.commit"; 5]);
}

#[test]
fn history_says_what_changed() {
    let served = Served::new();
    put(&served, "issue/1", "{\"a\":1}", "");
    commit(&served, r#"{"resource_id":"1","patch":{"b":2},"actor":{"id":"u7"}}"#);
    served.send("DELETE /resources/issue/1");
    let history = get(&served, "issue/1/history").json();
    let changes = history.as_array().expect("changes");
    assert_eq!(changes.len(), 3);
    assert_eq!(
        (&changes[0]["patch"], &changes[0]["document"]["a"]),
        (&serde_json::Value::Null, &1.into())
    );
    assert_eq!(changes[1]["patch"], serde_json::json!({"b":2}));
    assert_eq!(changes[1]["document"], serde_json::json!({"a":1,"b":2}));
    assert_eq!((&changes[1]["actor"]["id"], &changes[1]["position"]), (&"u7".into(), &"2".into()));
    assert_eq!(changes[2]["document"], serde_json::Value::Null);
    let part = get(&served, "issue/1/history?limit=1&after=1");
    assert_eq!(part.json().as_array().map(Vec::len), Some(1));
    assert_eq!(
        part.header("link"),
        Some("</resources/issue/1/history?limit=1&after=2>; rel=\"next\"")
    );
}

#[test]
fn conditions_speak_of_the_revision() {
    let served = Served::new();
    let refused = put(&served, "issue/1", "1", "if-match: \"7\"\n");
    assert_eq!((refused.status, refused.code().as_str()), (412, "precondition-failed"));
    assert_eq!(put(&served, "issue/1", "1", "if-none-match: *\n").status, 201);
    let there = put(&served, "issue/1", "2", "if-none-match: *\n");
    assert_eq!((there.status, &there.json()["actual"]["revision"]), (412, &"1".into()));
    assert_eq!(put(&served, "issue/1", "2", "if-match: \"1\"\n").status, 200);
    assert_eq!(merge(&served, "issue/1", "3", "if-match: \"1\"\n").status, 412);
    let old = served.send("DELETE /resources/issue/1\nif-match: \"1\"");
    assert_eq!(old.status, 412);
    assert_eq!(put(&served, "issue/1", "3", "if-match: W/\"2\"\n").status, 412, "a weak tag");
    assert_eq!(merge(&served, "issue/1", "3", "if-match: W/\"2\"\n").status, 412);
    assert_eq!(served.send("DELETE /resources/issue/1\nif-match: W/\"2\"").status, 412);
    let known = served.send("GET /resources/issue/1\nif-none-match: W/\"2\"");
    assert_eq!((known.status, known.text().as_str()), (304, ""));
    let changed = known.header("last-modified").expect("a date").to_owned();
    let since = |date: &str| {
        served.send(&format!("GET /resources/issue/1\nif-modified-since: {date}")).status
    };
    assert_eq!((since(&changed), since("Thu, 01 Jan 1970 00:00:00 GMT")), (304, 200));
    let precondition = |revision: &str| {
        served.send(&format!(
            "POST /events\ncontent-type: application/json\n\n{{\"events\":[{{\"source\":\"a\",\
             \"type\":\"t\"}}],\"preconditions\":[{{\"resource\":\"issue/1\",\"revision\":{revision}}}]}}"
        ))
    };
    assert_eq!(precondition("\"2\"").status, 201);
    let failed = precondition("null").json();
    assert_eq!(failed["failed"][0]["actual"], serde_json::json!({"revision":"2"}));
    assert_eq!(
        served
            .send("PUT /resources/issue/1\ncontent-type: application/json\nif-match: 1\n\n1")
            .status,
        400
    );
}

#[test]
fn increments_by_many_are_all_there() {
    const CLIENTS: usize = 8;
    const EACH: usize = 25;
    let served = Arc::new(Served::new());
    put(&served, "counter/c", "{\"n\":0}", "");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let served = Arc::clone(&served);
            thread::spawn(move || {
                for _ in 0..EACH {
                    loop {
                        let found = get(&served, "counter/c");
                        let n = found.json()["n"].as_u64().expect("a number") + 1;
                        let etag = found.header("etag").expect("an ETag").to_owned();
                        let answer = put(
                            &served,
                            "counter/c",
                            &format!("{{\"n\":{n}}}"),
                            &format!("if-match: {etag}\n"),
                        );
                        match answer.status {
                            200 => break,
                            412 => {}
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    assert_eq!(get(&served, "counter/c").json()["n"], CLIENTS * EACH);
}

#[test]
fn what_cannot_be_applied_is_not_stored() {
    let served = Served::new();
    for data in [
        r#"{"resource_id":"1","patch":{}}"#,
        r#"{"patch":{}}"#,
        r#"{"resource_id":"1"}"#,
        r#"{"resource_id":7,"resource_data":1}"#,
        "[]",
    ] {
        let refused = commit(&served, data);
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid-commit"), "{data}");
    }
    assert_eq!(served.send("GET /events").json()["head"], "0");
    assert_eq!(merge(&served, "issue/1", "{}", "").code(), "resource-not-found");
    assert_eq!(put(&served, "plain", "1", "").code(), "resource-not-found");
    put(&served, "issue/1", "{\"a\":[1]}", "");
    let failed = patch(
        &served,
        "issue/1",
        r#"[{"op":"add","path":"/b","value":1},{"op":"remove","path":"/a/3"}]"#,
    );
    assert_eq!((failed.status, failed.code().as_str()), (409, "patch-failed"));
    assert_eq!(failed.json()["operation"], 1);
    assert_eq!(patch(&served, "issue/1", r#"[{"op":"move","path":"/a"}]"#).code(), "invalid-patch");
    assert_eq!(merge(&served, "issue/1", "{", "").code(), "invalid-patch");
    assert_eq!(put(&served, "issue/1", "{", "").code(), "malformed-body");
    let wrong = served.send("PATCH /resources/issue/1\ncontent-type: text/plain\n\nx");
    assert_eq!(wrong.code(), "unsupported-media-type");
    let taken = "application/merge-patch+json, application/json-patch+json";
    assert_eq!(wrong.header("accept-patch"), Some(taken));
    assert_eq!(get(&served, "issue/1").text(), "{\"a\":[1]}");
    let lines = "POST /events\ncontent-type: application/x-ndjson\n\n\
        {\"source\":\"a\",\"type\":\"json.commit\",\"id\":\"1\",\"subject\":\"note/1\",\"data\":{\"resource_id\":\"n\",\"resource_data\":1}}\n\
        {\"source\":\"a\",\"type\":\"json.commit\",\"id\":\"2\",\"subject\":\"note/2\",\"data\":{\"resource_id\":\"m\",\"patch\":1}}\n";
    let refused = served.send(lines).json();
    assert_eq!(
        (&refused["code"], &refused["line"], &refused["stored"]),
        (&"invalid-commit".into(), &2.into(), &1.into())
    );
}

#[test]
fn one_name_may_stand_for_several() {
    let served = Served::new();
    put(&served, "issue/7", "1", "");
    put(&served, "task/7", "2", "");
    put(&served, "a-b/c", "3", "");
    let several = get(&served, "7");
    assert_eq!(several.status, 300);
    assert_eq!(several.json()["candidates"][1]["href"], "/resources/task/7");
    assert_eq!(get(&served, "task-7").text(), "2");
    assert_eq!(get(&served, "a-b-c").text(), "3");
    assert_eq!(get(&served, "a-b%2Fc").text(), "3");
    put(&served, "folder/invoice/7", "1", "");
    assert_eq!(get(&served, "invoice/7").text(), "1", "read by its id");
    assert_eq!(served.send("DELETE /resources/invoice/7").status, 404, "written as type/id only");
    assert_eq!(put(&served, "invoice/7", "2", "").status, 201);
    assert_eq!(get(&served, "folder/invoice/7").text(), "1");
    served.send("DELETE /resources/folder/invoice/7");
    served.send("DELETE /resources/invoice/7");
    let unclear = served.send(
        "POST /events\ncontent-type: application/json\n\n{\"events\":[{\"source\":\"a\",\"type\":\"t\"}],\
         \"preconditions\":[{\"resource\":\"7\",\"revision\":null}]}",
    );
    assert_eq!((unclear.status, unclear.code().as_str()), (422, "unsupported-precondition"));
    served.send("DELETE /resources/issue/7");
    assert_eq!(get(&served, "7").text(), "2", "one is left");
    assert_eq!(get(&served, "nothing").code(), "resource-not-found");
}

#[test]
fn lists_are_filtered_sorted_and_read_in_parts() {
    let served = Served::new();
    for (n, status) in [(3, "open"), (1, "done"), (2, "open"), (10, "open")] {
        let document = format!(
            "{{\"n\":{n},\"status\":\"{status}\",\"tags\":[\"t{n}\"],\"by\":{{\"who\":{n}}}}}"
        );
        put(&served, &format!("issue/{n}"), &document, "");
    }
    put(&served, "note/1", "{\"n\":5}", "");
    put(&served, "issue/0", "{\"n\":0}", "");
    served.send("DELETE /resources/issue/0");
    let list = |query: &str| {
        let answer = served.send(&format!("GET /resources?{query}"));
        let ids: Vec<_> = answer
            .json()
            .as_array()
            .expect("a list")
            .iter()
            .map(|resource| resource["resource_id"].as_str().expect("an id").to_owned())
            .collect();
        (ids.join(" "), answer.header("x-total-count").expect("a total").to_owned())
    };
    let is = |query: &str, ids: &str, total: &str| {
        assert_eq!(list(query), (ids.to_owned(), total.to_owned()), "{query}");
    };
    is("", "1 10 2 3 1", "5");
    is("type=issue&limit=2", "1 10", "4");
    is("type=issue&limit=2&offset=3", "3", "4");
    is("type=issue&filter[status]=open", "10 2 3", "3");
    is("filter[status]=open&filter[n]=2", "2", "1");
    is("filter[tags]=t10", "10", "1");
    is("filter[by.who]=3&limit=1", "3", "1");
    is("sort=n", "1 2 3 1 10", "5");
    for sort in ["n:desc", "n,-m", "-n:ASC"] {
        let refused = served.send(&format!("GET /resources?sort={sort}"));
        assert_eq!((refused.status, &refused.json()["parameter"]), (400, &"sort".into()), "{sort}");
    }
    is("sort=-n&limit=2&offset=1", "1 3", "5");
    is("sort=-status&type=issue&limit=3", "10 2 3", "4");
    is("sort=-revision&limit=2", "1 10", "5");
    let first = served.send("GET /resources?type=issue&limit=2");
    let next = "</resources?type=issue&limit=2&after=issue%2F10>; rel=\"next\"";
    assert_eq!(first.header("link"), Some(next));
    is("type=issue&limit=2&after=issue%2F10", "2 3", "4");
    let item = &served.send("GET /resources?filter[n]=2").json()[0];
    assert_eq!(item["id"], "issue-2");
    assert_eq!(
        (&item["subject"], &item["revision"], &item["data"]["n"]),
        (&"issue/2".into(), &"3".into(), &2.into())
    );
    assert_eq!(served.send("GET /resources?after=x").code(), "invalid-parameter");
    assert_eq!(served.send("GET /resources?limit=0").code(), "invalid-parameter");
}

fn schema(served: &Served, name: &str, schema: &str) -> Answer {
    served.send(&format!("PUT /schemas/{name}\ncontent-type: application/json\n\n{schema}"))
}

#[test]
fn conditions_hold_for_schemas() {
    let served = Served::new();
    let put = |text: &str, condition: &str| {
        served.send(&format!(
            "PUT /schemas/Issue\ncontent-type: application/schema+json\n{condition}\n\n{text}"
        ))
    };
    let refused = put("{}", "if-match: \"7\"");
    assert_eq!((refused.status, refused.code().as_str()), (412, "precondition-failed"));
    assert_eq!(put("{}", "if-none-match: *").status, 201);
    let there = put("{\"type\":\"object\"}", "if-none-match: *");
    assert_eq!((there.status, &there.json()["actual"]["revision"]), (412, &"1".into()));
    assert_eq!(put("{}", "if-match: \"7\"").status, 412, "though nothing would change");
    let changed = put("{\"type\":\"object\"}", "if-match: \"1\"");
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(served.send("GET /schemas/Issue\nif-none-match: \"2\"").status, 304);
    assert_eq!(served.send("DELETE /schemas/Issue\nif-match: \"1\"").status, 412);
    assert_eq!(served.send("DELETE /schemas/issue\nif-match: \"2\"").status, 204);
    assert_eq!(put("{}", "if-match: \"2\"").status, 412, "it is gone");
    assert_eq!(put("{}", "if-none-match: *").status, 201, "it may come back");
}

#[test]
fn of_many_who_change_one_schema_each_one_knows_what_it_changes() {
    const CLIENTS: usize = 4;
    const EACH: usize = 10;
    let served = Arc::new(Served::new());
    served.send("PUT /schemas/Counter\n\n{\"n\":0}");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let served = Arc::clone(&served);
            thread::spawn(move || {
                let increment = || {
                    let found = served.send("GET /schemas/Counter");
                    let n = found.json()["n"].as_u64().expect("a number") + 1;
                    let etag = found.header("etag").expect("an ETag").to_owned();
                    served
                        .send(&format!("PUT /schemas/Counter\nif-match: {etag}\n\n{{\"n\":{n}}}"))
                        .status
                };
                (0..EACH).for_each(|_| while increment() != 200 {});
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    assert_eq!(served.send("GET /schemas/Counter").json()["n"], CLIENTS * EACH);
}

#[test]
fn documents_are_held_to_their_schema() {
    let served = Served::new();
    let registered = schema(
        &served,
        "Issue",
        r#"{"x-formats":true,"required":["title"],"properties":{"email":{"format":"email"}}}"#,
    );
    assert_eq!((registered.status, registered.header("etag")), (201, Some("\"1\"")));
    assert_eq!(registered.json()["url"], "http://localhost:8000/schemas/Issue");
    let refused = put(&served, "issue/1", r#"{"email":"nobody"}"#, "");
    assert_eq!((refused.status, refused.code().as_str()), (422, "schema-violation"));
    let errors = refused.json()["errors"].clone();
    assert_eq!((&errors[0]["pointer"], &errors[1]["pointer"]), (&"".into(), &"/email".into()));
    assert!(errors[0]["message"].as_str().expect("a message").contains("title"));
    assert_eq!(put(&served, "issue/1", r#"{"title":"x"}"#, "").status, 201);
    assert_eq!(merge(&served, "issue/1", r#"{"title":null}"#, "").code(), "schema-violation");
    let named = commit(
        &served,
        r#"{"schema":"https://elsewhere/schemas/Issue","resource_id":"2","resource_data":{}}"#,
    );
    assert_eq!(named.code(), "schema-violation");
    assert_eq!(put(&served, "note/1", "{}", "").status, 201, "an unregistered name is accepted");
    served.check(
        "GET /schemas/Issue",
        "200\ncontent-type: application/schema+json\netag: \"1\"\n\n\
         {\"x-formats\":true,\"required\":[\"title\"],\"properties\":{\"email\":{\"format\":\"email\"}}}",
    );
    assert_eq!(served.send("GET /schemas").json()[0]["name"], "Issue");
    let again = schema(
        &served,
        "Issue",
        r#"{"x-formats":true,"required":["title"],"properties":{"email":{"format":"email"}}}"#,
    );
    assert_eq!((again.status, again.header("etag")), (200, Some("\"1\"")), "nothing changed");
    assert_eq!(served.send("DELETE /schemas/Issue").status, 204);
    assert_eq!(served.send("DELETE /schemas/Issue").code(), "schema-not-found");
    assert_eq!(put(&served, "issue/1", "{}", "").status, 200);
    let invalid = schema(&served, "Issue", r#"{"properties":{"a":{"type":"nothing"}}}"#);
    assert_eq!((invalid.status, invalid.code().as_str()), (422, "invalid-schema"));
    assert_eq!(invalid.json()["errors"][0]["pointer"], "/properties/a/type");
    let dialect = schema(&served, "Issue", r#"{"$schema":"https://example.com/mine"}"#);
    assert_eq!(dialect.json()["errors"][0]["pointer"], "/$schema");
    let remote = schema(&served, "Issue", r#"{"$ref":"http://127.0.0.1:9/x"}"#);
    assert_eq!(remote.code(), "invalid-schema");
    assert_eq!(schema(&served, "-x", "{}").code(), "invalid-parameter");
}

#[test]
fn capitals_do_not_escape_a_schema() {
    let served = Served::new();
    assert_eq!(put(&served, "TASK/0", r#"{"title":"zero"}"#, "").status, 201);
    let registered = schema(&served, "Task", r#"{"required":["title"],"x-unique":["title"]}"#);
    assert_eq!(registered.status, 201);
    for id in ["task/1", "Task/1", "TASK/1"] {
        assert_eq!(put(&served, id, "{}", "").code(), "schema-violation", "{id}");
        let taken = put(&served, id, r#"{"title":"zero"}"#, "");
        assert_eq!((taken.status, taken.code().as_str()), (409, "constraint-violation"), "{id}");
        let title = format!(r#"{{"title":"{id}"}}"#);
        assert_eq!(put(&served, id, &title, "").status, 201, "{id}");
    }
    assert_eq!(put(&served, "task/2", r#"{"title":"TASK/1"}"#, "").code(), "constraint-violation");
    assert_eq!(merge(&served, "TASK/0", r#"{"title":"none"}"#, "").status, 200);
    assert_eq!(put(&served, "task/2", r#"{"title":"zero"}"#, "").status, 201, "it is free again");
}

#[test]
fn unknown_schemas_can_be_forbidden() {
    let options = annal_engine::EngineOptions { require_schemas: true, ..Default::default() };
    let served = Served::with(annal_server::ServerOptions::default(), options);
    assert_eq!(put(&served, "issue/1", "{}", "").code(), "unknown-schema");
    schema(&served, "Issue", "{}");
    assert_eq!(put(&served, "issue/1", "{}", "").status, 201);
}

#[test]
fn a_document_grows_no_longer_than_an_event() {
    let mut options = annal_engine::EngineOptions::default();
    options.limits.event_bytes_max = 1_000;
    let served = Served::with(annal_server::ServerOptions::default(), options);
    put(&served, "note/1", "{}", "");
    let grow = |member: &str| {
        let patch = format!("{{\"{member}\":\"{}\"}}", "x".repeat(400));
        merge(&served, "note/1", &patch, "")
    };
    assert_eq!((grow("a").status, grow("b").status), (200, 200));
    let refused = grow("c");
    assert_eq!((refused.status, refused.code().as_str()), (413, "document-too-large"));
    assert_eq!(merge(&served, "note/1", "{\"a\":null}", "").status, 200);
    assert_eq!(grow("c").status, 200, "there is room again");
}

#[test]
fn unique_values_and_references_hold() {
    let served = Served::new();
    schema(&served, "User", r#"{"x-unique":["email"]}"#);
    assert_eq!(schema(&served, "USER", "{}").code(), "invalid-parameter", "User is there");
    schema(&served, "Issue", r#"{"x-references":{"author":"user","watchers":"user"}}"#);
    put(&served, "user/ann", r#"{"email":"a@x"}"#, "");
    let taken = put(&served, "user/bob", r#"{"email":"a@x"}"#, "");
    assert_eq!((taken.status, taken.code().as_str()), (409, "constraint-violation"));
    assert_eq!(
        (&taken.json()["member"], &taken.json()["resource"]),
        (&"email".into(), &"user/ann".into())
    );
    assert_eq!(put(&served, "user/bob", r#"{"email":"b@x"}"#, "").status, 201);
    assert_eq!(merge(&served, "user/ann", r#"{"email":"c@x"}"#, "").status, 200);
    assert_eq!(
        merge(&served, "user/bob", r#"{"email":"a@x"}"#, "").status,
        200,
        "it is free again"
    );
    let escaped = put(&served, "user/eve", r#"{"email":"\u0061@x"}"#, "");
    assert_eq!(escaped.code(), "constraint-violation", "the same text, written otherwise");
    assert_eq!(put(&served, "issue/1", r#"{"author":"eve"}"#, "").code(), "constraint-violation");
    assert_eq!(put(&served, "issue/1", r#"{"author":"ann","watchers":["bob"]}"#, "").status, 201);
    let kept = served.send("DELETE /resources/user/bob");
    assert_eq!((kept.status, &kept.json()["resource"]), (409, &"issue/1".into()));
    assert_eq!(merge(&served, "issue/1", r#"{"watchers":[]}"#, "").status, 200);
    assert_eq!(served.send("DELETE /resources/user/bob").status, 204);
    assert_eq!(served.send("DELETE /resources/user/ann").status, 409);
    assert_eq!(served.send("DELETE /resources/user/ann?force=true").status, 204);
    let other = merge(&served, "issue/1", r#"{"title":"still about somebody"}"#, "");
    assert_eq!(other.status, 200, "what was so before may stay");
    let two = schema(&served, "Issue", r#"{"x-unique":["n"]}"#);
    assert_eq!(two.status, 200);
    put(&served, "issue/2", r#"{"n":1}"#, "");
    assert_eq!(put(&served, "issue/3", r#"{"n":1}"#, "").status, 409);
    served.send("DELETE /schemas/Issue");
    put(&served, "issue/3", r#"{"n":1}"#, "");
    let late = schema(&served, "Issue", r#"{"x-unique":["n"]}"#);
    assert_eq!(late.code(), "constraint-violation", "two have the same already");
}

#[test]
fn a_deletion_by_subject_keeps_what_others_refer_to() {
    let served = Served::new();
    schema(&served, "Issue", r#"{"x-references":{"author":"user"}}"#);
    for user in ["ann", "bob", "eve"] {
        put(&served, &format!("user/{user}"), "{}", "");
    }
    put(&served, "issue/1", r#"{"author":"ann"}"#, "");
    merge(&served, "user/ann", r#"{"n":2}"#, "");
    put(&served, "issue/2", r#"{"author":"eve"}"#, "");
    let delete = |query: &str| served.send(&format!("POST /subjects/delete?{query}"));
    let head = served.engine().head();
    for query in ["subject=user/ann", "subject=user&recursive=true"] {
        let kept = delete(query);
        assert_eq!((kept.status, kept.code().as_str()), (409, "constraint-violation"), "{query}");
        let problem = kept.json();
        assert_eq!(
            (&problem["resource"], &problem["member"]),
            (&"issue/1".into(), &"author".into())
        );
    }
    let rest = "POST /subjects/delete\n\n{\"subject\":\"user/ann\"}";
    assert_eq!(Client::connect(served.rest).send(rest).code(), "constraint-violation");
    assert_eq!(served.engine().head(), head, "nothing was stored");
    assert_eq!(get(&served, "user/ann").text(), r#"{"n":2}"#);
    let later = served.send("GET /resources/user/ann/history").json()[1]["position"].clone();
    let later = later.as_str().expect("a position");
    assert_eq!(delete(&format!("subject=user/ann&from_id={later}")).status, 200);
    assert_eq!(get(&served, "user/ann").text(), "{}", "it is still there to be referred to");
    assert_eq!(delete("subject=user/bob").json()["deleted"], 1, "nobody refers to it");
    assert_eq!(delete("subject=user/eve&force=true").json()["deleted"], 1);
    assert_eq!(get(&served, "user/eve").status, 404);
    assert_eq!(delete("subject=issue/1").json()["deleted"], 1);
    assert_eq!(delete("subject=user/ann").json()["deleted"], 1);
}

#[test]
fn of_two_that_break_a_constraint_at_once_one_wins() {
    let served = Arc::new(Served::new());
    schema(&served, "User", r#"{"x-unique":["email"]}"#);
    for round in 0..20 {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let served = Arc::clone(&served);
                let name = format!("user/{round}-{n}");
                let document = format!("{{\"email\":\"{round}\"}}");
                thread::spawn(move || put(&served, &name, &document, "").status)
            })
            .collect();
        let mut statuses: Vec<_> =
            writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
    }
}

#[test]
fn deleted_events_take_their_resources_along() {
    let served = Served::new();
    schema(&served, "Issue", r#"{"x-unique":["n"]}"#);
    put(&served, "issue/1", r#"{"n":1}"#, "");
    commit(&served, r#"{"resource_id":"2","resource_data":{"a":1}}"#);
    served.send(
        "POST /events\ncontent-type: application/json\n\n\
        {\"source\":\"/app\",\"type\":\"json.commit\",\"subject\":\"issue/y\",\
        \"data\":{\"resource_id\":\"2\",\"patch\":{\"b\":2}}}",
    );
    assert_eq!(served.send("POST /subjects/delete?subject=issue/1").json()["deleted"], 1);
    assert_eq!(get(&served, "issue/1").status, 404, "as if it had never been");
    assert_eq!(put(&served, "issue/9", r#"{"n":1}"#, "").status, 201, "its value is free");
    assert_eq!(served.send("POST /subjects/delete?subject=issue/y").json()["deleted"], 1);
    assert_eq!(get(&served, "issue/2").text(), r#"{"a":1}"#, "folded from what is left");
    assert_eq!(served.send("POST /subjects/delete?subject=issue/x").json()["deleted"], 1);
    assert_eq!(get(&served, "issue/2").status, 404);
    let list = served.send("GET /resources");
    assert_eq!(
        (list.header("x-total-count"), list.json().as_array().map(Vec::len)),
        (Some("1"), Some(1))
    );
}
