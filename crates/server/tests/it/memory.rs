//! What batches cost in memory while they come in, measured on a server in a process of its own;
//! and that those which wait in a file are batches like all others.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use annal_engine::EngineOptions;
use annal_server::ServerOptions;

use crate::{
    client::{Answer, Client},
    fixture::Served,
};

const MIB: usize = 1024 * 1024;
const SPOOL_DIR: &str = "ANNAL_TEST_SPOOL_DIR";
const BATCH: &str = "application/cloudevents-batch+json";

/// Also the process that [`Process::new`] starts: it finds the variable set, serves, and ends with
/// its standard input.
#[test]
fn server_process() {
    let Some(dir) = std::env::var_os(SPOOL_DIR) else {
        let process = Process::new();
        assert_eq!(process.client().send("GET /health/live").status, 200);
        return;
    };
    let options = ServerOptions { spool_dir: dir.into(), ..ServerOptions::default() };
    let served = Served::with(options, EngineOptions::default());
    println!("\nlistens at {}", served.address);
    let _ = std::io::stdin().read(&mut [0]);
}

/// A server whose memory is nobody else's.
struct Process {
    child: Child,
    address: SocketAddr,
    spool_dir: tempfile::TempDir,
}

impl Process {
    fn new() -> Process {
        let spool_dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "memory::server_process", "--nocapture"])
            .env(SPOOL_DIR, spool_dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = lines
            .find_map(|line| line.expect("a line").strip_prefix("listens at ")?.parse().ok())
            .expect("an address");
        let process = Process { child, address, spool_dir };
        // What a first batch leaves behind is not what the next ones cost.
        let answer = process.client().send_bytes(&post(BATCH), &batch("warm", 100, 1_000));
        assert_eq!(answer.status, 201, "{}", answer.text());
        process
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A line of `/proc/<pid>/status`, in bytes.
    fn status(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
        let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        kib.parse::<usize>().expect("a number") * 1024
    }

    fn spooled(&self) -> usize {
        open_files(self.child.id(), self.spool_dir.path())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files in the directory that the process has open, with or without names.
fn open_files(process: u32, dir: &Path) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors");
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.starts_with(dir)).count()
}

fn post(media_type: &str) -> String {
    format!("POST /events\ncontent-type: {media_type}")
}

fn event(id: &str, data_bytes: usize) -> String {
    let data = "x".repeat(data_bytes);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"m\",\"type\":\"t\",\"data\":\"{data}\"}}"
    )
}

fn batch(name: &str, events: usize, data_bytes: usize) -> Vec<u8> {
    let items: Vec<_> = (0..events).map(|n| event(&format!("{name}-{n}"), data_bytes)).collect();
    format!("[{}]", items.join(",")).into_bytes()
}

fn begin_chunked(client: &mut Client, media_type: &str, first: &str) {
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: {media_type}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    client.write(head.as_bytes());
    send_chunk(client, first).expect("written");
}

fn send_chunk(client: &mut Client, text: &str) -> std::io::Result<()> {
    client.try_write(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// Sends valid events of 60 KB until the server has had enough or so many bytes are sent.
fn upload(client: &mut Client, media_type: &str, first: &str, bytes_max: usize) -> usize {
    begin_chunked(client, media_type, first);
    let mut sent = 0;
    for n in 0.. {
        let comma = if n > 0 { "," } else { "" };
        let text = format!("{comma}{}", event(&format!("up-{n}"), 60_000));
        if sent >= bytes_max || send_chunk(client, &text).is_err() {
            break;
        }
        sent += text.len();
    }
    sent
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_batch_past_the_limit_costs_little() {
    for (media_type, first) in [(BATCH, "["), ("application/json", "{\"events\":[")] {
        let process = Process::new();
        let before = process.status("VmRSS");
        let mut client = process.client();
        upload(&mut client, media_type, first, 1024 * MIB);
        let refused = client.answer(false);
        assert_eq!((refused.status, refused.code().as_str()), (413, "request-too-large"));
        let grown = process.status("VmHWM").saturating_sub(before);
        println!("{media_type}: grown by {} KiB", grown / 1024);
        assert!(grown < 32 * MIB, "{media_type}: grown by {grown} bytes");
    }
}

#[test]
fn stalled_batches_cost_little_together() {
    for (media_type, first) in [(BATCH, "["), ("application/json", "{\"events\":[")] {
        let process = Process::new();
        let before = process.status("VmRSS");
        let clients: Vec<_> = (0..12)
            .map(|_| {
                let mut client = process.client();
                let sent = upload(&mut client, media_type, first, 40 * MIB);
                assert!(sent >= 40 * MIB, "cut off after {sent} bytes");
                client
            })
            .collect();
        wait_until("all wait in files", || process.spooled() == 12);
        let grown = process.status("VmHWM").saturating_sub(before);
        println!("{media_type}: 12 stalled batches: grown by {} KiB", grown / 1024);
        assert!(grown < 64 * MIB, "{media_type}: grown by {grown} bytes");
        drop(clients);
        wait_until("the files are gone", || process.spooled() == 0);
        let left = fs::read_dir(process.spool_dir.path()).expect("the directory").count();
        assert_eq!(left, 0, "nothing is left in the directory");
    }
}

/// A server here, for what need not be measured.
fn served(dir: &Path) -> Served {
    let options = ServerOptions { spool_dir: dir.to_owned(), ..ServerOptions::default() };
    Served::with(options, EngineOptions::default())
}

fn send(served: &Served, media_type: &str, body: &[u8]) -> Answer {
    served.client().send_bytes(&post(media_type), body)
}

#[test]
fn a_large_batch_is_stored_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = served(dir.path());
    let array = batch("a", 5_000, 4_096);
    let object = [b"{\"events\":", &batch("o", 5_000, 4_096)[..], b"}"].concat();
    let proto = proto_batch("p", 5_000, 4_096);
    let kinds = [
        (BATCH, &array),
        ("application/json", &object),
        ("application/cloudevents-batch+protobuf", &proto),
    ];
    for (place, (media_type, body)) in kinds.into_iter().enumerate() {
        assert!(body.len() > 20 * MIB - MIB, "{} bytes", body.len());
        let before = (place * 5_000) as u64;
        let answer = send(&served, media_type, body);
        assert_eq!(answer.status, 201, "{media_type}: {}", answer.text());
        let events = answer.json()["events"].as_array().expect("events").clone();
        assert_eq!(events.len(), 5_000, "{media_type}");
        for (n, event) in events.iter().enumerate() {
            let position = (before + n as u64 + 1).to_string();
            assert_eq!(event["position"], position.as_str(), "{media_type}");
            let id = event["id"].as_str().expect("an id");
            assert!(id.ends_with(&format!("-{n}")), "{media_type}: {id} is not {n}");
        }
        let stored = served.send(&format!("GET /events/at/{}", before + 4_321)).json();
        assert_eq!(stored["data"], "x".repeat(4_096).as_str(), "{media_type}");
    }
    assert_eq!(served.engine().head().0, 15_000);
    assert_eq!(open_files(std::process::id(), dir.path()), 0);
}

#[test]
fn an_invalid_item_of_a_large_batch_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = served(dir.path());
    let mut items: Vec<_> = (0..2_000).map(|n| event(&n.to_string(), 4_096)).collect();
    items[1_777] = "{\"specversion\":\"1.0\",\"id\":\"bad\",\"type\":\"t\"}".to_owned();
    let array = format!("[{}]", items.join(","));
    let refused = send(&served, BATCH, array.as_bytes());
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-event"));
    assert_eq!(refused.json()["index"], 1_777);
    let torn = &array.as_bytes()[..array.len() / 2];
    assert_eq!(send(&served, BATCH, torn).code(), "malformed-body");
    assert_eq!(served.engine().head().0, 0, "all or nothing");
}

#[test]
fn a_large_batch_is_refused_while_it_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = served(dir.path());
    let large = format!("[{}", vec![event("a", 60_000); 50].join(","));
    let too_many = format!(",{}", vec!["{}"; 10_000].join(","));
    let too_large = format!(",{}", event("b", 2 * MIB));
    for (text, code) in [(too_many, "batch-too-large"), (too_large, "event-too-large")] {
        let mut client = served.client();
        begin_chunked(&mut client, BATCH, &large);
        send_chunk(&mut client, &text).expect("written");
        // The body does not end, and yet there is an answer.
        let refused = client.answer(false);
        assert_eq!((refused.status, refused.code().as_str()), (413, code));
    }
    assert_eq!(served.engine().head().0, 0);
}

#[test]
fn without_a_place_for_files_only_large_batches_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let not_a_dir = dir.path().join("file");
    fs::write(&not_a_dir, "x").expect("written");
    let served = served(&not_a_dir);
    let refused = send(&served, BATCH, &batch("large", 100, 60_000));
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert_eq!(send(&served, BATCH, &batch("small", 200, 4_096)).status, 201);
    assert_eq!(served.engine().head().0, 200);
}

/// Events in protobuf format: id, source, `specversion`, type, text data.
fn proto_batch(name: &str, events: usize, data_bytes: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    for n in 0..events {
        let mut event = Vec::new();
        let id = format!("{name}-{n}");
        for (field, text) in [(1, id.as_str()), (2, "m"), (3, "1.0"), (4, "t")] {
            push_field(&mut event, field, text.as_bytes());
        }
        push_field(&mut event, 7, "x".repeat(data_bytes).as_bytes());
        push_field(&mut batch, 1, &event);
    }
    batch
}

fn push_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}
