//! From a stretch of the log to what it changes in the index: each event is a document, each resource
//! that was touched is one, as it is at the end of the stretch.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use annal_event::{
    Commit, Data, Deletion, Event, Position, ResourceKey, SYSTEM_SOURCE, StoredEvent, Timestamp,
    json,
};
use annal_projection::{
    deletions::Hidden,
    index::Order,
    resources::Document as Row,
    search::{Applied, Change, Document, Key, Search, SearchError},
};

use crate::read::{ReadError, View};

/// Bytes of records taken at a time.
const STRETCH_BYTES: usize = 1024 * 1024;

/// Events decoded, positions taken from the index, and resources read at a time.
const CHUNK: usize = 256;

/// Bytes of documents of resources held at a time.
const ROWS_BYTES: usize = 4 * 1024 * 1024;

/// Why a stretch was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Search(#[from] SearchError),
}

impl From<annal_log::ReadError> for StepError {
    fn from(error: annal_log::ReadError) -> StepError {
        StepError::Read(error.into())
    }
}

impl From<annal_projection::index::IndexError> for StepError {
    fn from(error: annal_projection::index::IndexError) -> StepError {
        StepError::Read(error.into())
    }
}

impl From<annal_projection::store::StoreError> for StepError {
    fn from(error: annal_projection::store::StoreError) -> StepError {
        StepError::Read(error.into())
    }
}

/// What one stretch came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    /// Everything up to here was applied.
    pub(super) upto: Position,
    /// Whether it changed what can be found.
    pub(super) changed: bool,
}

/// Applies the next stretch of the log after a position, which must not be the head.
pub(super) fn apply_next(
    view: &View,
    search: &Search,
    events: bool,
    after: Position,
) -> Result<Stretch, StepError> {
    let batches = view.log().batches(after, STRETCH_BYTES)?;
    let Some(last) = batches.last() else {
        return Ok(Stretch { upto: after, changed: false });
    };
    let mut gather = Gather {
        view,
        search,
        events,
        after,
        // A deletion that could still be lost must not keep an event out.
        hidden: view.deletions().as_of(view.log().durable().min(view.head())),
        touched: BTreeMap::new(),
        changed: false,
    };
    let mut stored = Vec::with_capacity(CHUNK);
    for batch in &batches {
        let skip = (after.get() + 1).saturating_sub(batch.first().get()) as usize;
        for index in skip..batch.len() {
            stored.push(StoredEvent::new(Arc::clone(batch), index));
            if stored.len() == CHUNK {
                gather.events(&stored)?;
                stored.clear();
            }
        }
    }
    gather.events(&stored)?;
    let upto = last.last();
    gather.resources(upto)?;
    Ok(Stretch { upto, changed: gather.changed })
}

/// The last commit of a resource in the stretch, if it was not touched by a deletion alone.
type LastCommit = Option<(Position, Timestamp)>;

struct Gather<'v> {
    view: &'v View,
    search: &'v Search,
    events: bool,
    /// Where the stretch begins: what is applied before its end does not move the index on.
    after: Position,
    hidden: Hidden,
    touched: BTreeMap<ResourceKey<'static>, LastCommit>,
    changed: bool,
}

/// An event with the text that is indexed of it.
struct Readable<'e> {
    position: Position,
    recorded: Timestamp,
    event: Event<'e>,
}

impl Gather<'_> {
    fn events(&mut self, stored: &[StoredEvent]) -> Result<(), StepError> {
        let mut ready = Vec::with_capacity(stored.len());
        for stored in stored {
            let Some(readable) = Readable::of(stored) else { continue };
            if readable.event.source == SYSTEM_SOURCE {
                if let Ok(Some(deletion)) = Deletion::of(&readable.event) {
                    // In order: what it deletes must be there by then.
                    self.put(&ready)?;
                    ready.clear();
                    self.deletion(readable.position, &deletion)?;
                }
                continue;
            }
            if let Ok(Some(commit)) = Commit::of(&readable.event) {
                let last = Some((readable.position, readable.time()));
                self.touched.insert(commit.key.into_owned(), last);
            }
            if self.events && !self.hidden.contains(readable.position) {
                ready.push(readable);
            }
        }
        self.put(&ready)
    }

    fn put(&mut self, events: &[Readable<'_>]) -> Result<(), StepError> {
        let texts: Vec<Cow<'_, str>> = events.iter().map(Readable::text).collect();
        let changes = events.iter().zip(&texts).map(|(readable, text)| {
            Change::Put(Document {
                key: Key::Event(readable.position),
                doc_type: &readable.event.ty,
                subject: readable.event.subject.as_deref(),
                source: Some(&readable.event.source),
                position: readable.position,
                time: readable.time(),
                content: text,
            })
        });
        let applied = self.search.apply(changes, self.after)?;
        self.note(applied);
        Ok(())
    }

    /// Removes what a deletion speaks of. Its resources are folded anew.
    fn deletion(&mut self, by: Position, deletion: &Deletion) -> Result<(), StepError> {
        let from = deletion.from.prev();
        let query = deletion.query();
        let mut selection = self.view.index().select(&query, from, by, Order::Ascending);
        let (mut positions, mut deleted, mut more) = (Vec::new(), Vec::new(), true);
        while more {
            positions.clear();
            deleted.clear();
            more = selection.next(CHUNK, &mut positions)?;
            if self.events {
                let gone = positions.iter().map(|position| Change::Remove(Key::Event(*position)));
                let applied = self.search.apply(gone, self.after)?;
                self.note(applied);
            }
            self.view.log().get_many(&positions, &mut deleted)?;
            for readable in deleted.iter().filter_map(Readable::of) {
                if let Ok(Some(commit)) = Commit::of(&readable.event) {
                    self.touched.entry(commit.key.into_owned()).or_insert(None);
                }
            }
        }
        Ok(())
    }

    /// Puts every resource that was touched as it is at the end of the stretch.
    ///
    /// Rows on disk may be newer than that. Such a resource is left for later: its revision is
    /// durable, so the log will bring it up again.
    fn resources(&mut self, upto: Position) -> Result<(), StepError> {
        let rows = self.view.resources().view(upto);
        let mut touched = std::mem::take(&mut self.touched).into_iter().peekable();
        while touched.peek().is_some() {
            let (mut found, mut bytes) = (Vec::with_capacity(CHUNK), 0);
            while found.len() < CHUNK && bytes < ROWS_BYTES {
                let Some((resource, last)) = touched.next() else { break };
                let row = self.view.resources().get(&rows, &resource)?;
                if row.as_ref().is_some_and(|row| row.revision() > upto) {
                    continue;
                }
                let time = match &row {
                    Some(row) => self.time(row, last)?,
                    None => Timestamp::default(),
                };
                bytes += row.as_ref().and_then(Row::text).map_or(0, str::len);
                found.push((resource.to_string(), resource, row, time));
            }
            let changes = found.iter().map(|(key, resource, row, time)| {
                let key = Key::Resource(Cow::Borrowed(key.as_str()));
                match row.as_ref().and_then(|row| Some((row, row.text()?))) {
                    None => Change::Remove(key),
                    Some((row, content)) => Change::Put(Document {
                        key,
                        doc_type: resource.ty(),
                        subject: row.subject(),
                        source: None,
                        position: row.revision(),
                        time: *time,
                        content,
                    }),
                }
            });
            let applied = self.search.apply(changes, self.after)?;
            self.note(applied);
        }
        // From here on the stretch is applied as a whole.
        self.search.apply([], upto)?;
        Ok(())
    }

    /// The time of the commit that made a resource what it is.
    fn time(&self, row: &Row, last: LastCommit) -> Result<Timestamp, ReadError> {
        if let Some((position, time)) = last
            && position == row.revision()
        {
            return Ok(time);
        }
        let made = self.view.stored(row.revision())?;
        let time = made.as_ref().and_then(Readable::of).map(|readable| readable.time());
        Ok(time.unwrap_or(row.recorded()))
    }

    fn note(&mut self, applied: Applied) {
        self.changed |= applied.put > 0 || applied.replaced > 0;
        if applied.refused > 0 {
            tracing::warn!(
                refused = applied.refused,
                "documents with too long a key are not found"
            );
        }
    }
}

impl<'e> Readable<'e> {
    /// `None`, said in the log, if the record is damaged: no read shows it either.
    fn of(stored: &'e StoredEvent) -> Option<Readable<'e>> {
        let (position, recorded) = (stored.position(), stored.recorded());
        match stored.event() {
            Ok(event) => Some(Readable { position, recorded, event }),
            Err(error) => {
                tracing::error!(%error, position = position.get(), "a damaged record is not found");
                None
            }
        }
    }

    fn time(&self) -> Timestamp {
        let time = self.event.time.as_deref().and_then(|time| time.parse().ok());
        time.unwrap_or(self.recorded)
    }

    /// JSON that is indexed; text of another kind as a JSON string, bytes as nothing.
    fn text(&self) -> Cow<'_, str> {
        data_text(&self.event.data).unwrap_or_default()
    }
}

/// What search finds of an event's data, as JSON text; `None` for bytes and for no data.
pub fn data_text<'d>(data: &'d Data<'_>) -> Option<Cow<'d, str>> {
    match data {
        Data::Json(text) => Some(Cow::Borrowed(text)),
        Data::Text(text) => {
            let mut literal = Vec::with_capacity(text.len() + 2);
            json::write_string(&mut literal, text);
            Some(Cow::Owned(String::from_utf8(literal).unwrap_or_default()))
        }
        Data::None | Data::Bytes(_) | Data::Proto(..) => None,
    }
}
