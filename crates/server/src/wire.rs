//! The connection as hyper sees it: what was read to tell the protocols apart comes first, and
//! refusals that hyper itself writes leave as problem documents.
//!
//! hyper answers a request that it cannot parse with a bare status line and no way to change it;
//! every refusal of ours has a body, so such an answer is known by its empty one.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    flow::Flow,
    problem::{Code, Problem},
};

/// hyper's own refusals are shorter than this.
const BARE_REFUSAL_BYTES_MAX: usize = 256;

pub(crate) struct Wire<S> {
    io: TokioIo<S>,
    /// Read already, to be read again.
    prefix: Bytes,
    flow: Arc<Flow>,
    /// Written in place of what hyper wrote, not yet on the socket.
    instead: Bytes,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, prefix: Bytes, flow: Arc<Flow>) -> Wire<S> {
        Wire { io: TokioIo::new(stream), prefix, flow, instead: Bytes::new() }
    }
}

impl<S: AsyncRead + Unpin> Read for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
        }
        let length = self.prefix.len().min(into.remaining());
        into.put_slice(&self.prefix.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let Some(instead) = in_our_words(bytes) {
            self.instead = instead;
            let _ = self.poll_instead(context)?;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        // Called only once everything has been written.
        self.flow.flushed();
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// The problem document for a refusal that hyper wrote without a body.
fn in_our_words(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() > BARE_REFUSAL_BYTES_MAX || !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.contains("content-length: 0\r\n") || !text.ends_with("\r\n\r\n") {
        return None;
    }
    let problem = match text.get(9..12)? {
        "400" => Problem::new(Code::InvalidRequest, "the request line or a header is not HTTP"),
        "414" => Problem::new(Code::UriTooLong, "the request target is too long; shorten it"),
        "431" => {
            let detail = "request line and headers together; send fewer or shorter ones";
            Problem::new(Code::HeadersTooLarge, detail)
        }
        _ => return None,
    };
    let status = problem.status();
    let body = problem.body();
    let mut out = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(&body);
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_put_in_our_words() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
            connection: close\r\n\r\n";
        let ours = in_our_words(bare).expect("a problem");
        assert!(ours.windows(17).any(|part| part == b"headers-too-large"));
        assert!(in_our_words(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_none());
        assert!(in_our_words(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\n").is_none());
        assert!(in_our_words(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_none());
    }
}
