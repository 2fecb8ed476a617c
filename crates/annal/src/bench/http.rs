//! HTTP over loopback: Annal beside a bare handler on the same stack, under the same load.
//!
//! For single events the bare handler reads the body and answers 201: to beat it, one would have to
//! leave HTTP. For bulk it also parses every event, as anybody must who looks at what came.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use annal_engine::{Engine, EngineOptions};
use annal_server::{CallbackRules, EngineSlot, Listener, Server, ServerOptions};
use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::AsyncWriteExt, net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle,
};

use super::{
    Scale, events,
    load::{connect, count, post, send_all},
    table::{Figure, Table, rate},
};

pub(super) const CONNECTIONS: usize = 64;
const BULK_CONNECTIONS: usize = 8;
const BATCH: usize = 1_000;

/// About as long as the answer to one event.
const ANSWER: &[u8] =
    br#"{"id":"one-000000001","source":"/bench/shop","position":"1","duplicate":false}"#;

/// A server with an engine on a port of its own.
pub(super) struct Running {
    pub(super) engine: Engine,
    pub(super) address: SocketAddr,
    pub(super) grpc: SocketAddr,
    runtime: Runtime,
    serving: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Running {
    pub(super) fn start(root: &Path) -> anyhow::Result<Running> {
        Running::with(root, EngineOptions::default())
    }

    pub(super) fn with(root: &Path, options: EngineOptions) -> anyhow::Result<Running> {
        let engine = Engine::open(root, options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let by_grpc = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let grpc = by_grpc.local_addr()?;
        let slot = EngineSlot::new();
        slot.fill(engine.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let callbacks = CallbackRules { loopback: true, ..CallbackRules::default() };
        let options = ServerOptions {
            callbacks,
            grace: Duration::from_secs(1),
            streams_max: 12_000,
            ..ServerOptions::default()
        };
        let server = Server::new(options, slot);
        let listeners = vec![Listener::Tcp(listener), Listener::Grpc(by_grpc)];
        let serving = runtime.spawn(server.serve(listeners, async {
            // Dropping the sender is a way of stopping, too.
            let _ = stopped.await;
        }));
        Ok(Running { engine, address, grpc, runtime, serving, stop })
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.runtime.block_on(self.serving)?;
        self.engine.shutdown();
        Ok(())
    }
}

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let (reading, parsing) = (bare(false, ANSWER)?, bare(true, ANSWER)?);
    let running = Running::start(&dir.join("http"))?;
    let bulks = scale.events / BATCH;
    let jobs = [
        (
            "HTTP, single events, 64 connections",
            CONNECTIONS,
            singles as fn(usize) -> _,
            scale.singles,
            1,
        ),
        ("HTTP, NDJSON of 1,000, 8 connections", BULK_CONNECTIONS, ndjson, bulks, BATCH),
        ("HTTP, batches of 1,000, 8 connections", BULK_CONNECTIONS, arrays, bulks, BATCH),
    ];
    for (what, connections, requests, number, each) in jobs {
        let requests: Vec<Vec<u8>> = requests(number);
        let (bare, name) = match each {
            1 => (&reading, "bare handler"),
            _ => (&parsing, "bare handler that parses"),
        };
        let floor = send_all(bare.address, connections, requests.clone())?;
        let ours = send_all(running.address, connections, requests).context(what)?;
        let baseline = Some((rate(number * each, floor), name));
        table.row(what, rate(number * each, ours), baseline);
    }
    let read = read_back(running.address, running.engine.head().get() as usize)?;
    table.row("HTTP, NDJSON read back, one client", read, None);
    running.stop()?;
    Ok(std::fs::remove_dir_all(dir.join("http"))?)
}

pub(super) fn singles(number: usize) -> Vec<Vec<u8>> {
    let request =
        |n| post("/events", "application/cloudevents+json", events::line("h1", n).as_bytes());
    (0..number).map(request).collect()
}

fn ndjson(number: usize) -> Vec<Vec<u8>> {
    let body = |n| events::ndjson("hn", n * BATCH, BATCH);
    (0..number).map(|n| post("/events", "application/x-ndjson", &body(n))).collect()
}

fn arrays(number: usize) -> Vec<Vec<u8>> {
    let body = |first: usize| {
        let lines: Vec<_> = (first..first + BATCH).map(|n| events::line("hb", n)).collect();
        format!("[{}]", lines.join(","))
    };
    let kind = "application/cloudevents-batch+json";
    (0..number).map(|n| post("/events", kind, body(n * BATCH).as_bytes())).collect()
}

fn read_back(address: SocketAddr, events: usize) -> anyhow::Result<Figure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = connect(address).await?;
        let start = Instant::now();
        stream
            .write_all(
                b"GET /events HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n",
            )
            .await?;
        let seen = count(&mut stream, b"{\"specversion\":", events).await?;
        anyhow::ensure!(seen == events, "{seen} of {events} events came back");
        Ok(rate(events, start.elapsed()))
    })
}

/// A bare handler and the runtime it lives on.
pub(super) struct Bare {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

/// A handler that reads the body, parses it if wanted, and answers.
pub(super) fn bare(parse: bool, answer: &'static [u8]) -> anyhow::Result<Bare> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A socket that cannot be set up shows in the figure.
            let _ = stream.set_nodelay(true);
            tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| created(request, parse, answer)),
            ));
        }
    });
    Ok(Bare { address, _runtime: runtime })
}

async fn created(
    request: Request<Incoming>,
    parse: bool,
    answer: &'static [u8],
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = Vec::new();
    let mut incoming = request.into_body();
    while let Some(Ok(frame)) = incoming.frame().await {
        if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
        }
    }
    let mut response = Response::new(Full::new(Bytes::from_static(answer)));
    let good = !parse || parsed(&body);
    *response.status_mut() = if good { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
    Ok(response)
}

/// As little as parsing can be: the envelope, with the data left as text.
#[derive(Deserialize)]
struct Parsed<'a> {
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    ty: &'a str,
    data: &'a RawValue,
}

impl Parsed<'_> {
    fn is_whole(&self) -> bool {
        ![self.id, self.source, self.ty, self.data.get()].contains(&"")
    }
}

fn parsed(body: &[u8]) -> bool {
    if body.starts_with(b"[") {
        return serde_json::from_slice::<Vec<Parsed<'_>>>(body)
            .is_ok_and(|events| events.iter().all(Parsed::is_whole));
    }
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.all(|line| serde_json::from_slice::<Parsed<'_>>(line).is_ok_and(|event| event.is_whole()))
}
