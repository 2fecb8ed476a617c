//! A thousand clients on one live stream, beside a bare broadcast on the same stack.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use annal_engine::Append;
use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpListener, net::TcpStream, runtime::Runtime, sync::mpsc};

use super::{
    Scale, events,
    http::Running,
    load::{connect, count},
    table::{Figure, Table, rate},
};
use crate::open_files;

/// Begins every message of either stream.
pub(super) const MARK: &[u8] = b"event: delta";

/// Messages pushed at a time.
const PUSH: usize = 20;

/// Time for all clients to be there before the first message.
const SETTLE: Duration = Duration::from_millis(500);

const REQUEST: &[u8] =
    b"GET /events/stream?snapshot=none HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";

/// Measures and adds a row.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    // Every client takes two descriptors here, one at each end.
    open_files::raise();
    let bare = Bare::start(scale.streams)?;
    let floor = deliver(bare.address, scale, || bare.push())?;
    drop(bare);

    let running = Running::start(&dir.join("sse"))?;
    let mut first = 0;
    let ours = deliver(running.address, scale, || {
        let events = events::batch("push", first, PUSH)?;
        first += PUSH;
        running.engine.append(Append::of(events))?.wait()?;
        Ok(())
    })?;
    running.stop()?;
    let what = format!("SSE, {} clients on one stream, deliveries", scale.streams);
    table.row(&what, ours, Some((floor, "bare broadcast")));
    Ok(std::fs::remove_dir_all(dir.join("sse"))?)
}

/// Connects the clients, pushes, and waits until everybody has seen everything.
fn deliver(
    address: SocketAddr,
    scale: Scale,
    mut push: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Figure> {
    let wanted = scale.pushed;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, go) = std::sync::mpsc::channel();
    let readers = thread::spawn(move || {
        runtime.block_on(async {
            let mut open: Vec<TcpStream> = Vec::with_capacity(scale.streams);
            for _ in 0..scale.streams {
                let mut stream = connect(address).await?;
                stream.write_all(REQUEST).await?;
                open.push(stream);
            }
            ready.send(())?;
            let clients: Vec<_> = open
                .into_iter()
                .map(|mut stream| {
                    tokio::spawn(async move { count(&mut stream, MARK, wanted).await })
                })
                .collect();
            for client in clients {
                anyhow::ensure!(client.await?? >= wanted, "a stream ended early");
            }
            Ok(Instant::now())
        })
    });
    go.recv()?;
    thread::sleep(SETTLE);
    let start = Instant::now();
    for _ in 0..wanted.div_ceil(PUSH) {
        push()?;
    }
    let end = readers.join().map_err(|_| anyhow::anyhow!("the clients panicked"))??;
    Ok(rate(wanted * scale.streams, end.saturating_duration_since(start)))
}

type Clients = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// Hands each message to every connection, and no more.
pub(super) struct Bare {
    pub(super) address: SocketAddr,
    clients: Clients,
    message: Bytes,
    _runtime: Runtime,
}

impl Bare {
    pub(super) fn start(clients: usize) -> anyhow::Result<Bare> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let senders = Arc::new(Mutex::new(Vec::with_capacity(clients)));
        let message = format!("event: delta\nid: 1\ndata: {}\n\n", events::line("bare", 1));
        runtime.spawn(accept(listener, Arc::clone(&senders)));
        Ok(Bare { address, clients: senders, message: message.into(), _runtime: runtime })
    }

    /// One message to everybody.
    pub(super) fn push_one(&self) -> anyhow::Result<()> {
        let clients = self.clients.lock().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        for client in clients.iter() {
            client.blocking_send(self.message.clone())?;
        }
        Ok(())
    }

    fn push(&self) -> anyhow::Result<()> {
        let clients = self.clients.lock().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        for _ in 0..PUSH {
            for client in clients.iter() {
                client.blocking_send(self.message.clone())?;
            }
        }
        Ok(())
    }
}

/// Messages that may wait for one client.
const WAITING_MAX: usize = 64;

async fn accept(listener: TcpListener, clients: Clients) {
    while let Ok((stream, _)) = listener.accept().await {
        // A socket that cannot be set up shows in the figure.
        let _ = stream.set_nodelay(true);
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        if let Ok(mut clients) = clients.lock() {
            clients.push(sender);
        }
        let body = Mutex::new(Some(Messages { receiver }));
        let service = service_fn(move |_request: Request<Incoming>| {
            let body = body.lock().ok().and_then(|mut body| body.take());
            async move { Ok::<_, Infallible>(Response::new(body.unwrap_or_else(Messages::ended))) }
        });
        tokio::spawn(async move {
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

struct Messages {
    receiver: mpsc::Receiver<Bytes>,
}

impl Messages {
    /// For a second request on the same connection, which nobody sends.
    fn ended() -> Messages {
        Messages { receiver: mpsc::channel(1).1 }
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.receiver.poll_recv(context);
        next.map(|message| message.map(|message| Ok(Frame::data(message))))
    }
}
