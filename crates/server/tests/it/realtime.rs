//! Realtime clients: `/api/sse/…`, and the demo.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use annal_engine::{Engine, EngineOptions, client_register};
use annal_server::{Demo, DemoError, DemoStatus, ServerOptions};
use serde_json::{Value, json};

use crate::{client::Answer, fixture::Served, sse::EventSource};

fn post(served: &Served, path: &str, body: Value) -> Answer {
    served.send(&format!("POST {path}\ncontent-type: application/json\n\n{body}"))
}

fn sent(served: &Served, path: &str, body: Value) -> u64 {
    let answer = post(served, path, body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["sequence"].as_u64().expect("a sequence")
}

fn connect(served: &Served, query: &str) -> EventSource {
    EventSource::open(served, &format!("/api/sse/connect?{query}"), "")
}

/// Reads `connected`; the client's cursor.
fn connected(stream: &mut EventSource) -> u64 {
    let message = stream.message();
    assert_eq!(message.name, "connected");
    let sequence = message.json()["sequence"].as_u64().expect("a sequence");
    assert_eq!(message.id, sequence.to_string());
    sequence
}

fn checkpoint(served: &Served, client: &str, sequence: u64) {
    let answer =
        post(served, "/api/sse/checkpoint", json!({"clientId": client, "sequence": sequence}));
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[test]
fn three_clients_one_away() {
    let served = Served::new();
    served.seed(3);
    let [mut ann, mut bob, mut eve] =
        ["ann", "bob", "eve"].map(|client| connect(&served, &format!("clientId={client}")));
    for stream in [&mut ann, &mut bob, &mut eve] {
        assert_eq!(connected(stream), 3);
    }
    let first = sent(&served, "/api/sse/broadcast", json!({"eventType": "news", "data": {"n": 1}}));
    for stream in [&mut ann, &mut bob, &mut eve] {
        let message = stream.message();
        assert_eq!((message.name.as_str(), message.id.as_str()), ("news", "4"));
        let message = message.json();
        assert_eq!(message["_sequence"], first);
        assert_eq!(message["type"], "news");
        assert_eq!(message["data"], json!({"n": 1}));
        assert!(message["messageId"].is_string() && message["timestamp"].is_string());
    }
    checkpoint(&served, "bob", first);
    drop(bob);
    let to = |client: &str, n: u32| {
        sent(&served, &format!("/api/sse/send/{client}"), json!({"data": n}))
    };
    let expected = [
        sent(&served, "/api/sse/notification", json!({"message": "m", "severity": "info"})),
        to("bob", 2),
        sent(
            &served,
            "/api/sse/alert",
            json!({"message": "a", "severity": "high", "category": "disk"}),
        ),
        sent(
            &served,
            "/api/sse/data-update",
            json!({"entityId": "7", "entityType": "order", "changes": {"a": [1]}}),
        ),
        to("bob", 3),
    ];
    let for_eve = to("eve", 4);
    // Who was away gets what is for all and for it, once, in order.
    let mut bob = connect(&served, "clientId=bob");
    assert_eq!(connected(&mut bob), first);
    let names = ["notification", "message", "alert", "dataUpdate", "message"];
    for (sequence, name) in expected.iter().zip(names) {
        let message = bob.message();
        assert_eq!((message.name.as_str(), message.id), (name, sequence.to_string()));
    }
    // The others never see what is for one of them.
    for (position, name) in [(0, "notification"), (2, "alert"), (3, "dataUpdate")] {
        assert_eq!(ann.message().id, expected[position].to_string());
        let message = eve.message();
        assert_eq!((message.name.as_str(), message.id), (name, expected[position].to_string()));
    }
    assert_eq!(eve.message().id, for_eve.to_string());
    let last = sent(&served, "/api/sse/broadcast", json!({"data": null}));
    for stream in [&mut ann, &mut bob, &mut eve] {
        let message = stream.message();
        assert_eq!((message.id, &message.name), (last.to_string(), &"message".to_owned()));
        assert_eq!((stream.blanks, stream.comments.len()), (0, 0));
    }
}

#[test]
fn only_the_types_that_are_asked_for() {
    let served = Served::new();
    let mut stream = connect(&served, "clientId=ann&filter=notification,alert&apikey=secret");
    connected(&mut stream);
    sent(&served, "/api/sse/broadcast", json!({"eventType": "other"}));
    sent(&served, "/api/sse/alert", json!({"message": "a"}));
    sent(&served, "/api/sse/send/ann", json!({"eventType": "notification"}));
    assert_eq!(stream.message().id, "2");
    assert_eq!(stream.message().id, "3");
    let clients = served.send("GET /api/sse/clients").json();
    assert_eq!(clients[0]["filter"], json!(["alert", "notification"]));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let served = Served::new();
    let connect = served.send("GET /api/sse/connect?clientId=ann&checkpoint=abc");
    assert_eq!((connect.status, connect.code().as_str()), (400, "invalid-parameter"));
    for name in ["connected", "reset", "busy", "open"] {
        let refused = post(&served, "/api/sse/broadcast", json!({"eventType": name, "data": 1}));
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-message"), "{name}");
    }
}

#[test]
fn the_same_client_twice() {
    let served = Served::new();
    let mut streams = [connect(&served, "clientId=ann"), connect(&served, "clientId=ann")];
    let mut nameless = connect(&served, "");
    let id = nameless.message().json()["clientId"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), 36, "an id is made up");
    streams.iter_mut().for_each(|stream| assert_eq!(connected(stream), 0));
    sent(&served, "/api/sse/send/ann", json!({"data": 1}));
    sent(&served, &format!("/api/sse/send/{id}"), json!({"data": 2}));
    streams.iter_mut().for_each(|stream| assert_eq!(stream.message().id, "1"));
    assert_eq!(nameless.message().id, "2");
    let clients = served.send("GET /api/sse/clients").json();
    let clients = clients.as_array().expect("a list");
    let ids: Vec<_> = clients.iter().map(|client| client["clientId"].as_str()).collect();
    assert_eq!(ids, [Some("ann"), Some("ann"), Some(id.as_str())]);
    for client in clients {
        assert!(client["connected_at"].is_string() && client["node"].is_string(), "{client}");
    }
    drop(streams);
    let left = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        served.send("GET /api/sse/clients").json().as_array().map(Vec::len) == Some(1)
    });
    assert!(left, "who has gone is not listed");
    let client = &served.send("GET /api/sse/clients").json()[0];
    assert_eq!((&client["sequence"], &client["lag"]), (&json!(2), &json!(0)));
}

#[test]
fn the_nearest_cursor_wins_and_one_ahead_is_told() {
    let served = Served::new();
    for n in 1..=4 {
        sent(&served, "/api/sse/broadcast", json!({"data": n}));
    }
    checkpoint(&served, "ann", 3);
    let first = |query: &str, header: &str| {
        let path = format!("/api/sse/connect?clientId=ann{query}");
        connected(&mut EventSource::open(&served, &path, header))
    };
    assert_eq!(first("", ""), 3);
    assert_eq!(first("&checkpoint=2", ""), 2);
    assert_eq!(first("&checkpoint=2", "last-event-id: 1\r\n"), 1);
    let mut ahead = connect(&served, "clientId=bob&checkpoint=99");
    assert_eq!(connected(&mut ahead), 4);
    let reset = ahead.message();
    assert_eq!((reset.name.as_str(), &reset.json()["reason"]), ("reset", &json!("ahead")));
    // The checkpoint of a client goes for any stream.
    let mut stream = EventSource::open(&served, "/events/stream?checkpoint=ann", "");
    assert_eq!(stream.message().id, "4");
}

#[test]
fn a_checkpoint_never_moves_back() {
    let served = Served::new();
    served.seed(9);
    let missing = served.send("GET /api/sse/checkpoint/ann");
    assert_eq!((missing.status, missing.code().as_str()), (404, "checkpoint-not-found"));
    for sequence in [7, 4] {
        checkpoint(&served, "ann", sequence);
        let stored = served.send("GET /api/sse/checkpoint/ann");
        assert_eq!(stored.text(), "{\"clientId\":\"ann\",\"sequence\":7}");
    }
    for wrong in [
        json!({"clientId": "ann", "sequence": 10}),
        json!({"clientId": "ann"}),
        json!({"clientId": "a/b", "sequence": 1}),
        json!({"clientId": "ann", "sequence": 1, "more": 1}),
    ] {
        let refused = post(&served, "/api/sse/checkpoint", wrong);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-message"));
    }
}

#[test]
fn there_is_room_for_so_many_checkpoints() {
    let served = Served::new();
    served.seed(1);
    let registers = served.engine().registers();
    let now = served.engine().now().micros();
    let value = |set: i64| [1u64.to_be_bytes(), set.to_be_bytes()].concat();
    for n in 0..100_000 {
        registers.put(&client_register(&format!("c{n}")), &value(now)).expect("room");
    }
    let body = json!({"clientId": "ann", "sequence": 1});
    let full = post(&served, "/api/sse/checkpoint", body.clone());
    assert_eq!((full.status, full.code().as_str()), (429, "too-many-checkpoints"));
    let long_ago = now - 31 * 24 * 3_600 * 1_000_000;
    let old = value(long_ago);
    registers.put(&client_register("c7"), &old).expect("put");
    assert_eq!(post(&served, "/api/sse/checkpoint", body).status, 204, "the oldest makes room");
    assert_eq!(served.send("GET /api/sse/checkpoint/c7").status, 404);
}

#[test]
fn what_is_too_old_is_told_and_not_sent() {
    let served = Served::new();
    let retention = "PUT /topics/realtime\n\n{\"retention\":{\"max_age_ms\":200}}";
    assert_eq!(served.send(retention).status, 200);
    sent(&served, "/api/sse/send/bob", json!({"data": 1}));
    sent(&served, "/api/sse/broadcast", json!({"data": 1}));
    thread::sleep(Duration::from_millis(300));
    let fresh = sent(&served, "/api/sse/broadcast", json!({"data": 2}));
    let mut stream = connect(&served, "clientId=ann&checkpoint=0");
    connected(&mut stream);
    let reset = stream.message();
    assert_eq!(reset.name, "reset");
    assert_eq!(
        reset.json(),
        json!({"reason": "expired", "requested": "0", "earliest": "4", "head": "4"})
    );
    assert_eq!(stream.message().id, fresh.to_string());
    // Nobody is told of what was not for it.
    let mut stream = connect(&served, "clientId=ann&checkpoint=3");
    connected(&mut stream);
    assert_eq!(stream.message().id, fresh.to_string());
    assert_eq!(
        served.send("GET /events/at/2").status,
        200,
        "it is in the log until it is compacted"
    );
}

#[test]
fn what_is_no_message_is_refused() {
    let served = Served::new();
    let code = |path: &str, body: Value| {
        let refused = post(&served, path, body);
        (refused.code(), refused.json()["pointer"].as_str().unwrap_or_default().to_owned())
    };
    let invalid = |pointer: &str| ("invalid-message".to_owned(), pointer.to_owned());
    assert_eq!(code("/api/sse/broadcast", json!({"eventType": 7})), invalid("/eventType"));
    assert_eq!(code("/api/sse/broadcast", json!({"eventType": "a\nb"})), invalid("/eventType"));
    assert_eq!(code("/api/sse/broadcast", json!({"dat": 7})), invalid("/dat"));
    assert_eq!(code("/api/sse/notification", json!({"severity": "x"})), invalid("/message"));
    assert_eq!(
        code("/api/sse/alert", json!({"message": "x", "category": 1})),
        invalid("/category")
    );
    assert_eq!(code("/api/sse/data-update", json!({"entityId": "x"})), invalid("/entityType"));
    assert_eq!(code("/api/sse/broadcast", json!([1])).0, "malformed-body");
    assert_eq!(code("/api/sse/send/a%2Fb", json!({})).0, "invalid-parameter");
    let form = "POST /api/sse/broadcast\ncontent-type: text/plain\n\n{}";
    assert_eq!(served.send(form).code(), "unsupported-media-type");
    for query in ["clientId=a%20b", "filter=a&filter=b", "checkpoint=7."] {
        let refused = served.send(&format!("GET /api/sse/connect?{query}"));
        assert_eq!(refused.code(), "invalid-parameter", "{query}");
    }
    assert_eq!(served.send("GET /api/sse/connect?from=1").code(), "unknown-parameter");
    let long = format!("GET /api/sse/connect?clientId={}", "x".repeat(129));
    assert_eq!(served.send(&long).code(), "invalid-parameter");
    assert_eq!(served.engine().head().get(), 0, "nothing was stored");
    let head = served.send("HEAD /api/sse/connect?clientId=a");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let forged = json!({"specversion": "1.0", "id": "x", "source": "/topics/realtime",
        "type": "alert", "subject": "broadcast"});
    assert_eq!(post(&served, "/events", forged).code(), "reserved");
}

#[test]
fn a_message_sent_again_is_stored_once() {
    let served = Served::new();
    let send = || {
        let head = "POST /api/sse/broadcast\ncontent-type: application/json\nidempotency-key: k-1";
        served.send(&format!("{head}\n\n{{\"data\":1}}")).text()
    };
    assert_eq!(send(), "{\"messageId\":\"k-1\",\"sequence\":1}");
    assert_eq!(send(), "{\"messageId\":\"k-1\",\"sequence\":1}");
}

/// A demo that only remembers what it was told.
#[derive(Debug, Default)]
struct Told(AtomicU64);

impl Demo for Told {
    fn start(&self, _: &Engine, interval: Option<Duration>) -> Result<(), DemoError> {
        let ms = interval.map_or(10_000, |interval| interval.as_millis() as u64);
        self.0.store(ms, SeqCst);
        Ok(())
    }

    fn stop(&self) {
        self.0.store(0, SeqCst);
    }

    fn status(&self, _: &Engine) -> Result<DemoStatus, DemoError> {
        let ms = self.0.load(SeqCst);
        Ok(DemoStatus { running: ms > 0, interval: Duration::from_millis(ms), events: 7 })
    }
}

#[test]
fn the_demo_is_started_and_stopped() {
    let options = ServerOptions { demo: Some(Arc::new(Told::default())), ..Default::default() };
    let served = Served::with(options, EngineOptions::default());
    let status = |request: &str| served.send(request).text();
    let rests = "{\"running\":false,\"interval_ms\":0,\"events\":7}";
    assert_eq!(status("GET /api/demo/status"), rests);
    let started = post(&served, "/api/demo/start", json!({"interval_ms": 50})).text();
    assert_eq!(started, "{\"running\":true,\"interval_ms\":50,\"events\":7}");
    let usual = "{\"running\":true,\"interval_ms\":10000,\"events\":7}";
    assert_eq!(status("POST /api/demo/start"), usual);
    assert_eq!(status("POST /api/demo/stop"), rests);
    let refused = post(&served, "/api/demo/start", json!({"interval_ms": 1}));
    assert_eq!(refused.code(), "invalid-message");
    assert_eq!(Served::new().send("GET /api/demo/status").code(), "not-found");
}
