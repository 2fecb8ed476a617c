//! Topics over HTTP: made, changed, published to by every door, read.

use std::{collections::BTreeSet, sync::Arc, thread};

use annal_engine::EngineOptions;
use serde_json::{Value, json};

use crate::{client::Answer, fixture::Served};

const USERS: &str = r#"{"name":"user-events","schemas":[
    {"type":"user.created","$schema":"https://json-schema.org/draft/2020-12/schema",
     "x-formats":true,"required":["email"],"properties":{"email":{"type":"string","format":"email"}}},
    {"type":"user.deleted"}]}"#;

fn create(served: &Served, topic: &str) -> Answer {
    served.send(&format!("POST /topics\ncontent-type: application/json\n\n{topic}"))
}

fn change(served: &Served, path: &str, topic: &str) -> Answer {
    served.send(&format!("PUT /topics/{path}\ncontent-type: application/json\n\n{topic}"))
}

fn post(served: &Served, content_type: &str, body: &str) -> Answer {
    served.send(&format!("POST /events\ncontent-type: {content_type}\n\n{body}"))
}

/// Publishes events of a type with these payloads.
fn publish(served: &Served, topic: &str, ty: &str, payloads: &[&str]) -> Answer {
    let item =
        |payload: &&str| format!(r#"{{"topic":"{topic}","type":"{ty}","payload":{payload}}}"#);
    let items: Vec<String> = payloads.iter().map(item).collect();
    post(served, "application/json", &format!("[{}]", items.join(",")))
}

fn read(served: &Served, query: &str) -> Answer {
    served.send(&format!("GET /topics/user-events/events{query}"))
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = answer.json();
    let events = events.as_array().expect("an array");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

fn with_users() -> Served {
    let served = Served::new();
    let made = create(&served, USERS);
    assert_eq!((made.status, made.header("location")), (201, Some("/topics/user-events")));
    served
}

const GOOD: &str = r#"{ "email": "ann@example.com", "n": 0.10 }"#;

#[test]
fn conditions_hold_for_topics() {
    let served = with_users();
    let found = served.send("GET /topics/user-events");
    assert_eq!(found.header("etag"), Some("\"1\""));
    let change = |condition: &str| {
        served.send(&format!(
            "PUT /topics/user-events\ncontent-type: application/json\n{condition}\n\n\
             {{\"open\":true}}"
        ))
    };
    let refused = change("if-match: \"7\"");
    assert_eq!((refused.status, refused.code().as_str()), (412, "precondition-failed"));
    assert_eq!(refused.json()["actual"]["revision"], "1");
    assert_eq!(change("if-none-match: *").status, 412);
    let changed = change("if-match: \"1\"");
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(change("if-match: \"1\"").status, 412);
    assert_eq!(publish(&served, "user-events", "user.deleted", &["{}"]).status, 201);
    assert_eq!(change("if-match: \"2\"").status, 200, "its events are no part of it");
}

#[test]
fn a_topic_is_made_and_described() {
    let served = with_users();
    let topic = served.send("GET /topics/user-events").json();
    assert_eq!((&topic["name"], &topic["sequence"]), (&json!("user-events"), &json!(0)));
    let wanted: Value = serde_json::from_str(USERS).expect("JSON");
    assert_eq!(topic["schemas"], wanted["schemas"]);
    assert_eq!((&topic["retention"], &topic["open"]), (&json!({}), &json!(false)));
    assert_eq!(served.send("GET /topics").json(), json!([topic]));
    let again = create(&served, USERS);
    assert_eq!((again.status, again.code().as_str()), (409, "topic-exists"));
    assert_eq!(served.send("GET /topics/nothing").code(), "topic-not-found");
    assert_eq!(served.send("GET /topics/nothing/events").code(), "topic-not-found");
    assert_eq!(change(&served, "nothing", "{}").code(), "topic-not-found");
    let wrong_method = served.send("DELETE /topics/user-events");
    assert_eq!(wrong_method.header("allow"), Some("GET, HEAD, PUT, OPTIONS"));
}

#[test]
fn a_topic_that_cannot_be_is_refused() {
    let served = Served::new();
    for (topic, pointer) in [
        (r#"{"name":"a"}"#, "/schemas"),
        (r#"{"name":"a b","schemas":[]}"#, "/name"),
        (r#"{"name":"a","schemas":[{}]}"#, "/schemas/0/type"),
        (r#"{"name":"a","schemas":[],"retention":{"max_events":0}}"#, "/retention/max_events"),
    ] {
        let refused = create(&served, topic);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-topic"), "{topic}");
        assert_eq!(refused.json()["pointer"], pointer, "{topic}");
    }
    assert_eq!(create(&served, "{").code(), "malformed-body");
    let broken = r#"{"name":"a","schemas":[{"type":"x"},{"type":"y","minimum":"1"}]}"#;
    let refused = create(&served, broken);
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid-schema"));
    assert_eq!(refused.json()["pointer"], "/schemas/1");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/minimum");
    let within = r#"{"name":"a","schemas":[{"type":"x","schema":{"type":"object"}}]}"#;
    assert_eq!(create(&served, within).json()["errors"][0]["pointer"], "/schema");
    let remote = r#"{"name":"a","schemas":[{"type":"x","$ref":"http://127.0.0.1:1/s"}]}"#;
    assert_eq!(create(&served, remote).code(), "invalid-schema");
    for (own, pointer) in [
        (r#""x-unique":["a"]"#, "/x-unique"),
        (r#""x-references":{"a":"b"}"#, "/x-references"),
        (r#""items":{"x-formats":true}"#, "/items/x-formats"),
    ] {
        let idle = format!(r#"{{"name":"a","schemas":[{{"type":"x",{own}}}]}}"#);
        let refused = create(&served, &idle);
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid-schema"), "{own}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    let types: Vec<String> = (0..1_001).map(|n| format!(r#"{{"type":"t{n}"}}"#)).collect();
    let large = format!(r#"{{"name":"a","schemas":[{}]}}"#, types.join(","));
    let refused = create(&served, &large);
    assert_eq!((refused.status, refused.code().as_str()), (422, "topic-too-large"));
    assert_eq!(served.engine().head().get(), 0, "nothing was stored");
    assert_eq!(served.send("GET /topics").text(), "[]");
}

#[test]
fn what_is_published_gets_the_numbers_of_its_topic() {
    let served = with_users();
    let answer = publish(&served, "user-events", "user.created", &[GOOD, GOOD]);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.text(), r#"{"eventIds":["user-events-1","user-events-2"]}"#);
    let one = r#"{"topic":"user-events","type":"user.deleted","payload":null}"#;
    let answer = post(&served, "application/json", one);
    assert_eq!((answer.status, answer.text().as_str()), (201, r#"{"eventIds":["user-events-3"]}"#));
    // A published event is a CloudEvent like any other.
    let event = served.send("GET /events/user-events-1").json();
    assert_eq!(
        [&event["source"], &event["topic"], &event["type"], &event["position"]],
        ["/topics/user-events", "user-events", "user.created", "2"]
    );
    let text = served.send("GET /events/user-events-2").text();
    assert!(text.contains(r#""data":{ "email": "ann@example.com", "n": 0.10 }"#), "{text}");
    let by_topic = served.send("GET /events?topic=user-events").json();
    assert_eq!(by_topic["events"].as_array().map(Vec::len), Some(3));
    let listed = read(&served, "");
    assert_eq!(ids(&listed), ["user-events-1", "user-events-2", "user-events-3"]);
    let first = &listed.json()[0];
    assert_eq!(first["payload"], json!({"email":"ann@example.com","n":0.10}));
    assert_eq!((&first["type"], &first["timestamp"]), (&json!("user.created"), &event["time"]));
    assert_eq!(listed.json()[2]["payload"], Value::Null);
    assert_eq!(served.send("GET /topics/user-events").json()["sequence"], 3);
}

#[test]
fn what_does_not_suit_its_topic_is_refused_whole() {
    let served = with_users();
    let unknown = publish(&served, "nothing", "a", &["1"]);
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "topic-not-found"));
    assert_eq!(unknown.json()["index"], 0);
    assert_eq!(publish(&served, "no name", "a", &["1"]).code(), "topic-not-found");
    let unlisted = publish(&served, "user-events", "user.renamed", &[GOOD]);
    assert_eq!((unlisted.status, unlisted.code().as_str()), (422, "type-not-listed"));
    assert_eq!(unlisted.json()["types"], json!(["user.created", "user.deleted"]));
    let broken = publish(&served, "user-events", "user.created", &[GOOD, r#"{"email":7}"#]);
    assert_eq!((broken.status, broken.code().as_str()), (422, "schema-violation"));
    let problem = broken.json();
    assert_eq!(
        (&problem["index"], &problem["errors"][0]["pointer"]),
        (&json!(1), &json!("/email"))
    );
    let missing = publish(&served, "user-events", "user.created", &["{}"]);
    assert_eq!(missing.json()["errors"][0]["pointer"], "");
    assert!(missing.json()["errors"][0]["message"].as_str().is_some_and(|m| m.contains("email")));
    for (body, pointer) in [
        (r#"[{"topic":7,"type":"user.created","payload":1}]"#, "/topic"),
        (r#"[{"topic":"user-events","type":"user.created"}]"#, "/payload"),
        (r#"[{"topic":"user-events","type":"","payload":1}]"#, "/type"),
    ] {
        let refused = post(&served, "application/json", body);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-event"), "{body}");
        assert_eq!(refused.json()["pointer"], pointer);
    }
    let both = r#"[{"topic":"user-events","type":"user.deleted","payload":1},
        {"source":"/s","type":"t"}]"#;
    assert_eq!(post(&served, "application/json", both).json()["index"], 1);
    let both = r#"[{"source":"/s","type":"t"},
        {"topic":"user-events","type":"user.deleted","payload":1}]"#;
    assert_eq!(post(&served, "application/json", both).json()["index"], 1);
    let named = served.send(
        "POST /events\ncontent-type: application/json\nidempotency-key: k\n\n\
         [{\"topic\":\"user-events\",\"type\":\"user.deleted\",\"payload\":1}]",
    );
    assert_eq!((named.status, named.code().as_str()), (400, "invalid-request"));
    // No number was lost.
    assert_eq!(served.engine().head().get(), 1);
    let next = publish(&served, "user-events", "user.deleted", &["1"]);
    assert_eq!(next.json()["eventIds"], json!(["user-events-1"]));
}

/// An event that names the topic, and one whose payload its schema refuses.
const DOORS: [(&str, &str, &str); 6] = [
    (
        "application/cloudevents+json",
        r#"{"specversion":"1.0","id":"d1","source":"/s","type":"user.created","topic":"user-events","data":{"email":"a@b.example"}}"#,
        r#"{"specversion":"1.0","id":"x1","source":"/s","type":"user.created","topic":"user-events","data":{"email":7}}"#,
    ),
    (
        "application/cloudevents-batch+json",
        r#"[{"specversion":"1.0","id":"d2","source":"/s","type":"user.created","topic":"user-events","data":{"email":"a@b.example"}}]"#,
        r#"[{"specversion":"1.0","id":"x2","source":"/s","type":"user.created","topic":"user-events","data":{"email":7}}]"#,
    ),
    (
        "application/json",
        r#"{"id":"d3","source":"/s","type":"user.created","topic":"user-events","data":{"email":"a@b.example"}}"#,
        r#"{"id":"x3","source":"/s","type":"user.created","topic":"user-events","data":{"email":7}}"#,
    ),
    (
        "application/x-ndjson",
        r#"{"id":"d4","source":"/s","type":"user.created","topic":"user-events","data":{"email":"a@b.example"}}"#,
        r#"{"id":"x4","source":"/s","type":"user.created","topic":"user-events","data":{"email":7}}"#,
    ),
    (
        "application/json",
        r#"{"events":[{"id":"d5","source":"/s","type":"user.created","topic":"user-events","data":{"email":"a@b.example"}}]}"#,
        r#"{"events":[{"id":"x5","source":"/s","type":"user.created","topic":"user-events","data":{"email":7}}]}"#,
    ),
    (
        "application/json\nce-specversion: 1.0\nce-id: d6\nce-source: /s\nce-type: user.created\nce-topic: user-events",
        r#"{"email":"a@b.example"}"#,
        r#"{"email":7}"#,
    ),
];

#[test]
fn every_door_validates_alike_and_numbers_alike() {
    let served = with_users();
    for (number, (door, good, bad)) in DOORS.iter().enumerate() {
        let refused = post(&served, door, bad);
        assert_eq!((refused.status, refused.code().as_str()), (422, "schema-violation"), "{door}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/email", "{door}");
        let unknown = good.replace("user-events", "nothing");
        let door_of_unknown = door.replace("user-events", "nothing");
        let unknown = post(&served, &door_of_unknown, &unknown);
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "topic-not-found"), "{door}");
        let taken = post(&served, door, good);
        assert!(matches!(taken.status, 200 | 201), "{door}: {}", taken.text());
        let again = post(&served, door, good);
        assert_eq!(again.status, 200, "a duplicate takes no number: {}", again.text());
        let topic = served.send("GET /topics/user-events").json();
        assert_eq!(topic["sequence"], number + 1, "{door}");
    }
    assert_eq!(ids(&read(&served, "")), ["d1", "d2", "d3", "d4", "d5", "d6"]);
    let next = publish(&served, "user-events", "user.deleted", &["1"]);
    assert_eq!(next.json()["eventIds"], json!(["user-events-7"]));
    let number = r#"{"id":"n","source":"/s","type":"user.deleted","topic":5}"#;
    let refused = post(&served, "application/json", number);
    assert_eq!(
        (refused.code().as_str(), &refused.json()["pointer"]),
        ("invalid-event", &json!("/topic"))
    );
    let bytes = "application/octet-stream\nce-specversion: 1.0\nce-id: b\nce-source: /s\n\
         ce-type: user.created\nce-topic: user-events";
    let refused = post(&served, bytes, "\u{1}");
    assert_eq!(refused.code(), "schema-violation");
}

#[test]
fn reading_goes_on_after_an_event() {
    let served = with_users();
    publish(&served, "user-events", "user.deleted", &["1", "2", "3"]);
    // Number 4 has an id of its own.
    let own = r#"{"id":"mine","source":"/s","type":"user.deleted","topic":"user-events","data":4}"#;
    assert_eq!(post(&served, "application/json", own).status, 201);
    let payloads: Vec<String> = (5..=600).map(|n| n.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    publish(&served, "user-events", "user.deleted", &payloads);
    let after = |id: &str| ids(&read(&served, &format!("?limit=2&sinceEventId={id}")));
    assert_eq!(after("user-events-0"), ["user-events-1", "user-events-2"]);
    assert_eq!(after("user-events-2"), ["user-events-3", "mine"]);
    assert_eq!(after("user-events-3"), ["mine", "user-events-5"]);
    assert_eq!(after("mine"), ["user-events-5", "user-events-6"]);
    assert_eq!(after("user-events-4"), ["user-events-5", "user-events-6"], "by its number");
    assert_eq!(after("user-events-256"), ["user-events-257", "user-events-258"]);
    assert_eq!(after("user-events-599"), ["user-events-600"]);
    assert!(after("user-events-600").is_empty());
    for id in ["user-events-601", "nothing", "user-events-", "user-events-007", "d-1"] {
        let refused = read(&served, &format!("?sinceEventId={id}"));
        assert_eq!((refused.status, refused.code().as_str()), (404, "event-not-found"), "{id}");
    }
    // Page by page, by the link.
    let (mut path, mut seen) = ("/topics/user-events/events?limit=250".to_owned(), Vec::new());
    for expected in [250, 250, 100] {
        let page = served.send(&format!("GET {path}"));
        seen.extend(ids(&page));
        assert_eq!(ids(&page).len(), expected);
        path = page.header("link").map_or(String::new(), |link| {
            link.trim_start_matches('<').split('>').next().expect("a path").to_owned()
        });
    }
    assert_eq!((seen.len(), path.as_str()), (600, ""));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 600);
    assert_eq!(read(&served, "?limit=0").code(), "invalid-parameter");
    assert_eq!(read(&served, "?date=2026-1-1").code(), "invalid-parameter");
    assert_eq!(read(&served, "?date=2026-02-30").code(), "invalid-parameter");
    assert_eq!(read(&served, "?colour=1").code(), "unknown-parameter");
    let recorded = served.send("GET /events/mine").json()["recordedtime"].clone();
    let today = recorded.as_str().expect("a time").split('T').next().expect("a date");
    assert_eq!(ids(&read(&served, &format!("?date={today}&limit=1000"))).len(), 600);
    assert!(ids(&read(&served, "?date=2020-01-01")).is_empty());
}

#[test]
fn an_id_means_one_event_of_a_topic() {
    let served = with_users();
    let own = |id: &str, source: &str| {
        let event = format!(
            r#"{{"id":"{id}","source":"{source}","type":"user.deleted","topic":"user-events"}}"#
        );
        post(&served, "application/json", &event)
    };
    // The id of another number would be given to that one later.
    for id in ["user-events-0", "user-events-2", "user-events-18446744073709551615"] {
        let refused = own(id, "/s");
        assert_eq!((refused.status, refused.code().as_str()), (409, "identity-conflict"), "{id}");
    }
    assert_eq!(own("user-events-1", "/s").status, 201, "its number");
    assert_eq!(own("user-events-1", "/s").status, 200, "once more");
    assert_eq!(own("user-events-02", "/s").status, 201, "no number");
    publish(&served, "user-events", "user.deleted", &["3"]);
    assert_eq!((own("x", "/a").status, own("x", "/b").status), (201, 201));
    let after = |id: &str| read(&served, &format!("?limit=1&sinceEventId={id}"));
    assert_eq!(ids(&after("user-events-1")), ["user-events-02"]);
    assert_eq!(ids(&after("user-events-3")), ["x"]);
    let several = after("x");
    assert_eq!((several.status, several.code().as_str()), (400, "invalid-parameter"));
    assert_eq!(ids(&after("user-events-4")), ["x"], "by its number");
    assert!(ids(&after("user-events-5")).is_empty());
    let consumer = r#"{"callback":"http://127.0.0.1:9/","topics":{"user-events":"x"}}"#;
    let refused = served
        .send(&format!("POST /consumers/register\ncontent-type: application/json\n\n{consumer}"));
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-consumer"));
}

#[test]
fn a_change_must_suit_what_is_stored() {
    let served = with_users();
    publish(&served, "user-events", "user.deleted", &["1", "\"two\""]);
    let numbers = r#"{"schemas":[{"type":"user.deleted","allOf":[{"type":"number"}]}]}"#;
    let refused = change(&served, "user-events", numbers);
    assert_eq!((refused.status, refused.code().as_str()), (409, "stored-events-break"));
    let problem = refused.json();
    assert_eq!((&problem["event"], &problem["position"]), (&json!("user-events-2"), &json!("3")));
    let stored = publish(&served, "user-events", "user.deleted", &["\"three\""]);
    assert_eq!(stored.status, 201, "the schema is as it was");
    assert_eq!(change(&served, "user-events?force=true", numbers).status, 200);
    let broken = publish(&served, "user-events", "user.deleted", &["\"four\""]);
    assert_eq!(broken.code(), "schema-violation");
    let more = r#"{"name":"user-events","schemas":[{"type":"user.renamed"}],"retention":{"max_events":2}}"#;
    let changed = change(&served, "user-events", more);
    assert_eq!(changed.status, 200, "{}", changed.text());
    let types: Vec<Value> = changed.json()["schemas"]
        .as_array()
        .expect("schemas")
        .iter()
        .map(|schema| schema["type"].clone())
        .collect();
    assert_eq!(types, ["user.created", "user.deleted", "user.renamed"]);
    assert_eq!(changed.json()["retention"], json!({"max_events":2}));
    assert_eq!(publish(&served, "user-events", "user.renamed", &["1"]).status, 201);
    let other = change(&served, "user-events", r#"{"name":"other"}"#);
    assert_eq!(
        (other.code().as_str(), &other.json()["pointer"]),
        ("invalid-topic", &json!("/name"))
    );
    // A deleted event stands in nobody's way.
    let own = r#"{"id":"o","source":"/s","subject":"u/1","type":"user.renamed","topic":"user-events","data":"x"}"#;
    assert_eq!(post(&served, "application/json", own).status, 201);
    let numbers = r#"{"schemas":[{"type":"user.renamed","allOf":[{"type":"number"}]}]}"#;
    assert_eq!(change(&served, "user-events", numbers).status, 409);
    served.send("POST /subjects/delete?subject=u/1");
    assert_eq!(change(&served, "user-events", numbers).status, 200);
    // Nor may it take too long to find out.
    let large = format!("[{}]", vec!["-1"; 250_000].join(","));
    assert_eq!(publish(&served, "user-events", "user.merged", &[&large]).status, 422, "unlisted");
    let open = r#"{"open":true}"#;
    assert_eq!(change(&served, "user-events", open).status, 200);
    assert_eq!(publish(&served, "user-events", "user.merged", &[&large]).status, 201);
    let each = |n: usize| json!({"not": {"contains": {"const": n}}});
    let each: Vec<_> = (0..4_900).map(each).collect();
    let slow = json!({"schemas": [{"type": "user.merged", "allOf": each}]}).to_string();
    let refused = change(&served, "user-events", &slow);
    assert_eq!((refused.status, refused.code().as_str()), (409, "stored-events-break"));
    let message = &refused.json()["errors"][0]["message"];
    assert!(message.as_str().is_some_and(|text| text.contains("too much to check")), "{message}");
    assert_eq!(change(&served, "user-events?force=true", &slow).status, 200);
}

#[test]
fn what_a_retention_lets_go_is_not_read_from_the_topic() {
    let served = with_users();
    let payloads: Vec<String> = (1..=700).map(|n| format!("{n:03}\"").replace('"', "")).collect();
    let payloads: Vec<String> = payloads.iter().map(|n| format!("\"{n}\"")).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    publish(&served, "user-events", "user.deleted", &payloads);
    let first = || ids(&read(&served, "?limit=1")).first().cloned();
    assert_eq!(first().as_deref(), Some("user-events-1"));
    let keep = |retention: &str| {
        let changed = change(&served, "user-events", &format!(r#"{{"retention":{retention}}}"#));
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    keep(r#"{"max_events":3}"#);
    assert_eq!(ids(&read(&served, "")), ["user-events-698", "user-events-699", "user-events-700"]);
    assert_eq!(ids(&read(&served, "?sinceEventId=user-events-5")).len(), 3);
    keep(r#"{"max_bytes":25}"#);
    assert_eq!(ids(&read(&served, "")).len(), 5, "5 payloads of 5 bytes");
    keep(r#"{"max_bytes":2500,"max_events":600}"#);
    assert_eq!(first().as_deref(), Some("user-events-201"));
    keep(r#"{"max_bytes":1000000,"max_events":1000000,"max_age_ms":86400000}"#);
    assert_eq!(first().as_deref(), Some("user-events-1"));
    keep(r#"{"max_age_ms":1}"#);
    thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(first(), None);
    let all = served.send("GET /events?topic=user-events&limit=1000").json();
    assert_eq!(all["events"].as_array().map(Vec::len), Some(700), "the log has them");
    keep("null");
    assert_eq!(first().as_deref(), Some("user-events-1"));
}

#[test]
fn the_topic_of_realtime_messages_is_there_from_the_beginning() {
    let served = Served::new();
    assert_eq!(served.send("GET /topics").text(), "[]", "nothing has been said there");
    let topic = served.send("GET /topics/realtime").json();
    assert_eq!((&topic["open"], &topic["sequence"]), (&json!(true), &json!(0)));
    assert_eq!(topic["retention"], json!({"max_age_ms":86_400_000}));
    let said = publish(&served, "realtime", "anything", &["{\"a\":1}"]);
    assert_eq!(said.json()["eventIds"], json!(["realtime-1"]));
    assert_eq!(served.send("GET /events/realtime-1").json()["position"], "1");
    assert_eq!(ids(&served.send("GET /topics/realtime/events?sinceEventId=realtime-0")).len(), 1);
    assert_eq!(create(&served, r#"{"name":"realtime","schemas":[]}"#).code(), "topic-exists");
    let changed = change(&served, "realtime", r#"{"schemas":[{"type":"alert","required":["a"]}]}"#);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(publish(&served, "realtime", "alert", &["{}"]).code(), "schema-violation");
    assert_eq!(publish(&served, "realtime", "anything", &["{}"]).status, 201);
    let served = served.restarted(&[], EngineOptions::default());
    assert_eq!(publish(&served, "realtime", "alert", &["{}"]).code(), "schema-violation");
    assert_eq!(served.send("GET /topics/realtime").json()["open"], true);
    assert_eq!(served.send("GET /topics").json().as_array().map(Vec::len), Some(1));
}

#[test]
fn writers_that_race_get_distinct_numbers_without_gaps() {
    let served = Arc::new(with_users());
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let served = Arc::clone(&served);
            thread::spawn(move || {
                let mut mine = Vec::new();
                for round in 0..40 {
                    // Every other round somebody is refused in between, whole.
                    if round % 2 == 1 {
                        let refused =
                            publish(&served, "user-events", "user.created", &[GOOD, "{}"]);
                        assert_eq!(refused.status, 422);
                    }
                    let answer = publish(&served, "user-events", "user.created", &[GOOD; 3]);
                    let ids = answer.json()["eventIds"].clone();
                    let ids: Vec<String> = serde_json::from_value(ids).expect("ids");
                    let numbers: Vec<u64> = ids
                        .iter()
                        .map(|id| id.rsplit('-').next().expect("a number").parse().expect("digits"))
                        .collect();
                    assert_eq!([numbers[0] + 1, numbers[0] + 2], numbers[1..], "together");
                    mine.extend(numbers);
                }
                mine
            })
        })
        .collect();
    let mut all: Vec<u64> = writers.into_iter().flat_map(|w| w.join().expect("a writer")).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=480).collect::<Vec<u64>>());
    let listed = ids(&read(&served, "?limit=1000"));
    let expected: Vec<String> = (1..=480).map(|n| format!("user-events-{n}")).collect();
    assert_eq!(listed, expected, "numbers go with positions");
}

#[test]
fn a_restart_and_a_rebuild_keep_everything() {
    let mut served = with_users();
    change(&served, "user-events", r#"{"retention":{"max_events":400}}"#);
    for without in [&[][..], &["data.redb"], &[]] {
        let before = served.send("GET /topics").text();
        let listed = read(&served, "?limit=1000").text();
        served = served.restarted(without, EngineOptions::default());
        assert_eq!(served.send("GET /topics").text(), before);
        assert_eq!(read(&served, "?limit=1000").text(), listed);
        assert_eq!(publish(&served, "user-events", "user.created", &["{}"]).status, 422);
        let sequence = served.send("GET /topics/user-events").json()["sequence"].clone();
        let sequence = sequence.as_u64().expect("a number");
        let answer = publish(&served, "user-events", "user.created", &[GOOD; 300]);
        assert_eq!(answer.json()["eventIds"][0], format!("user-events-{}", sequence + 1));
        let since = format!("?sinceEventId=user-events-{}&limit=1", sequence + 299);
        assert_eq!(ids(&read(&served, &since)), [format!("user-events-{}", sequence + 300)]);
    }
}
