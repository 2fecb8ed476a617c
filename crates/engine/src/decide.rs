//! Deciding: what an append would do at the head, committed and staged events together.
//!
//! Dedupe first (INV-3), then preconditions: a retry must succeed although its own events now break
//! its checks. Nothing here changes anything.

use annal_event::{
    Actual, Encoded, Event, Identity, Position, Precondition, Query, SubjectCheck, proto,
};
use annal_projection::index::Order;

use crate::{
    append::{Append, AppendError, FailedPrecondition, Holder},
    read::{ReadError, View},
    stage::Stage,
};

/// What an append will do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Every event is new.
    AllNew,
    /// Some events are there already; for each, what it is.
    Mixed(Vec<Known>),
    /// Nothing may be stored.
    Refused(AppendError),
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

enum Failure {
    Refused(AppendError),
    Read(ReadError),
}

impl<E: Into<ReadError>> From<E> for Failure {
    fn from(error: E) -> Failure {
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
        return Ok(Decision::Mixed(known));
    }
    let failed = check(head, &append.preconditions)?;
    if !failed.is_empty() {
        let error = AppendError::PreconditionFailed { failed, head: head.last };
        return Err(Failure::Refused(error));
    }
    Ok(if known.is_empty() { Decision::AllNew } else { Decision::Mixed(known) })
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
        let stored = head.record(position)?;
        let with = Holder::Stored(position);
        let conflict = AppendError::IdentityConflict { index, with };
        if same_event(&stored, events.record(index), conflict)? {
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
    /// The record at any position up to the last decided.
    fn record(&self, position: Position) -> Result<Vec<u8>, Failure> {
        if position > self.view.head()
            && let Some(record) = self.stage.record(position)
        {
            return Ok(record);
        }
        // What is no longer staged has become visible.
        match self.view.get(position)? {
            Some(stored) => Ok(stored.record().to_vec()),
            None => {
                let reason = format!("the index names position {position}, the log has no such");
                Err(Failure::Refused(AppendError::Unavailable { reason }))
            }
        }
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
                let stop_at = n.saturating_add(2);
                let count =
                    self.view.index().count(query, Position::ZERO, Position::MAX, stop_at)?;
                let actual = Actual { count: Some(count), ..Actual::default() };
                Ok((!op.holds(count, *n)).then_some(actual))
            }
            Precondition::Resource { .. } => {
                let reason = "resources are not folded by this version; use a subject precondition";
                Err(Failure::Refused(AppendError::Unsupported { index, reason }))
            }
            Precondition::Head { position } => {
                let actual = Actual { position: Some(self.last), ..Actual::default() };
                Ok((self.last != *position).then_some(actual))
            }
        }
    }

    fn judge_subject(
        &self,
        subject: &str,
        recursive: bool,
        is: &SubjectCheck,
    ) -> Result<Option<Actual>, Failure> {
        let state = self.view.index().subject(subject, recursive, Position::MAX)?;
        let holds = match is {
            SubjectCheck::None => state.version == 0,
            SubjectCheck::Exists => state.version > 0,
            SubjectCheck::Version(version) => state.version == *version,
            SubjectCheck::LastPosition(position) => state.last == *position,
            SubjectCheck::LastEvent { id, source } => {
                state.version > 0 && {
                    let record = self.record(state.last)?;
                    let last = decode(&record)?;
                    last.id == *id && source.as_ref().is_none_or(|source| last.source == *source)
                }
            }
        };
        if holds {
            return Ok(None);
        }
        let mut actual = Actual { version: Some(state.version), ..Actual::default() };
        if state.version > 0 {
            actual = Actual { version: Some(state.version), ..self.describe(state.last)? };
        }
        Ok(Some(actual))
    }

    fn first_match(&self, query: &Query, after: Position) -> Result<Option<Position>, Failure> {
        let index = self.view.index();
        let mut selection = index.select(query, after, Position::MAX, Order::Ascending);
        let mut first = Vec::with_capacity(1);
        while first.is_empty() && selection.next(1, &mut first)? {}
        Ok(first.first().copied())
    }

    fn describe(&self, position: Position) -> Result<Actual, Failure> {
        let record = self.record(position)?;
        let event = decode(&record)?;
        Ok(Actual {
            position: Some(position),
            id: Some(event.id.clone().into_owned()),
            source: Some(event.source.clone().into_owned()),
            ..Actual::default()
        })
    }
}

fn decode(record: &[u8]) -> Result<Event<'_>, Failure> {
    proto::decode_record(record).map_err(|error| {
        let reason = format!("a stored record is damaged ({error}); run `annal verify`");
        Failure::Refused(AppendError::Unavailable { reason })
    })
}
