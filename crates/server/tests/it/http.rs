//! What is common to all routes.

use annal_engine::EngineOptions;
use annal_server::ServerOptions;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::fixture::Served;

#[test]
fn paths_and_methods() {
    let served = Served::new();
    let code = |request: &str| served.send(request).code();
    assert_eq!(code("GET /nothing"), "not-found");
    assert_eq!(code("GET /events/at/1/more"), "not-found");
    assert_eq!(code("GET /tenants/other/events"), "tenant-not-found");
    let refused = served.send("DELETE /events");
    assert_eq!((refused.status, refused.code().as_str()), (405, "method-not-allowed"));
    assert_eq!(refused.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    let options = served.send("OPTIONS /events/stream");
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(code(&format!("GET /events?subject={}", "x".repeat(17_000))), "uri-too-long");
    assert_eq!(code("GET /events\nexpect: the-best"), "expectation-failed");
    let coded = "POST /events\ntransfer-encoding: gzip, chunked\n\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(code(coded), "invalid-request", "not stored as it came");
}

#[test]
fn head_answers_the_headers() {
    let served = Served::new();
    served.seed(2);
    let mut client = served.client();
    let get = client.send("GET /events/at/1");
    let head = client.send("HEAD /events/at/1");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    let stream = client.send("HEAD /events/stream");
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(client.send("GET /health/live").status, 200, "the connection lives on");
}

#[test]
fn request_ids_come_back() {
    let served = Served::new();
    let answer = served.send("GET /health\nx-request-id: abc-1");
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let refused = served.send("GET /nothing\nx-request-id: with space");
    assert!(refused.header("x-request-id").is_some_and(|id| id.len() == 36));
}

#[test]
fn cross_origin_requests_only_where_allowed() {
    let preflight = "OPTIONS /events\norigin: https://app.example\n\
        access-control-request-method: POST\naccess-control-request-headers: last-event-id, ce-id";
    let plain = Served::new().send(preflight);
    assert_eq!(plain.header("access-control-allow-origin"), None);
    let options = ServerOptions {
        cors_origins: vec!["https://app.example".to_owned()],
        ..ServerOptions::default()
    };
    let served = Served::with(options, EngineOptions::default());
    let allowed = served.send(preflight);
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, HEAD, POST, OPTIONS"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("last-event-id, ce-id"));
    let read = served.send("GET /events\norigin: https://app.example");
    assert_eq!(read.header("access-control-allow-origin"), Some("https://app.example"));
    let other = served.send("GET /events\norigin: https://evil.example");
    assert_eq!(other.header("access-control-allow-origin"), None);
    for (origin, expected) in [
        ("https://evil.example", (403, "origin-refused")),
        ("null", (403, "origin-refused")),
        ("https://app.example", (400, "invalid-parameter")),
        ("http://test", (403, "origin-refused")),
    ] {
        let change = served.send(&format!("POST /subjects/delete\norigin: {origin}\n"));
        assert_eq!((change.status, change.code().as_str()), expected, "{origin}");
    }
}

#[test]
fn a_name_that_leads_here_is_not_the_servers_own() {
    let options = ServerOptions {
        base_url: "https://Annal.example/below".to_owned(),
        ..ServerOptions::default()
    };
    let served = Served::with(options, EngineOptions::default());
    let status = |origin: &str, host: &str| {
        let mut client = served.client();
        let request = format!(
            "POST /subjects/delete HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\
             content-length: 0\r\n\r\n"
        );
        client.write(request.as_bytes());
        client.answer(false).status
    };
    for name in [
        "127.0.0.1:21000",
        "10.0.0.7",
        "[::1]:21000",
        "localhost:21000",
        "LOCALHOST",
        "a.localhost:1",
        "annal.example",
        "annal.example:21000",
    ] {
        assert_eq!(status(&format!("http://{name}"), name), 400, "{name}");
    }
    for name in [
        "evil.example:21000",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "annal.example.evil.example",
        "1.2.3",
    ] {
        assert_ne!(status(&format!("http://{name}"), name), 400, "{name}");
    }
    assert_eq!(status("http://localhost:21000", "localhost:21001"), 403, "another port");
    let refused = served.send("POST /subjects/delete\norigin: http://test");
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("--base-url") && detail.contains("--cors-origin"), "{detail}");
}

#[test]
fn before_the_engine_is_open() {
    let served = Served::starting(ServerOptions::default());
    assert_eq!(served.send("GET /health/live").status, 200);
    assert_eq!(served.send("GET /metrics").status, 200);
    for request in [
        "GET /health/ready",
        "GET /events",
        "POST /events\ncontent-type: application/json\n\n{\"source\":\"a\",\"type\":\"t\"}",
    ] {
        let refused = served.send(request);
        assert_eq!((refused.status, refused.code().as_str()), (503, "starting"), "{request}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(served.send("GET /health").status, 503);
    served.open(EngineOptions::default());
    served.check(
        "GET /health/ready",
        "200\ncontent-type: application/json\n\n{\"status\":\"ready\",\"head\":\"0\"}",
    );
    let health = served.send("GET /health").json();
    assert_eq!(health["status"], "healthy");
}

#[test]
fn metrics_count_what_happened() {
    let served = Served::new();
    served.seed(3);
    served.send("GET /events");
    served.send("GET /nothing");
    let metrics = served.send("GET /metrics");
    let text = metrics.text();
    for line in [
        "app_event_operations_total{operation=\"append\",status=\"success\"} 1",
        "app_event_operations_total{operation=\"read\",status=\"success\"} 1",
        "app_event_operation_duration_seconds_count{operation=\"append\"} 1",
        "app_active_event_streams 0",
        "annal_rejected_requests_total{code=\"not-found\"} 1",
        "annal_head_position 3",
        "annal_appended_events_total 3",
    ] {
        assert!(text.lines().any(|have| have == line), "no {line} in\n{text}");
    }
}

#[test]
fn min_position_waits_and_gives_up() {
    let options = ServerOptions {
        position_wait_max: std::time::Duration::from_millis(100),
        ..ServerOptions::default()
    };
    let served = Served::with(options, EngineOptions::default());
    served.seed(2);
    assert_eq!(served.send("GET /events?min_position=2").status, 200);
    let refused = served.send("GET /events?min_position=3");
    assert_eq!((refused.status, refused.code().as_str()), (503, "position-not-reached"));
}

#[test]
fn h2c_with_prior_knowledge() {
    let served = Served::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(served.address).await.expect("connected");
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("h2");
        tokio::spawn(connection);
        let body = "{\"id\":\"1\",\"source\":\"a\",\"type\":\"t\"}";
        let request = hyper::Request::post("http://test/events")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (201, hyper::Version::HTTP_2));
        let head = hyper::Request::head("http://test/events/at/1")
            .body(Full::new(Bytes::new()))
            .expect("a request");
        assert_eq!(sender.send_request(head).await.expect("an answer").status(), 200);
        let get = hyper::Request::get("http://test/events/stream?from=earliest")
            .body(Full::new(Bytes::new()))
            .expect("a request");
        let mut stream = sender.send_request(get).await.expect("an answer").into_body();
        let mut text = String::new();
        while !text.contains("\n\n") {
            let frame = stream.frame().await.expect("a frame").expect("data");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
        }
        assert!(text.contains("event: delta\nid: 1\ndata: {"), "{text}");
    });
}

#[test]
fn one_host_and_no_unknown_parameters_anywhere() {
    let served = Served::new();
    for head in
        ["GET /health HTTP/1.1\r\n\r\n", "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"]
    {
        let mut client = served.client();
        client.write(head.as_bytes());
        assert_eq!(client.answer(false).status, 400, "{head}");
    }
    for path in
        ["/health", "/health/live", "/health/ready", "/metrics", "/", "/docs", "/openapi.json"]
    {
        let answer = served.send(&format!("GET {path}?colour=blue"));
        assert_eq!((answer.status, answer.code()), (400, "unknown-parameter".to_owned()), "{path}");
    }
}
