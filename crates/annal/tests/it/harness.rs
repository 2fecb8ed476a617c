//! Runs the real binary, with bounded waits, and talks HTTP to it by hand.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Nothing here takes longer, also on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, without what the environment of the tests may hold.
pub(crate) fn annal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annal"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("ANNAL_")
                || name.starts_with("RS_")
                || ["PORT", "DATA_DIR", "BASE_URL", "DEMO"].contains(&name)
        });
        if ours {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    finish(annal().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Runs a command with a data directory and something on standard input.
pub(crate) fn run_in(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = annal()
        .args(args)
        .env("DATA_DIR", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read everything.
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = finish(child);
    let _ = writer.join();
    output
}

/// Like [`run_in`], and it must succeed; what it printed.
pub(crate) fn succeed(dir: &Path, args: &[&str], input: &[u8]) -> String {
    let output = run_in(dir, args, input);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn finish(mut child: Child) -> Output {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = thread::spawn(move || read_all(&mut out));
    let stderr = thread::spawn(move || read_all(&mut err));
    let status = wait(&mut child, "to end");
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Waits for a child, and kills it when that takes too long.
pub(crate) fn wait(child: &mut Child, what: &str) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("waited {PATIENCE:?} for the process {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Asks again and again until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) banner: String,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start(dir: &Path) -> Server {
        Server::with(dir, &[])
    }

    pub(crate) fn with(dir: &Path, args: &[&str]) -> Server {
        let mut command = annal();
        command
            .args(["serve"])
            .args(args)
            .env("DATA_DIR", dir)
            .env("PORT", "0")
            .env("ANNAL_GRPC_PORT", "0");
        Server::spawn(command)
    }

    /// Starts it and reads the banner to its last line.
    pub(crate) fn spawn(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = drain(child.stderr.take().unwrap());
        let banner = match banner(child.stdout.take().unwrap()) {
            Some(banner) => banner,
            None => panic!("no banner: {:?} {}", child.wait(), errors.join().unwrap()),
        };
        let url = banner.lines().find(|line| line.trim_start().starts_with("url ")).unwrap();
        let port = url.rsplit(':').next().unwrap();
        Server { child, address: format!("127.0.0.1:{port}"), banner }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As a machine that loses power, except for what the system has already written.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it in order and returns its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.end("TERM")
    }

    /// Ends it by a signal and returns its exit code.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        wait(&mut self.child, "to stop").code()
    }

    pub(crate) fn post(&self, content_type: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        exchange(&self.address, &[head.as_bytes(), body].concat())
    }

    /// A request with a JSON body, or none. Status 0: there was no answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return (0, String::new()) };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut answer, sent) = (Vec::new(), stream.write_all(request.as_bytes()));
        if sent.is_err() || stream.read_to_end(&mut answer).is_err() {
            return (0, String::new());
        }
        let answer = text(&answer);
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, answer) };
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Whether the process is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: {accept}\r\n\r\n"
        );
        exchange(&self.address, request.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut from = from;
        text(&read_all(&mut from))
    })
}

fn banner(stdout: ChildStdout) -> Option<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut banner = String::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        banner.push_str(&line);
        banner.push('\n');
        if line.trim_start().starts_with("stop ") {
            return Some(banner);
        }
    }
    None
}

/// One request on a connection of its own; status and body, chunks put together.
fn exchange(address: &str, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let answer = read_all(&mut stream);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = text(&answer[..end]).to_ascii_lowercase();
    let status = head[9..12].parse().unwrap();
    let body = &answer[end + 4..];
    let body =
        if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
    (status, text(&body))
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(&text(&body[..end]), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

/// Where shared data lies, if it is there. In continuous integration it must be.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("ANNAL_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let path = dir.join(name);
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", path.display());
    println!("skipped: {} is missing", path.display());
    None
}

/// Every event of a directory or a server, as parsed JSON.
pub(crate) fn events(lines: &str) -> Vec<serde_json::Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Some events, all different.
pub(crate) fn sample(count: usize) -> String {
    let line = |n: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"e-{n}","source":"/sample","type":"t.{}","subject":"s/{}","time":"2026-01-15T10:30:00+01:00","data":{{"n":{n},"price":0.10,"text":"é\u2028"}}}}"#,
            n % 3,
            n % 7
        )
    };
    (0..count).map(|n| line(n) + "\n").collect()
}
