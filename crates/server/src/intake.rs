//! Request bodies: read chunk by chunk, decompressed, bounded in size and time.
//!
//! Nothing is buffered here. A body that breaks a bound is refused while it is still coming;
//! [`Intake::drain`] then takes a bounded rest of it in, so that the client reads the refusal
//! instead of a reset connection.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    inflate::Inflate,
    problem::{Code, Problem},
};

/// What is read of a refused body so that its sender gets to see the refusal.
const DRAIN_BYTES_MAX: u64 = 16 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Decompressed bytes may be so many times the compressed ones, once there are enough to tell.
const RATIO_MAX: u64 = 200;
const RATIO_FROM_BYTES: u64 = 8 * 1024 * 1024;

/// Handing on so many bytes without a pause gives other tasks a turn.
const TURN_BYTES: u64 = 256 * 1024;

/// A request body on its way in.
pub(crate) struct Intake {
    body: Incoming,
    inflate: Option<Inflate>,
    /// Compressed bytes not yet decompressed.
    pending: Bytes,
    /// Most bytes the body may have, decompressed.
    bytes_max: u64,
    idle: Duration,
    received: u64,
    given: u64,
    /// What had been given at the last pause for others.
    turn: u64,
    ended: bool,
    /// The client waits for `100 Continue` and sends nothing before a body is asked for.
    expects: bool,
}

impl Intake {
    /// Looks at the headers; refuses an encoding that is not understood.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Incoming,
        idle: Duration,
    ) -> Result<Intake, (Incoming, Problem)> {
        let inflate = match decoder(headers) {
            Ok(inflate) => inflate,
            Err(problem) => return Err((body, problem)),
        };
        Ok(Intake {
            inflate,
            pending: Bytes::new(),
            bytes_max: u64::MAX,
            idle,
            received: 0,
            given: 0,
            turn: 0,
            ended: false,
            expects: headers.contains_key(header::EXPECT),
            body,
        })
    }

    /// Bounds the body. Refuses at once what the client already says is larger.
    pub(crate) fn limit(&mut self, bytes_max: usize, code: Code) -> Result<(), Problem> {
        self.bytes_max = bytes_max as u64;
        let announced = self.body.size_hint().lower();
        if announced > self.bytes_max {
            return Err(too_large(code, bytes_max as u64));
        }
        Ok(())
    }

    /// The next chunk, decompressed; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            // Before anything is taken out, so that being dropped here loses nothing.
            self.yield_sometimes().await;
            if let Some(piece) = self.piece()? {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            let Some(chunk) = self.frame().await? else { continue };
            self.received += chunk.len() as u64;
            self.pending = chunk;
        }
    }

    /// As [`Intake::next`]; refuses a body that has become larger than it may be.
    pub(crate) async fn next_checked(&mut self, code: Code) -> Result<Option<Bytes>, Problem> {
        let chunk = self.next().await?;
        self.check(code)?;
        Ok(chunk)
    }

    /// As [`Intake::next`]; `Err(Paused)` if nothing comes for so long.
    pub(crate) async fn next_within(
        &mut self,
        pause: Duration,
    ) -> Result<Result<Option<Bytes>, Problem>, Paused> {
        // Nothing is lost when this is dropped: a chunk is stored before the next await.
        match timeout(pause, self.next()).await {
            Ok(next) => Ok(next),
            Err(_) => Err(Paused),
        }
    }

    /// The whole body, without copying where it came in one piece.
    pub(crate) async fn whole(&mut self, code: Code) -> Result<Bytes, Problem> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        self.whole_after(first, code).await
    }

    /// The whole body, of which the beginning has been taken already.
    pub(crate) async fn whole_after(&mut self, first: Bytes, code: Code) -> Result<Bytes, Problem> {
        self.check(code)?;
        let Some(second) = self.next().await? else { return Ok(first) };
        self.check(code)?;
        let expected = self.body.size_hint().lower().min(self.bytes_max) as usize;
        let mut whole = BytesMut::with_capacity(first.len() + second.len().max(expected));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            self.check(code)?;
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    }

    /// Refuses a body that has become larger than it may be.
    fn check(&self, code: Code) -> Result<(), Problem> {
        let over = self.given > self.bytes_max;
        if over { Err(too_large(code, self.bytes_max)) } else { Ok(()) }
    }

    /// Reads on in the background, for a while, so that the client sees the refusal.
    pub(crate) fn drain(self) {
        let asked_for = !self.expects || self.received > 0;
        if !self.ended && asked_for {
            drain(self.body);
        }
    }

    fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(inflate) = &mut self.inflate else {
            if self.pending.is_empty() {
                return Ok(None);
            }
            let chunk = std::mem::take(&mut self.pending);
            self.given += chunk.len() as u64;
            return Ok(Some(chunk));
        };
        loop {
            let left = self.pending.len();
            let piece = inflate.piece(&mut self.pending).map_err(broken_encoding)?;
            if !piece.is_empty() {
                self.given += piece.len() as u64;
                break check_ratio(self.received, self.given).map(|()| Some(Bytes::from(piece)));
            }
            if self.pending.len() == left {
                let torn = self.ended && self.received > 0 && !inflate.is_whole();
                break if torn { Err(broken_encoding("it ends too early")) } else { Ok(None) };
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Problem> {
        let body = Pin::new(&mut self.body);
        let frame = match next_frame_now(body).await {
            Some(frame) => frame,
            None => {
                let body = &mut self.body;
                let next = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
                timeout(self.idle, next).await.map_err(|_| paused_too_long(self.idle))?
            }
        };
        match frame {
            None => {
                self.ended = true;
                Ok(None)
            }
            Some(Ok(frame)) => Ok(frame.into_data().ok()),
            Some(Err(error)) => {
                self.ended = true;
                Err(Problem::new(Code::InvalidRequest, format!("the body broke off: {error}")))
            }
        }
    }

    async fn yield_sometimes(&mut self) {
        if self.given - self.turn >= TURN_BYTES {
            self.turn = self.given;
            tokio::task::yield_now().await;
        }
    }
}

/// Nothing came in time.
pub(crate) struct Paused;

type Frame = Option<Result<http_body::Frame<Bytes>, hyper::Error>>;

/// A frame that is there already, without the cost of a timer.
async fn next_frame_now(mut body: Pin<&mut Incoming>) -> Option<Frame> {
    poll_fn(|context| match body.as_mut().poll_frame(context) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn decoder(headers: &HeaderMap) -> Result<Option<Inflate>, Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let Some(encoding) = encodings.next() else { return Ok(None) };
    let name = encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    match (name.as_str(), encodings.next()) {
        ("identity" | "", None) => Ok(None),
        ("gzip" | "x-gzip", None) => Ok(Some(Inflate::gzip())),
        ("zstd", None) => match Inflate::zstd() {
            Ok(inflate) => Ok(Some(inflate)),
            Err(error) => Err(Problem::new(Code::Internal, format!("zstd: {error}"))),
        },
        _ => {
            let detail = "send the body as it is, or with one `Content-Encoding` of gzip or zstd";
            let offer = HeaderValue::from_static("gzip, zstd");
            Err(Problem::new(Code::UnsupportedEncoding, detail)
                .with_header(header::ACCEPT_ENCODING, offer))
        }
    }
}

fn check_ratio(received: u64, given: u64) -> Result<(), Problem> {
    if given < RATIO_FROM_BYTES || given / RATIO_MAX <= received {
        return Ok(());
    }
    let detail = format!(
        "the body decompresses to more than {RATIO_MAX} times its size; send it less compressed"
    );
    Err(Problem::new(Code::RequestTooLarge, detail))
}

fn too_large(code: Code, bytes_max: u64) -> Problem {
    let detail = match code {
        Code::EventTooLarge => format!(
            "a body of more than {bytes_max} bytes is larger than one event may be; keep large \
             data elsewhere and send a reference"
        ),
        _ => format!(
            "a request may have {bytes_max} bytes here; send less at a time (POST /events takes \
             application/x-ndjson of any length)"
        ),
    };
    Problem::new(code, detail).with_number("bytes_max", bytes_max)
}

fn broken_encoding(error: impl std::fmt::Display) -> Problem {
    let detail = format!("the body is not what its Content-Encoding says: {error}");
    Problem::new(Code::MalformedEncoding, detail)
}

fn paused_too_long(idle: Duration) -> Problem {
    let detail = format!("no byte of the body came for {} s; send it again", idle.as_secs());
    Problem::new(Code::RequestTimeout, detail)
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// Reads what is left of a body, for a while, and drops it.
pub(crate) fn drain(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let until = Instant::now() + DRAIN_TIME_MAX;
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let Ok(Some(Ok(frame))) = timeout_at(until, next).await else { return };
            drained += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    });
}
