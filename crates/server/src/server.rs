//! Listening, connections, and a shutdown that finishes what has begun.

use std::{
    convert::Infallible, future::Future, io, pin::pin, sync::Arc, sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    EngineSlot, ServerOptions, eventsdb,
    flow::Flow,
    grpc::Services,
    problem::{Code, Problem},
    reply::{BodyError, Reply},
    service,
    shared::Shared,
    together::UnderWay,
    webhook::dispatch,
    wire::Wire,
};

/// What an h2 client with prior knowledge sends first (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that a connection buffers in either direction, besides the headers' own bound.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// h2: requests under way on one connection, and what a client may send ahead of being read.
///
/// An unread DATA frame of fewer than 256 bytes costs what it lacks of them, and h2 ends a connection
/// on which these come to more than half of its window. So streams of small messages that come faster
/// than they are stored need little windows of their own and a large one together: of frames of 30
/// bytes 128 KiB hold 4,369, which cost 226 each, less than 1 MiB; of such streams two fit.
const H2_STREAMS_MAX: u32 = 256;
const H2_STREAM_WINDOW: u32 = 128 * 1024;
const H2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const H2_SEND_BYTES_MAX: usize = 32 * 1024;
const H2_PING_EVERY: Duration = Duration::from_secs(30);

/// Pause after a failed accept: there is no descriptor or no memory for another connection, and
/// trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port for gRPC.
    Grpc(TcpListener),
    /// A TCP port for clients of Events-DB.
    Rest(TcpListener),
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Serves requests on any number of listeners.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    services: Arc<Services>,
    places: Arc<Semaphore>,
}

/// What connections are told when the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Take no more requests, finish those under way.
    Draining,
    /// The time for that is over.
    Ending,
}

impl Server {
    /// A server for an engine that is, or will be, in the slot. Until it is, everything but
    /// `/health…` and `/metrics` is answered with 503.
    pub fn new(options: ServerOptions, slot: EngineSlot) -> Server {
        let places = Arc::new(Semaphore::new(options.connections_max));
        let shared = Arc::new(Shared::new(options, slot));
        Server { services: Arc::new(Services::new(&shared)), shared, places }
    }

    /// Serves until `stop` is ready, then ends streams, finishes requests, and returns; after
    /// [`ServerOptions::grace`] it returns anyway. Needs a multi-threaded tokio runtime.
    pub async fn serve(self, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
        let (phase, told) = watch::channel(Phase::Serving);
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                let parts = self.clone_parts(told.clone(), Door::of(&listener));
                tokio::spawn(accept(parts, listener))
            })
            .collect();
        drop(told);
        let dispatching = tokio::spawn(dispatch::run(Arc::clone(&self.shared)));
        stop.await;
        for task in accepting {
            task.abort();
        }
        self.shared.stop();
        let _ = phase.send(Phase::Draining);
        let ended = async {
            phase.closed().await;
            // Deliveries on their way are worth waiting for: nobody has to get them again.
            if let Err(error) = dispatching.await {
                tracing::error!(%error, "webhooks ended by a bug");
            }
        };
        if timeout(self.shared.options.grace, ended).await.is_err() {
            tracing::warn!("requests were still under way at the end of the grace period");
            let _ = phase.send(Phase::Ending);
            let _ = timeout(ACCEPT_PAUSE, phase.closed()).await;
        }
    }

    fn clone_parts(&self, told: watch::Receiver<Phase>, door: Door) -> Accepting {
        Accepting {
            shared: Arc::clone(&self.shared),
            services: Arc::clone(&self.services),
            places: Arc::clone(&self.places),
            door,
            told,
        }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Http,
    Grpc,
    Rest,
}

impl Door {
    fn of(listener: &Listener) -> Door {
        match listener {
            Listener::Grpc(_) => Door::Grpc,
            Listener::Rest(_) => Door::Rest,
            Listener::Tcp(_) | Listener::Unix(_) => Door::Http,
        }
    }
}

/// What a listener needs.
struct Accepting {
    shared: Arc<Shared>,
    services: Arc<Services>,
    door: Door,
    places: Arc<Semaphore>,
    told: watch::Receiver<Phase>,
}

/// What a connection needs.
struct Connection {
    shared: Arc<Shared>,
    services: Arc<Services>,
    door: Door,
    told: watch::Receiver<Phase>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.metrics.connections.fetch_sub(1, Relaxed);
    }
}

async fn accept(accepting: Accepting, listener: Listener) {
    loop {
        // Before accepting: who finds no place waits in the system's backlog.
        let Ok(place) = Arc::clone(&accepting.places).acquire_owned().await else { return };
        let accepted = match &listener {
            Listener::Tcp(listener) | Listener::Grpc(listener) | Listener::Rest(listener) => {
                tcp(listener, &accepting, place).await
            }
            Listener::Unix(listener) => unix(listener, &accepting, place).await,
        };
        if let Err(error) = accepted
            && !is_about_one_connection(&error)
        {
            tracing::warn!(%error, "cannot accept connections; trying again");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn tcp(
    listener: &TcpListener,
    accepting: &Accepting,
    place: OwnedSemaphorePermit,
) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    tokio::spawn(serve(accepting.connection(place), stream));
    Ok(())
}

async fn unix(
    listener: &UnixListener,
    accepting: &Accepting,
    place: OwnedSemaphorePermit,
) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    tokio::spawn(serve(accepting.connection(place), stream));
    Ok(())
}

impl Accepting {
    fn connection(&self, place: OwnedSemaphorePermit) -> Connection {
        self.shared.metrics.connections.fetch_add(1, Relaxed);
        let told = self.told.clone();
        Connection {
            shared: Arc::clone(&self.shared),
            services: Arc::clone(&self.services),
            door: self.door,
            told,
            _place: place,
        }
    }
}

async fn serve<S>(connection: Connection, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = connection.shared.options.header_timeout;
    let mut told = connection.told.clone();
    let begun = tokio::select! {
        begun = timeout(patience, first_bytes(&mut stream)) => begun,
        _ = told.wait_for(|phase| *phase != Phase::Serving) => return,
    };
    let Ok(Ok(prefix)) = begun else { return };
    if prefix.is_empty() {
        return;
    }
    let is_h2 = prefix.starts_with(H2_PREFACE);
    let flow = Arc::new(Flow::default());
    let wire = Wire::new(stream, prefix, Arc::clone(&flow));
    let served = match (is_h2, connection.door) {
        (true, Door::Grpc) => {
            let services = Arc::clone(&connection.services);
            let answer = move |request| {
                let services = Arc::clone(&services);
                async move { Ok::<_, Infallible>(services.serve(request).await) }
            };
            h2(&connection, wire, answer).await
        }
        (true, door) => {
            let shared = Arc::clone(&connection.shared);
            let answer = move |request| {
                let shared = Arc::clone(&shared);
                async move { answer(&shared, door, None, request).await }
            };
            h2(&connection, wire, answer).await
        }
        (false, _) => h1(&connection, wire, flow).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Reads until it is clear whether this is the h2 preface.
async fn first_bytes<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(1_024);
    while stream.read_buf(&mut bytes).await? > 0 {
        let undecided = bytes.len() < H2_PREFACE.len() && H2_PREFACE.starts_with(&bytes);
        if !undecided {
            break;
        }
    }
    Ok(bytes.freeze())
}

async fn h1<S>(connection: &Connection, wire: Wire<S>, flow: Arc<Flow>) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (shared, door) = (&connection.shared, connection.door);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.options.header_timeout)
        .max_buf_size(shared.options.header_bytes_max.max(BUFFER_BYTES_MAX))
        .serve_connection(wire, service_fn(|request| answer(shared, door, Some(&flow), request)));
    let mut served = pin!(served);
    let mut told = connection.told.clone();
    tokio::select! {
        done = served.as_mut() => return done,
        _ = told.wait_for(|phase| *phase != Phase::Serving) => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        done = served => done,
        _ = told.wait_for(|phase| *phase == Phase::Ending) => Ok(()),
    }
}

async fn h2<S, A, F, B>(
    connection: &Connection,
    wire: Wire<S>,
    answer: A,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BodyError>,
{
    let shared = &connection.shared;
    let under_way = UnderWay::default();
    let counted = |request| under_way.count(answer(request));
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .max_header_list_size(shared.options.header_bytes_max as u32)
        .keep_alive_interval(H2_PING_EVERY)
        .serve_connection(wire, service_fn(counted));
    let mut served = pin!(served);
    let mut told = connection.told.clone();
    tokio::select! {
        done = under_way.leave_together(served.as_mut()) => return done,
        _ = told.wait_for(|phase| *phase != Phase::Serving) => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        done = served => done,
        _ = told.wait_for(|phase| *phase == Phase::Ending) => Ok(()),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    door: Door,
    flow: Option<&Arc<Flow>>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let shared = Arc::clone(shared);
    Ok(match door {
        Door::Http => service::serve(shared, flow, request).await,
        Door::Rest => eventsdb::serve(shared, flow, request).await,
        Door::Grpc => {
            let detail = "this port speaks gRPC, which is HTTP/2; use the HTTP port";
            Problem::new(Code::InvalidRequest, detail).into()
        }
    })
}
