//! What an append changes besides the log: what a deletion hides, what commits make of resources,
//! which schemas and topics come into force, which numbers events get in their topics. Worked out
//! while it is decided, staged with it, taken back with it.

use std::collections::BTreeSet;

use annal_event::{
    Commit, ConsumerEvent, Deletion, Pattern, Position, Query, ResourceKey, Selector, StoredEvent,
    Timestamp,
};
use annal_projection::{
    consumers::Consumers,
    draft::Draft,
    index::Order,
    resources::{self, Place, SchemaChange},
    schema::Looks,
    store::Change,
    topics::{self, Judged, TopicChange, number_of},
};

use crate::{
    append::{Append, AppendError},
    decide::{CHUNK, Failure, Head, Known, decode},
    read::View,
};

/// A changed schema is tried on the newest stored events of its type: so many, and so many bytes of
/// them. Others wait meanwhile.
const SUITED_EVENTS_MAX: usize = 1_000;
const SUITED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is staged beside the events of an append.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// The earlier events that an event of this append hides, and where that one will stand.
    pub(crate) hides: Option<(Position, Vec<Position>)>,
    /// The ids of the events that came without, in order.
    pub(crate) ids: Vec<String>,
    rows: Vec<(Position, Vec<Change>)>,
    schemas: Vec<(Position, SchemaChange)>,
    topics: Vec<(Position, TopicChange)>,
}

/// What came of working them out.
pub(crate) enum Outcome {
    Effects(Effects),
    /// The append would change nothing at all.
    Nothing,
}

/// Judges the events of an append that mean something to the store itself, in order, each on top of
/// those before it.
pub(crate) fn work_out(
    head: &Head<'_>,
    append: &Append,
    known: &[Known],
    recorded: Timestamp,
) -> Result<Outcome, Failure> {
    let mut effects = Effects::default();
    let mut draft = None;
    for index in append.events.marked().iter().map(|index| *index as usize) {
        let (new, position) = head.place(known, index);
        if !new {
            continue;
        }
        let event = decode(append.events.record(index))?;
        let place = Place { position, recorded };
        let draft = draft.get_or_insert_with(|| Draft::new(head.view.store()));
        if let Some(deletion) = Deletion::of(&event)? {
            let hidden = head.matches(&deletion)?;
            if hidden.is_empty() {
                return Ok(Outcome::Nothing);
            }
            let lost = head.forget(draft, position, &hidden)?;
            for resource in lost.iter().filter(|_| !append.checks.force) {
                let judged = head.view.resources().unreferenced(draft, resource);
                judged.map_err(|failure| refused(failure, index))?;
            }
            effects.hides = Some((position, hidden));
        } else if let Some(about) = ConsumerEvent::of(&event)? {
            Consumers::fold(draft, &about, place).map_err(|error| Failure::Read(error.into()))?;
        } else {
            let judged = head.view.resources().judge(draft, &event, place, &append.checks);
            let schema = judged.map_err(|failure| refused(failure, index))?;
            effects.schemas.extend(schema.map(|change| (position, change)));
            let judged = head.view.topics().judge(draft, &event, position);
            match judged.map_err(|failure| refused_by_topic(failure, index))? {
                Judged::Nothing => {}
                Judged::Numbered(number) => {
                    let topic = event.topic().unwrap_or_default();
                    if append.events.unnamed().binary_search(&(index as u32)).is_ok() {
                        effects.ids.push(format!("{topic}-{number}"));
                    } else if number_of(topic, &event.id).is_some_and(|other| other != number) {
                        let (topic, id) = (topic.to_owned(), event.id.to_string());
                        let refusal = topics::Refusal::OtherNumber { topic, id, number };
                        return Err(refused_by_topic(refusal.into(), index));
                    }
                }
                Judged::Changes(change) => {
                    if !append.checks.force {
                        head.suits_stored(&change, index)?;
                    }
                    effects.topics.push((position, change));
                }
            }
        }
        draft.end_event(position);
    }
    effects.rows = draft.map(Draft::finish).unwrap_or_default();
    Ok(Outcome::Effects(effects))
}

fn refused(failure: resources::Failure, index: usize) -> Failure {
    match failure {
        resources::Failure::Refused(refusal) => {
            Failure::Refused(AppendError::Refused { index, refusal: Box::new(refusal) })
        }
        resources::Failure::Store(error) => Failure::Read(error.into()),
    }
}

fn refused_by_topic(failure: topics::Failure, index: usize) -> Failure {
    match failure {
        topics::Failure::Refused(refusal) => {
            Failure::Refused(AppendError::RefusedByTopic { index, refusal: Box::new(refusal) })
        }
        topics::Failure::Store(error) => Failure::Read(error.into()),
    }
}

impl Head<'_> {
    /// Refuses a change of a topic that its newest events would break.
    fn suits_stored(&self, change: &TopicChange, index: usize) -> Result<(), Failure> {
        let topic = change.topic();
        if change.types().is_empty() {
            return Ok(());
        }
        let query = Query::one(Selector {
            topics: vec![topic.name.clone()],
            types: change.types().iter().cloned().map(Pattern::Exact).collect(),
            ..Selector::default()
        });
        let none = (Position::ZERO, Position::MAX);
        let mut selection = self.view.index().select(&query, none.0, none.1, Order::Descending);
        let (mut found, mut more) = (Vec::new(), true);
        while more && found.len() < SUITED_EVENTS_MAX {
            more = selection.next(CHUNK, &mut found)?;
            found.retain(|position| !self.hidden.contains(*position));
        }
        found.truncate(SUITED_EVENTS_MAX);
        let (mut bytes, mut looks) = (0, Looks::default());
        for position in found {
            let stored = self.stored(position)?;
            bytes += stored.record().len();
            if bytes > SUITED_BYTES_MAX {
                break;
            }
            let event = decode(stored.record())?;
            let errors = change.errors(&event, &mut looks);
            if !errors.is_empty() {
                let refusal = topics::Refusal::StoredEvent {
                    topic: topic.name.clone(),
                    ty: event.ty.to_string(),
                    id: event.id.to_string(),
                    position,
                    errors,
                };
                return Err(refused_by_topic(topics::Failure::Refused(refusal), index));
            }
        }
        Ok(())
    }

    /// Folds anew every resource that loses a commit; those that are lost by that.
    fn forget(
        &self,
        draft: &mut Draft,
        by: Position,
        hidden: &[Position],
    ) -> Result<Vec<ResourceKey<'static>>, Failure> {
        let is_gone = |at: Position| self.hidden.contains(at) || hidden.binary_search(&at).is_ok();
        let stored = |at: Position| self.stored(at);
        refold(self.view, draft, by, hidden, is_gone, stored)
    }
}

/// Folds anew every resource of which commits are among `hidden`, from those that are left before
/// `by`. Those that had a document before and have none after.
pub(crate) fn refold<E: From<crate::read::ReadError>>(
    view: &View,
    draft: &mut Draft,
    by: Position,
    hidden: &[Position],
    is_gone: impl Fn(Position) -> bool,
    stored: impl Fn(Position) -> Result<StoredEvent, E>,
) -> Result<Vec<ResourceKey<'static>>, E> {
    let mut resources = BTreeSet::new();
    for position in hidden {
        let stored = stored(*position)?;
        let commit = stored.event().ok().and_then(|event| {
            let commit = Commit::of(&event).ok()??;
            Some(commit.key.into_owned())
        });
        resources.extend(commit);
    }
    let mut lost = Vec::new();
    for resource in resources {
        let left = left_of(view, &resource, by).map_err(E::from)?;
        let left: Result<Vec<_>, E> =
            left.into_iter().filter(|at| !is_gone(*at)).map(&stored).collect();
        let refolded = view.resources().refold(draft, &resource, left?);
        if refolded.map_err(|error| E::from(error.into()))? {
            lost.push(resource);
        }
    }
    Ok(lost)
}

fn left_of(
    view: &View,
    resource: &ResourceKey<'_>,
    by: Position,
) -> Result<Vec<Position>, crate::read::ReadError> {
    let mut found = Vec::new();
    let mut selection =
        view.index().select_resource(resource, Position::ZERO, by, Order::Ascending);
    while selection.next(CHUNK, &mut found)? {}
    Ok(found)
}

impl Effects {
    /// Stages them, in the order of the events. Before the events are: whoever sees the events must
    /// see what they change.
    pub(crate) fn stage(self, view: &View) {
        let visible = view.head();
        if let Some((by, events)) = self.hides {
            view.deletions().hide(by, &events, visible);
        }
        for (position, changes) in self.rows {
            view.store().stage(position, changes);
        }
        for (position, change) in self.schemas {
            view.resources().set_schema(change, position, visible);
        }
        for (position, change) in self.topics {
            view.topics().set(change, position, visible);
        }
    }
}

/// Takes back what was staged after a position.
pub(crate) fn rollback(view: &View, to: Position) -> Result<(), String> {
    view.deletions().rollback(to);
    view.resources().rollback(to);
    view.topics().rollback(to);
    view.store().rollback(to).map_err(|error| error.to_string())?;
    view.index().rollback(to).map_err(|error| error.to_string())
}
