//! The body of a stream: what to send next, decided when the socket has room.
//!
//! INV-5: after the opening and the snapshot, every message comes from one subscription, in order.
//! Nothing is held for a client but its cursor; what does not fit the socket is read again later.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use annal_engine::{Engine, EventSource, ReadError, Step, Subscription, View};
use annal_event::{Position, StoredEvent};
use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    audience::{Asked, Audience, Chunk, Names},
    message::{self, HEARTBEAT, push_checkpoint, push_id},
    snapshot::Snapshot,
};
use crate::{
    flow::{Flow, Unflushed},
    read::{
        NEAR_HEAD,
        encode::{decode, push_json_line},
    },
    realtime::presence::Present,
    reply::BodyError,
    shared::{Shared, StreamPlace},
};

/// About so many bytes of records become one chunk.
const CHUNK_BYTES: usize = 16 * 1024;

/// Looks that found nothing before others get a turn.
const LOOKS_MAX: usize = 16;

/// A cursor is told when so many positions went by without a match, sooner when nothing else
/// happens.
const CHECKPOINT_AFTER: u64 = 100_000;
const CHECKPOINT_AFTER_IDLE: u64 = 1_000;

/// A live stream.
pub(crate) struct StreamBody {
    place: StreamPlace,
    audience: Arc<Audience>,
    phase: Phase,
    heartbeat: Pin<Box<Sleep>>,
    heartbeat_every: Duration,
    sent: Instant,
    /// The cursor as the client knows it.
    told: Position,
    random: u64,
    flow: Option<Arc<Flow>>,
    unflushed: Unflushed,
    /// Of a realtime client, where it is listed.
    present: Option<Present>,
    /// Whether the last look found that it has everything.
    caught_up: bool,
    /// When it ends, once the server stops.
    ends: Option<Instant>,
}

enum Phase {
    /// What is known at once, then the snapshot, if there is one.
    Opening(Vec<u8>, Option<Box<Snapshot>>, Subscription<View>),
    Snapshot(ReadingPiece, Subscription<View>),
    Live(Subscription<View>),
    /// Far behind the head: somebody else reads.
    Behind(Reading),
    Ended,
}

/// A piece of a snapshot, and the rest.
struct Piece {
    bytes: Vec<u8>,
    rest: Option<Box<Snapshot>>,
}

type ReadingPiece = Pin<Box<dyn Future<Output = Result<Piece, BodyError>> + Send>>;
type Reading = Pin<Box<dyn Future<Output = Result<Behind, BodyError>> + Send>>;

/// What was read far behind the head.
struct Behind {
    subscription: Subscription<View>,
    bytes: Vec<u8>,
}

/// What a look at the log brought.
enum Look {
    Send(Bytes),
    Nothing,
    CaughtUp,
}

impl StreamBody {
    pub(crate) fn new(
        place: StreamPlace,
        engine: &Engine,
        audience: Arc<Audience>,
        opening: Vec<u8>,
        snapshot: Option<Box<Snapshot>>,
        cursor: Position,
    ) -> StreamBody {
        let asked = &audience.asked;
        let subscription = engine.subscribe(asked.interest.clone(), cursor);
        let heartbeat_every = place.shared.options.heartbeat_every;
        let sent = Instant::now();
        StreamBody {
            phase: Phase::Opening(opening, snapshot, subscription),
            heartbeat: Box::pin(sleep_until(sent + heartbeat_every)),
            heartbeat_every,
            sent,
            told: cursor,
            random: engine.random(),
            audience,
            place,
            flow: None,
            unflushed: Unflushed::default(),
            present: None,
            caught_up: false,
            ends: None,
        }
    }

    /// Keeps the list of realtime clients up to date.
    pub(crate) fn of_client(mut self, present: Present) -> StreamBody {
        self.present = Some(present);
        self
    }

    /// Says which connection it is alone on, so that it hands on no more than fits.
    pub(crate) fn flows_through(&mut self, flow: Arc<Flow>) {
        self.flow = Some(flow);
    }

    /// The next bytes, when the socket has room for them.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(flow) = &self.flow {
            ready!(self.unflushed.poll_room(flow, context));
        }
        self.caught_up = false;
        let next = self.poll_next(context);
        if let (Some(present), Phase::Live(subscription)) = (&self.present, &self.phase) {
            present.reached(subscription.cursor(), self.caught_up && next.is_pending());
        }
        let next = ready!(next);
        self.sent = Instant::now();
        if let Some(Ok(bytes)) = &next {
            self.unflushed.add(bytes.len());
        }
        if !matches!(next, Some(Ok(_))) {
            self.phase = Phase::Ended;
        }
        if let Some(Err(error)) = &next {
            tracing::error!(%error, "a stream broke off");
        }
        Poll::Ready(next)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut looks = 0;
        loop {
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Ended => return Poll::Ready(None),
                Phase::Opening(opening, snapshot, subscription) => {
                    self.phase = match snapshot {
                        Some(snapshot) => Phase::Snapshot(self.read_piece(snapshot), subscription),
                        None => Phase::Live(subscription),
                    };
                    return Poll::Ready(Some(Ok(opening.into())));
                }
                Phase::Snapshot(mut piece, subscription) => {
                    let Poll::Ready(read) = piece.as_mut().poll(context) else {
                        self.phase = Phase::Snapshot(piece, subscription);
                        return Poll::Pending;
                    };
                    let Piece { bytes, rest } = read?;
                    self.phase = match rest {
                        Some(rest) => Phase::Snapshot(self.read_piece(rest), subscription),
                        None => Phase::Live(subscription),
                    };
                    return Poll::Ready(Some(Ok(bytes.into())));
                }
                Phase::Live(_) if self.is_over() => {
                    return Poll::Ready(Some(Ok(message::retry(self.random).into())));
                }
                Phase::Live(mut subscription) => {
                    subscription.pass();
                    let cursor = subscription.cursor();
                    let head = EventSource::head(&**subscription.source());
                    if head.0.saturating_sub(cursor.0) > NEAR_HEAD {
                        self.phase = Phase::Behind(self.read_behind(subscription));
                        continue;
                    }
                    let look = self.look(&mut subscription, context)?;
                    let cursor = subscription.cursor();
                    self.phase = Phase::Live(subscription);
                    match look {
                        Look::Send(bytes) => {
                            self.told = cursor;
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                        Look::CaughtUp => {
                            self.caught_up = true;
                            return self.idle(cursor, context);
                        }
                        Look::Nothing => {
                            if let Some(bytes) = self.checkpoint(cursor, CHECKPOINT_AFTER) {
                                return Poll::Ready(Some(Ok(bytes)));
                            }
                            looks += 1;
                            if looks == LOOKS_MAX {
                                context.waker().wake_by_ref();
                                return Poll::Pending;
                            }
                        }
                    }
                }
                Phase::Behind(mut reading) => {
                    let Poll::Ready(read) = reading.as_mut().poll(context) else {
                        self.phase = Phase::Behind(reading);
                        return Poll::Pending;
                    };
                    let Behind { subscription, bytes } = read?;
                    let cursor = subscription.cursor();
                    self.phase = Phase::Live(subscription);
                    if !bytes.is_empty() {
                        self.told = cursor;
                        return Poll::Ready(Some(Ok(bytes.into())));
                    }
                    if let Some(bytes) = self.checkpoint(cursor, CHECKPOINT_AFTER) {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
            }
        }
    }

    /// Whether it is time to end: once the server stops, not all streams at once.
    fn is_over(&mut self) -> bool {
        let Some(drain) = self.place.shared.drain() else { return false };
        let random = self.random;
        let ends = *self.ends.get_or_insert_with(|| {
            let window = u64::try_from(drain.window.as_micros()).unwrap_or(u64::MAX);
            drain.begun + Duration::from_micros(random.rotate_left(32) % window.max(1))
        });
        if Instant::now() >= ends {
            return true;
        }
        self.heartbeat.as_mut().reset(ends);
        false
    }

    /// What is new near the head: as somebody else has encoded it, or read and encoded here.
    fn look(
        &mut self,
        subscription: &mut Subscription<View>,
        context: &mut Context<'_>,
    ) -> Result<Look, BodyError> {
        let after = subscription.cursor();
        if let Some(chunk) = self.audience.find(after) {
            subscription.skip_to(chunk.looked);
            return Ok(handed_on(chunk));
        }
        let events = match subscription.next(CHUNK_BYTES, context.waker())? {
            Step::CaughtUp => return Ok(Look::CaughtUp),
            Step::Scanned => Vec::new(),
            Step::Events(events) => events,
        };
        let bytes = encode(&self.place.shared, &self.audience.asked, &events)?.into();
        let chunk = Chunk { after, looked: subscription.cursor(), bytes };
        self.audience.keep(&chunk);
        Ok(handed_on(chunk))
    }

    /// Reads on in a snapshot, when it is this stream's turn at the disk.
    fn read_piece(&self, mut snapshot: Box<Snapshot>) -> ReadingPiece {
        Box::pin(self.place.shared.readers.read(move || {
            let (mut bytes, more) = snapshot.piece()?;
            bytes.shrink_to_fit();
            Ok(Piece { bytes, rest: more.then_some(snapshot) })
        }))
    }

    /// Reads where nobody else waits for it, when it is this stream's turn at the disk.
    fn read_behind(&self, mut subscription: Subscription<View>) -> Reading {
        let (shared, audience) = (Arc::clone(&self.place.shared), Arc::clone(&self.audience));
        Box::pin(self.place.shared.readers.read(move || {
            let bytes = match subscription.next(CHUNK_BYTES, Waker::noop())? {
                Step::Events(events) => encode(&shared, &audience.asked, &events)?,
                Step::Scanned | Step::CaughtUp => Vec::new(),
            };
            Ok(Behind { subscription, bytes })
        }))
    }

    fn checkpoint(&mut self, cursor: Position, after: u64) -> Option<Bytes> {
        if cursor.0.saturating_sub(self.told.0) < after {
            return None;
        }
        self.told = cursor;
        let mut out = Vec::with_capacity(80);
        push_checkpoint(&mut out, cursor);
        Some(out.into())
    }

    /// Nothing to send: a heartbeat when it is time, or a checkpoint if the cursor has moved.
    fn idle(
        &mut self,
        cursor: Position,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            ready!(self.heartbeat.as_mut().poll(context));
            // The timer is not moved with every message; it looks when it goes off.
            let due = self.sent + self.heartbeat_every;
            let due = self.ends.map_or(due, |ends| ends.min(due));
            let now = Instant::now();
            if now >= due {
                self.heartbeat.as_mut().reset(now + self.heartbeat_every);
                let bytes = self.checkpoint(cursor, CHECKPOINT_AFTER_IDLE);
                let bytes = bytes.unwrap_or(Bytes::from_static(HEARTBEAT));
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.heartbeat.as_mut().reset(due);
        }
    }
}

fn handed_on(chunk: Chunk) -> Look {
    if chunk.bytes.is_empty() { Look::Nothing } else { Look::Send(chunk.bytes) }
}

/// One message an event.
fn encode(shared: &Shared, asked: &Asked, events: &[StoredEvent]) -> Result<Vec<u8>, ReadError> {
    let records: usize = events.iter().map(|stored| stored.record().len()).sum();
    let mut out = Vec::with_capacity(records + events.len() * 160);
    if asked.names == Names::Realtime {
        shared.recent.push(&mut out, events)?;
    }
    for stored in events {
        match asked.names {
            Names::Realtime => break,
            _ if !asked.kinds.want(stored)? => continue,
            Names::Delta => out.extend_from_slice(b"event: delta\n"),
            Names::Type => {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(message::name_by_type(&decode(stored)?.ty).as_bytes());
                out.push(b'\n');
            }
            Names::None => {}
        }
        push_id(&mut out, stored.position());
        out.extend_from_slice(b"data: ");
        push_json_line(&mut out, stored)?;
        out.extend_from_slice(b"\n\n");
    }
    // It may wait for a slow socket, and with it whatever it was given too much.
    out.shrink_to_fit();
    Ok(out)
}
