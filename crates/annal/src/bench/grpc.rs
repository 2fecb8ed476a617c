//! gRPC over loopback: single appends beside a bare tonic handler on the same stack, and a stream of
//! batches.
//!
//! The bare handler takes the same message apart and answers with a position; everything below it
//! (connections, frames, dispatch) is what Annal has, so that what is compared is what an append costs
//! beyond gRPC itself.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use annal_event::{
    json::{self, Strictness},
    proto,
};
use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
    server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, net::TcpStream, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    codegen::BoxFuture,
    server::{Grpc, UnaryService},
};

use super::{
    Scale, events,
    http::Running,
    table::{Figure, Table, rate},
};

const IN_FLIGHT: usize = 64;
const CONNECTIONS: usize = 4;
/// Ours and the bare handler take turns, so that both see the same neighbours.
const ROUNDS: usize = 10;

const BATCH: usize = 1_000;
const STREAMS: usize = 4;

/// Batches that a client sends ahead.
const AHEAD: usize = 8;

const APPEND: &str = "/annal.v1.EventStore/Append";
const APPEND_STREAM: &str = "/annal.v1.EventStore/AppendStream";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let bare = bare()?;
    let running = Running::start(&dir.join("grpc"))?;
    let number = scale.singles / ROUNDS;
    let (mut floor, mut ours) = (Duration::ZERO, Duration::ZERO);
    for round in 0..ROUNDS {
        floor += singles(bare.address, round * number, number)?;
        ours += singles(running.grpc, round * number, number)?;
    }
    let rate_of = |took| rate(number * ROUNDS, took);
    let what = format!("gRPC, single events, {IN_FLIGHT} in flight");
    table.row(&what, rate_of(ours), Some((rate_of(floor), "bare tonic handler")));
    let what = format!("gRPC AppendStream, batches of 1,000, {STREAMS} streams");
    table.row(&what, streams(running.grpc, scale.events / BATCH, STREAMS)?, None);
    let what = "gRPC AppendStream, batches of 1,000, one stream";
    table.row(what, streams(running.grpc, scale.events / BATCH, 1)?, None);
    running.stop()?;
    Ok(std::fs::remove_dir_all(dir.join("grpc"))?)
}

/// Events `from..from + count` of a series as an `AppendRequest` in a gRPC frame.
fn message(series: &str, from: usize, count: usize) -> anyhow::Result<Bytes> {
    let mut request = Vec::with_capacity(count * 400);
    for number in from..from + count {
        let line = events::line(series, number);
        let event = json::parse_event(line.as_bytes(), &mut Strictness::Strict)?;
        // Field 1 again and again, as in a `CloudEventBatch`.
        proto::write_batch_item(&mut request, &event, None);
    }
    let mut frame = BytesMut::with_capacity(request.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(request.len())?);
    frame.extend_from_slice(&request);
    Ok(frame.freeze())
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Body>> {
    let stream = TcpStream::connect(address).await.context("cannot connect over loopback")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its end is seen by the requests on it.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(path: &str, body: Body) -> anyhow::Result<Request<Body>> {
    Ok(Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?)
}

fn good(headers: &http::HeaderMap) -> anyhow::Result<()> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => {
            let message = headers.get("grpc-message").and_then(|text| text.to_str().ok());
            bail!("refused with {status:?}: {}", message.unwrap_or_default())
        }
        _ => Ok(()),
    }
}

/// Sends single events over a few connections, so many under way in all.
fn singles(address: SocketAddr, from: usize, number: usize) -> anyhow::Result<Duration> {
    let messages: Result<Vec<_>, _> = (from..from + number).map(|n| message("g1", n, 1)).collect();
    let (messages, next) = (Arc::new(messages?), Arc::new(AtomicUsize::new(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(address).await?);
        }
        let begun = Instant::now();
        let mut clients = Vec::with_capacity(IN_FLIGHT);
        for client in 0..IN_FLIGHT {
            let mut sender = connections[client % CONNECTIONS].clone();
            let (messages, next) = (Arc::clone(&messages), Arc::clone(&next));
            clients.push(tokio::spawn(async move {
                while let Some(message) = messages.get(next.fetch_add(1, Relaxed)) {
                    let body = Full::new(message.clone()).boxed_unsync();
                    let response = sender.send_request(request(APPEND, body)?).await?;
                    good(response.headers())?;
                    let body = response.into_body().collect().await?;
                    body.trailers().map(good).transpose()?;
                    anyhow::ensure!(body.to_bytes().len() > 5, "no answer");
                }
                anyhow::Ok(())
            }));
        }
        for client in clients {
            client.await??;
        }
        Ok(begun.elapsed())
    })
}

/// Sends batches over some streams, each on a connection of its own.
fn streams(address: SocketAddr, batches: usize, streams: usize) -> anyhow::Result<Figure> {
    let series = format!("gs{streams}");
    let messages: Result<Vec<_>, _> =
        (0..batches).map(|batch| message(&series, batch * BATCH, BATCH)).collect();
    let messages = messages?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let mut clients = Vec::with_capacity(streams);
        for part in messages.chunks(batches.div_ceil(streams)) {
            let part = part.to_vec();
            clients.push(tokio::spawn(stream(address, part)));
        }
        for client in clients {
            client.await??;
        }
        Ok(rate(batches * BATCH, begun.elapsed()))
    })
}

async fn stream(address: SocketAddr, messages: Vec<Bytes>) -> anyhow::Result<()> {
    let mut sender = connect(address).await?;
    let (ahead, sent) = mpsc::channel(AHEAD);
    let wanted = messages.len();
    let frames =
        StreamBody::new(tokio_stream::StreamExt::map(ReceiverStream::new(sent), |bytes| {
            Ok(Frame::data(bytes))
        }));
    let response = sender.send_request(request(APPEND_STREAM, frames.boxed_unsync())?);
    tokio::spawn(async move {
        for message in messages {
            if ahead.send(message).await.is_err() {
                return;
            }
        }
    });
    let response = response.await?;
    good(response.headers())?;
    let mut body = response.into_body();
    let (mut acknowledged, mut held) = (0, BytesMut::new());
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => held.extend_from_slice(&data),
            Err(frame) => good(&frame.into_trailers().unwrap_or_default())?,
        }
        while let Some(length) = held.get(1..5).and_then(|head| head.first_chunk::<4>()) {
            let whole = 5 + u32::from_be_bytes(*length) as usize;
            if held.len() < whole {
                break;
            }
            drop(held.split_to(whole));
            acknowledged += 1;
        }
    }
    anyhow::ensure!(acknowledged == wanted, "{acknowledged} of {wanted} batches acknowledged");
    Ok(())
}

/// As much of the messages as the bare handler needs.
#[derive(Clone, PartialEq, prost::Message)]
struct AppendRequest {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    events: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendResponse {
    #[prost(uint64, repeated, tag = "1")]
    positions: Vec<u64>,
}

/// Answers without having stored anything.
#[derive(Clone, Copy)]
struct Bare;

impl UnaryService<AppendRequest> for Bare {
    type Response = AppendResponse;
    type Future = BoxFuture<tonic::Response<AppendResponse>, Status>;

    fn call(&mut self, request: tonic::Request<AppendRequest>) -> Self::Future {
        Box::pin(async move {
            let events = request.into_inner().events;
            let positions = events.iter().map(|event| event.len() as u64);
            Ok(tonic::Response::new(AppendResponse { positions: positions.collect() }))
        })
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let codec = tonic_prost::ProstCodec::default();
    Ok(Grpc::new(codec).unary(Bare, request).await)
}

/// A bare handler and the runtime it lives on.
struct Served {
    address: SocketAddr,
    _runtime: Runtime,
}

fn bare() -> anyhow::Result<Served> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A socket that cannot be set up shows in the figure.
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                server::conn::http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(Some(256))
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await
            });
        }
    });
    Ok(Served { address, _runtime: runtime })
}
