//! Topics from the outside: trees that are imported, and publishers whose server is killed.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Server, events, run_in, succeed, text};

fn leaf(root: &Path, topic: &str, number: u64) {
    let group = root.join(topic).join("2026-01-15").join("0");
    fs::create_dir_all(&group).unwrap();
    let event = json!({"id": format!("{topic}-{number}"), "timestamp": "2026-01-15T10:30:00Z",
        "type": "placed", "payload": {"n": number}});
    fs::write(group.join(format!("{topic}-{number}.json")), event.to_string()).unwrap();
}

fn topics(server: &Server) -> Vec<(Value, Value, Value)> {
    let (status, body) = server.get("/topics", "application/json");
    assert_eq!(status, 200, "{body}");
    let topics: Vec<Value> = serde_json::from_str(&body).unwrap();
    let told = |t: Value| (t["name"].clone(), t["open"].clone(), t["sequence"].clone());
    topics.into_iter().map(told).collect()
}

#[test]
fn a_tree_becomes_topics() {
    let (dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    (1..=3).for_each(|number| leaf(tree.path(), "orders", number));
    let from = tree.path().to_str().unwrap();
    for (stored, duplicates) in [(3, 0), (0, 3)] {
        let said = succeed(dir.path(), &["import", from], b"");
        assert!(said.contains(&format!("{stored} events stored, {duplicates}")), "{said}");
    }
    let server = Server::start(dir.path());
    leaf(tree.path(), "users", 1);
    succeed(dir.path(), &["import", from], b"");
    assert_eq!(
        topics(&server),
        [(json!("orders"), json!(true), json!(3)), (json!("users"), json!(true), json!(1))]
    );
    let publication = br#"[{"topic":"orders","type":"placed","payload":4}]"#;
    let (status, body) = server.post("application/json", publication);
    assert_eq!((status, body.as_str()), (201, r#"{"eventIds":["orders-4"]}"#));
    let (_, body) = server.get("/topics/orders/events?sinceEventId=orders-2", "application/json");
    let listed: Vec<Value> = serde_json::from_str(&body).unwrap();
    let ids: Vec<&Value> = listed.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, ["orders-3", "orders-4"]);
    drop(server);
    let unknown = br#"{"source":"/s","type":"t","topic":"nothing"}"#;
    let refused = run_in(dir.path(), &["append"], unknown);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("no topic nothing"), "{}", text(&refused.stderr));
    leaf(tree.path(), "no name", 1);
    let refused = run_in(dir.path(), &["import", from], b"");
    assert!(text(&refused.stderr).contains("name of a topic"), "{}", text(&refused.stderr));
}

/// `None`: the server has gone.
fn send(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").filter(|_| answer.contains(" 201 ")).map(|(_, b)| b.to_owned())
}

fn post(address: &str, path: &str, body: &str) -> Option<String> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    send(address, &(head + body))
}

/// Publishes three at a time until the server is gone; what it was told they are called.
fn publish(address: &str, stopping: &AtomicBool) -> Vec<String> {
    let item = r#"{"topic":"orders","type":"placed","payload":{"n":1}}"#;
    let body = format!("[{item},{item},{item}]");
    let mut told = Vec::new();
    while !stopping.load(Relaxed) {
        let Some(answer) = post(address, "/events", &body) else { break };
        let Ok(answer) = serde_json::from_str::<Value>(&answer) else { break };
        let ids: Vec<String> = serde_json::from_value(answer["eventIds"].clone()).unwrap();
        assert_eq!(ids.len(), 3);
        told.extend(ids);
    }
    told
}

#[test]
fn numbers_outlive_a_kill_and_the_loss_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let made = r#"{"name":"orders","schemas":[{"type":"placed","required":["n"]}]}"#;
    assert!(post(&server.address, "/topics", made).is_some());
    let (mut server, mut told) = (Some(server), Vec::new());
    for round in 0..3_u64 {
        let running = server.take().unwrap_or_else(|| Server::start(dir.path()));
        let stopping = Arc::new(AtomicBool::new(false));
        let publishers: Vec<_> = (0..8)
            .map(|_| {
                let (address, stopping) = (running.address.clone(), Arc::clone(&stopping));
                thread::spawn(move || publish(&address, &stopping))
            })
            .collect();
        thread::sleep(Duration::from_millis(200 + (round * 7_919) % 300));
        running.kill();
        stopping.store(true, Relaxed);
        for publisher in publishers {
            told.extend(publisher.join().unwrap());
        }
        if round == 1 {
            fs::remove_file(dir.path().join("data.redb")).unwrap();
        }
        let restarted = Server::start(dir.path());
        let (_, body) = restarted.get("/events?topic=orders", "application/x-ndjson");
        let stored = events(&body);
        let expected: Vec<String> = (1..=stored.len()).map(|n| format!("orders-{n}")).collect();
        let ids: Vec<&str> = stored.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert!(ids == expected, "numbers go with positions, without gaps");
        assert!(ids.len().is_multiple_of(3), "batches are whole: {}", ids.len());
        assert_eq!(topics(&restarted)[0].2, stored.len());
        let mut known = told.clone();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), told.len(), "no number was given twice");
        assert!(known.iter().all(|id| ids.contains(&id.as_str())), "an acknowledged event is gone");
        server = Some(restarted);
    }
    assert!(told.len() > 30, "only {} were acknowledged", told.len());
}
