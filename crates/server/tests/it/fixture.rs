//! A server in this process, and `check`: a request and the answer it must have.

use std::{
    net::SocketAddr,
    thread::{self, JoinHandle},
};

use annal_engine::{Engine, EngineOptions, SearchOptions};
use annal_server::{EngineSlot, Listener, Server, ServerOptions};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

use crate::client::{Answer, Client};

/// A server on a port of its own. Stopped when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) rest: SocketAddr,
    pub(crate) slot: EngineSlot,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub(crate) dir: tempfile::TempDir,
}

impl Served {
    /// A server with an empty log.
    pub(crate) fn new() -> Served {
        Served::with(ServerOptions::default(), EngineOptions::default())
    }

    pub(crate) fn with(options: ServerOptions, engine: EngineOptions) -> Served {
        let served = Served::starting(options);
        served.open(engine);
        served
    }

    /// A server that searches.
    pub(crate) fn searching() -> Served {
        Served::with(ServerOptions::default(), searching())
    }

    /// A server whose engine is not open yet.
    pub(crate) fn starting(options: ServerOptions) -> Served {
        let slot = EngineSlot::new();
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let server = Server::new(options, slot.clone());
        let thread = thread::spawn(move || {
            let runtime = Runtime::new().expect("a runtime");
            runtime.block_on(async move {
                let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
                for door in [Listener::Tcp, Listener::Grpc, Listener::Rest] {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                    addresses.push(listener.local_addr().expect("an address"));
                    listeners.push(door(listener));
                }
                bound.send(addresses).expect("a listener");
                let stopped = async { stopped.await.unwrap_or(()) };
                server.serve(listeners, stopped).await;
            });
        });
        let addresses = address.recv().expect("the addresses");
        let [address, grpc, rest] = addresses[..] else { panic!("three addresses") };
        let dir = tempfile::tempdir().expect("a directory");
        Served { address, grpc, rest, slot, stop: Some(stop), thread: Some(thread), dir }
    }

    /// Opens the engine and hands it to the server.
    pub(crate) fn open(&self, options: EngineOptions) {
        self.slot.fill(Engine::open(self.dir.path(), options).expect("an engine"));
    }

    /// Stops it and starts it again on the same directory, without the files named.
    pub(crate) fn restarted(mut self, without: &[&str], engine: EngineOptions) -> Served {
        self.begin_stop();
        self.join();
        self.engine().shutdown();
        for name in without {
            std::fs::remove_file(self.dir.path().join(name)).expect("the file is there");
        }
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"));
        let mut served = Served::starting(ServerOptions::default());
        served.dir = dir;
        served.open(engine);
        served
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.slot.get().expect("an engine")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Tells the server to stop and does not wait for it.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Whether the server has stopped.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the server has stopped.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }

    /// Sends a request, given as in [`Client::send`].
    pub(crate) fn send(&self, request: &str) -> Answer {
        self.client().send(request)
    }

    /// Sends a request and compares the answer. Times that the store sets read `<time>`, ids that it
    /// makes `<id>`; headers that are the same for all answers are left out.
    #[track_caller]
    pub(crate) fn check(&self, request: &str, expected: &str) {
        let answer = self.send(request).recorded();
        assert_eq!(answer, expected, "\n--- asked:\n{request}\n--- answered:\n{answer}\n");
    }

    /// Appends events `1..=count` with subject `s/<n modulo 3>` and type `t.<n modulo 2>`.
    pub(crate) fn seed(&self, count: usize) {
        let mut lines = String::new();
        for n in 1..=count {
            lines.push_str(&event(n));
            lines.push('\n');
        }
        let request = format!("POST /events\ncontent-type: application/x-ndjson\n\n{lines}");
        let answer = self.send(&request);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// An engine with a search index.
pub(crate) fn searching() -> EngineOptions {
    let search = SearchOptions { writer_bytes: 15_000_000, ..SearchOptions::default() };
    EngineOptions { search: Some(search), ..EngineOptions::default() }
}

/// Event `n` of a seeded log.
pub(crate) fn event(n: usize) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e{n}\",\"source\":\"seed\",\"type\":\"t.{}\",\
         \"subject\":\"s/{}\",\"time\":\"2026-01-15T10:30:00Z\",\"data\":{{\"n\":{n}}}}}",
        n % 2,
        n % 3
    )
}

impl Drop for Served {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(engine) = self.slot.get() {
            engine.shutdown();
        }
    }
}
