//! A parser of server-sent events, line by line as WHATWG HTML §9.2.6 says.

use crate::{client::Client, fixture::Served};

/// A message as an `EventSource` dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

impl Message {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An open stream.
pub(crate) struct EventSource {
    client: Client,
    pub(crate) raw: Vec<u8>,
    at: usize,
    name: String,
    data: String,
    id: String,
    pub(crate) retry: Option<u64>,
    pub(crate) comments: Vec<String>,
    /// Blank lines that dispatched nothing.
    pub(crate) blanks: usize,
}

impl EventSource {
    /// Opens a stream: a path with its query, and header lines.
    pub(crate) fn open(served: &Served, path: &str, headers: &str) -> EventSource {
        let mut client = served.client();
        let accept = "accept: text/event-stream";
        client.write(
            format!("GET {path} HTTP/1.1\r\nhost: test\r\n{accept}\r\n{headers}\r\n").as_bytes(),
        );
        let answer = client.answer_head();
        assert_eq!(answer.status, 200, "{:?}", answer.headers);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-accel-buffering"), Some("no"));
        EventSource {
            client,
            raw: Vec::new(),
            at: 0,
            name: String::new(),
            data: String::new(),
            id: String::new(),
            retry: None,
            comments: Vec::new(),
            blanks: 0,
        }
    }

    /// The next message; `None` when the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(line) = self.line() {
                if let Some(message) = self.take(&line) {
                    return Some(message);
                }
            }
            self.raw.extend_from_slice(&self.client.chunk()?);
        }
    }

    /// The next message, which must be there.
    pub(crate) fn message(&mut self) -> Message {
        self.next().expect("a message")
    }

    /// Reads until a comment has come.
    pub(crate) fn comment(&mut self) -> String {
        loop {
            if let Some(comment) = self.comments.pop() {
                return comment;
            }
            if let Some(line) = self.line() {
                assert_eq!(self.take(&line), None, "a message before a comment");
                continue;
            }
            self.raw.extend_from_slice(&self.client.chunk().expect("more of the stream"));
        }
    }

    fn line(&mut self) -> Option<String> {
        let rest = &self.raw[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8(rest[..end].to_vec()).expect("UTF-8");
        self.at += end + 1;
        Some(line)
    }

    fn take(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => self.name = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" => self.id = value.to_owned(),
            "retry" => self.retry = Some(value.parse().expect("milliseconds")),
            other => panic!("no such field: {other}"),
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            self.blanks += 1;
            return None;
        }
        data.pop();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Message { name, data, id: self.id.clone() })
    }
}
