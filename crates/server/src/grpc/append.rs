//! `Append` and `AppendStream`.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use annal_engine::{Append, Appended, Durability, Engine, Ticket};
use annal_event::{Encoded, EventError, Precondition, proto};
use http::HeaderMap;
use tokio::{
    sync::futures::OwnedNotified,
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use super::{
    generated::annal_v1::{AppendRequest, AppendResponse, Durability as Promise},
    status::{refuse, told_apart},
    terms,
};
use crate::{
    append::{answer, producer::Producer},
    problem::{Code, Problem},
    shared::Shared,
};

/// Batches of one stream handed in and not acknowledged yet, and the bytes they may have. One is let
/// in however large it is. So many that small ones seldom wait for a commit.
const BATCHES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a full queue is waited for, and how often it is tried.
const BUSY_TRIES: u32 = 400;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// Appends one batch.
pub(super) async fn once(
    engine: &Engine,
    headers: &HeaderMap,
    request: AppendRequest,
) -> Result<AppendResponse, Problem> {
    let single = request.events.len() == 1;
    let append = prepare(engine, headers, request)?;
    if append.events.is_empty() && append.preconditions.is_empty() {
        return Ok(nothing(engine));
    }
    let preconditions = append.preconditions.clone();
    let ticket = engine.append(append).map_err(answer::busy)?;
    match ticket.await {
        Ok(appended) => Ok(acknowledged(&appended)),
        Err(error) => Err(answer::refused(error, &preconditions, !single)),
    }
}

fn prepare(
    engine: &Engine,
    headers: &HeaderMap,
    request: AppendRequest,
) -> Result<Append, Problem> {
    let most = engine.limits().batch_events_max;
    if request.events.len() > most {
        let detail = format!("a batch holds at most {most} events; split it, or use AppendStream");
        let problem = Problem::new(Code::BatchTooLarge, detail);
        return Err(problem.with_number("events_max", most as u64));
    }
    let producer = Producer::new(engine, headers, true)?;
    let mut events = Encoded::default();
    for (index, message) in request.events.iter().enumerate() {
        let mut read =
            |message| producer.encode(proto::parse_event(message)?, &mut events).map(drop);
        read(message).map_err(|error: EventError| error.at_index(index))?;
    }
    let preconditions = terms::preconditions(request.preconditions)?;
    Ok(Append { preconditions, ..Append::of(events) })
}

fn acknowledged(appended: &Appended) -> AppendResponse {
    let outcomes = &appended.outcomes;
    let duplicate = |(index, outcome): (usize, &annal_engine::Outcome)| {
        outcome.duplicate.then_some(index as u32)
    };
    AppendResponse {
        positions: outcomes.iter().map(|outcome| outcome.position.0).collect(),
        duplicates: outcomes.iter().enumerate().filter_map(duplicate).collect(),
        head: appended.head.0,
        recorded_time: (appended.stored() > 0).then(|| terms::timestamp(appended.recorded)),
        durability: promise(appended.durability).into(),
    }
}

fn nothing(engine: &Engine) -> AppendResponse {
    let durability = promise(engine.options().durability).into();
    AppendResponse { head: engine.head().0, durability, ..AppendResponse::default() }
}

fn promise(durability: Durability) -> Promise {
    match durability {
        Durability::Always => Promise::Always,
        Durability::Interval { .. } => Promise::Interval,
        Durability::Never => Promise::Never,
    }
}

/// A batch that has been handed in.
struct UnderWay {
    /// `None`: it was empty, and there is nothing to wait for.
    ticket: Option<Ticket>,
    preconditions: Vec<Precondition>,
    bytes: usize,
}

/// A batch for which there was no room.
struct Waiting {
    append: Append,
    tries: u32,
    pause: Pin<Box<Sleep>>,
}

/// Takes batches in while it acknowledges those before, in order.
pub(super) struct Acknowledgements {
    shared: Arc<Shared>,
    engine: Engine,
    headers: HeaderMap,
    incoming: Streaming<AppendRequest>,
    under_way: VecDeque<UnderWay>,
    bytes: usize,
    waiting: Option<Waiting>,
    /// What ends the stream once everything handed in has been answered.
    end: Option<Result<(), Status>>,
    acknowledged: u64,
    stopped: Pin<Box<OwnedNotified>>,
}

impl Acknowledgements {
    pub(super) fn new(
        shared: &Arc<Shared>,
        engine: &Engine,
        headers: HeaderMap,
        incoming: Streaming<AppendRequest>,
    ) -> Acknowledgements {
        Acknowledgements {
            shared: Arc::clone(shared),
            engine: engine.clone(),
            headers,
            incoming,
            under_way: VecDeque::new(),
            bytes: 0,
            waiting: None,
            end: None,
            acknowledged: 0,
            stopped: Box::pin(Arc::clone(&shared.stopped).notified_owned()),
        }
    }

    /// Takes in what there is room for.
    fn take_in(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() {
            if self.waiting.is_some() {
                if self.try_again(context).is_pending() {
                    return;
                }
                continue;
            }
            let full = self.under_way.len() >= BATCHES_MAX || self.bytes >= BATCH_BYTES_MAX;
            if full {
                return;
            }
            if self.shared.is_stopping() || self.stopped.as_mut().poll(context).is_ready() {
                self.end = Some(Err(refuse(&self.shared, stopping())));
                return;
            }
            match Pin::new(&mut self.incoming).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Ready(Some(Err(status))) => {
                    self.end = Some(Err(told_apart(&self.shared, status)));
                }
                Poll::Ready(Some(Ok(request))) => {
                    match prepare(&self.engine, &self.headers, request) {
                        Ok(append) => self.hand_in(append, 0),
                        Err(problem) => self.end_with(problem, self.under_way.len() as u64),
                    }
                }
            }
        }
    }

    fn hand_in(&mut self, append: Append, tries: u32) {
        let bytes = append.events.payload().len();
        let preconditions = append.preconditions.clone();
        if append.events.is_empty() && preconditions.is_empty() {
            self.under_way.push_back(UnderWay { ticket: None, preconditions, bytes });
            return;
        }
        match self.engine.append(append.clone()) {
            Ok(ticket) => {
                self.bytes += bytes;
                self.under_way.push_back(UnderWay { ticket: Some(ticket), preconditions, bytes });
            }
            Err(busy) if tries == BUSY_TRIES => {
                self.end_with(answer::busy(busy), self.under_way.len() as u64);
            }
            Err(_) => {
                let pause = Box::pin(sleep(BUSY_PAUSE));
                self.waiting = Some(Waiting { append, tries: tries + 1, pause });
            }
        }
    }

    fn try_again(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(()) };
        ready!(waiting.pause.as_mut().poll(context));
        if let Some(Waiting { append, tries, .. }) = self.waiting.take() {
            self.hand_in(append, tries);
        }
        Poll::Ready(())
    }

    /// `behind`: batches that are answered before.
    fn end_with(&mut self, problem: Problem, behind: u64) {
        self.end = Some(Err(self.refusal(problem, behind)));
    }

    fn refusal(&self, problem: Problem, behind: u64) -> Status {
        refuse(&self.shared, problem.with_number("batch", self.acknowledged + behind))
    }

    /// The answer to the oldest batch, or the end.
    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AppendResponse, Status>>> {
        let Some(oldest) = self.under_way.front_mut() else {
            return match self.end.take() {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(status)) => Poll::Ready(Some(Err(status))),
                None => Poll::Pending,
            };
        };
        let response = match &mut oldest.ticket {
            None => Ok(nothing(&self.engine)),
            Some(ticket) => match ready!(Pin::new(ticket).poll(context)) {
                Ok(appended) => Ok(acknowledged(&appended)),
                Err(error) => Err(answer::refused(error, &oldest.preconditions, true)),
            },
        };
        self.bytes -= oldest.bytes.min(self.bytes);
        self.under_way.pop_front();
        match response {
            Ok(response) => {
                self.acknowledged += 1;
                Poll::Ready(Some(Ok(response)))
            }
            Err(problem) => Poll::Ready(Some(Err(self.refusal(problem, 0)))),
        }
    }
}

/// A stream ends because the server does.
pub(super) fn stopping() -> Problem {
    Problem::new(Code::Stopping, "connect again and go on from where this ended").retry_after(1)
}

impl Stream for Acknowledgements {
    type Item = Result<AppendResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.take_in(context);
        this.poll_answer(context)
    }
}
