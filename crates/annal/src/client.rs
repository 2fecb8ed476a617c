//! A small HTTP/1.1 client for the commands: one connection, one request at a time, blocking.
//!
//! Speaks http:// only, and says so. Every wait is bounded: a server that says nothing for
//! [`SILENCE_MAX`] is taken for gone, which its streams never are (they send heartbeats).

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, runtime::Runtime};

use crate::cli::Usage;

/// A working server is never silent for longer.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Connecting takes milliseconds, or it does not work.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Largest answer that is taken whole, in bytes. Longer ones are read piece by piece.
const WHOLE_MAX: usize = 256 * 1024 * 1024;

/// A connection to a server, made again when it was closed.
#[derive(Debug)]
pub(crate) struct Client {
    runtime: Runtime,
    url: String,
    /// `host:port`
    address: String,
    /// Path that the server's routes are under, without a slash at its end.
    prefix: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// A refusal, as the server words it (RFC 9457).
#[derive(Clone, Debug, Default, Deserialize, thiserror::Error)]
#[error("{} ({code})", self.detail.as_deref().unwrap_or(self.title.as_str()))]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) detail: Option<String>,
    #[serde(default)]
    pub(crate) code: String,
    /// Of an NDJSON body: the line that was refused, from 1.
    pub(crate) line: Option<u64>,
    /// Of an NDJSON body: how many events were stored before it.
    pub(crate) stored: Option<u64>,
    /// Of an NDJSON body: how many were there already.
    pub(crate) duplicates: Option<u64>,
}

impl Client {
    /// A client of the server at `url`. Connects with the first request.
    pub(crate) fn new(url: &str) -> anyhow::Result<Client> {
        let uri: Uri = url.parse().map_err(|error| Usage(format!("`{url}`: {error}")))?;
        let wrong = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                Some("https:// is not supported here; use http://, or a tunnel".into())
            }
            _ => Some(format!("`{url}` does not begin with http://")),
        };
        if let Some(wrong) = wrong {
            return Err(Usage(wrong).into());
        }
        let host = uri.host().ok_or_else(|| Usage(format!("`{url}` names no host")))?;
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Client { runtime, url: url.to_owned(), address, prefix, connection: None })
    }

    /// The address it was made with.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Reply<'_>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("this cannot be sent")?;
        let mut connection = self.connection()?;
        let sent = self.runtime.block_on(bounded(connection.send_request(request)));
        let response = sent.with_context(|| format!("no answer from {}", self.url))?;
        self.connection = Some(connection);
        let (head, body) = response.into_parts();
        Ok(Reply { runtime: &self.runtime, status: head.status, body })
    }

    /// `GET` that must succeed.
    pub(crate) fn get(&mut self, path: &str, accept: &str) -> anyhow::Result<Reply<'_>> {
        let headers = [("accept", accept)];
        self.send(Method::GET, path, &headers, Bytes::new())?.successful()
    }

    /// The open connection, or a new one.
    fn connection(&mut self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        if let Some(mut open) = self.connection.take() {
            let ready = self.runtime.block_on(async {
                tokio::time::timeout(CONNECT_MAX, open.ready())
                    .await
                    .is_ok_and(|ready| ready.is_ok())
            });
            if ready {
                return Ok(open);
            }
        }
        let connected = self.runtime.block_on(async {
            tokio::time::timeout(CONNECT_MAX, connect(&self.address)).await.unwrap_or_else(|_| {
                Err(anyhow!("no connection within {} s", CONNECT_MAX.as_secs()))
            })
        });
        connected.with_context(|| format!("cannot reach {}", self.url))
    }
}

async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It moves whenever a request or a body is waited for, and ends with the socket.
    tokio::spawn(connection);
    Ok(sender)
}

async fn bounded<T, E>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(SILENCE_MAX, work).await {
        Ok(done) => Ok(done?),
        Err(_) => bail!("silence for {} s", SILENCE_MAX.as_secs()),
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Reply<'c> {
    runtime: &'c Runtime,
    pub(crate) status: StatusCode,
    body: Incoming,
}

impl Reply<'_> {
    /// The next piece of the body; `None` at its end. A body that was cut off is an error.
    pub(crate) fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let next = async {
                match self.body.frame().await {
                    Some(frame) => frame.map(Some),
                    None => Ok(None),
                }
            };
            let frame = self.runtime.block_on(bounded(next)).context("the answer broke off")?;
            match frame.map(|frame| frame.into_data()) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    /// The whole body.
    pub(crate) fn whole(mut self) -> anyhow::Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece()? {
            if whole.len() + piece.len() > WHOLE_MAX {
                bail!("the answer is longer than {WHOLE_MAX} bytes");
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Itself if it is a success, else the problem it tells of.
    pub(crate) fn successful(self) -> anyhow::Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let status = self.status;
        let body = self.whole()?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if !problem.code.is_empty() => Err(problem.into()),
            _ => bail!("the server answered {status}"),
        }
    }
}

/// A path with query parameters, percent-encoded.
pub(crate) fn with_query<'a>(
    path: &str,
    parameters: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut text = path.to_owned();
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        percent_encode(&mut text, &value);
    }
    text
}

/// RFC 3986: everything but unreserved characters.
pub(crate) fn percent_encode(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, with_query};

    #[test]
    fn queries_are_percent_encoded() {
        let path =
            with_query("/events", [("subject", "a/b c&é".to_owned()), ("n", "1".to_owned())]);
        assert_eq!(path, "/events?subject=a%2Fb%20c%26%C3%A9&n=1");
        assert_eq!(with_query("/events", []), "/events");
    }

    #[test]
    fn addresses_it_cannot_reach_are_refused_with_a_reason() {
        let refused = |url| Client::new(url).unwrap_err().to_string();
        assert!(refused("https://example.com").contains("https"));
        assert!(refused("localhost:8000").contains("http://"));
        assert_eq!(Client::new("http://[::1]:8000/a/").unwrap().address, "[::1]:8000");
    }
}
