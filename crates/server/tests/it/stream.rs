//! Live streams.

use std::{
    thread,
    time::{Duration, Instant},
};

use annal_engine::EngineOptions;
use annal_server::ServerOptions;

use crate::{
    fixture::{Served, event},
    sse::{EventSource, Message},
};

fn post(served: &Served, n: usize) {
    let request = format!("POST /events\ncontent-type: application/json\n\n{}", event(n));
    assert_eq!(served.send(&request).status, 201);
}

fn named(message: &Message) -> (&str, &str) {
    (&message.name, &message.id)
}

#[test]
fn snapshot_then_deltas() {
    let served = Served::new();
    served.seed(3);
    let mut stream = EventSource::open(&served, "/events/stream", "");
    let snapshot = stream.message();
    assert_eq!(named(&snapshot), ("snapshot", "3"));
    assert_eq!(snapshot.json().as_array().map(Vec::len), Some(3));
    assert!(stream.retry.is_some_and(|ms| (2_000..=5_000).contains(&ms)), "{:?}", stream.retry);
    for n in 4..=6 {
        post(&served, n);
        let delta = stream.message();
        assert_eq!(named(&delta), ("delta", n.to_string().as_str()));
        assert_eq!(delta.json()["id"], format!("e{n}"));
    }
    assert_eq!(stream.blanks, 0);
}

#[test]
fn an_empty_log_has_an_empty_snapshot() {
    let served = Served::new();
    let mut stream = EventSource::open(&served, "/events", "");
    assert_eq!(
        stream.message(),
        Message { name: "snapshot".to_owned(), data: "[]".to_owned(), id: "0".to_owned() }
    );
}

#[test]
fn a_long_snapshot_is_one_message() {
    let served = Served::new();
    served.seed(6_000);
    let mut stream = EventSource::open(&served, "/events/stream?subject=s&recursive=true", "");
    let snapshot = stream.message();
    assert_eq!(named(&snapshot), ("snapshot", "6000"));
    let events = snapshot.json();
    let events = events.as_array().expect("an array");
    assert_eq!(events.len(), 6_000);
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["position"], (place + 1).to_string());
    }
}

#[test]
fn a_limit_says_what_it_leaves_out() {
    let served = Served::new();
    served.seed(10);
    let mut stream = EventSource::open(&served, "/events/stream?limit=2&type=t.1", "");
    let truncated = stream.message();
    assert_eq!(truncated.name, "truncated");
    assert_eq!(truncated.data, "{\"omitted\":3,\"first\":\"7\"}");
    assert_eq!(stream.message().json().as_array().map(Vec::len), Some(2));
    let mut stream = EventSource::open(&served, "/events/stream?limit=4", "");
    assert_eq!(stream.message().data, "{\"omitted\":6,\"first\":\"7\"}");
    let mut whole = EventSource::open(&served, "/events/stream?limit=10", "");
    assert_eq!(whole.message().name, "snapshot");
}

#[test]
fn every_form_of_cursor() {
    let served = Served::new();
    served.seed(5);
    for (path, headers) in [
        ("/events/stream", "Last-Event-ID: 3\r\n"),
        ("/events/stream?lastEventId=3", ""),
        ("/events/stream?last_event_id=3", ""),
        ("/events/stream?checkpoint=3&from=earliest", ""),
        ("/events/stream?from=3", ""),
        ("/events/stream?lastEventId=1", "Last-Event-ID: 3\r\n"),
    ] {
        let mut stream = EventSource::open(&served, path, headers);
        assert_eq!(named(&stream.message()), ("delta", "4"), "{path} {headers}");
        assert_eq!(named(&stream.message()), ("delta", "5"), "{path} {headers}");
    }
    for path in ["/events/stream?from=earliest", "/events/stream?from=2000-01-01T00:00:00Z"] {
        let mut stream = EventSource::open(&served, path, "");
        assert_eq!(named(&stream.message()), ("delta", "1"), "{path}");
    }
    let mut latest = EventSource::open(&served, "/events/stream?from=latest", "");
    let mut none = EventSource::open(&served, "/events/stream?snapshot=none", "");
    for stream in [&mut latest, &mut none] {
        // Without a cursor a reconnect before the first event would lose what came meanwhile.
        assert_eq!(named(&stream.message()), ("checkpoint", "5"));
    }
    post(&served, 6);
    assert_eq!(named(&latest.message()), ("delta", "6"));
    assert_eq!(named(&none.message()), ("delta", "6"));
}

#[test]
fn streams_keep_to_times() {
    let served = Served::with(impatient(ServerOptions::default()), EngineOptions::default());
    for n in 1..=6 {
        post(&served, n);
    }
    let recorded = |position: u64| {
        let event = served.send(&format!("GET /events/at/{position}")).json();
        event["recordedtime"].as_str().expect("a time").to_owned()
    };
    let snapshot = |query: &str| {
        let mut stream = EventSource::open(&served, &format!("/events/stream?{query}"), "");
        let message = stream.message();
        let events = message.json();
        let ids = events.as_array().expect("events").iter().map(|event| event["id"].to_string());
        ids.collect::<String>().replace('"', "")
    };
    let (second, fourth) = (recorded(2), recorded(4));
    assert_eq!(snapshot(&format!("since={second}")), "e2e3e4e5e6");
    assert_eq!(snapshot(&format!("since={second}&until={fourth}&type=t.0")), "e2e4");
    let path = format!("/events/stream?limit=2&since={second}");
    let mut stream = EventSource::open(&served, &path, "");
    assert_eq!(stream.message().data, "{\"omitted\":3,\"first\":\"5\"}");
    let path = format!("/events/stream?from=earliest&since={second}&until={fourth}");
    let mut past = EventSource::open(&served, &path, "");
    let ids: Vec<_> = (0..3).map(|_| past.message().id).collect();
    assert_eq!(ids, ["2", "3", "4"]);
    let open = |query| EventSource::open(&served, &format!("/events/stream?from=6&{query}"), "");
    let mut old = open("until=2000-01-01T00:00:00Z&filter=TRUE");
    let mut new = open("since=2000-01-01T00:00:00Z&until=2100-01-01T00:00:00Z");
    let mut future = open("since=2100-01-01T00:00:00Z");
    let path = "/events/stream?from=2100-01-01T00:00:00Z";
    let mut from_then = EventSource::open(&served, path, "");
    post(&served, 7);
    assert_eq!(named(&new.message()), ("delta", "7"));
    for stream in [&mut old, &mut future, &mut from_then, &mut past] {
        // The second is surely later than the event.
        stream.comment();
        stream.comment();
    }
}

#[test]
fn a_cursor_ahead_is_reset() {
    let served = Served::new();
    served.seed(2);
    let mut stream = EventSource::open(&served, "/events/stream", "Last-Event-ID: 9\r\n");
    let reset = stream.message();
    assert_eq!(reset.name, "reset");
    assert_eq!(
        reset.data,
        "{\"reason\":\"ahead\",\"requested\":\"9\",\"earliest\":\"1\",\"head\":\"2\"}"
    );
    assert_eq!(named(&stream.message()), ("snapshot", "2"));
    let path = "/events/stream?snapshot=none&lastEventId=1.7";
    let mut stream = EventSource::open(&served, path, "");
    let reset = stream.message();
    assert_eq!((named(&reset), &reset.json()["reason"]), (("reset", "2"), &"epoch".into()));
    post(&served, 3);
    assert_eq!(named(&stream.message()), ("delta", "3"));
}

#[test]
fn names_of_messages() {
    let served = Served::new();
    served.seed(1);
    let first = |names: &str| {
        EventSource::open(&served, &format!("/events/stream?from=0&names={names}"), "").message()
    };
    assert_eq!(named(&first("type")), ("t.1", "1"));
    assert_eq!(named(&first("none")), ("message", "1"));
    let code = |query: &str| served.send(&format!("GET /events/stream?{query}")).code();
    assert_eq!(code("names=odd"), "invalid-parameter");
    assert_eq!(code("snapshot=resources&limit=3"), "invalid-parameter");
    assert_eq!(code("snapshot=none&limit=3"), "invalid-parameter");
    assert_eq!(code("snapshot=odd"), "invalid-parameter");
    assert_eq!(code("lastEventId=x"), "invalid-parameter");
    assert_eq!(served.send("GET /events/stream\nlast-event-id: x").code(), "invalid-request");
}

#[test]
fn no_event_speaks_for_the_stream() {
    let served = Served::new();
    let own = ["snapshot", "ready", "truncated", "reset", "checkpoint", "busy", "open", "error"];
    let types = own.iter().chain(&["Reset", "delta", "message"]);
    for ty in types.clone() {
        let request = "POST /events\ncontent-type: application/json\n\n";
        let answer = served.send(&format!("{request}{{\"source\":\"a\",\"type\":\"{ty}\"}}"));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let mut stream = EventSource::open(&served, "/events/stream?from=earliest&names=type", "");
    for ty in types {
        let message = stream.message();
        let expected = if own.contains(ty) { "delta" } else { ty };
        assert_eq!((message.name.as_str(), &message.json()["type"]), (expected, &(*ty).into()));
    }
}

#[test]
fn a_type_of_several_lines_is_no_name() {
    let served = Served::new();
    for end in ['\u{2028}', '\u{2029}'] {
        let request = "POST /events\ncontent-type: application/json\n\n";
        let event = format!("{{\"source\":\"a\",\"type\":\"a{end}data: b\"}}");
        assert_eq!(served.send(&format!("{request}{event}")).status, 201);
    }
    let mut stream = EventSource::open(&served, "/events/stream?from=earliest&names=type", "");
    for end in ['\u{2028}', '\u{2029}'] {
        let message = stream.message();
        assert_eq!(message.name, "delta");
        assert_eq!(message.json()["type"], format!("a{end}data: b"));
    }
}

#[test]
fn line_ends_within_data_are_escaped() {
    let served = Served::new();
    let request = "POST /events\ncontent-type: application/json\n\n\
        {\"source\":\"a\",\"type\":\"t\",\"data\":\"a\u{2028}b\u{2029}c\u{85}d\\n\"}";
    assert_eq!(served.send(request).status, 201);
    let mut stream = EventSource::open(&served, "/events/stream", "");
    let snapshot = stream.message();
    assert_eq!(snapshot.json()[0]["data"], "a\u{2028}b\u{2029}c\u{85}d\n");
    assert!(!snapshot.data.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{}", snapshot.data);
}

#[test]
fn catching_up_from_far_behind_has_no_gap() {
    let served = Served::new();
    served.seed(9_000);
    let mut stream = EventSource::open(&served, "/events/stream?from=earliest", "");
    for n in 1..=4_500 {
        assert_eq!(stream.message().id, n.to_string());
    }
    post(&served, 9_001);
    for n in 4_501..=9_001 {
        assert_eq!(stream.message().id, n.to_string());
    }
}

fn impatient(options: ServerOptions) -> ServerOptions {
    ServerOptions { heartbeat_every: Duration::from_millis(100), ..options }
}

#[test]
fn an_idle_stream_has_a_heartbeat() {
    let served = Served::with(impatient(ServerOptions::default()), EngineOptions::default());
    let mut stream = EventSource::open(&served, "/events/stream?from=latest", "");
    assert_eq!(named(&stream.message()), ("checkpoint", "0"));
    let begun = Instant::now();
    assert_eq!(stream.comment(), "hb");
    assert_eq!(stream.comment(), "hb");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert!(stream.raw.ends_with(b":hb\n") && !stream.raw.ends_with(b"\n\n"));
    post(&served, 1);
    assert_eq!(named(&stream.message()), ("delta", "1"));
    assert_eq!(stream.blanks, 0);
}

#[test]
fn a_filter_that_matches_little_moves_the_cursor() {
    let served = Served::with(impatient(ServerOptions::default()), EngineOptions::default());
    served.seed(1_500);
    let path = "/events/stream?from=earliest&type=never";
    let checkpoint = EventSource::open(&served, path, "").message();
    assert_eq!(named(&checkpoint), ("checkpoint", "1500"));
    assert_eq!(checkpoint.data, "{\"position\":\"1500\"}");
}

#[test]
fn too_many_streams() {
    let options = ServerOptions { streams_max: 1, ..ServerOptions::default() };
    let served = Served::with(options, EngineOptions::default());
    let mut first = EventSource::open(&served, "/events/stream", "");
    assert_eq!(first.message().name, "snapshot");
    let second = served.send("GET /events/stream");
    assert_eq!((second.status, second.header("content-type")), (200, Some("text/event-stream")));
    let text = second.text();
    assert!(text.starts_with("retry: ") && text.contains("\nevent: busy\ndata: {"), "{text}");
    let strict = served.send("GET /events/stream?strict=1");
    assert_eq!((strict.status, strict.code().as_str()), (503, "too-many-streams"));
    drop(first);
    let free = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(10));
        let mut client = served.client();
        client.write(b"GET /events/stream?strict=1 HTTP/1.1\r\nhost: t\r\n\r\n");
        client.answer_head().status == 200
    });
    assert!(free, "a stream that has gone makes room");
}

#[test]
fn whoever_comes_too_early_is_told_to_come_back() {
    let served = Served::starting(ServerOptions::default());
    for request in [
        "GET /events/stream",
        "GET /api/sse/connect?clientId=ann",
        "GET /events\naccept: text/event-stream",
    ] {
        let early = served.send(request);
        assert_eq!((early.status, early.header("retry-after")), (200, Some("1")), "{request}");
        let text = early.text();
        assert!(text.starts_with("retry: ") && text.contains("\nevent: busy\n"), "{text}");
    }
    for request in ["GET /events/stream?strict=1", "GET /events"] {
        assert_eq!(served.send(request).code(), "starting", "{request}");
    }
}

#[test]
fn streams_are_ended_at_shutdown() {
    let mut served = Served::new();
    served.seed(1);
    let mut stream = EventSource::open(&served, "/events/stream", "");
    assert_eq!(stream.message().name, "snapshot");
    let mut idle = served.client();
    assert_eq!(idle.send("GET /health/live").status, 200);
    let mut begun_before = served.client();
    begun_before.write(
        b"POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
          content-length: 25\r\n\r\n{",
    );
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    served.begin_stop();
    assert_eq!(stream.next(), None);
    begun_before.write(b"\"source\":\"a\",\"type\":\"t\"}");
    assert_eq!(begun_before.answer(false).status, 201, "what had begun is finished");
    served.join();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(stream.retry.is_some_and(|ms| (2_000..=5_000).contains(&ms)));
    assert!(idle.is_closed());
}

#[test]
fn who_asks_the_same_sees_the_same() {
    let served = Served::new();
    served.seed(1);
    let open = |path: &str| EventSource::open(&served, path, "");
    let mut streams: Vec<_> = (0..12).map(|_| open("/events/stream?from=1")).collect();
    let mut others: Vec<_> = (0..3).map(|_| open("/events/stream?from=1&type=t.1")).collect();
    thread::scope(|scope| {
        let readers: Vec<_> = streams
            .iter_mut()
            .map(|stream| {
                scope.spawn(|| {
                    for n in 2..=80 {
                        assert_eq!(stream.message().id, n.to_string());
                    }
                })
            })
            .collect();
        for n in 2..=80 {
            post(&served, n);
        }
        for reader in readers {
            reader.join().expect("every event once, in order");
        }
    });
    for stream in &mut others {
        for n in (3..=79).step_by(2) {
            assert_eq!(stream.message().id, n.to_string());
        }
    }
}

fn commit(served: &Served, id: &str, data: &str) {
    let subject = data.split('"').nth(3).expect("a resource id").to_owned();
    let body = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"app\",\"type\":\"json.commit\",\
         \"subject\":\"{}/{subject}\",\"data\":{data}}}",
        if data.contains("Comment") { "comment" } else { "issue" }
    );
    let request = format!("POST /events\ncontent-type: application/cloudevents+json\n\n{body}");
    let answer = served.send(&request);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Issues 1 and 3, comment c; issue 2 is deleted.
fn with_resources() -> Served {
    let served = Served::new();
    commit(&served, "a", r#"{"resource_id":"1","resource_data":{"title":"a\u2028b"}}"#);
    commit(&served, "b", r#"{"resource_id":"2","resource_data":{"title":"two"}}"#);
    commit(&served, "c", r#"{"resource_id":"c","schema":"x/Comment","resource_data":[1, 2]}"#);
    commit(&served, "d", r#"{"resource_id":"3","resource_data":{"title":"three"}}"#);
    commit(&served, "e", r#"{"resource_id":"2","deleted":true}"#);
    commit(&served, "f", r#"{"resource_id":"1","patch":{"status":"open"}}"#);
    served
}

/// What comes up to `ready`: ids and revisions.
fn until_ready(stream: &mut EventSource) -> (Vec<String>, String) {
    let mut seen = Vec::new();
    loop {
        let message = stream.message();
        if message.name == "ready" {
            assert_eq!(message.json()["position"], message.id.as_str());
            return (seen, message.id);
        }
        assert_eq!((message.name.as_str(), message.id.as_str()), ("snapshot", ""));
        let resource = message.json();
        let text = |name: &str| resource[name].as_str().expect("text").to_owned();
        seen.push(format!("{}@{}", text("id"), text("revision")));
    }
}

#[test]
fn a_snapshot_of_resources_then_deltas() {
    let served = with_resources();
    let path = "/events/stream?snapshot=resources";
    let mut stream = EventSource::open(&served, path, "");
    let first = stream.message();
    assert_eq!(first.name, "snapshot");
    assert_eq!(
        first.json(),
        serde_json::json!({"id": "comment-c", "resource_type": "comment", "resource_id": "c",
            "data": [1, 2], "revision": "3"})
    );
    let (rest, at) = until_ready(&mut stream);
    assert_eq!((rest.join(" ").as_str(), at.as_str()), ("issue-1@6 issue-3@4", "6"));
    assert!(
        !String::from_utf8_lossy(&stream.raw).contains('\u{2028}'),
        "one line, for all readers"
    );
    commit(&served, "g", r#"{"resource_id":"3","deleted":true}"#);
    assert_eq!(named(&stream.message()), ("delta", "7"));
    assert_eq!(stream.blanks, 0);
    // With a cursor there is no snapshot.
    let mut resumed = EventSource::open(&served, path, "last-event-id: 6\r\n");
    assert_eq!(named(&resumed.message()), ("delta", "7"));
}

#[test]
fn a_snapshot_of_resources_keeps_to_the_filters() {
    let served = with_resources();
    let seen = |query: &str| {
        let path = format!("/events/stream?snapshot=resources&{query}");
        until_ready(&mut EventSource::open(&served, &path, "")).0.join(" ")
    };
    assert_eq!(seen("type=comment"), "comment-c@3");
    assert_eq!(seen("type=json.commit"), "comment-c@3 issue-1@6 issue-3@4");
    assert_eq!(seen("subject=issue&recursive=1"), "issue-1@6 issue-3@4");
    assert_eq!(seen("type=issue&filter=id%3D'd'"), "issue-3@4");
    assert_eq!(seen("source=elsewhere"), "");
    let path = "/events/stream?snapshot=resources&type=comment";
    let mut stream = EventSource::open(&served, path, "");
    until_ready(&mut stream);
    commit(&served, "g", r#"{"resource_id":"3","patch":{"x":1}}"#);
    commit(&served, "h", r#"{"resource_id":"c","schema":"x/Comment","patch":{"x":1}}"#);
    assert_eq!(named(&stream.message()), ("delta", "8"), "only what changes a comment");
}

#[test]
fn streams_end_one_after_the_other() {
    let mut served = Served::new();
    served.seed(1);
    let mut streams: Vec<_> =
        (0..50).map(|_| EventSource::open(&served, "/events/stream?from=0", "")).collect();
    for stream in &mut streams {
        assert_eq!(named(&stream.message()), ("delta", "1"));
    }
    served.begin_stop();
    let mut retries = std::collections::BTreeSet::new();
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
        retries.insert(stream.retry);
    }
    assert!(retries.len() > 10, "they are not told to come back at the same time: {retries:?}");
    served.join();
}
