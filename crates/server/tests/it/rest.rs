//! The REST listener of Events-DB.

use std::io::Read;

use annal_engine::EngineOptions;
use annal_server::ServerOptions;

use crate::{
    client::{Answer, Client},
    fixture::Served,
};

fn send(served: &Served, request: &str) -> Answer {
    Client::connect(served.rest).send(request)
}

fn post(served: &Served, subject: &str, ty: &str) -> u64 {
    let answer = send(
        served,
        &format!(
            "POST /events\ncontent-type: application/json\n\n\
             {{\"source\":\"/r\",\"type\":\"{ty}\",\"subject\":\"{subject}\",\"data\":\"AP8=\"}}"
        ),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_u64().expect("a number")
}

#[test]
fn an_event_comes_back() {
    let served = Served::new();
    assert_eq!((post(&served, "a", "t"), post(&served, "a", "t")), (1, 2));
    let mut event = send(&served, "GET /events/get?id=2").json();
    let time = event["time"].take();
    assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
    let expected = serde_json::json!({
        "id": 2, "source": "/r", "type": "t", "subject": "a", "time": null, "data": "AP8=",
    });
    assert_eq!(event, expected);
    let code = |request: &str| {
        let answer = send(&served, request);
        (answer.status, answer.code())
    };
    let is = |status, code: &str| (status, code.to_owned());
    assert_eq!(code("GET /events/get?id=9"), is(404, "event-not-found"));
    assert_eq!(code("GET /events/get"), is(400, "invalid-parameter"));
    assert_eq!(code("GET /events/get?id=x"), is(400, "invalid-parameter"));
    assert_eq!(code("GET /events/get?id=1&odd=1"), is(400, "unknown-parameter"));
    assert_eq!(code("GET /events"), is(405, "method-not-allowed"));
    assert_eq!(code("GET /odd"), is(404, "not-found"));
    assert_eq!(code("POST /events\n\n{"), is(400, "malformed-body"));
    assert_eq!(code("POST /events\n\n{\"source\":\"a\"}"), is(400, "invalid-event"));
    let bad = "POST /events\n\n{\"source\":\"a\",\"type\":\"t\",\"data\":\"?\"}";
    assert_eq!(code(bad), is(400, "invalid-event"));
    assert_eq!(send(&served, "GET /health").json()["status"], "healthy");
    assert!(send(&served, "GET /metrics").text().contains("operation=\"append\""));
}

#[test]
fn only_an_object_is_a_body() {
    let served = Served::new();
    post(&served, "x/9", "t");
    let bodies = ["[\"s\",\"t\",\"x/9\",\"aGk=\"]", "[]", " [\"x/9\"]", "7", "null", "\"x/9\""];
    for path in ["/events", "/subjects/delete"] {
        for body in bodies.into_iter().chain(["[\"x/9\",null,null,null]"]) {
            let answer = send(&served, &format!("POST {path}\n\n{body}"));
            assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-event"), "{body}");
            assert!(answer.text().contains("send a JSON object"), "{}", answer.text());
        }
        let broken = send(&served, &format!("POST {path}\n\n[1"));
        assert_eq!((broken.status, broken.code().as_str()), (400, "malformed-body"));
    }
    assert_eq!(served.engine().head().0, 1);
}

#[test]
fn history_and_deletion() {
    let served = Served::new();
    for n in 0..15 {
        post(&served, if n % 3 == 0 { "a/b" } else { "a" }, "t");
    }
    let page = |query: &str| {
        let page = send(&served, &format!("GET /events/historic?{query}")).json();
        let ids = page["events"].as_array().expect("events");
        let ids: Vec<_> = ids.iter().map(|event| event["id"].as_u64().expect("a number")).collect();
        (ids, page["has_more"].as_bool().expect("a flag"))
    };
    assert_eq!(page("subject=a"), (vec![2, 3, 5, 6, 8, 9, 11, 12, 14, 15], false));
    assert_eq!(page("subject=a&recursive=true"), ((1..=10).collect(), true));
    assert_eq!(page("subject=a&recursive=true&from_id=10"), ((11..=15).collect(), false));
    assert_eq!(page("subject=a&type=u"), (vec![], false));
    let deleted = send(&served, "POST /subjects/delete?subject=a&from_id=14");
    assert_eq!(deleted.text(), "{\"status\":\"ok\",\"deleted\":2}");
    let body = "{\"subject\":\"a\",\"recursive\":true,\"from_id\":12}";
    let deleted = send(&served, &format!("POST /subjects/delete\n\n{body}"));
    assert_eq!(deleted.text(), "{\"status\":\"ok\",\"deleted\":2}");
    assert_eq!(send(&served, "GET /events/get?id=14").code(), "event-deleted");
    assert_eq!(send(&served, "POST /subjects/delete").code(), "invalid-parameter");
}

/// Positions of the messages of a stream, as they come.
struct Stream(Client, String);

impl Stream {
    fn open(served: &Served, path: &str) -> Stream {
        let mut client = Client::connect(served.rest);
        client.write(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes());
        let head = client.answer_head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Stream(client, String::new())
    }

    fn next(&mut self) -> u64 {
        loop {
            if let Some(end) = self.1.find("\n\n") {
                let message: String = self.1.drain(..end + 2).collect();
                assert!(!message.contains("event:"), "unnamed: {message}");
                let data = message.split("data: ").nth(1).expect("data");
                let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
                return event["id"].as_u64().expect("a number");
            }
            let chunk = self.0.chunk().expect("it goes on");
            let mut text = String::new();
            (&chunk[..]).read_to_string(&mut text).expect("text");
            self.1.push_str(&text);
        }
    }
}

#[test]
fn a_stream_replays_and_goes_on() {
    // INV-5
    let served = Served::new();
    for _ in 0..250 {
        post(&served, "a/x", "t");
    }
    let mut stream = Stream::open(&served, "/events/stream?subject=a&recursive=true&from_id=5");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| assert!(post(&served, "a", "t") > 0)));
        for expected in 6..=350 {
            assert_eq!(stream.next(), expected);
        }
    });
    for query in ["", "?subject=a&from_id=351", "?subject=a\nlast-event-id: 351"] {
        let refused = send(&served, &format!("GET /events/stream{query}"));
        assert_eq!(refused.code(), "invalid-parameter", "{query}");
    }
    Stream::open(&served, "/events/stream?subject=a&from_id=350");
}

#[test]
fn one_client_too_many() {
    let options = ServerOptions { clients_max: 1, ..ServerOptions::default() };
    let served = Served::with(options, EngineOptions::default());
    post(&served, "a", "t");
    let mut first = Stream::open(&served, "/events/stream?subject=a");
    assert_eq!(first.next(), 1);
    let refused = send(&served, "GET /events/stream?subject=a");
    assert_eq!((refused.status, refused.code().as_str()), (429, "too-many-clients"));
}

#[test]
fn streams_are_ended_at_shutdown() {
    let mut served = Served::new();
    post(&served, "a", "t");
    let mut stream = Stream::open(&served, "/events/stream?subject=a");
    assert_eq!(stream.next(), 1);
    served.begin_stop();
    while stream.0.chunk().is_some() {}
    served.join();
}
