//! `kill -9` under load: what was acknowledged is there, once, in order (INV-1, INV-2, INV-3), and a
//! resumed stream has no gap and no repeat (INV-5). `ANNAL_ROUNDS=50` for the long one.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::harness::{PATIENCE, Server, events, succeed};

const CLIENTS: usize = 64;
const ROUNDS: usize = 3;

/// What one client was told, in the order it was told.
type Acknowledged = Vec<(String, u64)>;

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("ANNAL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut told: Vec<Acknowledged> = vec![Vec::new(); CLIENTS];
    let mut streamed = Streamed::default();
    for round in 0..rounds {
        let server = Server::start(dir.path());
        let stopping = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, stopping) = (server.address.clone(), Arc::clone(&stopping));
                thread::spawn(move || write(&address, client, round, &stopping))
            })
            .collect();
        let reader = {
            let (address, from) = (server.address.clone(), streamed);
            thread::spawn(move || stream(&address, from))
        };
        // At a moment of no meaning.
        thread::sleep(Duration::from_millis(150 + (round as u64 * 7_919) % 400));
        server.kill();
        stopping.store(true, Relaxed);
        for (client, writer) in writers.into_iter().enumerate() {
            told[client].extend(writer.join().unwrap());
        }
        streamed = reader.join().unwrap();
        check(dir.path(), &told, round);
    }
    let acknowledged: usize = told.iter().map(Vec::len).sum();
    assert!(acknowledged > rounds * CLIENTS, "only {acknowledged} events were acknowledged");

    // The stream, resumed after every kill, and now to the end.
    let server = Server::start(dir.path());
    let all = succeed(dir.path(), &["export"], b"");
    let expected: Vec<String> = events(&all).iter().map(id).collect();
    streamed.wanted = expected.len();
    let streamed = stream(&server.address, streamed);
    assert!(
        streamed.ids == expected,
        "the stream has {} of {}",
        streamed.ids.len(),
        expected.len()
    );
}

fn id(event: &serde_json::Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

/// The log after a kill against what clients were told.
fn check(dir: &Path, told: &[Acknowledged], round: usize) {
    let said = succeed(dir, &["verify"], b"");
    let stored = events(&succeed(dir, &["export"], b""));
    assert!(said.starts_with(&format!("{} events", stored.len())), "{said}");
    let mut places = BTreeMap::new();
    for (index, event) in stored.iter().enumerate() {
        let position: u64 = event["position"].as_str().unwrap().parse().unwrap();
        assert_eq!(position, index as u64 + 1, "INV-2: positions are contiguous");
        assert_eq!(places.insert(id(event), position), None, "INV-3: an identity is stored once");
    }
    for (client, acknowledged) in told.iter().enumerate() {
        let mut last = 0;
        for (id, position) in acknowledged {
            let found = places.get(id);
            assert_eq!(found, Some(position), "INV-1: round {round}, client {client}, {id}");
            assert!(*position > last, "INV-1: acknowledged in order");
            last = *position;
        }
    }
}

/// Appends one event after the other until the server is gone.
fn write(address: &str, client: usize, round: usize, stopping: &AtomicBool) -> Acknowledged {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return acknowledged };
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut number = 0;
    while !stopping.load(Relaxed) {
        let id = format!("r{round}-c{client}-{number}");
        number += 1;
        let body = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/kill","type":"t","subject":"c/{client}","data":{{"n":{number}}}}}"#
        );
        let request = format!(
            "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
        match answer(&mut stream) {
            Some((201, body)) => {
                let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
                let position = answer["position"].as_str().unwrap().parse().unwrap();
                acknowledged.push((id, position));
            }
            Some((status, body)) => panic!("{status}: {body}"),
            None => break,
        }
    }
    acknowledged
}

/// One whole answer; `None` if the connection ended before it was whole.
fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = end + 4 + length.unwrap().parse::<usize>().unwrap();
            if bytes.len() >= whole {
                let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
                return Some((head[9..12].parse().unwrap(), body));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(taken) => bytes.extend_from_slice(&piece[..taken]),
        }
    }
}

/// What a stream has brought so far.
#[derive(Default)]
struct Streamed {
    ids: Vec<String>,
    cursor: Option<String>,
    /// Enough; 0: until the connection ends.
    wanted: usize,
}

/// Reads deltas from where it was left until the server is gone, or all that is wanted has come.
fn stream(address: &str, mut streamed: Streamed) -> Streamed {
    let Ok(mut socket) = TcpStream::connect(address) else { return streamed };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let cursor = match &streamed.cursor {
        Some(cursor) => format!("last-event-id: {cursor}\r\n"),
        None => String::new(),
    };
    let request = format!("GET /events/stream?from=earliest HTTP/1.0\r\nhost: x\r\n{cursor}\r\n");
    if socket.write_all(request.as_bytes()).is_err() {
        return streamed;
    }
    let (mut id, mut event) = (None, None);
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        if let Some(cursor) = line.strip_prefix("id: ") {
            id = Some(cursor.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            event = serde_json::from_str::<serde_json::Value>(data).ok();
        } else if line.starts_with("event: ") {
            assert_eq!(line, "event: delta", "nothing else may come here");
        } else if line.is_empty()
            && let (Some(cursor), Some(event)) = (id.take(), event.take())
        {
            // Only whole messages count, as in every client.
            streamed.ids.push(self::id(&event));
            streamed.cursor = Some(cursor);
        }
        if streamed.wanted > 0 && streamed.ids.len() >= streamed.wanted {
            break;
        }
    }
    streamed
}
