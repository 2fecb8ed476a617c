//! Bringing projections up to the head when a directory is opened (INV-4): what was missing, damaged
//! or of another version is folded from the log again, and says so.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use annal_event::{
    ConsumerEvent, Deletion, Pattern, Position, Query, SUBJECT_DELETED, SYSTEM_SOURCE, Selector,
    StoredEvent,
};
use annal_projection::{
    consumers::Consumers,
    draft::Draft,
    index::{Index, IndexError, Opened, Order},
    resources::{Place, Resources, Rules},
    store::{self, Store, StoreError},
    topics::Topics,
};
use annal_storage::Storage;

use crate::{
    effects,
    engine::{INDEX_DIR, OpenError, STORE_PATH},
    read::{ReadError, View},
    registers::Registers,
};

/// Bytes read from the log at a time.
const FOLD_BYTES: usize = 4 * 1024 * 1024;

/// Positions taken from the index at a time.
const CHUNK: usize = 1_024;

/// Each of the two is damaged once, if at all; more often, and it is the disk.
const CLEARED_MAX: u32 = 2;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Tells how far something has come, now and then.
struct Progress {
    what: &'static str,
    from: Position,
    head: Position,
    begun: Instant,
    told: Instant,
}

impl Progress {
    fn new(what: &'static str, from: Position, head: Position) -> Progress {
        let now = Instant::now();
        Progress { what, from, head, begun: now, told: now }
    }

    fn at(&mut self, folded: Position) {
        if self.told.elapsed() > TELL_EVERY {
            self.told = Instant::now();
            tracing::info!(folded = folded.0, head = self.head.0, "{} catching up", self.what);
        }
    }

    fn done(self) {
        if self.head > self.from {
            let ms = self.begun.elapsed().as_millis() as u64;
            tracing::info!(events = self.head.0 - self.from.0, ms, "{} caught up", self.what);
        }
    }
}

/// Brings everything up to the head, and registers in line with it. What turns out to be damaged
/// meanwhile is folded from the beginning.
pub(crate) fn all(view: &View, registers: &Registers) -> Result<(), OpenError> {
    let mut cleared = 0;
    loop {
        let caught_up = index(view)
            .and_then(|()| deletions(view))
            .and_then(|()| rows(view))
            .and_then(|()| keep_registers(view, registers));
        let error = match caught_up {
            Err(error) if cleared < CLEARED_MAX => error,
            done => return done,
        };
        match damaged(&error) {
            Some(Part::Index) => view.index().clear()?,
            Some(Part::Rows) => {
                view.resources().rollback(Position::ZERO);
                view.topics().rollback(Position::ZERO);
                view.store().clear()?;
            }
            None => return Err(error),
        }
        cleared += 1;
        tracing::warn!(%error, "what is damaged is built anew");
    }
}

/// What can be folded again.
enum Part {
    Index,
    Rows,
}

fn damaged(error: &OpenError) -> Option<Part> {
    match error {
        OpenError::Index(IndexError::Damaged { .. })
        | OpenError::Rows(ReadError::Index(IndexError::Damaged { .. })) => Some(Part::Index),
        OpenError::Store(StoreError::Damaged { .. })
        | OpenError::Rows(ReadError::Store(StoreError::Damaged { .. })) => Some(Part::Rows),
        _ => None,
    }
}

/// Folds what the log has and the index has not.
fn index(view: &View) -> Result<(), OpenError> {
    let (index, head) = (view.index(), view.head());
    if let Opened::Empty { reason } = index.opened()
        && head > Position::ZERO
    {
        tracing::info!(reason, "the index is built anew");
    }
    check(index.folded(), head)?;
    let mut progress = Progress::new("index", index.folded(), head);
    while index.folded() < head {
        for batch in view.log().batches(index.folded(), FOLD_BYTES)? {
            index.fold(&batch)?;
        }
        while index.stats().tables > 1 && index.maintain(head)? {}
        progress.at(index.folded());
    }
    progress.done();
    Ok(())
}

/// What was durable once, by what projections have on disk: a whole log comes at least so far.
pub fn was_durable(storage: &Arc<dyn Storage>) -> Result<Position, OpenError> {
    let rows = Store::checkpoint_in(Arc::clone(storage), STORE_PATH)?.unwrap_or(Position::ZERO);
    Ok(rows.max(Index::written_in(storage, INDEX_DIR)?))
}

/// Only what is durable is ever written, so a projection cannot be ahead of a whole log.
fn check(folded: Position, head: Position) -> Result<(), OpenError> {
    if folded > head {
        return Err(OpenError::LogIsShort { head, folded });
    }
    Ok(())
}

/// Hides again what users have deleted: the deletions are in the log, and the index says which
/// events they speak of.
fn deletions(view: &View) -> Result<(), OpenError> {
    let own = Selector {
        sources: vec![SYSTEM_SOURCE.to_owned()],
        types: vec![Pattern::Exact(SUBJECT_DELETED.to_owned())],
        ..Selector::default()
    };
    for by in found(view, &Query::one(own), Position::ZERO, Position::MAX)? {
        if let Some(stored) = view.log().get(by)?
            && let Some(deletion) = deletion(&stored)?
        {
            let events = found(view, &deletion.query(), deletion.from.prev(), by)?;
            view.deletions().hide(by, &events, by);
        }
    }
    Ok(())
}

fn deletion(stored: &StoredEvent) -> Result<Option<Deletion>, OpenError> {
    let damaged = |source| OpenError::Record { position: stored.position(), source };
    Deletion::of(&stored.event().map_err(damaged)?).map_err(damaged)
}

fn found(
    view: &View,
    query: &Query,
    after: Position,
    before: Position,
) -> Result<Vec<Position>, IndexError> {
    let mut selection = view.index().select(query, after, before, Order::Ascending);
    let mut found = Vec::new();
    while selection.next(CHUNK, &mut found)? {}
    Ok(found)
}

/// Opens what keeps rows in a store; one that turns out to be damaged is emptied first.
pub(crate) fn open_rows(
    store: &Arc<Store>,
    rules: Rules,
) -> Result<(Resources, Topics), StoreError> {
    let open = || {
        let resources = Resources::open(Arc::clone(store), rules)?;
        Ok((resources, Topics::open(Arc::clone(store))?))
    };
    open().or_else(|error| {
        if !matches!(error, StoreError::Damaged { .. }) {
            return Err(error);
        }
        tracing::warn!(%error, "rows are built anew");
        store.clear()?;
        open()
    })
}

/// Folds the events that change rows and that the store has not.
fn rows(view: &View) -> Result<(), OpenError> {
    let (store, head) = (view.store(), view.head());
    if let store::Opened::Empty { reason } = store.opened()
        && head > Position::ZERO
    {
        tracing::info!(reason, "rows are built anew");
    }
    check(store.folded(), head)?;
    let mut progress = Progress::new("rows", store.folded(), head);
    let query = marked();
    let index = view.index();
    let mut selection =
        index.select_with_topics(&query, store.folded(), head.next(), Order::Ascending);
    let (mut positions, mut events, mut more) = (Vec::new(), Vec::new(), true);
    while more {
        positions.clear();
        events.clear();
        more = selection.next(CHUNK, &mut positions)?;
        view.log().get_many(&positions, &mut events)?;
        for stored in &events {
            fold(view, stored)?;
        }
        if store.overlay_bytes() > view_bytes_max() {
            store.flush(view.log().durable().min(head))?;
        }
        progress.at(store.folded());
    }
    store.advance(head);
    progress.done();
    Ok(())
}

/// Forgets the registers of consumers that are not there.
fn keep_registers(view: &View, registers: &Registers) -> Result<(), OpenError> {
    let consumers = view.consumers().list(view.head(), usize::MAX)?;
    let is_there = |id: &str| consumers.iter().any(|consumer| consumer.spec.id == id);
    Ok(registers.retain_consumers(is_there)?)
}

/// Rows kept in memory while they are folded again.
const fn view_bytes_max() -> usize {
    64 * 1024 * 1024
}

/// The events that may change rows, but for those of topics.
fn marked() -> Query {
    let types = ["json.commit", "nl.vng.zaken.json-commit.v1"];
    let commits = Selector {
        types: types.iter().map(|ty| Pattern::Exact((*ty).to_owned())).collect(),
        ..Selector::default()
    };
    let own = Selector { sources: vec![SYSTEM_SOURCE.to_owned()], ..Selector::default() };
    Query { any: vec![commits, own] }
}

fn fold(view: &View, stored: &StoredEvent) -> Result<(), OpenError> {
    let position = stored.position();
    let damaged = |source| OpenError::Record { position, source };
    let event = stored.event().map_err(damaged)?;
    let mut draft = Draft::new(view.store());
    let place = Place { position, recorded: stored.recorded() };
    let (mut schema, mut topic) = (None, None);
    if let Some(deletion) = Deletion::of(&event).map_err(damaged)? {
        refold(view, &mut draft, position, &deletion)?;
    } else if let Some(about) = ConsumerEvent::of(&event).map_err(damaged)? {
        Consumers::fold(&mut draft, &about, place)?;
    } else {
        schema = view.resources().fold(&mut draft, &event, place)?;
        topic = view.topics().fold(&mut draft, &event, position)?;
    }
    draft.end_event(position);
    for (position, changes) in draft.finish() {
        view.store().stage(position, changes);
    }
    if let Some(schema) = schema {
        view.resources().set_schema(schema, position, position);
    }
    if let Some(topic) = topic {
        view.topics().set(topic, position, position);
    }
    Ok(())
}

fn refold(
    view: &View,
    draft: &mut Draft,
    by: Position,
    deletion: &Deletion,
) -> Result<(), OpenError> {
    let hidden = found(view, &deletion.query(), deletion.from.prev(), by)?;
    // All of them, later ones too: what those hide is folded anew when their turn comes.
    let all = view.deletions().as_of(Position::MAX);
    let stored = |position: Position| {
        let missing = || ReadError::Missing { position };
        view.stored(position)?.ok_or_else(missing)
    };
    effects::refold(view, draft, by, &hidden, |at| all.contains(at), stored)
        .map(drop)
        .map_err(|error: ReadError| OpenError::Rows(error))
}
