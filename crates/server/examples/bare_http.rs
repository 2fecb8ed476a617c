//! What the wire costs: single appends over many connections against this server, beside a bare
//! handler on the same stack that reads the body and answers 201; and a fan-out to live streams.
//!
//! `cargo run --release -p annal-server --example bare_http [seconds] [connections] [streams]`

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use annal_engine::{Engine, EngineOptions};
use annal_server::{EngineSlot, Listener, Server, ServerOptions};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap_or(0));
    let seconds = args.next().unwrap_or(5);
    let connections = args.next().unwrap_or(64);
    let streams = args.next().unwrap_or(1_000);
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(dir.path(), EngineOptions::default());
    let engine = engine.map_err(std::io::Error::other)?;
    let annal = annal(engine.clone()).await?;
    let bare = bare().await?;
    for round in 1..=2 {
        let bare = posts(bare, connections, seconds, round * 2).await;
        let ours = posts(annal, connections, seconds, round * 2 + 1).await;
        println!(
            "round {round}: {connections} connections: bare {bare:.0}/s, annal {ours:.0}/s \
             ({:.0} %)",
            ours / bare * 100.0
        );
    }
    bulk(annal, seconds).await?;
    export(annal).await?;
    fan_out(annal, streams, seconds).await?;
    engine.shutdown();
    Ok(())
}

async fn annal(engine: Engine) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let slot = EngineSlot::new();
    slot.fill(engine);
    let server = Server::new(ServerOptions::default(), slot);
    tokio::spawn(server.serve(vec![Listener::Tcp(listener)], std::future::pending()));
    Ok(address)
}

async fn bare() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service_fn(created));
            tokio::spawn(served);
        }
    });
    Ok(address)
}

async fn created(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes().len());
    let mut answer = Response::new(Full::new(Bytes::from(format!("{{\"bytes\":{body:?}}}"))));
    *answer.status_mut() = hyper::StatusCode::CREATED;
    Ok(answer)
}

fn event(id: &str) -> String {
    let filler = "x".repeat(190);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"load\",\"type\":\"load.event\",\
         \"subject\":\"load/{}\",\"data\":{{\"filler\":\"{filler}\"}}}}",
        id.len()
    )
}

fn post(media_type: &str, body: &str) -> String {
    format!(
        "POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: {media_type}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn posts(address: SocketAddr, connections: u64, seconds: u64, round: u64) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let mut clients = Vec::new();
    for client in 0..connections {
        let done = Arc::clone(&done);
        clients.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.set_nodelay(true).expect("no delay");
            let mut answer = [0; 1_024];
            for n in 0u64.. {
                let body = event(&format!("{round}-{client}-{n}"));
                let request = post("application/cloudevents+json", &body);
                stream.write_all(request.as_bytes()).await.expect("written");
                let length = stream.read(&mut answer).await.expect("answered");
                assert!(answer[..length].starts_with(b"HTTP/1.1 201"), "{:?}", &answer[..length]);
                done.fetch_add(1, Relaxed);
                if Instant::now() > until {
                    break;
                }
            }
        }));
    }
    for client in clients {
        client.await.expect("a client");
    }
    done.load(Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// One connection after the other sends NDJSON, then batches of 1,000.
async fn bulk(address: SocketAddr, seconds: u64) -> std::io::Result<()> {
    let total = 100_000 * seconds;
    let lines: String = (0..total).map(|n| event(&format!("nd-{n}")) + "\n").collect();
    let request = post("application/x-ndjson", &lines);
    let begun = Instant::now();
    let answer = exchange(address, request.as_bytes()).await?;
    let rate = total as f64 / begun.elapsed().as_secs_f64();
    println!("NDJSON, one connection: {rate:.0} events/s; {answer}");
    let batches: Vec<String> = (0..total / 1_000)
        .map(|batch| {
            let events: Vec<_> = (0..1_000).map(|n| event(&format!("b-{batch}-{n}"))).collect();
            post("application/cloudevents-batch+json", &format!("[{}]", events.join(",")))
        })
        .collect();
    let begun = Instant::now();
    let tasks = batches.chunks(batches.len().div_ceil(4)).map(<[String]>::to_vec).map(|batches| {
        tokio::spawn(async move {
            for batch in &batches {
                let answer = exchange(address, batch.as_bytes()).await.expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await?;
    }
    let rate = total as f64 / begun.elapsed().as_secs_f64();
    println!("batches of 1,000, four at a time: {rate:.0} events/s");
    Ok(())
}

/// Sends a request on a connection of its own; the first kilobyte of the answer.
async fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut answer = vec![0; 1_024];
    let length = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).replace("\r\n", " "))
}

/// Reads everything as NDJSON.
async fn export(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let head = "GET /events HTTP/1.1\r\nhost: t\r\naccept: application/x-ndjson\r\n";
    let begun = Instant::now();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await?;
    let (mut events, mut total) = (0, 0);
    let mut bytes = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        total += length;
        events += bytes[..length].windows(2).filter(|pair| pair == b"}\n").count();
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "export: {:.0} events/s, {:.0} MB/s ({events} events)",
        events as f64 / took,
        total as f64 / took / 1e6
    );
    Ok(())
}

/// A few writers, many readers; counts messages by their blank lines.
async fn fan_out(address: SocketAddr, streams: u64, seconds: u64) -> std::io::Result<()> {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    for _ in 0..streams {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /events/stream?from=latest HTTP/1.1\r\nhost: t\r\n\r\n").await?;
        let delivered = Arc::clone(&delivered);
        readers.push(tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                let ends = bytes[..length].windows(2).filter(|pair| pair == b"\n\n").count();
                delivered.fetch_add(ends as u64, Relaxed);
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let appended = posts(address, 4, seconds, 99).await;
    let rate = delivered.load(Relaxed) as f64 / begun.elapsed().as_secs_f64();
    println!("{streams} streams: {rate:.0} deliveries/s while {appended:.0} events/s are appended");
    for reader in readers {
        reader.abort();
    }
    Ok(())
}
