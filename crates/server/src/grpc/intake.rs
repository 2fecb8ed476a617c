//! Messages on their way in: bounded in size, in time, and in what all of them hold together.
//!
//! tonic collects a message whole before it decodes it. What is measured here is what it has
//! collected: a message that is too large is refused at its head, and one that may not be held beside
//! all others waits, and with it the client, whose window is not opened any further.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};
use tonic::Status;

use super::status::refuse;
use crate::{
    problem::{Code, Problem},
    shared::Shared,
};

/// Compression flag and length in front of every message.
const HEAD_BYTES: usize = 5;

type Turn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, Problem>> + Send>>;

/// The messages of one request.
pub(super) struct Message {
    shared: Arc<Shared>,
    body: Incoming,
    bytes_max: usize,
    code: Code,
    /// One message and no more, which is expected at once.
    once: bool,
    place: Place,
    /// Bytes counted with all others'.
    held: usize,
    turn: Option<OwnedSemaphorePermit>,
    /// Waits for its turn, with the bytes that may not be held before.
    waiting: Option<(Turn, Bytes)>,
    /// Runs while something is expected.
    patience: Option<Pin<Box<Sleep>>>,
}

/// How far the present message has come.
#[derive(Debug, Default)]
struct Place {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Bytes of the message still to come.
    missing: usize,
    /// Bytes of it that are there.
    there: usize,
}

impl Place {
    /// Takes the next bytes; says how large the largest message is that has begun with them, and
    /// refuses one of which the head says that it is too large.
    fn take(&mut self, mut bytes: &[u8], bytes_max: usize) -> Result<usize, usize> {
        let mut largest = 0;
        while !bytes.is_empty() {
            if self.head_bytes < HEAD_BYTES {
                let taken = bytes.len().min(HEAD_BYTES - self.head_bytes);
                let (head, rest) = bytes.split_at(taken);
                self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(head);
                self.head_bytes += taken;
                self.there += taken;
                bytes = rest;
                if self.head_bytes == HEAD_BYTES {
                    let [_, length @ ..] = self.head;
                    self.missing = u32::from_be_bytes(length) as usize;
                    largest = largest.max(self.missing);
                    if self.missing > bytes_max {
                        return Err(self.missing);
                    }
                }
            }
            let taken = bytes.len().min(self.missing);
            self.missing -= taken;
            self.there += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES && self.missing == 0 {
                *self = Place::default();
            }
        }
        Ok(largest)
    }
}

impl Message {
    pub(super) fn new(
        shared: &Arc<Shared>,
        body: Incoming,
        bytes_max: usize,
        code: Code,
        once: bool,
    ) -> Message {
        Message {
            shared: Arc::clone(shared),
            body,
            bytes_max,
            code,
            once,
            place: Place::default(),
            held: 0,
            turn: None,
            waiting: None,
            patience: None,
        }
    }

    /// Whoever reads has taken every message that was complete.
    fn release_complete(&mut self) {
        let complete = self.held - self.place.there.min(self.held);
        self.shared.release(complete);
        self.held -= complete;
        if self.place.there == 0 {
            self.turn = None;
        }
    }

    /// Counts bytes, if they may be held now.
    fn take(&mut self, bytes: Bytes) -> Result<Option<Bytes>, Problem> {
        let largest = self.place.take(&bytes, self.bytes_max);
        let largest = largest.map_err(|length| self.too_large(length))?;
        if self.turn.is_some() {
            return Ok(Some(bytes));
        }
        if Shared::is_small(largest) {
            let may = self.shared.hold(bytes.len());
            self.held += bytes.len();
            if may {
                return Ok(Some(bytes));
            }
        }
        let whole = largest.max(self.place.there + self.place.missing).max(bytes.len());
        self.waiting = Some((Box::pin(Arc::clone(&self.shared).large_turn(whole)), bytes));
        Ok(None)
    }

    fn too_large(&self, length: usize) -> Problem {
        let most = self.bytes_max;
        let detail = match self.code {
            Code::EventTooLarge => format!(
                "a message of {length} bytes is larger than one event may be; keep large data \
                 elsewhere and send a reference"
            ),
            _ => format!("a message of {length} bytes; one may have {most}, so split it"),
        };
        Problem::new(self.code, detail).with_number("bytes_max", most as u64)
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Problem> {
        if !self.once && self.place.there == 0 {
            return Poll::Pending;
        }
        let idle = self.shared.options.body_idle_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(patience.as_mut().poll(context));
        let detail = format!("no byte came for {idle:?}; send it again");
        Poll::Ready(Problem::new(Code::RequestTimeout, detail))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        self.release_complete();
        loop {
            if let Some((mut turn, bytes)) = self.waiting.take() {
                let Poll::Ready(turn) = turn.as_mut().poll(context) else {
                    self.waiting = Some((turn, bytes));
                    return Poll::Pending;
                };
                self.turn = Some(turn?);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.poll_patience(context).map(|problem| Some(Err(problem)));
            };
            self.patience = None;
            let frame = match next {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let detail = format!("the request broke off: {error}");
                    return Poll::Ready(Some(Err(Problem::new(Code::InvalidRequest, detail))));
                }
            };
            match frame.into_data() {
                Ok(bytes) => {
                    if let Some(bytes) = self.take(bytes)? {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.shared.release(self.held);
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let next = ready!(this.poll(context));
        Poll::Ready(next.map(|next| next.map_err(|problem| refuse(&this.shared, problem))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn messages_are_measured_however_they_are_cut() {
        let messages = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 9]];
        let all = messages.concat();
        for step in 1..=all.len() {
            let mut place = Place::default();
            for piece in all.chunks(step) {
                place.take(piece, 3).expect("small enough");
            }
            assert_eq!((place.there, place.missing), (0, 0), "cut every {step}");
        }
        let mut place = Place::default();
        place.take(&all[..6], 3).expect("small enough");
        assert_eq!((place.there, place.missing), (6, 2));
        assert_eq!(Place::default().take(&all, 2), Err(3));
    }
}
