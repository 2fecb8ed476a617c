//! `POST /events` in all its forms.

use annal_engine::{Durability, EngineOptions};
use annal_event::{Event, Limits, proto};
use annal_server::ServerOptions;

use crate::{client::Answer, fixture::Served};

/// `{"index","code"}` of each event that was refused.
fn refused_events(answer: &Answer) -> Vec<(u64, String)> {
    let document = answer.json();
    let errors = document["errors"].as_array().expect("errors").iter();
    let one = |error: &serde_json::Value| {
        assert!(error["detail"].is_string(), "{error}");
        let code = error["code"].as_str().expect("a code").to_owned();
        (error["index"].as_u64().expect("an index"), code)
    };
    let errors: Vec<_> = errors.map(one).collect();
    assert_eq!(
        (document["index"].as_u64(), answer.code()),
        (Some(errors[0].0), errors[0].1.clone())
    );
    errors
}

#[test]
fn every_event_that_a_batch_is_refused_for_is_named() {
    let served = Served::new();
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let untyped = r#"{"specversion":"1.0","id":"2","source":"/s","data":{"a":[1]}}"#;
    let timeless = r#"{"specversion":"1.0","id":"3","source":"/s","type":"t","time":"now"}"#;
    let reserved = r#"{"specversion":"1.0","id":"4","source":"/annal","type":"t"}"#;
    let items = [good, untyped, good, timeless, reserved, good].join(",");
    let invalid = |index| (index, "invalid-event".to_owned());
    let expected = [invalid(1), invalid(3), (4, "reserved".to_owned())];
    let post = |media_type: &str, body: &str| {
        served.send(&format!("POST /events\ncontent-type: {media_type}\n\n{body}"))
    };
    let (batch, json) = ("application/cloudevents-batch+json", "application/json");
    let conditional = format!("{{\"events\":[{items}]}}");
    for refused in [
        post(batch, &format!("[{items}]")),
        post(json, &format!("[{items}]")),
        post(json, &conditional),
    ] {
        assert_eq!((refused.status, refused_events(&refused)), (400, expected.to_vec()));
        assert_eq!(refused.json()["pointer"], "/type");
        assert_eq!(refused.json()["errors"][1]["pointer"], "/time");
    }
    let one = post(json, &format!("{{\"events\":[{good},{untyped}]}}")).json();
    assert_eq!((&one["index"], one.get("errors")), (&1.into(), None));
    for body in
        [format!("[{untyped},{good},tru]"), format!("{{\"events\":[{untyped},{good},tru]}}")]
    {
        let torn = post(json, &body);
        assert_eq!((torn.code().as_str(), &torn.json()["index"]), ("invalid-event", &0.into()));
    }
    let many = vec![untyped; 100].join(",");
    for body in [format!("[{many}]"), format!("{{\"events\":[{many}]}}")] {
        assert_eq!(refused_events(&post(json, &body)).len(), 32);
    }
    let topics = r#"[{"topic":"t","type":"a","payload":1},{"topic":7,"type":"a","payload":1},
        {"topic":"t","type":"","payload":1},{"topic":"no name","type":"a","payload":1}]"#;
    let expected = [invalid(1), invalid(2), (3, "topic-not-found".to_owned())];
    assert_eq!(refused_events(&post(json, topics)), expected);
    assert_eq!(served.engine().head().0, 0, "all or nothing");
}

#[test]
fn structured_mode() {
    let served = Served::new();
    let request = "POST /events\ncontent-type: application/cloudevents+json\n\n\
        {\"specversion\":\"1.0\",\"id\":\"event-001\",\"source\":\"my-app\",\"type\":\"t\",\
        \"subject\":\"issue/123\",\"data\":{\"n\": 12345678901234567890, \"d\":0.10}}";
    let answer = |status: &str, duplicate: bool| {
        format!(
            "{status}\ncontent-type: application/json\nlocation: /events/at/1\n\n\
             {{\"id\":\"event-001\",\"source\":\"my-app\",\"position\":\"1\",\
             \"duplicate\":{duplicate}}}"
        )
    };
    served.check(request, &answer("201", false));
    served.check(request, &answer("200", true));
    served.check(
        "GET /events/at/1",
        "200\ncontent-type: application/cloudevents+json\n\n\
         {\"specversion\":\"1.0\",\"id\":\"event-001\",\"source\":\"my-app\",\"type\":\"t\",\
         \"subject\":\"issue/123\",\
         \"data\":{\"n\": 12345678901234567890, \"d\":0.10},\"position\":\"1\",\
         \"recordedtime\":\"<time>\"}",
    );
    served.check(
        &request.replace("0.10", "0.11"),
        "409\ncontent-type: application/problem+json\n\n\
         {\"type\":\"urn:annal:problem:identity-conflict\",\
         \"title\":\"The identity belongs to another event\",\"status\":409,\
         \"detail\":\"this source and id belong to the event at position 1, which has other content; \
         give a new event a new id\",\"code\":\"identity-conflict\",\"position\":\"1\"}",
    );
}

#[test]
fn the_media_types_are_strict_and_plain_json_is_not() {
    let served = Served::new();
    let body = "{\"source\":\"a\",\"type\":\"t\"}";
    let post = |media_type: &str| {
        served.send(&format!("POST /events\ncontent-type: {media_type}\n\n{body}"))
    };
    assert_eq!(post("application/cloudevents+json").code(), "invalid-event");
    let answer = post("application/json; charset=utf-8");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let stored = served.send(&format!("GET /events/{id}")).json();
    assert_eq!((&stored["specversion"], &stored["position"]), (&"1.0".into(), &"1".into()));
    assert!(stored["time"].is_string() && stored["recordedtime"].is_string(), "{stored}");
}

#[test]
fn an_idempotency_key_names_an_event_without_id() {
    let served = Served::new();
    let request = "POST /events\ncontent-type: application/json\nidempotency-key: k-1\n\n\
        {\"source\":\"a\",\"type\":\"t\"}";
    assert_eq!(served.send(request).json()["id"], "k-1");
    assert_eq!(served.send(request).json()["duplicate"], true);
    let named = request.replace("{\"source\"", "{\"id\":\"own\",\"source\"");
    assert_eq!(served.send(&named).json()["id"], "own");
    let long = request.replace("k-1", &"k".repeat(256));
    assert_eq!(served.send(&long).code(), "invalid-request");
}

#[test]
fn binary_mode_is_percent_decoded_and_comes_back() {
    let served = Served::new();
    served.check(
        "POST /events\nce-specversion: 1.0\nce-id: b%201\nce-source: /s\nce-type: t\n\
         ce-subject: Euro%20%E2%82%AC\nce-trace: yes\ncontent-type: text/plain\n\nplain text",
        "201\ncontent-type: application/json\nlocation: /events/at/1\n\n\
         {\"id\":\"b 1\",\"source\":\"/s\",\"position\":\"1\",\"duplicate\":false}",
    );
    let answer = served.send("GET /events/at/1/data");
    assert_eq!((answer.status, answer.text().as_str()), (200, "plain text"));
    assert_eq!(answer.header("ce-subject"), Some("Euro%20%E2%82%AC"));
    assert_eq!(answer.header("ce-position"), Some("1"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
}

#[test]
fn a_batch_is_answered_item_by_item() {
    let served = Served::new();
    let batch = "POST /events\ncontent-type: application/cloudevents-batch+json\n\n";
    served.check(&format!("{batch}[]"), "200\ncontent-type: application/json\n\n{\"events\":[]}");
    let item = |id: &str, n: u32| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"a\",\"type\":\"t\",\
             \"data\":{n}}}"
        )
    };
    served.check(
        &format!("{batch}[{}, {},{}]", item("1", 1), item("2", 2), item("1", 1)),
        "201\ncontent-type: application/json\n\n\
         {\"events\":[{\"id\":\"1\",\"source\":\"a\",\"position\":\"1\",\"duplicate\":false},\
         {\"id\":\"2\",\"source\":\"a\",\"position\":\"2\",\"duplicate\":false},\
         {\"id\":\"1\",\"source\":\"a\",\"position\":\"1\",\"duplicate\":true}]}",
    );
    let conflict = served.send(&format!("{batch}[{},{}]", item("3", 3), item("2", 9)));
    assert_eq!(
        (conflict.code().as_str(), &conflict.json()["index"]),
        ("identity-conflict", &1.into())
    );
    let invalid = served.send(&format!("{batch}[{},{{\"id\":\"4\"}}]", item("3", 3)));
    assert_eq!((invalid.code().as_str(), &invalid.json()["index"]), ("invalid-event", &1.into()));
    assert_eq!(invalid.json().get("errors"), None, "of one nothing is said twice");
    assert_eq!(served.engine().head().0, 2, "all or nothing");
    let torn = served.send(&format!("{batch}[{}", item("3", 3)));
    assert_eq!(torn.code(), "malformed-body");
    let lenient = "POST /events\ncontent-type: application/json\n\n\
        [{\"source\":\"a\",\"type\":\"t\"},{\"source\":\"a\",\"type\":\"t\"}]";
    assert_eq!(served.send(lenient).json()["events"][1]["position"], "4");
}

#[test]
fn protobuf_events_and_batches() {
    let served = Served::new();
    let mut single = Vec::new();
    proto::write_event(&mut single, &Event::new("p1", "src", "t").with_json("[1]"), None);
    let head = "POST /events\ncontent-type: application/cloudevents+protobuf";
    assert_eq!(served.client().send_bytes(head, &single).status, 201);
    let mut batch = Vec::new();
    for id in ["p1", "p2"] {
        let event = Event::new(id, "src", "t").with_json("[1]");
        proto::write_batch_item(&mut batch, &event, None);
    }
    let head = "POST /events\ncontent-type: application/cloudevents-batch+protobuf";
    let answer = served.client().send_bytes(head, &batch);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["events"][0]["duplicate"], true);
    assert_eq!(answer.json()["events"][1]["position"], "2");
    let torn = served.client().send_bytes(head, &batch[..batch.len() - 1]);
    assert_eq!(torn.code(), "malformed-body");
    let read = served.send("GET /events\naccept: application/cloudevents-batch+protobuf");
    let events = proto::parse_batch(&read.body, &Limits::default()).expect("a batch");
    assert_eq!(events.len(), 2);
    let one = served.send("GET /events/at/2\naccept: application/cloudevents+protobuf");
    assert_eq!(proto::parse_event(&one.body).expect("an event").id, "p2");
}

#[test]
fn preconditions_hold_or_nothing_is_stored() {
    let served = Served::new();
    served.seed(3);
    let append = |preconditions: &str, id: &str| {
        served.send(&format!(
            "POST /events\ncontent-type: application/json\n\n\
             {{\"events\":[{{\"id\":\"{id}\",\"source\":\"c\",\"type\":\"t\",\"subject\":\"s/1\"}}],\
             \"preconditions\":{preconditions}}}"
        ))
    };
    assert_eq!(
        append("[{\"subject\":\"s/1\",\"is\":\"version\",\"version\":1}]", "c1").status,
        201
    );
    let failed =
        append("[{\"head\":\"4\"},{\"subject\":\"s/1\",\"is\":\"version\",\"version\":1}]", "c2");
    assert_eq!((failed.status, failed.code().as_str()), (409, "precondition-failed"));
    let problem = failed.json();
    assert_eq!(problem["failed"].as_array().map(Vec::len), Some(1), "{problem}");
    assert_eq!(problem["failed"][0]["index"], 1);
    assert_eq!(problem["failed"][0]["precondition"]["subject"], "s/1");
    assert_eq!(problem["failed"][0]["actual"]["version"], 2);
    assert_eq!(served.engine().head().0, 4);
    assert_eq!(
        append("[{\"subject\":\"s/1\",\"is\":\"version\",\"version\":1}]", "c1").status,
        200
    );
    assert_eq!(
        append("[{\"subject\":\"s/1\",\"is\":\"odd\"}]", "c3").code(),
        "invalid-precondition"
    );
    assert_eq!(append("[{\"absent\":{\"colour\":1}}]", "c3").code(), "invalid-query");
}

#[test]
fn conditions_in_headers() {
    let served = Served::new();
    let post = |header: &str, id: &str| {
        served.send(&format!(
            "POST /events\ncontent-type: application/json\n{header}\n\n\
             {{\"id\":\"{id}\",\"source\":\"c\",\"type\":\"t\",\"subject\":\"s\"}}"
        ))
    };
    assert_eq!(post("if-none-match: *", "1").status, 201);
    let exists = post("if-none-match: *", "2");
    assert_eq!((exists.status, exists.code().as_str()), (412, "precondition-failed"));
    assert_eq!(post("if-match: \"1\"", "3").status, 201);
    assert_eq!(post("if-match: \"1\"", "4").status, 412);
    assert_eq!(post("if-match: 1", "5").code(), "invalid-request");
    assert_eq!(post("if-match: \"1\"\nif-none-match: *", "5").code(), "invalid-request");
    let batch = "POST /events\ncontent-type: application/json\nif-none-match: *\n\n\
        [{\"source\":\"a\",\"type\":\"t\"}]";
    assert_eq!(served.send(batch).code(), "invalid-request");
}

#[test]
fn trace_context_is_stored_and_makes_no_difference() {
    let served = Served::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let post = |headers: &str| {
        served.send(&format!(
            "POST /events\ncontent-type: application/json\n{headers}\n\n\
             {{\"id\":\"1\",\"source\":\"c\",\"type\":\"t\",\"time\":\"2026-01-15T10:30:00Z\"}}"
        ))
    };
    assert_eq!(post(&format!("traceparent: {parent}\ntracestate: a=1")).status, 201);
    assert_eq!(post("x-nothing: 1").json()["duplicate"], true);
    let stored = served.send("GET /events/at/1").json();
    assert_eq!((&stored["traceparent"], &stored["tracestate"]), (&parent.into(), &"a=1".into()));
}

#[test]
fn what_the_store_keeps_for_itself_is_refused() {
    let served = Served::new();
    for source in ["/annal", "/topics/orders"] {
        let request = format!(
            "POST /events\ncontent-type: application/json\n\n\
             {{\"source\":\"{source}\",\"type\":\"t\"}}"
        );
        assert_eq!(served.send(&request).code(), "reserved", "{source}");
    }
}

#[test]
fn an_answer_says_when_it_is_not_durable_yet() {
    let engine =
        EngineOptions { durability: Durability::Interval { ms: 50 }, ..EngineOptions::default() };
    let served = Served::with(ServerOptions::default(), engine);
    let request = "POST /events\ncontent-type: application/json\n\n\
        {\"id\":\"1\",\"source\":\"c\",\"type\":\"t\"}";
    assert_eq!(served.send(request).json()["durability"], "interval");
}
