//! Reading: pages, single events, and the view that subscriptions follow.

use std::sync::Arc;

use annal_delivery::{Bell, EventSource, Scan};
use annal_event::{
    Event, EventError, Identity, Interest, Position, Query, SYSTEM_SOURCE, Selector, StoredEvent,
    Timestamp, proto,
};
use annal_log::LogReader;
use annal_projection::{
    consumers::Consumers,
    deletions::{Deletions, Hidden},
    index::{self, Index, IndexError},
    resources::Resources,
    store::{Store, StoreError},
    topics::Topics,
};

pub use annal_projection::index::Order;

/// A subscription closer to the head than this reads the log and filters; farther away it asks the
/// index. Walking costs under a microsecond an event.
const WALK_MAX: u64 = 4_096;

/// Positions taken from the index at a time.
const CHUNK: usize = 256;

/// Bytes of records read at a time where they are only counted.
const READ_BYTES: usize = 256 * 1024;

/// A page ends early when so many events have been looked at: a filter may let few of them through.
const LOOKED_AT_MAX: usize = 250_000;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct ReadSpec {
    /// Which events.
    pub interest: Interest,
    /// Only events after this position.
    pub after: Option<Position>,
    /// Only events before this position.
    pub before: Option<Position>,
    /// Oldest or newest first.
    pub order: Order,
    /// At most so many events.
    pub limit: usize,
    /// About so many bytes of records at most (at least one event all the same).
    pub bytes_max: usize,
}

/// One page of events.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events, in the order asked for.
    pub events: Vec<StoredEvent>,
    /// The last position looked at, to go on from; `None` when there is nothing more.
    pub next: Option<Position>,
    /// The last position of the log.
    pub head: Position,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] annal_log::ReadError),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The rows of resources could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index names an event that the log does not have.
    #[error("the log has no event at position {position}; run `annal verify`")]
    Missing {
        /// Where it should stand.
        position: Position,
    },
    /// A stored record is not an event.
    #[error("the record at position {position} is damaged: {source}; run `annal verify`")]
    Record {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: EventError,
    },
}

impl ReadError {
    /// Whether a projection is damaged, which is folded again when the directory is opened.
    pub fn is_mended_by_restart(&self) -> bool {
        matches!(
            self,
            ReadError::Index(IndexError::Damaged { .. })
                | ReadError::Store(StoreError::Damaged { .. })
        )
    }
}

/// What stands at a position, for readers.
#[derive(Clone, Debug)]
pub enum Found {
    /// An event.
    Event(StoredEvent),
    /// An event that a user has deleted.
    Deleted,
    /// Nothing yet.
    Nothing,
}

/// Events that were looked for by identity.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// Those that are there, oldest first.
    pub events: Vec<StoredEvent>,
    /// Whether a user has deleted another.
    pub deleted: bool,
}

/// What a reader gets to see.
#[derive(Clone, Debug)]
struct Sight {
    /// Events that the store itself appended, too.
    system: bool,
    /// Never what a user has deleted.
    hidden: Hidden,
}

impl Sight {
    fn sees(&self, position: Position, record: &[u8]) -> bool {
        !self.hidden.contains(position) && (self.system || !is_system(record))
    }
}

/// The visible log and its index: everything a reader needs.
#[derive(Debug)]
pub struct View {
    log: LogReader,
    index: Arc<Index>,
    store: Arc<Store>,
    resources: Resources,
    topics: Topics,
    deletions: Deletions,
    bell: Bell,
}

impl View {
    pub(crate) fn new(
        log: LogReader,
        index: Arc<Index>,
        store: Arc<Store>,
        resources: Resources,
        topics: Topics,
    ) -> View {
        let (deletions, bell) = (Deletions::default(), Bell::default());
        View { log, index, store, resources, topics, deletions, bell }
    }

    /// The last visible position.
    pub fn head(&self) -> Position {
        self.log.head()
    }

    /// The log behind it.
    pub fn log(&self) -> &LogReader {
        &self.log
    }

    /// The index behind it.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The rows behind it.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The resources behind it.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The topics behind it.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The consumers behind it.
    pub fn consumers(&self) -> Consumers {
        Consumers::new(Arc::clone(&self.store))
    }

    /// The deletions behind it.
    pub(crate) fn deletions(&self) -> &Deletions {
        &self.deletions
    }

    fn sight(&self, system: bool) -> Sight {
        Sight { system, hidden: self.deletions.as_of(self.head()) }
    }

    /// What stands at a position.
    pub fn get(&self, position: Position) -> Result<Found, ReadError> {
        if self.deletions.as_of(self.head()).contains(position) {
            return Ok(Found::Deleted);
        }
        Ok(self.stored(position)?.map_or(Found::Nothing, Found::Event))
    }

    /// The event at a position, whether or not a user has deleted it.
    pub(crate) fn stored(&self, position: Position) -> Result<Option<StoredEvent>, ReadError> {
        if position == Position::ZERO || position > self.head() {
            return Ok(None);
        }
        Ok(self.log.get(position)?)
    }

    /// Every event with an id, or with an id and a source (then one at most).
    pub fn find(
        &self,
        id: &str,
        source: Option<&str>,
        system: bool,
    ) -> Result<Candidates, ReadError> {
        let head = self.head();
        let sight = self.sight(system);
        let mut positions = Vec::new();
        match source {
            Some(source) => self.index.identity(Identity::of(source, id), &mut positions)?,
            None => self.index.identities_in(&Identity::of_id(id), &mut positions)?,
        }
        positions.retain(|position| *position <= head);
        positions.sort_unstable();
        let mut found = Vec::new();
        self.log.get_many(&positions, &mut found)?;
        let mut candidates = Candidates::default();
        for stored in found {
            let event = decode(&stored)?;
            if event.id != id || source.is_some_and(|source| source != event.source) {
                continue;
            }
            if sight.hidden.contains(stored.position()) {
                candidates.deleted = true;
            } else if sight.sees(stored.position(), stored.record()) {
                candidates.events.push(stored);
            }
        }
        Ok(candidates)
    }

    /// One page. Reads what it returns, not what lies between.
    pub fn read(self: &Arc<Self>, spec: &ReadSpec) -> Result<Page, ReadError> {
        let mut cursor = self.cursor(spec)?;
        let head = cursor.head;
        let mut events = Vec::new();
        let bytes_max = if spec.bytes_max == 0 { usize::MAX } else { spec.bytes_max };
        // One more than asked for tells whether there is more.
        while events.len() <= spec.limit {
            let wanted = spec.limit + 1 - events.len();
            if !cursor.next(wanted, bytes_max, &mut events)? {
                break;
            }
            let bytes: usize = events.iter().map(|stored| stored.record().len()).sum();
            let filtered = !spec.interest.filters.is_empty();
            let enough = bytes >= bytes_max || filtered && cursor.looked_at >= LOOKED_AT_MAX;
            if enough && events.len() <= spec.limit {
                return Ok(Page { events, next: cursor.looked, head });
            }
        }
        let more = events.len() > spec.limit;
        events.truncate(spec.limit);
        let next = if more { events.last().map(StoredEvent::position) } else { None };
        Ok(Page { events, next, head })
    }

    /// A way through all that matches now, chunk by chunk. What is appended later is not seen.
    pub fn cursor(self: &Arc<Self>, spec: &ReadSpec) -> Result<Cursor, ReadError> {
        let head = self.head();
        let after = spec.after.unwrap_or(Position::ZERO);
        let before = spec.before.unwrap_or(Position::MAX).min(head.next());
        let (after, before) = self.within_times(&spec.interest, after, before)?;
        let query = spec.interest.narrowed();
        let way = if query.is_all() {
            Way::Walk
        } else {
            Way::Select(Box::new(self.index.select(&query, after, before, spec.order)))
        };
        Ok(Cursor {
            view: Arc::clone(self),
            way,
            after,
            before,
            looked: None,
            looked_at: 0,
            order: spec.order,
            sight: self.sight(spec.interest.system),
            interest: spec.interest.clone(),
            head,
        })
    }

    /// The part of what lies between two positions, both exclusive, that is of the times.
    fn within_times(
        &self,
        interest: &Interest,
        mut after: Position,
        mut before: Position,
    ) -> Result<(Position, Position), ReadError> {
        if let Some(since) = interest.since {
            after = after.max(self.log.position_at(since)?.prev());
        }
        if let Some(until) = interest.until {
            before = before.min(self.log.position_at(Timestamp(until.0.saturating_add(1)))?);
        }
        Ok((after, before))
    }

    /// How many events are wanted between two positions, both exclusive. Without filters that costs
    /// little; with them, every event the index finds is looked at.
    pub fn count(
        self: &Arc<Self>,
        interest: &Interest,
        after: Position,
        before: Position,
    ) -> Result<u64, ReadError> {
        if !interest.filters.is_empty() {
            return self.count_one_by_one(interest, after, before);
        }
        let (after, before) = self.within_times(interest, after, before)?;
        let own = if interest.system { Vec::new() } else { of_the_system(&interest.query) };
        let all = self.count_undeleted(&interest.query, after, before)?;
        if own.is_empty() {
            return Ok(all);
        }
        Ok(all - self.count_undeleted(&Query { any: own }, after, before)?)
    }

    fn count_one_by_one(
        self: &Arc<Self>,
        interest: &Interest,
        after: Position,
        before: Position,
    ) -> Result<u64, ReadError> {
        let interest = interest.clone();
        let bounds = ReadSpec { after: Some(after), before: Some(before), ..ReadSpec::default() };
        let mut cursor = self.cursor(&ReadSpec { interest, ..bounds })?;
        let (mut events, mut count, mut more) = (Vec::new(), 0, true);
        while more {
            events.clear();
            more = cursor.next(CHUNK, READ_BYTES, &mut events)?;
            count += events.len() as u64;
        }
        Ok(count)
    }

    fn count_undeleted(
        &self,
        query: &Query,
        after: Position,
        before: Position,
    ) -> Result<u64, ReadError> {
        let hidden = self.deletions.as_of(self.head());
        if hidden.is_empty() {
            return Ok(match query.is_all() {
                true => before.0.saturating_sub(after.0.saturating_add(1)),
                false => self.index.count(query, after, before, u64::MAX)?,
            });
        }
        let mut selection = self.index.select(query, after, before, Order::Ascending);
        let (mut positions, mut count, mut more) = (Vec::with_capacity(CHUNK), 0, true);
        while more {
            positions.clear();
            more = selection.next(CHUNK, &mut positions)?;
            count += positions.iter().filter(|position| !hidden.contains(**position)).count();
        }
        Ok(count as u64)
    }

    /// The first position recorded at or after a time; one past the head if there is none.
    pub fn position_at(&self, time: Timestamp) -> Result<Position, ReadError> {
        Ok(self.log.position_at(time)?)
    }

    fn walk(
        &self,
        interest: &Interest,
        after: Position,
        bytes_max: usize,
    ) -> Result<Scan, ReadError> {
        let mut scan = Scan { events: Vec::new(), looked: after };
        let hidden = self.deletions.as_of(self.head());
        let mut bytes = 0;
        for batch in self.log.batches(after, bytes_max)? {
            let skip = (scan.looked.0 + 1).saturating_sub(batch.first().0) as usize;
            for index in skip..batch.len() {
                let stored = StoredEvent::new(Arc::clone(&batch), index);
                if !hidden.contains(stored.position()) && interest.wants(&stored) {
                    bytes += stored.record().len();
                    scan.events.push(stored);
                }
                // A batch may be far larger than what a slow reader is to hold.
                if bytes >= bytes_max {
                    scan.looked = batch.first().plus(index as u64);
                    return Ok(scan);
                }
            }
            scan.looked = batch.last();
        }
        Ok(scan)
    }
}

/// What a query asks for of the events that the store itself appended.
fn of_the_system(query: &Query) -> Vec<Selector> {
    let every = [Selector::default()];
    let asked = if query.is_all() { &every[..] } else { &query.any[..] };
    let own = |selector: &&Selector| {
        selector.sources.is_empty() || selector.sources.iter().any(|source| source == SYSTEM_SOURCE)
    };
    let only = |selector: &Selector| Selector {
        sources: vec![SYSTEM_SOURCE.to_owned()],
        ..selector.clone()
    };
    asked.iter().filter(own).map(only).collect()
}

pub(crate) fn decode(stored: &StoredEvent) -> Result<Event<'_>, ReadError> {
    stored.event().map_err(|source| ReadError::Record { position: stored.position(), source })
}

impl EventSource for View {
    type Error = ReadError;

    fn head(&self) -> Position {
        View::head(self)
    }

    fn scan(
        &self,
        interest: &Interest,
        after: Position,
        bytes_max: usize,
    ) -> Result<Scan, ReadError> {
        let head = View::head(self);
        if head.0.saturating_sub(after.0) <= WALK_MAX {
            return self.walk(interest, after, bytes_max);
        }
        let query = interest.narrowed();
        if query.is_all() {
            return self.walk(interest, after, bytes_max);
        }
        let mut selection = self.index.select(&query, after, head.next(), Order::Ascending);
        let mut positions = Vec::with_capacity(CHUNK);
        let more = selection.next(CHUNK, &mut positions)?;
        let mut events = Vec::with_capacity(positions.len());
        self.log.get_many(&positions, &mut events)?;
        let sight = self.sight(interest.system);
        events.retain(|stored| {
            sight.sees(stored.position(), stored.record()) && interest.passes(stored)
        });
        let looked = if more { positions.last().copied().unwrap_or(head) } else { head };
        Ok(Scan { events, looked })
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }
}

fn is_system(record: &[u8]) -> bool {
    proto::keys(record).is_ok_and(|keys| keys.source == SYSTEM_SOURCE)
}

#[derive(Debug)]
enum Way {
    /// Every event, straight from the log.
    Walk,
    /// The events the index names.
    Select(Box<index::Selection>),
}

/// A way through the events that matched when it was made.
#[derive(Debug)]
pub struct Cursor {
    view: Arc<View>,
    way: Way,
    after: Position,
    before: Position,
    /// The last position that was looked at.
    looked: Option<Position>,
    /// How many were.
    looked_at: usize,
    order: Order,
    sight: Sight,
    interest: Interest,
    head: Position,
}

impl Cursor {
    /// The head when it was made; nothing later is seen.
    pub fn head(&self) -> Position {
        self.head
    }

    /// Appends up to `max` more events (about `bytes_max` bytes of them). `false`: that was all.
    pub fn next(
        &mut self,
        max: usize,
        bytes_max: usize,
        events: &mut Vec<StoredEvent>,
    ) -> Result<bool, ReadError> {
        let start = events.len();
        let more = match (&mut self.way, self.order) {
            (Way::Select(selection), _) => {
                let mut positions = Vec::with_capacity(max.min(CHUNK));
                let more = selection.next(max.min(CHUNK), &mut positions)?;
                self.view.log.get_many(&positions, events)?;
                more
            }
            (Way::Walk, Order::Ascending) => self.walk_up(max, bytes_max, events)?,
            (Way::Walk, Order::Descending) => self.walk_down(max, events)?,
        };
        self.looked = events.last().map(StoredEvent::position).or(self.looked);
        self.looked_at += events.len() - start;
        let mut index = 0;
        events.retain(|stored| {
            index += 1;
            index <= start
                || self.sight.sees(stored.position(), stored.record())
                    && self.interest.passes(stored)
        });
        Ok(more)
    }

    fn walk_up(
        &mut self,
        max: usize,
        bytes_max: usize,
        events: &mut Vec<StoredEvent>,
    ) -> Result<bool, ReadError> {
        if self.after.next() >= self.before {
            return Ok(false);
        }
        let mut left = max;
        for batch in self.view.log.batches(self.after, bytes_max.min(1024 * 1024))? {
            let skip = (self.after.0 + 1).saturating_sub(batch.first().0) as usize;
            let room = (self.before.0 - 1 - self.after.0) as usize;
            let take = batch.len().saturating_sub(skip).min(left).min(room);
            for index in skip..skip + take {
                events.push(StoredEvent::new(Arc::clone(&batch), index));
            }
            self.after = self.after.plus(take as u64);
            left -= take;
            if left == 0 || self.after.next() >= self.before {
                break;
            }
        }
        Ok(self.after.next() < self.before)
    }

    fn walk_down(&mut self, max: usize, events: &mut Vec<StoredEvent>) -> Result<bool, ReadError> {
        let last = self.before.prev();
        let count = (last.0.saturating_sub(self.after.0)).min(max.min(CHUNK) as u64);
        let positions: Vec<_> = (0..count).map(|back| Position(last.0 - back)).collect();
        self.view.log.get_many(&positions, events)?;
        self.before = Position(self.before.0 - count);
        Ok(self.before.0 > self.after.0 + 1)
    }
}
