//! Starting, refusing to start twice, ending.

use std::{net::TcpListener, process::Stdio};

use crate::harness::{Server, annal, run_in, sample, text, until, wait};

#[test]
fn starts_without_configuration_and_says_where_to_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = annal();
    // The default port may be taken where the tests run; everything else is left alone.
    command.args(["serve", "--port", "0"]).current_dir(dir.path());
    let server = Server::spawn(command);
    for word in ["url", "/docs", "curl", "./data", "durability", "always"] {
        assert!(server.banner.contains(word), "{word} is not in {}", server.banner);
    }
    assert!(dir.path().join("data/log").is_dir());
    let (status, body) =
        server.post("application/json", br#"{"source":"/me","type":"hello","data":{"a":1}}"#);
    assert_eq!(status, 201, "{body}");
    let (status, body) = server.get("/events/at/1", "application/json");
    assert_eq!(status, 200);
    assert!(body.contains(r#""type":"hello""#), "{body}");
    assert_eq!(server.get("/health", "*/*").0, 200);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let second = run_in(dir.path(), &["serve", "--port", "0"], b"");
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains(&format!("process {}", server.pid())), "{said}");
    let port = server.address.rsplit(':').next().unwrap();
    let third = run_in(dir.path(), &["serve", "--port", port], b"");
    assert_eq!(third.status.code(), Some(1));
    assert!(text(&third.stderr).contains(&format!("process {}", server.pid())));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_port_in_use_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let output = run_in(dir.path(), &["serve", "--port", &port], b"");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&port) && said.contains("in use"), "{said}");
}

#[test]
fn either_signal_ends_it_in_order_even_with_a_stream_open() {
    for signal in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path());
        server.post("application/x-ndjson", sample(10).as_bytes());
        let mut tail = annal()
            .args(["tail", "--url", &server.url()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the stream is open", || {
            server.get("/metrics", "*/*").1.contains("app_active_event_streams 1")
        });
        assert_eq!(server.end(signal), Some(0), "after SIG{signal}");
        tail.kill().unwrap();
        wait(&mut tail, "to be killed");
        // Nothing was left to recover: the log was closed.
        let said = text(&run_in(dir.path(), &["verify"], b"").stdout);
        assert!(said.contains("10 events") && !said.contains("unfinished"), "{said}");
    }
}

#[test]
fn the_demo_world_begins_once_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let count = |server: &Server| {
        let (_, body) = server.get("/events?limit=10000", "application/x-ndjson");
        let ids: Vec<String> = body
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string())
            .collect();
        let mut unique = ids.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "nothing is there twice");
        ids.len()
    };
    let server = Server::with(dir.path(), &["--demo", "--demo-interval-ms", "20"]);
    assert!(count(&server) >= annal::demo::BURST as usize);
    until("the world lives", || count(&server) > annal::demo::BURST as usize + 8);
    assert_eq!(server.stop(), Some(0));
    let server = Server::with(dir.path(), &["--demo", "--demo-interval-ms", "3600000"]);
    let before = count(&server);
    assert_eq!(count(&server), before, "a restart adds nothing at once");
    assert!(server.get("/events?limit=1", "application/x-ndjson").1.contains("\"demo-1\""));
    assert_eq!(server.stop(), Some(0));
    let server = Server::with(dir.path(), &["--demo", "--demo-interval-ms", "20"]);
    until("the world goes on where it stood", || count(&server) > before + 3);
}

#[test]
fn a_schema_that_the_demo_breaks_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let schema = "{\"required\":[\"nobody\"]}";
    assert!([200, 201].contains(&server.call("PUT", "/schemas/Issue", schema).0));
    let (status, refused) = server.call("POST", "/api/demo/start", "");
    let refused: serde_json::Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((status, &refused["code"]), (422, &"schema-violation".into()), "{refused}");
    assert_eq!(refused["schema"], "Issue", "{refused}");
    assert!(refused["errors"][0]["message"].to_string().contains("nobody"), "{refused}");
    assert_eq!(server.call("DELETE", "/schemas/Issue", "").0, 204);
    let (status, started) = server.call("POST", "/api/demo/start", "");
    assert!(status == 200 && started.contains("\"running\":true"), "{started}");
    let paced = server.call("POST", "/api/demo/start", "{\"interval_ms\":60000}").1;
    assert!(paced.contains("\"interval_ms\":60000"), "{paced}");
    let again = server.call("POST", "/api/demo/start", "").1;
    assert!(again.contains("\"interval_ms\":60000"), "it keeps its pace: {again}");
}
