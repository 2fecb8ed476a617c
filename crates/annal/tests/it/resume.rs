//! Clients of others read through kills of the server under load: each sees every acknowledged
//! event once, in order (INV-1, INV-5), and nothing else while nothing happens.
//!
//! `./test` installs them into `target/sse-clients` and Chromium into the system.
//! `ANNAL_KILLS=20 ANNAL_IDLE_S=60` for the long one.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::harness::{Server, annal, events};

/// Where `./test` puts them.
const INSTALLED: &str = "../../target/sse-clients";

/// A browser waits up to five seconds before it comes back.
const BACK_MAX: Duration = Duration::from_secs(60);

const WRITERS: usize = 4;
/// Between two events of a writer, so that five clients on a small machine keep up.
const PAUSE: Duration = Duration::from_millis(4);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What a client has printed so far.
#[derive(Debug, Default)]
struct Seen {
    /// Position and id of each event.
    events: Vec<(u64, String)>,
    /// Messages that nobody sent.
    others: Vec<String>,
}

impl Seen {
    fn take(&mut self, line: &str) {
        let event = line.strip_prefix("E ").and_then(|rest| rest.split_once(' '));
        let event = event.and_then(|(position, id)| Some((position.parse().ok()?, id.to_owned())));
        match event {
            Some(event) => self.events.push(event),
            None => self.others.push(line.to_owned()),
        }
    }
}

struct Client {
    name: &'static str,
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    fn start(name: &'static str, mut command: Command) -> Client {
        // A group of its own, since some of them start others.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (lines, into) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                into.lock().unwrap().take(&line);
            }
        });
        Client { name, child, seen }
    }

    fn position(&self) -> u64 {
        self.seen.lock().unwrap().events.last().map_or(0, |event| event.0)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// What is installed; in continuous integration everything must be.
fn installed(what: &str, path: &Path) -> bool {
    if path.exists() {
        return true;
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{what} is missing");
    println!("skipped: {what} is missing; `CI=true ./test` installs it");
    false
}

fn clients(url: &str) -> Vec<Client> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(INSTALLED);
    let mut clients = Vec::new();
    for (name, module, script) in [
        ("eventsource", "eventsource", "eventsource.mjs"),
        ("fetch-event-source", "@microsoft/fetch-event-source", "fetch_event_source.mjs"),
    ] {
        if installed(name, &at.join("node_modules").join(module)) {
            let mut node = Command::new("node");
            node.arg(tests.join(script)).arg(url).arg(at.canonicalize().unwrap());
            clients.push(Client::start(name, node));
        }
    }
    let python = at.join("venv/bin/python");
    if installed("sseclient-py", &python) {
        let mut command = Command::new(python);
        command.arg(tests.join("sseclient_py.py")).arg(url);
        clients.push(Client::start("sseclient-py", command));
    }
    if installed("curl", Path::new("/usr/bin/curl")) {
        let mut command = Command::new("bash");
        command.arg(tests.join("curl.sh")).arg(url);
        clients.push(Client::start("curl", command));
    }
    if installed("chromium", Path::new("/usr/bin/chromium")) {
        clients.push(browser(url, &tests.join("browser.html")));
    }
    clients
}

/// Headless Chromium with a page that posts what it sees back to where it came from.
fn browser(url: &str, page: &Path) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = std::fs::read(page).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("/usr/bin/chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{address}/?stream={}", url.replace('?', "%3F").replace('=', "%3D")));
    let client = Client::start("chromium", command);
    let seen = Arc::clone(&client.seen);
    thread::spawn(move || {
        let _profile = profile;
        for stream in listener.incoming().map_while(Result::ok) {
            let (page, seen) = (page.clone(), Arc::clone(&seen));
            thread::spawn(move || serve_page(stream, &page, &seen));
        }
    });
    client
}

fn serve_page(mut stream: TcpStream, page: &[u8], seen: &Mutex<Seen>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if first.starts_with("POST /lines ") {
            let mut seen = seen.lock().unwrap();
            String::from_utf8_lossy(&body).lines().for_each(|line| seen.take(line));
        }
        let answer: &[u8] = if first.starts_with("GET /?") { page } else { b"" };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), answer].concat()).ok()?;
    }
}

fn serve(dir: &Path, port: u16) -> Server {
    let mut command = annal();
    command.args(["serve", "--cors-origin", "*", "--port", &port.to_string()]);
    command.env("DATA_DIR", dir).env("ANNAL_GRPC_PORT", "0");
    Server::spawn(command)
}

/// Appends until told to stop, each event until it is acknowledged, however often the server dies;
/// what was acknowledged.
fn write(port: u16, writer: usize, stopping: &AtomicBool) -> Vec<(u64, String)> {
    let (mut acknowledged, mut number) = (Vec::new(), 0);
    while !stopping.load(Relaxed) {
        let id = format!("w{writer}-{number}");
        match post(port, &id) {
            Some(position) => {
                acknowledged.push((position, id));
                number += 1;
                thread::sleep(PAUSE);
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
    acknowledged
}

fn post(port: u16, id: &str) -> Option<u64> {
    let body = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/resume","type":"t","data":{{"text":"a b"}}}}"#
    );
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/cloudevents+json\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(BACK_MAX)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let answer: serde_json::Value = serde_json::from_str(body).ok()?;
    answer["position"].as_str()?.parse().ok()
}

/// Waits until every client has seen what stands at a position.
fn wait_for(clients: &[Client], position: u64, when: &str) {
    let begun = Instant::now();
    while let Some(behind) = clients.iter().find(|client| client.position() < position) {
        let (name, at) = (behind.name, behind.position());
        let others = behind.seen.lock().unwrap().others.clone();
        assert!(
            begun.elapsed() < BACK_MAX,
            "{when}: {name} is at {at}, not at {position}; it said {others:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn head(server: &Server) -> u64 {
    let (_, body) = server.get("/events?limit=1", "application/json");
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    page["head"].as_str().unwrap().parse().unwrap()
}

#[test]
fn clients_of_others_read_through_kills() {
    let (kills, idle_s) = (number("ANNAL_KILLS", 5), number("ANNAL_IDLE_S", 17));
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/events/stream?from=earliest");
    let mut server = serve(dir.path(), port);
    let clients = clients(&url);
    let stopping = Arc::new(AtomicBool::new(false));
    let writers: Vec<JoinHandle<_>> = (0..WRITERS)
        .map(|writer| {
            let stopping = Arc::clone(&stopping);
            thread::spawn(move || write(port, writer, &stopping))
        })
        .collect();
    for kill in 0..kills {
        // All of them are connected to this very server.
        wait_for(&clients, head(&server) + 1, &format!("before kill {kill}"));
        thread::sleep(Duration::from_millis((kill * 7_919) % 500));
        server.kill();
        server = serve(dir.path(), port);
    }
    wait_for(&clients, head(&server) + 1, "after the last kill");
    stopping.store(true, Relaxed);
    let mut acknowledged: Vec<_> =
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    acknowledged.sort();
    let (_, body) = server.get("/events?limit=1000000", "application/x-ndjson");
    let stored: Vec<(u64, String)> = events(&body)
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            (text("position").parse().unwrap(), text("id"))
        })
        .collect();
    assert!(acknowledged.iter().all(|event| stored.binary_search(event).is_ok()), "INV-1");
    wait_for(&clients, stored.len() as u64, "at the end");
    thread::sleep(Duration::from_secs(idle_s));
    for client in &clients {
        let seen = client.seen.lock().unwrap();
        assert!(seen.others.is_empty(), "{}: {:?}", client.name, seen.others);
        assert_eq!(seen.events.len(), stored.len(), "{}", client.name);
        assert!(seen.events == stored, "INV-5: {}", client.name);
        println!("{}: {} events through {kills} kills", client.name, seen.events.len());
    }
    assert_eq!(server.stop(), Some(0));
}
