//! Deliveries to a local endpoint, beside a bare client that posts the same bodies to the same
//! endpoint over as many connections.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use annal_engine::Append;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, Response, body::Incoming, client, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use super::{
    Scale, events,
    http::Running,
    load::{post, send_all},
    table::{Figure, Table, rate},
};

/// Requests on their way to one endpoint at a time, as a consumer has them.
const IN_FLIGHT: usize = 8;

/// Events appended at a time.
const APPENDED: usize = 1_000;

/// Deliveries that are timed one by one.
const LONE: usize = 500;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let deliveries = scale.singles / 2;
    for (batch, events) in [(1, deliveries), (100, scale.events)] {
        let sink = Sink::start()?;
        let floor = bare(sink.address, batch, events)?;
        sink.wait_for(events.div_ceil(batch))?;
        let ours = delivered(&dir.join("webhook"), batch, events)?;
        let what = format!("Webhooks, batches of {batch}, events delivered");
        table.row(&what, ours, Some((floor, "bare client, same bodies")));
    }
    let (mut appends, mut arrivals) = lone(&dir.join("webhook"))?;
    for percent in [50, 99] {
        let what = format!("Webhook, lone append to its arrival, p{percent}");
        let append = percentile(&mut appends, percent);
        let arrival = percentile(&mut arrivals, percent);
        table.row(&what, arrival, Some((append, "the append alone")));
    }
    Ok(())
}

fn register(running: &Running, sink: &Sink, batch: usize, from: &str) -> anyhow::Result<()> {
    let body = format!(
        "{{\"callback\":\"http://{}/\",\"ordering\":\"none\",\"batch_size\":{batch},\"from\":\"{from}\"}}",
        sink.address
    );
    let request = post("/consumers", "application/json", body.as_bytes());
    send_all(running.address, 1, vec![request]).map(drop)
}

/// How fast what is in the log is delivered.
fn delivered(dir: &Path, batch: usize, events: usize) -> anyhow::Result<Figure> {
    let running = Running::start(dir)?;
    for first in (0..events).step_by(APPENDED) {
        running.engine.append(Append::of(events::batch("hook", first, APPENDED)?))?.wait()?;
    }
    let sink = Sink::start()?;
    let start = Instant::now();
    register(&running, &sink, batch, "earliest")?;
    sink.wait_for(events.div_ceil(batch))?;
    let took = start.elapsed();
    running.stop()?;
    std::fs::remove_dir_all(dir)?;
    Ok(rate(events, took))
}

/// Times from an append to its acknowledgement, and to the request it causes.
fn lone(dir: &Path) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let running = Running::start(dir)?;
    let sink = Sink::start()?;
    register(&running, &sink, 1, "latest")?;
    let (mut appends, mut arrivals) = (Vec::with_capacity(LONE), Vec::with_capacity(LONE));
    for n in 0..LONE {
        let events = events::batch("lone", n, 1)?;
        let start = Instant::now();
        running.engine.append(Append::of(events))?.wait()?;
        appends.push(start.elapsed());
        let arrived = sink.told.recv_timeout(PATIENCE).context("a delivery did not arrive")?;
        arrivals.push(arrived.saturating_duration_since(start));
        thread::sleep(Duration::from_millis(2));
    }
    running.stop()?;
    std::fs::remove_dir_all(dir)?;
    Ok((appends, arrivals))
}

fn percentile(times: &mut [Duration], percent: usize) -> Figure {
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    Figure::Time(times.get(place).copied().unwrap_or_default())
}

/// An endpoint that answers 200 and counts.
struct Sink {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    /// When each request arrived, while somebody listens.
    told: mpsc::Receiver<Instant>,
    _runtime: Runtime,
}

impl Sink {
    fn start() -> anyhow::Result<Sink> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicUsize::new(0));
        // Bounded, and what does not fit is not told.
        let (tell, told) = mpsc::sync_channel(16);
        let counting = Arc::clone(&count);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A socket that cannot be set up shows in the figure.
                let _ = stream.set_nodelay(true);
                let (count, tell) = (Arc::clone(&counting), tell.clone());
                let answer = service_fn(move |request| take(request, count.clone(), tell.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Sink { address, count, told, _runtime: runtime })
    }

    fn wait_for(&self, requests: usize) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.count.load(Relaxed) < requests {
            let count = self.count.load(Relaxed);
            anyhow::ensure!(start.elapsed() < PATIENCE, "{count} of {requests} arrived");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

async fn take(
    request: Request<Incoming>,
    count: Arc<AtomicUsize>,
    tell: mpsc::SyncSender<Instant>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let arrived = Instant::now();
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    count.fetch_add(1, Relaxed);
    let _ = tell.try_send(arrived);
    Ok(Response::new(Empty::new()))
}

/// Posts as many bodies of the same length, and does nothing else.
fn bare(address: SocketAddr, batch: usize, events: usize) -> anyhow::Result<Figure> {
    let lines: Vec<_> = (0..batch).map(|n| events::line("hook", n)).collect();
    let body = Bytes::from(format!("{{\"events\":[{}]}}", lines.join(",")));
    let each = events.div_ceil(batch).div_ceil(IN_FLIGHT);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        let start = Instant::now();
        for _ in 0..IN_FLIGHT {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let shaking = client::conn::http1::handshake(TokioIo::new(stream));
            let (mut sender, connection) = shaking.await?;
            tokio::spawn(connection);
            let body = body.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..each {
                    let request = Request::post("/")
                        .header(header::HOST, "localhost")
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(Full::new(body.clone()))?;
                    sender.ready().await?;
                    let answer = sender.send_request(request).await?;
                    anyhow::ensure!(answer.status().is_success(), "refused");
                }
                Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(rate(each * IN_FLIGHT * batch, start.elapsed()))
    })
}
