//! Deciding: what an append would do at the head, committed and staged events together.
//!
//! Dedupe first (INV-3), then preconditions: a retry must succeed although its own events now break
//! its checks. Nothing here changes anything.

use annal_event::{
    Actual, Deletion, Encoded, Event, EventError, Identity, Position, Precondition, Query,
    StoredEvent, SubjectCheck, Timestamp, proto,
};
use annal_projection::{
    deletions::Hidden,
    index::{IndexError, Order, SubjectState},
    resources::Lookup,
    store::StoreError,
};

use crate::{
    append::{Append, AppendError, FailedPrecondition, Holder},
    effects::{self, Effects, Outcome},
    read::{ReadError, View},
    stage::Stage,
};

/// Positions taken from the index at a time.
pub(crate) const CHUNK: usize = 256;

/// What an append will do.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The events that are new are stored.
    Store(Store),
    /// There is nothing to be done.
    Nothing,
    /// Nothing may be stored.
    Refused(AppendError),
}

/// What an append stores.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// For each event what it is; empty when every one is new.
    pub(crate) known: Vec<Known>,
    /// What changes besides the log.
    pub(crate) effects: Effects,
    /// The events with the ids that they have been given, if some came without.
    pub(crate) named: Option<Box<Named>>,
}

/// Events of which some came without an id.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) events: Encoded,
    /// The ids given, in order.
    pub(crate) ids: Vec<String>,
}

/// Whether an event is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is new.
    No,
    /// It stands at this position.
    At(Position),
    /// It is the same as an earlier event of this append.
    Twin(usize),
}

/// The head of the log as the writer sees it: what is visible, and what is staged behind it.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) view: &'a View,
    pub(crate) stage: &'a Stage,
    /// The last position decided.
    pub(crate) last: Position,
    /// What users have deleted so far.
    pub(crate) hidden: Hidden,
    /// When what is decided now will be recorded.
    pub(crate) time: Timestamp,
}

/// Buffers that deciding uses again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    found: Vec<(usize, Position)>,
    sorted: Vec<(Identity, u32)>,
}

pub(crate) fn decide(head: &Head<'_>, append: &Append, scratch: &mut Scratch) -> Decision {
    match decide_inner(head, append, scratch) {
        Ok(decision) => decision,
        Err(Failure::Refused(error)) => Decision::Refused(error),
        Err(Failure::Read(error)) => Decision::Refused(AppendError::Unavailable {
            reason: format!("the head cannot be read: {error}"),
        }),
    }
}

pub(crate) enum Failure {
    Refused(AppendError),
    Read(ReadError),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        Failure::Read(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Read(error.into())
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Failure {
        Failure::Read(error.into())
    }
}

fn decide_inner(
    head: &Head<'_>,
    append: &Append,
    scratch: &mut Scratch,
) -> Result<Decision, Failure> {
    let known = dedupe(head, &append.events, scratch)?;
    let nothing_new = known.iter().all(|known| *known != Known::No);
    if !append.events.is_empty() && !known.is_empty() && nothing_new {
        return Ok(Decision::Store(Store { known, ..Store::default() }));
    }
    let failed = check(head, &append.preconditions)?;
    if !failed.is_empty() {
        let error = AppendError::PreconditionFailed { failed, head: head.last };
        return Err(Failure::Refused(error));
    }
    match effects::work_out(head, append, &known, head.time)? {
        Outcome::Effects(mut effects) => {
            let ids = std::mem::take(&mut effects.ids);
            let named = if ids.is_empty() {
                None
            } else {
                Some(Box::new(Named { events: append.events.with_ids(&ids)?, ids }))
            };
            Ok(Decision::Store(Store { known, effects, named }))
        }
        Outcome::Nothing => Ok(Decision::Nothing),
    }
}

/// Empty when every event is new.
fn dedupe(head: &Head<'_>, events: &Encoded, scratch: &mut Scratch) -> Result<Vec<Known>, Failure> {
    scratch.found.clear();
    head.view.index().identities(events.identities(), &mut scratch.found)?;
    let twins = shares_identity(events, scratch);
    if scratch.found.is_empty() && !twins {
        return Ok(Vec::new());
    }
    let mut known = vec![Known::No; events.len()];
    for (index, position) in scratch.found.iter().copied() {
        let stored = head.stored(position)?;
        let with = Holder::Stored(position);
        let conflict = AppendError::IdentityConflict { index, with };
        if same_event(stored.record(), events.record(index), conflict)? {
            known[index] = Known::At(position);
        }
    }
    if twins {
        find_twins(events, &scratch.sorted, &mut known)?;
    }
    let any = known.iter().any(|known| *known != Known::No);
    Ok(if any { known } else { Vec::new() })
}

/// Whether two events of one append have the same identity hash; leaves them sorted by it.
fn shares_identity(events: &Encoded, scratch: &mut Scratch) -> bool {
    if events.len() < 2 {
        return false;
    }
    scratch.sorted.clear();
    scratch.sorted.extend(events.identities().iter().copied().zip(0..));
    scratch.sorted.sort_unstable();
    scratch.sorted.windows(2).any(|pair| pair[0].0 == pair[1].0)
}

/// Marks the events that repeat an earlier one of the same append. Each is compared with the first
/// of its kind only, so that many copies of one event cost no more than many events.
fn find_twins(
    events: &Encoded,
    sorted: &[(Identity, u32)],
    known: &mut [Known],
) -> Result<(), Failure> {
    for alike in sorted.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
        let mut firsts: Vec<usize> = Vec::new();
        'next: for index in alike.iter().map(|(_, index)| *index as usize) {
            if known[index] != Known::No {
                continue;
            }
            for first in &firsts {
                let with = Holder::Event(*first);
                let conflict = AppendError::IdentityConflict { index, with };
                if same_event(events.record(*first), events.record(index), conflict)? {
                    known[index] = Known::Twin(*first);
                    continue 'next;
                }
            }
            firsts.push(index);
        }
    }
    Ok(())
}

/// Whether two records are the same event. Same identity with other content is `conflict`; another
/// identity (the hashes collided) is not the same.
fn same_event(stored: &[u8], new: &[u8], conflict: AppendError) -> Result<bool, Failure> {
    if stored == new {
        return Ok(true);
    }
    let (Ok(stored), Ok(new)) = (proto::decode_record(stored), proto::decode_record(new)) else {
        let reason = "a stored record is damaged; run `annal verify`".to_owned();
        return Err(Failure::Refused(AppendError::Unavailable { reason }));
    };
    if stored.source != new.source || stored.id != new.id {
        return Ok(false);
    }
    if stored.content_eq(&new) { Ok(true) } else { Err(Failure::Refused(conflict)) }
}

fn check(
    head: &Head<'_>,
    preconditions: &[Precondition],
) -> Result<Vec<FailedPrecondition>, Failure> {
    let mut failed = Vec::new();
    for (index, precondition) in preconditions.iter().enumerate() {
        if let Some(actual) = head.judge(index, precondition)? {
            failed.push(FailedPrecondition { index, actual });
        }
    }
    Ok(failed)
}

impl Head<'_> {
    /// Whether an event of an append is new, and the position that it then gets.
    pub(crate) fn place(&self, known: &[Known], index: usize) -> (bool, Position) {
        if known.is_empty() {
            return (true, self.last.plus(index as u64 + 1));
        }
        let before = known[..index].iter().filter(|known| **known == Known::No).count();
        (known[index] == Known::No, self.last.plus(before as u64 + 1))
    }

    /// The events that a deletion hides and that are not hidden yet.
    pub(crate) fn matches(&self, deletion: &Deletion) -> Result<Vec<Position>, Failure> {
        let from = deletion.from.prev();
        let query = deletion.query();
        let mut selection = self.view.index().select(&query, from, Position::MAX, Order::Ascending);
        let mut found = Vec::new();
        while selection.next(CHUNK, &mut found)? {}
        found.retain(|position| !self.hidden.contains(*position));
        Ok(found)
    }

    /// The event at any position up to the last decided.
    pub(crate) fn stored(&self, position: Position) -> Result<StoredEvent, Failure> {
        if position > self.view.head()
            && let Some(stored) = self.stage.stored(position)
        {
            return Ok(stored);
        }
        // What is no longer staged has become visible.
        self.view.stored(position)?.ok_or_else(|| {
            let reason = format!("the index names position {position}, the log has no such");
            Failure::Refused(AppendError::Unavailable { reason })
        })
    }

    /// `None` if it holds, else what was found.
    fn judge(&self, index: usize, precondition: &Precondition) -> Result<Option<Actual>, Failure> {
        match precondition {
            Precondition::Subject { subject, recursive, is } => {
                self.judge_subject(subject, *recursive, is)
            }
            Precondition::Absent { query, after } => {
                let first = self.first_match(query, *after)?;
                first.map(|position| self.describe(position)).transpose()
            }
            Precondition::Present { query } => {
                let there = self.first_match(query, Position::ZERO)?.is_some();
                Ok((!there).then(|| Actual { count: Some(0), ..Actual::default() }))
            }
            Precondition::Count { query, op, n } => {
                // Past n + 1 every comparison has its answer.
                let count = self.count(query, n.saturating_add(2))?;
                let actual = Actual { count: Some(count), ..Actual::default() };
                Ok((!op.holds(count, *n)).then_some(actual))
            }
            Precondition::Resource { id, revision } => self.judge_resource(index, id, *revision),
            Precondition::Head { position } => {
                let actual = Actual { position: Some(self.last), ..Actual::default() };
                Ok((self.last != *position).then_some(actual))
            }
        }
    }

    fn judge_resource(
        &self,
        index: usize,
        name: &str,
        revision: Option<Position>,
    ) -> Result<Option<Actual>, Failure> {
        let view = self.view.resources().view(Position::MAX);
        let found = match self.view.resources().find(&view, name)? {
            Lookup::One(resource) => Some(resource.document),
            Lookup::Nothing => None,
            Lookup::Several(_) => {
                let reason = "several resources have this name; give it as type/id";
                return Err(Failure::Refused(AppendError::Unsupported { index, reason }));
            }
        };
        let there = found.filter(|document| !document.is_deleted());
        let actual = there.map(|document| document.revision());
        Ok((actual != revision).then(|| Actual { revision: actual, ..Actual::default() }))
    }

    fn judge_subject(
        &self,
        subject: &str,
        recursive: bool,
        is: &SubjectCheck,
    ) -> Result<Option<Actual>, Failure> {
        let state = self.subject(subject, recursive)?;
        let holds = match is {
            SubjectCheck::None => state.last == Position::ZERO,
            SubjectCheck::Exists => state.last > Position::ZERO,
            SubjectCheck::Version(version) => state.version == *version,
            SubjectCheck::LastPosition(position) => state.last == *position,
            SubjectCheck::LastEvent { id, source } => {
                state.last > Position::ZERO && {
                    let stored = self.stored(state.last)?;
                    let last = decode(stored.record())?;
                    last.id == *id && source.as_ref().is_none_or(|source| last.source == *source)
                }
            }
        };
        if holds {
            return Ok(None);
        }
        let mut actual = Actual { version: Some(state.version), ..Actual::default() };
        if state.last > Position::ZERO {
            actual = Actual { version: Some(state.version), ..self.describe(state.last)? };
        }
        Ok(Some(actual))
    }

    /// Its version counts every event it ever had; its last event is one that is still there.
    fn subject(&self, subject: &str, recursive: bool) -> Result<SubjectState, Failure> {
        let mut state = self.view.index().subject(subject, recursive, Position::MAX)?;
        if self.hidden.contains(state.last) {
            let whole =
                Deletion { subject: subject.to_owned(), recursive, ty: None, from: Position::ZERO };
            let last = self.first_undeleted(&whole.query(), Position::ZERO, Order::Descending)?;
            state.last = last.unwrap_or_default();
        }
        Ok(state)
    }

    fn first_match(&self, query: &Query, after: Position) -> Result<Option<Position>, Failure> {
        self.first_undeleted(query, after, Order::Ascending)
    }

    fn first_undeleted(
        &self,
        query: &Query,
        after: Position,
        order: Order,
    ) -> Result<Option<Position>, Failure> {
        let mut selection = self.view.index().select(query, after, Position::MAX, order);
        // Most often the first is the one.
        let (mut found, mut chunk, mut more) = (Vec::new(), 1, true);
        while more {
            found.clear();
            more = selection.next(chunk, &mut found)?;
            if let Some(first) = found.iter().find(|position| !self.hidden.contains(**position)) {
                return Ok(Some(*first));
            }
            chunk = CHUNK;
        }
        Ok(None)
    }

    /// How many events match, counted no further than `stop_at`.
    fn count(&self, query: &Query, stop_at: u64) -> Result<u64, Failure> {
        let index = self.view.index();
        if self.hidden.is_empty() {
            return Ok(index.count(query, Position::ZERO, Position::MAX, stop_at)?);
        }
        let mut selection = index.select(query, Position::ZERO, Position::MAX, Order::Ascending);
        let (mut found, mut count, mut more) = (Vec::new(), 0, true);
        while more && count < stop_at {
            found.clear();
            more = selection.next(CHUNK, &mut found)?;
            found.retain(|position| !self.hidden.contains(*position));
            count += found.len() as u64;
        }
        Ok(count.min(stop_at))
    }

    fn describe(&self, position: Position) -> Result<Actual, Failure> {
        let stored = self.stored(position)?;
        let event = decode(stored.record())?;
        Ok(Actual {
            position: Some(position),
            id: Some(event.id.clone().into_owned()),
            source: Some(event.source.clone().into_owned()),
            ..Actual::default()
        })
    }
}

pub(crate) fn decode(record: &[u8]) -> Result<Event<'_>, Failure> {
    Ok(proto::decode_record(record)?)
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Failure {
        let reason = format!("a stored record is damaged ({error}); run `annal verify`");
        Failure::Refused(AppendError::Unavailable { reason })
    }
}
