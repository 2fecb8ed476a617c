//! Webhooks of the real binary: killed between an endpoint's answer and its record, restarted between
//! attempts, and verified by libraries that others have written.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::harness::{PATIENCE, Server, until};

/// Where `./test` puts the libraries.
const PYTHON: &str = "../../target/webhooks-venv/bin/python";
const NODE_MODULES: &str = "../../target/webhooks-node/node_modules/standardwebhooks";

const KILLS: usize = 8;
const EVENTS: usize = 200;

/// What arrived: `webhook-id` and body.
type Arrived = Arc<Mutex<Vec<(String, Value)>>>;

/// An endpoint; `after` is called with the number of each request once its answer is written.
fn sink(status: u16, after: impl Fn(usize) + Send + Sync + 'static) -> (SocketAddr, Arrived) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, arrived) = (listener.local_addr().unwrap(), Arrived::default());
    let (seen, after) = (Arc::clone(&arrived), Arc::new(after));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (seen, after) = (Arc::clone(&seen), Arc::clone(&after));
            thread::spawn(move || while take(&stream, status, &seen, &*after).is_some() {});
        }
    });
    (address, arrived)
}

fn take(
    mut stream: &TcpStream,
    status: u16,
    seen: &Mutex<Vec<(String, Value)>>,
    after: &(dyn Fn(usize) + Send + Sync),
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let mut body = vec![0; header("content-length").parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let n = {
        let mut seen = seen.lock().unwrap();
        seen.push((header("webhook-id"), serde_json::from_slice(&body).unwrap()));
        seen.len()
    };
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
    let written = stream.write_all(answer.as_bytes());
    after(n);
    written.ok()
}

fn register(server: &Server, callback: &str, more: &str) -> String {
    let body = format!("{{\"callback\":\"{callback}\"{more}}}");
    let (status, answer) = server.call("POST", "/consumers", &body);
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["consumerId"].as_str().unwrap().to_owned()
}

fn append(server: &Server, from: usize, to: usize) {
    let line = |n| {
        format!(
            "{{\"id\":\"e{n}\",\"source\":\"/t\",\"type\":\"t\",\"subject\":\"s\",\"data\":{n}}}\n"
        )
    };
    let lines: String = (from..to).map(line).collect();
    let (status, answer) = server.post("application/x-ndjson", lines.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn an_authority_of_one_s_own_is_trusted() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |name: &str| here.join("../server/tests/it/consumers/tls").join(name);
    let certificate = CertificateDer::from_pem_file(file("sink.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("sink-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, told) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config.into()).unwrap();
        let mut head = String::new();
        let read = BufReader::new(StreamOwned::new(connection, stream)).read_line(&mut head);
        arrived.send(read.map(|_| head)).unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(dir.path(), &["--callback-ca", file("ca.pem").to_str().unwrap()]);
    register(&server, &format!("https://{address}/in"), "");
    append(&server, 0, 1);
    let head = told.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(head, "POST /in HTTP/1.1\r\n");
}

#[test]
fn a_kill_costs_one_repeat_at_most() {
    // INV-5
    let dir = tempfile::tempdir().unwrap();
    let victim = Arc::new(AtomicU32::new(0));
    let pid = Arc::clone(&victim);
    let (address, arrived) = sink(200, move |n| {
        // Right after the answer; now and then a little later, to hit either side of the record.
        if n % (EVENTS / KILLS) == 0 {
            thread::sleep(Duration::from_micros((n as u64 * 37) % 400));
            let pid = pid.swap(0, SeqCst);
            if pid != 0 {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    });
    let mut server = Server::start(dir.path());
    let id = register(&server, &format!("http://{address}/"), ",\"batch_size\":1");
    append(&server, 0, EVENTS);
    let (mut kills, path) = (0, format!("/consumers/{id}"));
    loop {
        victim.store(server.pid(), SeqCst);
        until("the end, or a kill", || {
            server.has_ended()
                || serde_json::from_str::<Value>(&server.call("GET", &path, "").1)
                    .is_ok_and(|consumer| consumer["lag"] == 0)
        });
        if !server.has_ended() && victim.load(SeqCst) != 0 {
            break;
        }
        until("the kill", || server.has_ended());
        kills += 1;
        assert!(kills <= 3 * KILLS, "it comes to an end");
        server = Server::start(dir.path());
    }
    assert!(kills >= 3, "{kills} kills");
    let arrived = arrived.lock().unwrap().clone();
    let numbers: Vec<u64> =
        arrived.iter().map(|(_, body)| body["events"][0]["payload"].as_u64().unwrap()).collect();
    let mut times = HashMap::<u64, usize>::new();
    for pair in numbers.windows(2) {
        assert!(pair[1] == pair[0] + 1 || pair[1] == pair[0], "{pair:?}: a gap, or a step back");
    }
    numbers.iter().for_each(|n| *times.entry(*n).or_default() += 1);
    assert_eq!(times.len(), EVENTS, "each has arrived");
    assert!(times.values().all(|times| *times <= 2), "{times:?}");
    assert!(arrived.len() <= EVENTS + kills, "{} requests, {kills} kills", arrived.len());
    let mut names = HashMap::new();
    for ((name, _), n) in arrived.iter().zip(&numbers) {
        assert_eq!(names.entry(n).or_insert(name), &name, "a repeat has the name of the first");
    }
    println!("{} requests for {EVENTS} events over {kills} kills", arrived.len());
}

#[test]
fn attempts_are_counted_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (address, arrived) = sink(500, |_| {});
    let attempts = || arrived.lock().unwrap().len();
    let mut server = Server::start(dir.path());
    let more = ",\"retry\":{\"schedule_ms\":[300,300,300,300]}";
    let id = register(&server, &format!("http://{address}/"), more);
    append(&server, 0, 1);
    for (before, gently) in [(1, false), (2, true), (3, false)] {
        until("an attempt", || attempts() >= before);
        // Its outcome is recorded in a moment.
        thread::sleep(Duration::from_millis(100));
        if gently {
            assert_eq!(server.stop(), Some(0));
        } else {
            server.kill();
        }
        server = Server::start(dir.path());
    }
    let path = format!("/consumers/{id}/dead-letters");
    until("a dead letter", || server.call("GET", &path, "").1.contains("\"attempts\":5"));
    let arrived = arrived.lock().unwrap().clone();
    assert_eq!(arrived.len(), 5);
    assert!(arrived.iter().all(|attempt| *attempt == arrived[0]), "one name, one body");
}

#[test]
fn verified_by_the_library_in_python() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join(PYTHON);
    if is_there(&python) {
        let script = here.join("tests/python/webhook_sink.py");
        verify(Command::new(python).arg(script));
    }
}

#[test]
fn verified_by_the_library_in_node() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = here.join(NODE_MODULES);
    if is_there(&library) {
        let script = here.join("tests/node/webhook_sink.cjs");
        verify(Command::new("node").arg(script).arg(library));
    }
}

fn is_there(path: &Path) -> bool {
    let there = path.exists();
    if !there {
        let path = path.display();
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{path} is missing");
        println!("skipped: {path} is missing; `CI=true ./test` makes it");
    }
    there
}

/// A secret of 24 bytes, and another.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An endpoint that says its port, then a line for each request: `verified <webhook-id>` or
/// `refused`. It answers 500, 500, then 200.
struct Endpoint {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Endpoint {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verify(command: &mut Command) {
    let mut child = command.arg(SECRET).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut endpoint = Endpoint { child, lines };
    let port = endpoint.line();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let more = format!(",\"secret\":\"{SECRET}\",\"retry\":{{\"schedule_ms\":[20,20,20]}}");
    let id = register(&server, &format!("http://127.0.0.1:{port}/"), &more);
    append(&server, 0, 1);
    let lines: Vec<_> = (0..3).map(|_| endpoint.line()).collect();
    assert!(lines[0].starts_with("verified msg_"), "{lines:?}");
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    // The old secret still verifies beside the new one.
    let (status, rotated) = server.call("POST", &format!("/consumers/{id}/secret/rotate"), "");
    assert_eq!(status, 200, "{rotated}");
    let (_, tested) = server.call("POST", &format!("/consumers/{id}/test"), "");
    assert!(tested.contains("\"delivered\":true"), "{tested}");
    let line = endpoint.line();
    assert!(line.starts_with("verified msg_test_"), "{line}");
    // And that it can refuse is shown by one that nobody has signed.
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let forged = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nwebhook-id: msg_1\r\n\
                  webhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(forged.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"), "{answer}");
    assert_eq!(endpoint.line(), "refused");
}
