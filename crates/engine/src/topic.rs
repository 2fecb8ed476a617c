//! Topics as readers see them: what is kept of one, and where in it an event stands.

use std::sync::Arc;

use annal_event::{Identity, Interest, Position, Query, Selector, Timestamp};
use annal_projection::{
    index::Order,
    topics::{Counter, Mark, Topic, number_of},
};

use crate::read::{Page, ReadError, ReadSpec, View, decode};

/// Positions taken from the index at a time.
const CHUNK: usize = 256;

/// Which events of a topic to read, oldest first.
#[derive(Clone, Debug, Default)]
pub struct TopicRead {
    /// Only those after this position.
    pub after: Position,
    /// Only those recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Only those recorded at or before this time.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// About so many bytes of records at most (at least one event all the same).
    pub bytes_max: usize,
}

/// Which event of a topic an id means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// None.
    Nobody,
    /// The one at this position.
    One(Position),
    /// Producers with different sources chose the same id.
    Several,
}

impl View {
    /// A topic, and how far it has come.
    pub fn topic(&self, name: &str) -> Result<Option<(Arc<Topic>, Counter)>, ReadError> {
        let head = self.head();
        let Some(topic) = self.topics().topic(name, head) else { return Ok(None) };
        let counter = self.topics().counter(&self.topics().view(head), name)?;
        Ok(Some((topic, counter)))
    }

    /// Which event of a topic is called so: by its id, or by the topic's name and its number. Number 0
    /// stands before them all.
    pub fn topic_event(&self, topic: &str, id: &str) -> Result<Called, ReadError> {
        let head = self.head();
        let mut positions = Vec::new();
        self.index().identities_in(&Identity::of_id(id), &mut positions)?;
        positions.retain(|position| *position <= head);
        positions.sort_unstable();
        // The id that the topic gave counts before those that producers have chosen.
        let (own, mut called) = (format!("/topics/{topic}"), Called::Nobody);
        for position in positions {
            let Some(stored) = self.stored(position)? else { continue };
            let event = decode(&stored)?;
            if event.id != id || event.topic() != Some(topic) {
                continue;
            }
            if event.source == own {
                return Ok(Called::One(position));
            }
            called = if called == Called::Nobody { Called::One(position) } else { Called::Several };
        }
        if called != Called::Nobody {
            return Ok(called);
        }
        let Some(number) = number_of(topic, id) else { return Ok(Called::Nobody) };
        Ok(self.topic_numbered(topic, number, head)?.map_or(Called::Nobody, Called::One))
    }

    /// Where the event of this number stands; `None` if the topic has not come so far.
    fn topic_numbered(
        &self,
        topic: &str,
        number: u64,
        head: Position,
    ) -> Result<Option<Position>, ReadError> {
        let rows = self.topics().view(head);
        if number > self.topics().counter(&rows, topic)?.sequence {
            return Ok(None);
        }
        let mark = self.topics().mark(&rows, topic, number)?;
        if mark.number == number {
            return Ok(Some(mark.position));
        }
        let mut walk =
            self.index().select(&of(topic), mark.position, head.next(), Order::Ascending);
        let (mut found, mut left, mut more) = (Vec::new(), number - mark.number, true);
        while more {
            found.clear();
            more = walk.next(CHUNK, &mut found)?;
            if let Some(position) = found.get(left as usize - 1) {
                return Ok(Some(*position));
            }
            left -= found.len() as u64;
        }
        Ok(None)
    }

    /// The last position that a topic's retention has let go; 0 if it keeps everything. The events
    /// are no more read from the topic; their bytes stay in the log.
    pub fn topic_expired(&self, topic: &Topic, now: Timestamp) -> Result<Position, ReadError> {
        let retention = topic.retention;
        let mut expired = Position::ZERO;
        if retention.is_unbounded() {
            return Ok(expired);
        }
        let head = self.head();
        if let Some(age_ms) = retention.age_ms_max {
            let age = i64::try_from(age_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
            let oldest = Timestamp(now.micros().saturating_sub(age));
            expired = self.log().position_at(oldest)?.prev().min(head);
        }
        let rows = self.topics().view(head);
        let counter = self.topics().counter(&rows, &topic.name)?;
        if let Some(events_max) = retention.events_max {
            let gone = counter.sequence.saturating_sub(events_max);
            if gone > 0 {
                expired =
                    expired.max(self.topic_numbered(&topic.name, gone, head)?.unwrap_or_default());
            }
        }
        if let Some(bytes_max) = retention.bytes_max {
            let gone = counter.bytes.saturating_sub(bytes_max);
            if gone > 0 {
                let mark = self.topics().mark_below_bytes(&rows, &topic.name, gone)?;
                expired = expired.max(self.topic_grown(&topic.name, mark, gone, head)?);
            }
        }
        Ok(expired)
    }

    /// Where the events of a topic, up to this one, have so many bytes.
    fn topic_grown(
        &self,
        topic: &str,
        mark: Mark,
        bytes: u64,
        head: Position,
    ) -> Result<Position, ReadError> {
        let mut walk =
            self.index().select(&of(topic), mark.position, head.next(), Order::Ascending);
        let (mut found, mut events) = (Vec::new(), Vec::new());
        let (mut sum, mut more) = (mark.bytes, true);
        while more {
            found.clear();
            events.clear();
            more = walk.next(CHUNK, &mut found)?;
            self.log().get_many(&found, &mut events)?;
            for stored in &events {
                sum += decode(stored)?.data.bytes().map_or(0, <[u8]>::len) as u64;
                if sum >= bytes {
                    return Ok(stored.position());
                }
            }
        }
        Ok(head)
    }

    /// A page of a topic's events that its retention keeps.
    pub fn topic_events(
        self: &Arc<Self>,
        topic: &Topic,
        read: &TopicRead,
        now: Timestamp,
    ) -> Result<Page, ReadError> {
        let after = read.after.max(self.topic_expired(topic, now)?);
        self.read(&ReadSpec {
            interest: Interest {
                since: read.since,
                until: read.until,
                ..Interest::of(of(&topic.name))
            },
            after: Some(after),
            limit: read.limit,
            bytes_max: read.bytes_max,
            ..ReadSpec::default()
        })
    }
}

/// The events of a topic.
fn of(topic: &str) -> Query {
    Query::one(Selector { topics: vec![topic.to_owned()], ..Selector::default() })
}
