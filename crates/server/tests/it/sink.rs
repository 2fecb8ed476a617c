//! An endpoint for webhooks, written here so that it shares no code with the sender.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Nothing here takes longer, also on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Ids of the events of a delivery in the default format.
    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let events = body["events"].as_array().expect("events");
        events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// What it answers: a status and more headers; `None`: nothing, for ever.
pub(crate) type Reaction = Option<(u16, String)>;
type React = dyn Fn(usize, &Arrived) -> Reaction + Send + Sync;

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    ended: Arc<AtomicBool>,
}

impl Sink {
    /// One that answers 200 to everything.
    pub(crate) fn new() -> Sink {
        Sink::that(|_, _| status(200))
    }

    /// One that answers the n-th request (from 0) as it is told.
    pub(crate) fn that(
        react: impl Fn(usize, &Arrived) -> Reaction + Send + Sync + 'static,
    ) -> Sink {
        Sink::behind(Some, react)
    }

    /// One that speaks TLS, and answers 200 to everything.
    pub(crate) fn secure(config: Arc<ServerConfig>) -> Sink {
        let handshake = move |stream: TcpStream| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            let mut stream = stream;
            connection.complete_io(&mut stream).ok()?;
            Some(StreamOwned::new(connection, stream))
        };
        Sink::behind(handshake, |_, _| status(200))
    }

    fn behind<S: Read + Write + 'static>(
        handshake: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
        react: impl Fn(usize, &Arrived) -> Reaction + Send + Sync + 'static,
    ) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let handshake = Arc::new(handshake);
        let (arrived, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let sink = Sink { address, arrived: Arc::clone(&arrived), ended: Arc::clone(&ended) };
        let react: Arc<React> = Arc::new(react);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(SeqCst) {
                    return;
                }
                let (arrived, react) = (Arc::clone(&arrived), Arc::clone(&react));
                let handshake = Arc::clone(&handshake);
                thread::spawn(move || {
                    if let Some(stream) = handshake(stream) {
                        serve(stream, &arrived, &*react);
                    }
                });
            }
        });
        sink
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("not poisoned").clone()
    }

    /// Waits until so many requests have arrived.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Arrived> {
        until(&format!("{count} requests"), || self.arrived().len() >= count);
        self.arrived()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn status(status: u16) -> Reaction {
    Some((status, String::new()))
}

/// Asks again and again until it holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn serve(stream: impl Read + Write, arrived: &Mutex<Vec<Arrived>>, react: &React) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let place = {
            let mut arrived = arrived.lock().expect("not poisoned");
            arrived.push(request.clone());
            arrived.len() - 1
        };
        let Some((status, headers)) = react(place, &request) else {
            thread::sleep(PATIENCE);
            return;
        };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{headers}\r\nok");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<impl Read>) -> Option<Arrived> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().expect("a length"))];
    reader.read_exact(&mut body).ok()?;
    Some(Arrived { method, target, headers, body, at: Instant::now() })
}
