//! NDJSON: one event a line, committed in groups, of any total length.
//!
//! Lines are collected into a group until it is full or the sender pauses. A few groups are under
//! way at a time, in order. A bad line ends the request, after everything handed in before it has
//! been answered, and the refusal says what was stored: sending the whole again is safe, because
//! what is there already is a duplicate.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use annal_engine::{Append, AppendError, Appended, Engine, Ticket};
use annal_event::{Encoded, Position};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use memchr::memchr;

use super::{answer, intent, producer::Producer, single::wire_bytes_max};
use crate::{
    intake::{Intake, Paused},
    json_text::{push_number, push_position},
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
};

/// A group is handed in when it has so many events or bytes, or when nothing comes for so long.
const GROUP_EVENTS_MAX: usize = 1_000;
const GROUP_BYTES_MAX: usize = 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(2);

/// Groups handed in and not answered yet.
const GROUPS_MAX: usize = 4;

/// How long a full queue is waited for, and how often it is tried.
const BUSY_TRIES: u32 = 400;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// Takes lines in until there are no more.
pub(super) async fn append(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: &HeaderMap,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    intent::refuse(headers)?;
    let _turn = shared.bulk_turn().await?;
    let mut lines = Lines {
        producer: Producer::new(engine, headers, false)?,
        line_bytes_max: wire_bytes_max(engine.limits().event_bytes_max),
        partial: Vec::new(),
        line: 0,
        group: Group::default(),
    };
    let mut import = Import { engine, under_way: VecDeque::new(), tally: Tally::default() };
    let outcome = run(&mut lines, &mut import, intake).await;
    let settled = import.settle().await;
    match outcome.and(settled) {
        Ok(()) => Ok(done(&import.tally, engine.head())),
        Err(problem) => Err(import.tally.onto(problem)),
    }
}

async fn run(
    lines: &mut Lines<'_>,
    import: &mut Import<'_>,
    intake: &mut Intake,
) -> Result<(), Problem> {
    loop {
        let chunk = if lines.group.events.is_empty() {
            intake.next().await?
        } else {
            match intake.next_within(PAUSE).await {
                Ok(next) => lines.flush_on_error(next, import).await?,
                Err(Paused) => {
                    import.hand_in(lines.group.take()).await?;
                    continue;
                }
            }
        };
        match chunk {
            Some(chunk) => lines.feed(chunk, import).await?,
            None => return lines.end(import).await,
        }
    }
}

/// The body, line by line.
struct Lines<'h> {
    producer: Producer<'h>,
    line_bytes_max: usize,
    /// The beginning of a line that is not all there.
    partial: Vec<u8>,
    /// Lines seen.
    line: u64,
    group: Group,
}

impl Lines<'_> {
    async fn feed(&mut self, chunk: Bytes, import: &mut Import<'_>) -> Result<(), Problem> {
        let mut rest = &chunk[..];
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            let taken = if self.partial.is_empty() {
                self.take(line)
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.take(&whole)
            };
            self.flush_on_error(taken, import).await?;
            if self.group.is_full() {
                import.hand_in(self.group.take()).await?;
            }
        }
        if self.partial.len() + rest.len() > self.line_bytes_max {
            self.line += 1;
            let refused = Err(self.at_line(too_long(self.line_bytes_max)));
            return self.flush_on_error(refused, import).await;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// The last line may lack its line break.
    async fn end(&mut self, import: &mut Import<'_>) -> Result<(), Problem> {
        let last = std::mem::take(&mut self.partial);
        let taken = if last.is_empty() { Ok(()) } else { self.take(&last) };
        self.flush_on_error(taken, import).await?;
        import.hand_in(self.group.take()).await
    }

    /// What stands before a bad line is stored all the same.
    async fn flush_on_error<T>(
        &mut self,
        outcome: Result<T, Problem>,
        import: &mut Import<'_>,
    ) -> Result<T, Problem> {
        if outcome.is_err() {
            import.hand_in(self.group.take()).await?;
        }
        outcome
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.line += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let taken = self.producer.json(line, &mut self.group.events).map(drop);
        taken.map_err(|error| self.at_line(error.into()))?;
        self.group.lines.push(self.line);
        Ok(())
    }

    fn at_line(&self, problem: Problem) -> Problem {
        problem.with_number("line", self.line)
    }
}

fn too_long(bytes_max: usize) -> Problem {
    let detail = format!("a line of more than {bytes_max} bytes is larger than one event may be");
    Problem::new(Code::EventTooLarge, detail)
}

/// Events that are committed together, with the line of each.
#[derive(Debug, Default)]
struct Group {
    events: Encoded,
    lines: Vec<u64>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.events.len() >= GROUP_EVENTS_MAX || self.events.payload().len() >= GROUP_BYTES_MAX
    }

    fn take(&mut self) -> Group {
        std::mem::take(self)
    }
}

/// What has come of the lines so far.
#[derive(Debug, Default)]
struct Tally {
    received: u64,
    stored: u64,
    duplicates: u64,
    head: Position,
}

impl Tally {
    fn add(&mut self, appended: &Appended) {
        let stored = appended.stored() as u64;
        self.stored += stored;
        self.duplicates += appended.outcomes.len() as u64 - stored;
        self.head = self.head.max(appended.head);
    }

    fn onto(&self, problem: Problem) -> Problem {
        problem.with_number("stored", self.stored).with_number("duplicates", self.duplicates)
    }
}

/// Groups on their way into the log.
struct Import<'e> {
    engine: &'e Engine,
    under_way: VecDeque<(Ticket, Group)>,
    tally: Tally,
}

impl Import<'_> {
    async fn hand_in(&mut self, group: Group) -> Result<(), Problem> {
        if group.events.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= GROUPS_MAX {
            self.answer_oldest().await?;
        }
        let ticket = self.submit(&group.events).await?;
        self.tally.received += group.events.len() as u64;
        self.under_way.push_back((ticket, group));
        Ok(())
    }

    /// Waits for room, first for that which our own groups take.
    async fn submit(&mut self, events: &Encoded) -> Result<Ticket, Problem> {
        let mut tries = 0;
        loop {
            let append = Append::of(events.clone());
            let busy = match self.engine.append(append) {
                Ok(ticket) => return Ok(ticket),
                Err(busy) => busy,
            };
            if self.under_way.is_empty() {
                tries += 1;
                if tries == BUSY_TRIES {
                    return Err(answer::busy(busy));
                }
                tokio::time::sleep(BUSY_PAUSE).await;
            } else {
                self.answer_oldest().await?;
            }
        }
    }

    async fn answer_oldest(&mut self) -> Result<(), Problem> {
        let Some((ticket, group)) = self.under_way.pop_front() else { return Ok(()) };
        match ticket.await {
            Ok(appended) => {
                self.tally.add(&appended);
                Ok(())
            }
            Err(error) => Err(self.refused(error, &group).await),
        }
    }

    /// A group is stored whole or not at all; what stands before the line to blame is stored
    /// after all.
    async fn refused(&mut self, error: AppendError, group: &Group) -> Problem {
        let index = match &error {
            AppendError::IdentityConflict { index, .. }
            | AppendError::Refused { index, .. }
            | AppendError::RefusedByTopic { index, .. } => *index,
            _ => return answer::refused(error, &[], false),
        };
        let mut before = Encoded::default();
        before.extend(&group.events, 0, index);
        if !before.is_empty() {
            let append = Append::of(before);
            match self.engine.append(append).map_err(answer::busy) {
                Ok(ticket) => match ticket.await {
                    Ok(appended) => self.tally.add(&appended),
                    Err(error) => return answer::refused(error, &[], false),
                },
                Err(problem) => return problem,
            }
        }
        let line = group.lines.get(index).copied().unwrap_or_default();
        answer::refused(error, &[], false).with_number("line", line)
    }

    /// Waits for everything that was handed in; the first refusal counts.
    async fn settle(&mut self) -> Result<(), Problem> {
        let mut outcome = Ok(());
        while !self.under_way.is_empty() {
            let answered = self.answer_oldest().await;
            outcome = outcome.and(answered);
        }
        outcome
    }
}

fn done(tally: &Tally, head: Position) -> Response<Reply> {
    let mut body = b"{\"received\":".to_vec();
    push_number(&mut body, tally.received);
    body.extend_from_slice(b",\"stored\":");
    push_number(&mut body, tally.stored);
    body.extend_from_slice(b",\"duplicates\":");
    push_number(&mut body, tally.duplicates);
    body.extend_from_slice(b",\"head\":");
    push_position(&mut body, tally.head.max(head));
    body.push(b'}');
    reply::json(StatusCode::OK, body)
}
