//! What clients of Events-DB ask for, by gRPC or by REST (API.md §9): events by subject, with
//! positions as ids. Here is what both doors mean; how it is said is theirs.

mod answer;
mod clients;
mod rest;

use std::sync::Arc;

use annal_engine::{Append, Checks, Engine, Order, Page, ReadSpec};
use annal_event::{
    Data, Deletion, Encoded, Event, Interest, Pattern, Position, Query, Selector, StoredEvent,
};

pub(crate) use clients::{ClientPlace, Clients};
pub(crate) use rest::{EventsBody, serve};

use crate::{
    append::{answer as appended, deletion},
    params::invalid,
    problem::{Code, Problem},
    read::{encode::decode, failed, off_the_reactor, one, select},
    shared::Shared,
};

/// A page ends early when it has so many bytes of records.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Events of a subject.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) subject: String,
    pub(crate) from_id: Option<i64>,
    pub(crate) ty: Option<String>,
    pub(crate) recursive: bool,
}

impl Wanted {
    /// `from_id` as a position; `None` if it was not given.
    pub(crate) fn from(&self) -> Result<Option<Position>, Problem> {
        let position = |id| u64::try_from(id).map(Position);
        let from = self.from_id.map(position).transpose();
        from.map_err(|_| invalid("from_id", "`from_id` is a position: a number, not below 0"))
    }

    /// Where a stream begins. One that is ahead of the head would wait for events that others get now.
    pub(crate) fn begin(&self, engine: &Engine) -> Result<Position, Problem> {
        let (from, head) = (self.from()?.unwrap_or_default(), engine.head());
        if from > head {
            let detail = format!("`from_id` {from} is ahead of the last event, which is {head}");
            return Err(invalid("from_id", detail));
        }
        Ok(from)
    }

    fn pattern(&self) -> Result<Option<Pattern>, Problem> {
        if !self.recursive {
            return match self.subject.as_str() {
                "" => Err(invalid("subject", "give `subject`: whose events are meant")),
                subject => Ok(Some(Pattern::Exact(subject.to_owned()))),
            };
        }
        match select::tree(self.subject.clone()) {
            Pattern::Tree(root) if root.is_empty() => Ok(None),
            tree => Ok(Some(tree)),
        }
    }

    /// As a reader's interest. Everything under no subject is everything.
    pub(crate) fn interest(&self) -> Result<Interest, Problem> {
        let selector = Selector {
            subjects: self.pattern()?.into_iter().collect(),
            types: self.types().map(Pattern::Exact).into_iter().collect(),
            ..Selector::default()
        };
        Ok(match selector.is_all() {
            true => Interest::all(),
            false => Interest::of(Query::one(selector)),
        })
    }

    fn types(&self) -> Option<String> {
        self.ty.clone().filter(|ty| !ty.is_empty())
    }
}

/// Stores a new event with an identity of its own.
pub(crate) async fn create(
    engine: &Engine,
    source: &str,
    ty: &str,
    subject: &str,
    data: &[u8],
) -> Result<Position, Problem> {
    let mut event = Event::new(engine.new_id(), source, ty).with_time(engine.now().to_string());
    if !subject.is_empty() {
        event = event.with_subject(subject);
    }
    if !data.is_empty() {
        event = event.with_data(Data::Bytes(data.into()));
    }
    event.validate_producer()?;
    let mut events = Encoded::default();
    events.push_valid(&event, engine.limits())?;
    drop(event);
    let ticket = engine.append(Append { events, ..Append::default() }).map_err(appended::busy)?;
    let outcome = ticket.await.map_err(|error| appended::refused(error, &[], false))?;
    appended::only(&outcome).map(|outcome| outcome.position)
}

/// One event by its position.
pub(crate) async fn get(engine: &Engine, id: i64) -> Result<StoredEvent, Problem> {
    let position = u64::try_from(id).map(Position);
    let position = position.map_err(|_| invalid("id", "`id` is a position, not below 0"))?;
    one::at_position(engine, position, false).await
}

/// One page of a subject's events, oldest first.
pub(crate) async fn historic(
    shared: &Shared,
    engine: &Engine,
    wanted: &Wanted,
) -> Result<Page, Problem> {
    let spec = ReadSpec {
        interest: wanted.interest()?,
        after: wanted.from()?,
        order: Order::Ascending,
        limit: shared.options.stream_batch_events.max(1),
        bytes_max: PAGE_BYTES_MAX,
        ..ReadSpec::default()
    };
    let view = Arc::clone(engine.view());
    let page = off_the_reactor(move || view.read(&spec)).await?;
    page.map_err(|error| failed(&error))
}

/// Hides a subject's events from `from_id` on; how many that were.
pub(crate) async fn delete(engine: &Engine, wanted: &Wanted) -> Result<u64, Problem> {
    let everything = || invalid("subject", "give `subject`: whose events are to be deleted");
    let subject = match wanted.pattern()?.ok_or_else(everything)? {
        Pattern::Exact(subject) | Pattern::Prefix(subject) | Pattern::Tree(subject) => subject,
    };
    let from = wanted.from()?.unwrap_or(Position::ZERO);
    let deletion = Deletion { subject, recursive: wanted.recursive, ty: wanted.types(), from };
    deletion::hide(engine, &deletion, Checks::default()).await
}

/// An event in the words of Events-DB.
pub(crate) struct Told<'e> {
    pub(crate) id: i64,
    pub(crate) event: Event<'e>,
    /// When it happened, else when it was recorded.
    pub(crate) time: String,
}

impl Told<'_> {
    pub(crate) fn subject(&self) -> &str {
        self.event.subject.as_deref().unwrap_or_default()
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.event.data.bytes().unwrap_or_default()
    }
}

/// Decodes a record for clients of Events-DB.
pub(crate) fn told(stored: &StoredEvent) -> Result<Told<'_>, annal_engine::ReadError> {
    let mut event = decode(stored)?;
    let time = event.time.take().map_or_else(|| stored.recorded().to_string(), |t| t.into_owned());
    Ok(Told { id: stored.position().0 as i64, event, time })
}

/// A place among the clients that follow, or the refusal of one too many.
pub(crate) fn client_place(shared: &Arc<Shared>) -> Result<ClientPlace, Problem> {
    shared.clients.place(shared).ok_or_else(|| {
        let detail = "as many clients follow as may; try again in a while";
        Problem::new(Code::TooManyClients, detail).retry_after(5)
    })
}
