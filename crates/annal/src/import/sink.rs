//! Takes events and stores them in groups: one group is committed while the next is read.
//!
//! A refused event ends the import: what stood before it in its group is stored, what follows is
//! not. A full queue or a busy server is waited for.

use std::{collections::BTreeSet, fmt, mem, thread, time::Duration};

use annal_engine::{Append, AppendError, Appended, Engine, Holder, Ticket, TopicRefusal};
use annal_event::{Encoded, Event, Limits, TopicEvent, TopicSpec, json};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;

use crate::{
    client::{Client, Problem},
    target::{Opened, Target},
};

const GROUP_EVENTS: usize = 1_000;
const GROUP_BYTES: usize = 1024 * 1024;

/// Between two attempts when the queue is full or the server busy.
const RETRY: Duration = Duration::from_millis(50);

/// A server that is busy for so many attempts is not going to be free.
const RETRIES_MAX: u32 = 1_200;

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events stored, {} were there already", self.stored, self.duplicates)
    }
}

pub(crate) struct Sink {
    door: Door,
    limits: Limits,
    tally: Tally,
    /// Topics that are there by now.
    topics: BTreeSet<String>,
}

enum Door {
    Engine(Box<ToEngine>),
    Server(Box<ToServer>),
}

struct ToEngine {
    opened: Opened,
    group: Group,
    in_flight: Option<(Ticket, Group)>,
}

/// Events with the places they came from.
#[derive(Default)]
struct Group {
    places: Vec<String>,
    events: Encoded,
}

struct ToServer {
    client: Client,
    places: Vec<String>,
    body: Vec<u8>,
}

impl Sink {
    pub(crate) fn new(target: Target, limits: Limits) -> Sink {
        let door = match target {
            Target::Directory(opened) => Door::Engine(Box::new(ToEngine {
                opened,
                group: Group::default(),
                in_flight: None,
            })),
            Target::Server(client) => {
                Door::Server(Box::new(ToServer { client, places: Vec::new(), body: Vec::new() }))
            }
        };
        Sink { door, limits, tally: Tally::default(), topics: BTreeSet::new() }
    }

    /// What has been stored so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Makes a topic that takes any type, if there is none of this name: nothing in what is imported
    /// says what its payloads are held to.
    pub(crate) fn need_topic(&mut self, name: &str) -> anyhow::Result<()> {
        if self.topics.contains(name) {
            return Ok(());
        }
        let spec = TopicSpec {
            name: name.to_owned(),
            schemas: Some(Vec::new()),
            open: Some(true),
            retention: None,
        };
        match &mut self.door {
            Door::Engine(door) => door.make(spec)?,
            Door::Server(door) => door.make(&spec)?,
        }
        self.topics.insert(name.to_owned());
        Ok(())
    }

    /// Takes one valid event.
    pub(crate) fn push(&mut self, place: &str, event: &Event<'_>) -> anyhow::Result<()> {
        let events_max = self.limits.batch_events_max.min(GROUP_EVENTS);
        match &mut self.door {
            Door::Engine(door) => {
                door.group.places.push(place.to_owned());
                door.group.events.push(event);
                let full = door.group.places.len() >= events_max
                    || door.group.events.payload().len() >= GROUP_BYTES;
                if full { door.flush(&mut self.tally) } else { Ok(()) }
            }
            Door::Server(door) => {
                door.places.push(place.to_owned());
                json::write_event(&mut door.body, event, None);
                door.body.push(b'\n');
                let full = door.places.len() >= events_max || door.body.len() >= GROUP_BYTES;
                if full { door.flush(&mut self.tally) } else { Ok(()) }
            }
        }
    }

    /// Stores what was taken so far.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.door {
            Door::Engine(door) => {
                door.flush(&mut self.tally)?;
                door.settle(&mut self.tally)
            }
            Door::Server(door) => door.flush(&mut self.tally),
        }
    }
}

impl ToEngine {
    fn make(&self, spec: TopicSpec) -> anyhow::Result<()> {
        let engine = &self.opened.engine;
        let mut events = Encoded::default();
        events.push(&TopicEvent::Created(spec).to_event(engine.new_id()));
        match submit(engine, events)?.wait() {
            Err(AppendError::RefusedByTopic { refusal, .. })
                if matches!(*refusal, TopicRefusal::Exists { .. }) =>
            {
                Ok(())
            }
            made => Ok(made.map(drop)?),
        }
    }

    /// Submits the group once the one before it is stored.
    fn flush(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let settled = self.settle(tally);
        let group = mem::take(&mut self.group);
        settled?;
        if !group.places.is_empty() {
            let ticket = submit(&self.opened.engine, group.events.clone())?;
            self.in_flight = Some((ticket, group));
        }
        Ok(())
    }

    fn settle(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let Some((ticket, group)) = self.in_flight.take() else { return Ok(()) };
        match ticket.wait() {
            Ok(appended) => {
                tally.add(&appended);
                Ok(())
            }
            Err(AppendError::IdentityConflict { index, with }) => {
                let mut before = Encoded::default();
                before.extend(&group.events, 0, index);
                if !before.is_empty() {
                    tally.add(&submit(&self.opened.engine, before)?.wait()?);
                }
                let place = group.places.get(index).map_or("", String::as_str);
                bail!("{place}: {}", conflict(with))
            }
            Err(error) => Err(error).with_context(|| {
                let ends = (group.places.first(), group.places.last());
                match ends {
                    (Some(first), Some(last)) => format!("{first} to {last}"),
                    _ => "nothing".to_owned(),
                }
            }),
        }
    }
}

fn conflict(with: Holder) -> String {
    format!("its source and id belong to {with}, which has other content; give it another id")
}

impl Tally {
    fn add(&mut self, appended: &Appended) {
        let stored = appended.stored() as u64;
        self.stored += stored;
        self.duplicates += appended.outcomes.len() as u64 - stored;
    }
}

fn submit(engine: &Engine, events: Encoded) -> anyhow::Result<Ticket> {
    for _ in 0..RETRIES_MAX {
        match engine.append(Append::of(events.clone())) {
            Ok(ticket) => return Ok(ticket),
            Err(_busy) => thread::sleep(RETRY),
        }
    }
    bail!("the queue stayed full; the disk does not keep up")
}

impl ToServer {
    fn make(&mut self, spec: &TopicSpec) -> anyhow::Result<()> {
        let headers = [("content-type", "application/json")];
        let body = Bytes::from(spec.to_json());
        let reply = self.client.send(Method::POST, "/topics", &headers, body)?;
        let is_there = reply.status.as_u16() == 409;
        if is_there { Ok(()) } else { reply.successful().map(drop) }
    }

    fn flush(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let (places, body) = (mem::take(&mut self.places), Bytes::from(mem::take(&mut self.body)));
        if places.is_empty() {
            return Ok(());
        }
        for _ in 0..RETRIES_MAX {
            let headers = [("content-type", "application/x-ndjson")];
            let reply = self.client.send(Method::POST, "/events", &headers, body.clone())?;
            let busy = reply.status.as_u16() == 503 || reply.status.as_u16() == 429;
            match reply.successful() {
                Ok(reply) => {
                    let received: Received = serde_json::from_slice(&reply.whole()?)?;
                    tally.stored += received.stored;
                    tally.duplicates += received.duplicates;
                    return Ok(());
                }
                Err(_) if busy => thread::sleep(RETRY),
                Err(error) => return Err(blame(error, &places, tally)),
            }
        }
        bail!("{} stayed busy", self.client.url())
    }
}

#[derive(Deserialize)]
struct Received {
    stored: u64,
    duplicates: u64,
}

/// The server counts lines of what it was sent; here they get the places they came from.
fn blame(error: anyhow::Error, places: &[String], tally: &mut Tally) -> anyhow::Error {
    let Some(problem) = error.downcast_ref::<Problem>() else { return error };
    tally.stored += problem.stored.unwrap_or(0);
    tally.duplicates += problem.duplicates.unwrap_or(0);
    let index = problem.line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
    match index.and_then(|index| places.get(index)) {
        Some(place) => anyhow!("{place}: {problem}"),
        None => error,
    }
}
