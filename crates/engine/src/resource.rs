//! Resources as readers see them: now, in the past, and how they came about.

use annal_event::{Commit, CommitOutcome, Position, ResourceKey, StoredEvent, Timestamp};
use annal_projection::{
    index::Order,
    resources::{Document, List, ListSpec, Lookup, Resource},
};

use crate::read::{ReadError, View};

/// Positions taken from the index at a time.
const CHUNK: usize = 256;

/// A resource as it was at some position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// It did not exist yet.
    Unmade,
    /// It was deleted.
    Deleted,
    /// It was this.
    Document {
        /// Position of its last change until then.
        revision: Position,
        /// When that was recorded.
        recorded: Timestamp,
        /// The document, compact JSON.
        text: String,
    },
}

/// One change of a resource.
#[derive(Clone, Debug)]
pub struct ResourceChange {
    /// The event that made it.
    pub event: StoredEvent,
    /// The document after it; `None` if it is deleted then.
    pub document: Option<String>,
}

/// A part of the changes of a resource, oldest first.
#[derive(Clone, Debug, Default)]
pub struct ResourceHistory {
    /// The changes.
    pub changes: Vec<ResourceChange>,
    /// Whether there are more after these.
    pub more: bool,
}

/// A part of all resources as they were at a position, in order of key.
#[derive(Clone, Debug, Default)]
pub struct ResourcesAt {
    /// Those that existed then.
    pub resources: Vec<ResourceAt>,
    /// The last key that was looked at, to go on after; `None`: that was all.
    pub next: Option<ResourceKey<'static>>,
}

/// A resource as it was at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAt {
    /// Its key.
    pub key: ResourceKey<'static>,
    /// Position of its last change until then.
    pub revision: Position,
    /// The document, compact JSON.
    pub text: String,
}

/// A document that commits are applied to, one after the other.
#[derive(Debug, Default)]
struct Fold {
    made: bool,
    revision: Position,
    recorded: Timestamp,
    text: Option<String>,
}

impl Fold {
    fn of(state: Option<(Position, Document)>) -> Fold {
        let Some((revision, document)) = state else { return Fold::default() };
        let text = document.text().map(str::to_owned);
        Fold { made: true, revision, recorded: document.recorded(), text }
    }

    /// Applies a commit; `false` if it changes nothing.
    fn apply(&mut self, stored: &StoredEvent) -> bool {
        let Ok(event) = stored.event() else { return false };
        let Ok(Some(commit)) = Commit::of(&event) else { return false };
        let text = match commit.apply(self.text.as_deref()) {
            Ok(CommitOutcome::Document(text)) => Some(text),
            Ok(CommitOutcome::Deleted) if self.text.is_some() => None,
            Ok(CommitOutcome::Deleted) | Err(_) => return false,
        };
        *self = Fold { made: true, revision: stored.position(), recorded: stored.recorded(), text };
        true
    }
}

impl View {
    /// A resource by `type/id`, a bare id, or `type-id`.
    pub fn resource(&self, name: &str) -> Result<Lookup, ReadError> {
        let rows = self.resources().view(self.head());
        Ok(self.resources().find(&rows, name)?)
    }

    /// A resource by its key, deleted or not.
    pub fn resource_of(&self, resource: &ResourceKey<'_>) -> Result<Option<Document>, ReadError> {
        let rows = self.resources().view(self.head());
        Ok(self.resources().get(&rows, resource)?)
    }

    /// A part of the list of resources.
    pub fn resource_list(&self, spec: &ListSpec) -> Result<List, ReadError> {
        let rows = self.resources().view(self.head());
        Ok(self.resources().list(&rows, spec)?)
    }

    /// A resource as it was right after the event at a position.
    pub fn resource_at(&self, resource: &ResourceKey<'_>, at: Position) -> Result<Past, ReadError> {
        let mut fold = self.fold_until(resource, at)?;
        Ok(match fold.text.take() {
            Some(text) => Past::Document { revision: fold.revision, recorded: fold.recorded, text },
            None if fold.made => Past::Deleted,
            None => Past::Unmade,
        })
    }

    /// A part of all resources as they were right after the event at a position, whatever has
    /// changed since: after a key, at most `limit` looked at, about `bytes_max` of documents. Holds
    /// on to nothing between two parts.
    pub fn resources_at(
        &self,
        at: Position,
        after: Option<&ResourceKey<'_>>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ResourcesAt, ReadError> {
        let rows = self.resources().view(self.head());
        let (found, more) = self.resources().after(&rows, after, limit, bytes_max)?;
        drop(rows);
        let next = found.last().filter(|_| more).map(|last| last.key.clone());
        let mut part = ResourcesAt { resources: Vec::with_capacity(found.len()), next };
        for Resource { key, document } in found {
            let then = match document.revision() {
                revision if revision > at => self.resource_at(&key, at)?,
                revision => match document.text() {
                    Some(text) => {
                        let text = text.to_owned();
                        Past::Document { revision, recorded: document.recorded(), text }
                    }
                    None => Past::Deleted,
                },
            };
            if let Past::Document { revision, text, .. } = then {
                part.resources.push(ResourceAt { key, revision, text });
            }
        }
        Ok(part)
    }

    /// The changes of a resource after a position, at most `limit`, about `bytes_max` of documents
    /// (at least one change all the same).
    pub fn resource_history(
        &self,
        resource: &ResourceKey<'_>,
        after: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ResourceHistory, ReadError> {
        let mut fold = self.fold_until(resource, after)?;
        let (mut history, mut bytes) = (ResourceHistory::default(), 0);
        self.commits(resource, after, self.head(), |stored| {
            if history.changes.len() >= limit || bytes > bytes_max {
                history.more = true;
                return false;
            }
            if fold.apply(&stored) {
                let document = fold.text.clone();
                bytes += document.as_ref().map_or(0, String::len);
                history.changes.push(ResourceChange { event: stored, document });
            }
            true
        })?;
        Ok(history)
    }

    /// Folds a resource up to a position: from the last state that is kept, at most a few hundred
    /// commits back.
    fn fold_until(&self, resource: &ResourceKey<'_>, upto: Position) -> Result<Fold, ReadError> {
        let upto = upto.min(self.head());
        let rows = self.resources().view(self.head());
        let mut fold = Fold::of(self.resources().state_at(&rows, resource, upto)?);
        self.commits(resource, fold.revision, upto, |stored| {
            fold.apply(&stored);
            true
        })?;
        Ok(fold)
    }

    /// Gives the commits to a resource after a position and up to another to `each`, until it
    /// answers `false`.
    fn commits(
        &self,
        resource: &ResourceKey<'_>,
        after: Position,
        upto: Position,
        mut each: impl FnMut(StoredEvent) -> bool,
    ) -> Result<(), ReadError> {
        let hidden = self.deletions().as_of(self.head());
        let mut selection =
            self.index().select_resource(resource, after, upto.next(), Order::Ascending);
        let (mut positions, mut events, mut more) = (Vec::new(), Vec::new(), true);
        while more {
            positions.clear();
            more = selection.next(CHUNK, &mut positions)?;
            positions.retain(|position| !hidden.contains(*position));
            self.log().get_many(&positions, &mut events)?;
            for stored in events.drain(..) {
                if !each(stored) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
