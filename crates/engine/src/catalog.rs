//! What there is: the subjects and the types of a log, with what their events add up to.

use annal_event::{Pattern, Position, Query, SYSTEM_SOURCE, Selector};
use annal_projection::index::{KeyState, Kind, Order};

use crate::read::{ReadError, View};

/// Types of the store's own events begin with this; so may others.
const SYSTEM_PREFIX: &str = "annal.";

/// Positions taken from the index at a time.
const CHUNK: usize = 1_024;

/// A subject or a type, and what is there of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The subject or type.
    pub name: String,
    /// Its events that can be read.
    pub events: u64,
    /// All events it ever had, deleted ones included: the subject version.
    pub version: u64,
    /// The first event that can be read.
    pub first: Position,
    /// The last event that can be read.
    pub last: Position,
}

/// A part of the list.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// In order of their names' bytes.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub more: bool,
}

impl View {
    /// The subjects that begin with `prefix` and come after `after`, at most `limit`; without those
    /// of which every event has been deleted.
    pub fn subjects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Entries, ReadError> {
        self.entries(Kind::Subject, prefix, after, limit)
    }

    /// The types that begin with `prefix` and come after `after`, at most `limit`; without those
    /// that only events of the store itself have.
    pub fn types(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Entries, ReadError> {
        self.entries(Kind::Type, prefix, after, limit)
    }

    fn entries(
        &self,
        kind: Kind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Entries, ReadError> {
        let head = self.head();
        let mut found = Entries::default();
        let mut after = after.map(str::to_owned);
        loop {
            // One more than is wanted tells whether there is more.
            let wanted = limit + 1 - found.entries.len();
            let keys = self.index().keys(kind, prefix, after.as_deref(), wanted, head)?;
            let exhausted = keys.len() < wanted;
            after = keys.last().map(|key| key.text.clone()).or(after);
            for key in keys {
                found.entries.extend(self.entry(kind, key, head)?);
            }
            if exhausted || found.entries.len() > limit {
                found.more = found.entries.len() > limit;
                found.entries.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// `None` if nothing of it can be read.
    fn entry(&self, kind: Kind, key: KeyState, head: Position) -> Result<Option<Entry>, ReadError> {
        let KeyState { text: name, state } = key;
        let may_be_own = kind == Kind::Type && name.starts_with(SYSTEM_PREFIX);
        if !may_be_own && self.deletions().as_of(head).is_empty() {
            let (events, first, last) = (state.version, state.first, state.last);
            return Ok(Some(Entry { name, events, version: state.version, first, last }));
        }
        let mut entry = Entry {
            events: 0,
            version: state.version,
            first: Position::ZERO,
            last: Position::ZERO,
            name,
        };
        self.recount(kind, &mut entry, head)?;
        Ok((entry.events > 0).then_some(entry))
    }

    /// Counts one by one what can be read of it.
    fn recount(&self, kind: Kind, entry: &mut Entry, head: Position) -> Result<(), ReadError> {
        let pattern = vec![Pattern::Exact(entry.name.clone())];
        let mut selector = match kind {
            Kind::Type => Selector { types: pattern, ..Selector::default() },
            _ => Selector { subjects: pattern, ..Selector::default() },
        };
        let hidden = self.deletions().as_of(head);
        let mut all = self.index().select(
            &Query::one(selector.clone()),
            Position::ZERO,
            head.next(),
            Order::Ascending,
        );
        selector.sources = vec![SYSTEM_SOURCE.to_owned()];
        let own = Query::one(selector);
        let mut own = self.index().select(&own, Position::ZERO, head.next(), Order::Ascending);
        let mut owned = Vec::new();
        while own.next(CHUNK, &mut owned)? {}
        let (mut found, mut more) = (Vec::with_capacity(CHUNK), true);
        while more {
            found.clear();
            more = all.next(CHUNK, &mut found)?;
            found.retain(|at| !hidden.contains(*at) && owned.binary_search(at).is_err());
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                entry.first = if entry.events == 0 { *first } else { entry.first };
                entry.last = *last;
                entry.events += found.len() as u64;
            }
        }
        Ok(())
    }
}
