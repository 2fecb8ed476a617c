//! What must be true: the events seen so far, and the answers they allow.

use std::{collections::HashMap, fmt};

use annal_engine::{AppendError, Appended, Holder};
use annal_event::{Position, Precondition, Query, StoredEvent, SubjectCheck, Timestamp};

use crate::documents::Documents;

/// The type of events that change documents.
pub(crate) const COMMIT: &str = "json.commit";

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the invariant in `docs/invariants.md`.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{} does not hold: {}", self.invariant, self.what)
    }
}

pub(crate) type Checked<T = ()> = Result<T, Violation>;

pub(crate) fn violated<T>(invariant: u8, what: impl Into<String>) -> Checked<T> {
    Err(Violation { invariant, what: what.into() })
}

/// Fails unless `holds`.
pub(crate) fn check(holds: bool, invariant: u8, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { violated(invariant, what()) }
}

/// One event as the story made it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) source: &'static str,
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) ty: &'static str,
    pub(crate) data: String,
}

impl Made {
    pub(crate) fn event(&self) -> annal_event::Event<'_> {
        annal_event::Event::new(&*self.id, self.source, self.ty)
            .with_subject(&*self.subject)
            .with_json(&*self.data)
    }

    fn identity(&self) -> String {
        identity(self.source, &self.id)
    }
}

fn identity(source: &str, id: &str) -> String {
    format!("{source} {id}")
}

/// Everything that became visible, in order, and everything that was ever asked for.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: Vec<Made>,
    pub(crate) documents: Documents,
    recorded: Vec<Timestamp>,
    by_identity: HashMap<String, Position>,
    /// What was ever sent under an identity.
    sent: HashMap<String, Vec<Made>>,
}

impl History {
    pub(crate) fn head(&self) -> Position {
        Position(self.events.len() as u64)
    }

    pub(crate) fn sent(&mut self, events: &[Made]) {
        for made in events {
            self.sent.entry(made.identity()).or_default().push(made.clone());
        }
    }

    pub(crate) fn times_sent(&self, made: &Made) -> usize {
        self.sent.get(&made.identity()).map_or(0, Vec::len)
    }

    pub(crate) fn position_of(&self, made: &Made) -> Option<Position> {
        self.by_identity.get(&made.identity()).copied()
    }

    /// The next event that became visible.
    pub(crate) fn saw(&mut self, stored: &StoredEvent) -> Checked {
        let position = stored.position();
        check(position == self.head().next(), 2, || {
            format!("after {} comes {position}", self.head())
        })?;
        check(self.recorded.last().is_none_or(|last| stored.recorded() >= *last), 1, || {
            format!("{position} was recorded before its predecessor")
        })?;
        let made = self.recognise(stored)?;
        if let Some(first) = self.by_identity.insert(made.identity(), position) {
            return violated(3, format!("{} stands at {first} and at {position}", made.id));
        }
        self.documents.saw(position, &made)?;
        self.recorded.push(stored.recorded());
        self.events.push(made);
        Ok(())
    }

    /// An event seen before is still the same.
    pub(crate) fn saw_again(&self, stored: &StoredEvent) -> Checked {
        let made = self.recognise(stored)?;
        let index = stored.position().0 as usize - 1;
        check(self.events[index] == made, 1, || {
            format!("{} was {} and is {}", stored.position(), self.events[index].id, made.id)
        })
    }

    /// Which of the events sent this is, byte for byte.
    fn recognise(&self, stored: &StoredEvent) -> Checked<Made> {
        let event = match stored.event() {
            Ok(event) => event,
            Err(error) => return violated(1, format!("{}: {error}", stored.position())),
        };
        let sent = self.sent.get(&identity(&event.source, &event.id));
        match sent.into_iter().flatten().find(|made| made.event() == event) {
            Some(made) => Ok(made.clone()),
            None => violated(1, format!("{} was never sent: {event:?}", stored.position())),
        }
    }

    /// Forgets what came after `head`: allowed only if it was not promised to be durable.
    pub(crate) fn cut(&mut self, head: Position) {
        self.recorded.truncate(head.0 as usize);
        self.documents.cut(head);
        for made in self.events.drain(head.0 as usize..) {
            self.by_identity.remove(&made.identity());
        }
    }

    /// Positions that match a query, in order, in `after < p <= upto`.
    pub(crate) fn matching(&self, query: &Query, after: Position, upto: Position) -> Vec<Position> {
        (after.0..upto.0.min(self.events.len() as u64))
            .filter(|index| query.matches(&self.events[*index as usize].event()))
            .map(|index| Position(index + 1))
            .collect()
    }

    /// A successful append must stand where it says, have met its preconditions, and have called
    /// duplicates what was there.
    pub(crate) fn accepted(
        &self,
        events: &[Made],
        preconditions: &[Precondition],
        appended: &Appended,
    ) -> Checked {
        check(appended.outcomes.len() == events.len(), 1, || "an outcome an event".to_owned())?;
        let before = Position(appended.head.0 - appended.stored() as u64);
        for (made, outcome) in events.iter().zip(&appended.outcomes) {
            let stands =
                outcome.position.0.checked_sub(1).and_then(|at| self.events.get(at as usize));
            check(stands.is_some_and(|stands| stands == made), 1, || {
                format!("{} was acknowledged at {}, where {stands:?} is", made.id, outcome.position)
            })?;
            check(outcome.duplicate || outcome.position > before, 3, || {
                format!("{} at {} was called new", made.id, outcome.position)
            })?;
        }
        if appended.stored() == 0 && !events.is_empty() {
            return Ok(());
        }
        for precondition in preconditions {
            check(self.holds(precondition, before), 4, || {
                format!("{precondition:?} was judged to hold at {before}")
            })?;
        }
        Ok(())
    }

    /// A refusal must be right.
    pub(crate) fn refused(
        &self,
        events: &[Made],
        preconditions: &[Precondition],
        error: &AppendError,
    ) -> Checked {
        match error {
            AppendError::PreconditionFailed { failed, head } => {
                for (index, precondition) in preconditions.iter().enumerate() {
                    let said = !failed.iter().any(|failed| failed.index == index);
                    check(said == self.holds(precondition, *head), 4, || {
                        format!("{precondition:?} at {head} was judged {said}")
                    })?;
                }
                Ok(())
            }
            AppendError::IdentityConflict { index, with } => {
                let other = match with {
                    Holder::Stored(position) => self.events.get(position.0 as usize - 1),
                    Holder::Event(earlier) => events.get(*earlier),
                };
                let made = &events[*index];
                let conflicts = |other: &Made| other.identity() == made.identity() && other != made;
                check(other.is_some_and(conflicts), 3, || {
                    format!("{made:?} does not conflict with {other:?}, {with}")
                })
            }
            AppendError::Refused { index, .. } => {
                let ty = events[*index].ty;
                check(ty == COMMIT, 7, || format!("{ty} was refused: {error}"))
            }
            _ => Ok(()),
        }
    }

    fn holds(&self, precondition: &Precondition, head: Position) -> bool {
        let count = |query: &Query, after| self.matching(query, after, head).len() as u64;
        match precondition {
            Precondition::Subject { subject, recursive, is } => {
                let under = format!("{subject}/");
                let of = |made: &Made| {
                    made.subject == *subject || *recursive && made.subject.starts_with(&under)
                };
                let all = &self.events[..head.0 as usize];
                let version = all.iter().filter(|made| of(made)).count() as u64;
                let last = all.iter().rposition(of);
                match is {
                    SubjectCheck::None => version == 0,
                    SubjectCheck::Exists => version > 0,
                    SubjectCheck::Version(n) => version == *n,
                    SubjectCheck::LastPosition(position) => {
                        last.map_or(0, |index| index as u64 + 1) == position.0
                    }
                    SubjectCheck::LastEvent { id, source } => last.is_some_and(|index| {
                        let made = &all[index];
                        made.id == *id && source.as_ref().is_none_or(|source| made.source == source)
                    }),
                }
            }
            Precondition::Absent { query, after } => count(query, *after) == 0,
            Precondition::Present { query } => count(query, Position::ZERO) > 0,
            Precondition::Count { query, op, n } => op.holds(count(query, Position::ZERO), *n),
            Precondition::Head { position } => head == *position,
            Precondition::Resource { id, revision } => {
                self.documents.revision(id, head) == *revision
            }
        }
    }
}
