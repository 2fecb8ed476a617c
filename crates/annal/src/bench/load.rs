//! The other end of the wire: many keep-alive connections that each send a request and wait for its
//! answer, on a thread of their own. Raw sockets and no more HTTP than that takes, so that the client
//! costs little of what the server could have.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Sends every request once over so many connections; how long it took.
pub(super) fn send_all(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Duration> {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(connect(address).await?);
        }
        let start = Instant::now();
        let mut clients = Vec::with_capacity(connections);
        for mut stream in open {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            clients.push(tokio::spawn(async move {
                let mut buffer = Vec::with_capacity(4_096);
                while let Some(request) = requests.get(next.fetch_add(1, Relaxed)) {
                    stream.write_all(request).await?;
                    let status = answer(&mut stream, &mut buffer).await?;
                    if !(200..300).contains(&status) {
                        bail!("answered {status}: {}", String::from_utf8_lossy(&buffer));
                    }
                }
                Ok(())
            }));
        }
        for client in clients {
            client.await??;
        }
        Ok(start.elapsed())
    })
}

pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("cannot connect over loopback")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A request with a body.
pub(super) fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Reads one answer with a known length and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    buffer.clear();
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let (status, length) = head(&buffer[..end])?;
            let whole = end + 4 + length;
            while buffer.len() < whole {
                more(stream, buffer).await?;
            }
            return Ok(status);
        }
        if buffer.len() > HEAD_BYTES_MAX {
            bail!("the head of an answer is too long");
        }
        more(stream, buffer).await?;
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    if stream.read_buf(buffer).await? == 0 {
        bail!("the server closed the connection");
    }
    Ok(())
}

/// Status and content length.
fn head(bytes: &[u8]) -> anyhow::Result<(u16, usize)> {
    let text = std::str::from_utf8(bytes)?.to_ascii_lowercase();
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map(|value| value.trim().parse::<usize>());
    match (status, length) {
        (Some(status), Some(length)) => Ok((status, length?)),
        _ => bail!("not an answer with a length: {text}"),
    }
}

/// Where a pattern begins.
pub(super) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// Sends a `GET`, then counts how often `mark` occurs until it has been seen `wanted` times. Returns
/// what was seen when the stream ended or that was reached.
pub(super) async fn count(
    stream: &mut TcpStream,
    mark: &[u8],
    wanted: usize,
) -> anyhow::Result<usize> {
    let mut buffer = vec![0; 256 * 1024];
    let (mut kept, mut seen) = (0, 0);
    while seen < wanted {
        let taken = stream.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
        if taken == 0 {
            break;
        }
        let filled = kept + taken;
        let counted = &buffer[..filled];
        let found = occurrences(counted, mark);
        seen += found.0;
        // A mark may be cut in two.
        let rest = counted.len().saturating_sub(found.1).min(mark.len() - 1);
        buffer.copy_within(filled - rest..filled, 0);
        kept = rest;
    }
    Ok(seen)
}

/// How often a mark occurs, and where the last one ends.
fn occurrences(bytes: &[u8], mark: &[u8]) -> (usize, usize) {
    let (mut count, mut at, mut end) = (0, 0, 0);
    let Some(first) = mark.first() else { return (0, 0) };
    while let Some(step) = bytes[at..].iter().position(|byte| byte == first) {
        let begin = at + step;
        if bytes[begin..].starts_with(mark) {
            count += 1;
            at = begin + mark.len();
            end = at;
        } else {
            at = begin + 1;
        }
    }
    (count, end)
}

#[cfg(test)]
mod tests {
    use super::{head, occurrences};

    #[test]
    fn heads_and_marks_are_read() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 17\r\nX: y";
        assert_eq!(head(text).unwrap(), (201, 17));
        assert!(head(b"HTTP/1.1 201 Created").is_err());
        assert_eq!(occurrences(b"\nid: 1\n\nid: 2\n", b"\nid: "), (2, 12));
    }
}
