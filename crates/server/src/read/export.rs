//! NDJSON without limit: written while it is read, one chunk ahead of the socket.

use std::{
    future::Future,
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use annal_engine::{Cursor, ReadError, ReadSpec, View};
use annal_event::StoredEvent;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Response, StatusCode, header};
use tokio::task::JoinHandle;

use super::{encode, failed, off_the_reactor};
use crate::{
    negotiate::Encoding,
    problem::{Code, Problem},
    reply::{BodyError, Reply},
};

/// A chunk is handed on when it has so many bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// Events, and bytes of records, taken from the log at a time.
const STEP_EVENTS: usize = 1_024;
const STEP_BYTES: usize = 128 * 1024;

const ZSTD_LEVEL: i32 = 1;

pub(crate) fn encoding_name(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => Some("gzip"),
        Encoding::Zstd => Some("zstd"),
    }
}

/// Bodies below this are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 1_024;

/// A body as its client takes it; as it is where compression gains nothing.
pub(crate) fn compressed(body: Vec<u8>, encoding: Encoding) -> (Vec<u8>, Encoding) {
    if encoding == Encoding::Identity || body.len() < COMPRESS_FROM_BYTES {
        return (body, Encoding::Identity);
    }
    match compress(&body, encoding) {
        Ok(compressed) => (compressed, encoding),
        Err(error) => {
            tracing::warn!(%error, "a response could not be compressed");
            (body, Encoding::Identity)
        }
    }
}

/// Compresses a whole body.
fn compress(body: &[u8], encoding: Encoding) -> io::Result<Vec<u8>> {
    let mut deflate = Deflate::new(encoding)?;
    deflate.write(body)?;
    deflate.finish()
}

/// A compressor that gives up what it has so far.
enum Deflate {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Deflate {
    fn new(encoding: Encoding) -> io::Result<Deflate> {
        Ok(match encoding {
            Encoding::Identity => Deflate::Plain(Vec::new()),
            Encoding::Gzip => Deflate::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Encoding::Zstd => {
                Deflate::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Deflate::Plain(out) => out.write_all(bytes),
            Deflate::Gzip(out) => out.write_all(bytes),
            Deflate::Zstd(out) => out.write_all(bytes),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Deflate::Plain(out) => std::mem::take(out),
            Deflate::Gzip(out) => std::mem::take(out.get_mut()),
            Deflate::Zstd(out) => std::mem::take(out.get_mut()),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Deflate::Plain(out) => Ok(out),
            Deflate::Gzip(out) => out.finish(),
            Deflate::Zstd(out) => out.finish(),
        }
    }
}

/// Reads and encodes; moved between threads, chunk by chunk.
struct Exporter {
    cursor: Cursor,
    deflate: Option<Deflate>,
    events: Vec<StoredEvent>,
    lines: Vec<u8>,
    left: usize,
}

/// What a step brought.
struct Chunk {
    bytes: Vec<u8>,
    /// `None` when that was all.
    exporter: Option<Box<Exporter>>,
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("compression: {0}")]
    Compress(#[from] io::Error),
}

impl Exporter {
    fn step(mut self: Box<Self>) -> Result<Chunk, ExportError> {
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES {
            let more = self.read_some()?;
            let Some(deflate) = &mut self.deflate else { break };
            deflate.write(&self.lines)?;
            out.append(&mut deflate.take());
            if !more || self.left == 0 {
                if let Some(deflate) = self.deflate.take() {
                    out.append(&mut deflate.finish()?);
                }
                return Ok(Chunk { bytes: out, exporter: None });
            }
        }
        Ok(Chunk { bytes: out, exporter: Some(self) })
    }

    fn read_some(&mut self) -> Result<bool, ReadError> {
        self.lines.clear();
        self.events.clear();
        let wanted = self.left.min(STEP_EVENTS);
        let more = self.cursor.next(wanted, STEP_BYTES, &mut self.events)?;
        self.events.truncate(wanted);
        self.left -= self.events.len();
        for stored in &self.events {
            encode::push_json(&mut self.lines, stored)?;
            self.lines.push(b'\n');
        }
        Ok(more)
    }
}

type Step = JoinHandle<Result<Chunk, ExportError>>;

/// The body of an export.
pub(crate) struct ExportBody {
    step: Option<Step>,
}

impl ExportBody {
    /// The next chunk. The one after it is read meanwhile.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(step) = &mut self.step else { return Poll::Ready(None) };
            let joined = ready!(Pin::new(step).poll(context));
            self.step = None;
            let chunk = match joined {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => {
                    tracing::error!(%error, "an export broke off");
                    return Poll::Ready(Some(Err(error.into())));
                }
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            self.step = chunk.exporter.map(begin);
            if !chunk.bytes.is_empty() {
                return Poll::Ready(Some(Ok(chunk.bytes.into())));
            }
        }
    }
}

fn begin(exporter: Box<Exporter>) -> Step {
    tokio::task::spawn_blocking(move || exporter.step())
}

/// Answers with everything that matches now.
pub(crate) async fn response(
    view: Arc<View>,
    spec: ReadSpec,
    encoding: Encoding,
) -> Result<Response<Reply>, Problem> {
    let left = spec.limit;
    let cursor = off_the_reactor(move || view.cursor(&spec)).await?;
    let cursor = cursor.map_err(|error| failed(&error))?;
    let exporter = Box::new(Exporter {
        cursor,
        deflate: Some(Deflate::new(encoding).map_err(|error| {
            tracing::error!(%error, "no compressor");
            Problem::new(Code::Internal, "ask without Accept-Encoding")
        })?),
        events: Vec::new(),
        lines: Vec::new(),
        left,
    });
    let body = ExportBody { step: Some(begin(exporter)) };
    let mut response = Response::new(Reply::Export(Box::new(body)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(name) = encoding_name(encoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    Ok(response)
}
