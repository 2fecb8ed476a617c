//! A small HTTP/1.1 client that shares no code with the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long the server may be silent, and how long an answer may take that is read to its end.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

/// An answer, its body decoded from chunks.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(SILENCE_MAX)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { reader: BufReader::new(stream) }
    }

    /// Sends a request: first line without version, headers, a blank line, the body.
    pub(crate) fn send(&mut self, request: &str) -> Answer {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        self.send_bytes(head, body.as_bytes())
    }

    pub(crate) fn send_bytes(&mut self, head: &str, body: &[u8]) -> Answer {
        let length = match (head.contains("content-length"), body.is_empty()) {
            (false, false) => format!("content-length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let mut lines = head.lines();
        let first = lines.next().expect("a request line");
        let mut text = format!("{first} HTTP/1.1\r\nhost: test\r\n");
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str(&length);
        text.push_str("\r\n");
        self.write(text.as_bytes());
        self.write(body);
        self.answer(first.starts_with("HEAD"))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("written");
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads an answer. `head`: it has no body.
    pub(crate) fn answer(&mut self, head: bool) -> Answer {
        let mut answer = self.answer_head();
        answer.body =
            match (answer.header("content-length"), head || matches!(answer.status, 204 | 304)) {
                (_, true) => Vec::new(),
                (Some(length), false) => self.exactly(length.parse().expect("a length")),
                (None, false) if answer.header("transfer-encoding") == Some("chunked") => {
                    self.chunks()
                }
                (None, false) => self.rest(),
            };
        answer
    }

    /// Reads status and headers.
    pub(crate) fn answer_head(&mut self) -> Answer {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').expect("a header");
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Answer { status, headers, body: Vec::new() }
    }

    /// One chunk of a chunked body; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let chunk = self.exactly(size);
        assert_eq!(self.line(), "", "a chunk ends with a line break");
        (size > 0).then_some(chunk)
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        assert!(line.ends_with("\r\n"), "the connection ended within a line: {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("the whole body");
        body
    }

    /// All chunks. A stream, which is no answer that ends, is given up.
    fn chunks(&mut self) -> Vec<u8> {
        let (mut body, begun) = (Vec::new(), Instant::now());
        while let Some(chunk) = self.chunk() {
            body.extend_from_slice(&chunk);
            let left = ANSWER_MAX.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "it goes on: {}", String::from_utf8_lossy(&body));
            self.patience(left.min(SILENCE_MAX));
        }
        self.patience(SILENCE_MAX);
        body
    }

    fn patience(&self, at_most: Duration) {
        self.reader.get_ref().set_read_timeout(Some(at_most)).expect("a timeout");
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.reader.read_to_end(&mut body).expect("the rest");
        body
    }
}

/// Headers that every answer has, or that differ from run to run.
const LEFT_OUT: [&str; 6] = [
    "date",
    "content-length",
    "transfer-encoding",
    "x-content-type-options",
    "x-request-id",
    "vary",
];

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("not JSON ({error}): {}", self.text());
        })
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        let code = problem["code"].as_str().expect("a code").to_owned();
        assert_eq!(problem["type"], format!("urn:annal:problem:{code}"), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        code
    }

    /// Status, telling headers and body as text that is the same in every run.
    pub(crate) fn recorded(&self) -> String {
        let mut out = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            if !LEFT_OUT.contains(&name.as_str()) {
                out.push_str(&format!("{name}: {value}\n"));
            }
        }
        out.push('\n');
        out.push_str(&settled(&self.text()));
        out
    }
}

/// Puts `<time>` for recorded times and `<id>` for ids that the store made.
pub(crate) fn settled(text: &str) -> String {
    let mut out = text.to_owned();
    for (name, stand_in) in [("\"recordedtime\":\"", "<time>"), ("\"id\":\"01", "<id>")] {
        let mut from = 0;
        while let Some(at) = out[from..].find(name) {
            let start = from + at + name.len() - if stand_in == "<id>" { 2 } else { 0 };
            let end = start + out[start..].find('"').expect("a closing quote");
            out.replace_range(start..end, stand_in);
            from = start;
        }
    }
    out
}
