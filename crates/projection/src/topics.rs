//! The topics: named groups of events with schemas of their own, a retention and a counter.
//!
//! Rows lie in the [`Store`] that projections share. As with resources, what an event changes is
//! worked out in a [`Draft`] by one piece of code: by the writer before the event is stored
//! ([`Topics::judge`]), and by whoever folds the log again ([`Topics::fold`]).
//!
//! Invariants:
//! - The fold is total, and makes no checks but whether there is such a topic: an event counts if
//!   the topic that it names was there.
//! - The events of a topic are numbered from 1 without gaps, in the order of their positions. So
//!   number *n* is the *n*-th event after the creation of the topic that the index finds by the
//!   topic's name: every [`MARK_EVERY`] numbers a mark says where that one stands, and from there
//!   the index is walked.
//! - A counter changes in the same row change as the event that it counts, never later: what is on
//!   disk may end within a batch.

mod change;
mod key;
mod refusal;
mod row;
mod topic;

use std::{ops::Bound, sync::Arc};

use annal_event::{Event, Position, TopicSpec};

use crate::{
    Order,
    draft::Draft,
    store::{Key, KeyRange, Store, StoreError, View},
    versions::Versions,
};

pub use change::{Failure, Judged, TopicChange, number_of};
pub use refusal::Refusal;
pub use row::{Counter, Mark};
pub use topic::{REALTIME, Topic};

/// Version of the rows, part of the store's format.
pub const FORMAT: u32 = 1;

/// So many numbers lie between two marks.
pub const MARK_EVERY: u64 = 256;

/// Most topics that one log has.
const TOPICS_MAX: usize = 10_000;

/// The topics of one log. All methods take `&self`.
#[derive(Debug)]
pub struct Topics {
    store: Arc<Store>,
    versions: Versions<Topic>,
}

impl Topics {
    /// The topics in a store, whose rows are those of [`FORMAT`], and those that are there from the
    /// beginning.
    pub fn open(store: Arc<Store>) -> Result<Topics, StoreError> {
        let topics = Topics { store, versions: Versions::default() };
        let realtime = Arc::new(Topic::realtime());
        topics.versions.set(REALTIME, Position::ZERO, Some(realtime), Position::ZERO);
        topics.load()?;
        Ok(topics)
    }

    fn load(&self) -> Result<(), StoreError> {
        let draft = Draft::new(&self.store);
        for (row_key, row) in draft.prefixed(&key::topics(), usize::MAX)? {
            let Some((position, text)) = row::definition(&row) else { continue };
            let Some(name) = key::name_of(&row_key) else { continue };
            if let Ok(spec) = TopicSpec::parse(text, Some(name)) {
                let topic = Arc::new(Topic::stored(spec, position));
                self.versions.set(name, position, Some(topic), Position::ZERO);
            }
        }
        Ok(())
    }

    /// Judges an event that is about to be stored, and adds what it changes to the draft.
    pub fn judge(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        position: Position,
    ) -> Result<Judged, Failure> {
        self.change(draft, event, position, true)
    }

    /// Adds what a stored event changes to the draft. What would be refused changes nothing.
    pub fn fold(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        position: Position,
    ) -> Result<Option<TopicChange>, StoreError> {
        match self.change(draft, event, position, false) {
            Ok(Judged::Changes(change)) => Ok(Some(change)),
            Ok(Judged::Nothing | Judged::Numbered(_)) | Err(Failure::Refused(_)) => Ok(None),
            Err(Failure::Store(error)) => Err(error),
        }
    }

    /// Puts a changed topic in force, once the event that brings it is staged. `visible`: no reader
    /// looks from an earlier head.
    pub fn set(&self, change: TopicChange, position: Position, visible: Position) {
        let name = change.topic.name.clone();
        self.versions.set(&name, position, Some(change.topic), visible);
    }

    /// Forgets what was staged after a position; the store forgets its rows itself.
    pub fn rollback(&self, to: Position) {
        self.versions.rollback(to);
    }

    /// The topic of a name as of a head.
    pub fn topic(&self, name: &str, at: Position) -> Option<Arc<Topic>> {
        self.versions.of(name, at)
    }

    /// The topics as of a head, in order of name.
    pub fn topics(&self, at: Position) -> Vec<Arc<Topic>> {
        let mut all = self.versions.all(at);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The rows as of a head, for the questions below.
    pub fn view(&self, at: Position) -> View {
        self.store.view(at)
    }

    /// How many events a topic has had so far, and how large they were.
    pub fn counter(&self, rows: &View, topic: &str) -> Result<Counter, StoreError> {
        Ok(rows.get(&key::counter(topic))?.and_then(|row| Counter::of(&row)).unwrap_or_default())
    }

    /// The last mark at or before a number: no more than [`MARK_EVERY`] events before it, if the
    /// topic has come so far.
    pub fn mark(&self, rows: &View, topic: &str, number: u64) -> Result<Mark, StoreError> {
        let range = KeyRange {
            from: Bound::Included(Key::clone(&key::marks(topic))),
            to: Bound::Included(key::mark(topic, number)),
        };
        let Some(found) = rows.scan(&range, Order::Descending).next() else {
            return Ok(Mark::default());
        };
        let (row_key, row) = found?;
        Ok(key::number_of(&row_key).and_then(|number| Mark::of(number, &row)).unwrap_or_default())
    }

    /// The last mark up to which the events of a topic had fewer bytes than this.
    pub fn mark_below_bytes(
        &self,
        rows: &View,
        topic: &str,
        bytes: u64,
    ) -> Result<Mark, StoreError> {
        let last = self.counter(rows, topic)?.sequence / MARK_EVERY;
        // Marks at multiples; the one at 0 always lies below.
        let (mut low, mut high) = (0, last + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let mark = self.mark(rows, topic, middle * MARK_EVERY)?;
            if mark.bytes < bytes { low = middle } else { high = middle }
        }
        self.mark(rows, topic, low * MARK_EVERY)
    }
}
