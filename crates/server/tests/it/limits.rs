//! Too much, too slow, not HTTP.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use annal_engine::EngineOptions;
use annal_event::Limits;
use annal_server::ServerOptions;

use crate::{client::Client, fixture::Served};

fn small() -> Served {
    let limits =
        Limits { event_bytes_max: 4 * 1024, request_bytes_max: 256 * 1024, batch_events_max: 100 };
    let options = ServerOptions {
        body_idle_timeout: Duration::from_millis(200),
        header_timeout: Duration::from_millis(500),
        ..ServerOptions::default()
    };
    Served::with(options, EngineOptions { limits, ..EngineOptions::default() })
}

#[test]
fn an_announced_body_is_refused_before_it_comes() {
    let served = small();
    for (media_type, code) in [
        ("application/cloudevents+json", "event-too-large"),
        ("application/cloudevents-batch+json", "request-too-large"),
        ("application/json", "request-too-large"),
        ("application/cloudevents-batch+protobuf", "request-too-large"),
    ] {
        let head = format!(
            "POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: {media_type}\r\n\
             content-length: 1073741824\r\n\r\n{{"
        );
        let mut client = served.client();
        client.write(head.as_bytes());
        let refused = client.answer(false);
        assert_eq!((refused.status, refused.code().as_str()), (413, code), "{media_type}");
    }
}

#[test]
fn a_waiting_client_is_refused_without_a_body() {
    let served = small();
    let mut client = served.client();
    client.write(
        b"POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: application/cloudevents+json\r\n\
          content-length: 1073741824\r\nexpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.answer(false).code(), "event-too-large");
    let mut client = served.client();
    let body = "{\"id\":\"1\",\"source\":\"a\",\"type\":\"t\"}";
    client.write(
        format!(
            "POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(client.answer_head().status, 100);
    client.write(body.as_bytes());
    assert_eq!(client.answer(false).status, 201);
}

/// Sends chunks until the server has had enough, and reads what it says.
fn upload(mut client: Client, media_type: &str, first: &str, chunk: &str) -> (u16, String, usize) {
    client.write(
        format!(
            "POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: {media_type}\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
            first.len()
        )
        .as_bytes(),
    );
    let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let mut sent = 0;
    while sent < 8 * 1024 * 1024 && client.try_write(chunk.as_bytes()).is_ok() {
        sent += chunk.len();
    }
    let refused = client.answer(false);
    (refused.status, refused.code(), sent)
}

#[test]
fn a_chunked_body_is_refused_while_it_comes() {
    let served = small();
    let text = "x".repeat(8 * 1024);
    let event = "{\"id\":\"1\",\"source\":\"a\",\"type\":\"t\",\"data\":\"";
    let (status, code, _) = upload(served.client(), "application/json", event, &text);
    assert_eq!((status, code.as_str()), (413, "event-too-large"));
    let spaces = " ".repeat(8 * 1024);
    let batch = "application/cloudevents-batch+json";
    let (status, code, _) = upload(served.client(), batch, "[", &spaces);
    assert_eq!((status, code.as_str()), (413, "request-too-large"));
    let line = "application/x-ndjson";
    let (status, code, _) = upload(served.client(), line, event, &text);
    assert_eq!((status, code.as_str()), (413, "event-too-large"));
}

#[test]
fn batches_hold_so_many_events() {
    let served = small();
    let item = "{\"source\":\"a\",\"type\":\"t\"}";
    let batch = vec![item; 101].join(",");
    let refused =
        served.send(&format!("POST /events\ncontent-type: application/json\n\n[{batch}]"));
    assert_eq!((refused.status, refused.code().as_str()), (413, "batch-too-large"));
    assert_eq!(served.engine().head().0, 0);
}

#[test]
fn encodings() {
    let served = small();
    let event = b"{\"id\":\"1\",\"source\":\"a\",\"type\":\"t\"}";
    let post = |encoding: &str, body: &[u8]| {
        let head =
            format!("POST /events\ncontent-type: application/json\ncontent-encoding: {encoding}");
        served.client().send_bytes(&head, body)
    };
    assert_eq!(post("gzip", &gzip(event)).status, 201);
    assert_eq!(post("zstd", &zstd::encode_all(&event[..], 3).expect("zstd")).status, 200);
    let mut twice = gzip(&event[..10]);
    twice.extend(gzip(&event[10..]));
    let answer = post("gzip", &twice);
    assert_eq!(answer.status, 200, "members one after the other: {}", answer.text());
    assert_eq!(post("gzip", b"not gzip at all").code(), "malformed-encoding");
    let whole = gzip(event);
    assert_eq!(post("gzip", &whole[..whole.len() - 9]).code(), "malformed-encoding");
    let unknown = post("br", event);
    assert_eq!((unknown.status, unknown.code().as_str()), (415, "unsupported-encoding"));
    assert_eq!(unknown.header("accept-encoding"), Some("gzip, zstd"));
}

#[test]
fn bombs_are_refused() {
    let served = Served::new();
    let zeros = vec![b' '; 100 * 1024 * 1024];
    for (encoding, bomb) in
        [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 3).expect("zstd"))]
    {
        for media_type in ["application/json", "application/x-ndjson"] {
            let head =
                format!("POST /events\ncontent-type: {media_type}\ncontent-encoding: {encoding}");
            let refused = served.client().send_bytes(&head, &bomb);
            assert_eq!(refused.status, 413, "{encoding} {media_type}: {}", refused.text());
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

#[test]
fn media_types() {
    let served = small();
    let refused = served.send("POST /events\ncontent-type: text/plain\n\nhello");
    assert_eq!((refused.status, refused.code().as_str()), (415, "unsupported-media-type"));
    assert!(refused.header("accept").is_some());
    let nothing = served.send("POST /events\n\n{}");
    assert_eq!(nothing.code(), "unsupported-media-type");
    let broken = served.send("POST /events\ncontent-type: application/json\n\n{\"a");
    assert_eq!(broken.code(), "malformed-body");
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let served = small();
    let mut client = served.client();
    client.write(
        b"POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
          content-length: 100\r\n\r\n{",
    );
    let refused = client.answer(false);
    assert_eq!((refused.status, refused.code().as_str()), (408, "request-timeout"));
}

#[test]
fn headers_that_stop_coming_are_given_up() {
    let served = small();
    for begun in ["", "P", "GET /events HTTP/1.1\r\nhost"] {
        let mut client = served.client();
        let since = Instant::now();
        client.write(begun.as_bytes());
        assert!(client.is_closed(), "{begun:?}");
        assert!(since.elapsed() < Duration::from_secs(5), "{begun:?}");
    }
}

#[test]
fn what_is_not_http_gets_a_problem() {
    let served = small();
    for (request, status, code) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400, "invalid-request"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "invalid-request"),
        (
            format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(100_000)),
            431,
            "headers-too-large",
        ),
    ] {
        let mut client = served.client();
        let _ = client.try_write(request.as_bytes());
        let refused = client.answer(false);
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
    }
}

#[test]
fn a_full_queue_is_told() {
    let engine = EngineOptions { queue_bytes_max: 1, ..EngineOptions::default() };
    let served = Served::with(ServerOptions::default(), engine);
    let mut busy = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let served = &served;
                scope.spawn(move || {
                    let mut connection = served.client();
                    let mut busy = 0;
                    for n in 0..200 {
                        let answer = connection.send(&format!(
                            "POST /events\ncontent-type: application/json\n\n\
                             {{\"id\":\"{client}-{n}\",\"source\":\"a\",\"type\":\"t\"}}"
                        ));
                        if answer.status != 201 {
                            assert_eq!(answer.code(), "busy");
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            busy += 1;
                        }
                    }
                    busy
                })
            })
            .collect();
        for client in clients {
            busy += client.join().expect("a client");
        }
    });
    assert!(busy > 0, "nobody was refused");
    assert_eq!(served.engine().head().0, 16 * 200 - busy, "what was refused was not stored");
}

#[test]
fn a_body_compressed_beyond_reason_is_refused_where_no_other_bound_is() {
    let served = small();
    let blank = vec![b'\n'; 64 * 1024 * 1024];
    let head = "POST /events\ncontent-type: application/x-ndjson\ncontent-encoding: zstd";
    let bomb = zstd::encode_all(&blank[..], 3).expect("zstd");
    let refused = served.client().send_bytes(head, &bomb);
    assert_eq!((refused.status, refused.code().as_str()), (413, "request-too-large"));
}
