//! The consumers there are, what became of events that could not be delivered to them, and what is
//! to be delivered after all: folded from the store's own events.
//!
//! How far a consumer has come is not here: that changes with every delivery, and stands in a
//! register beside the log.
//!
//! Invariants:
//! - The fold is total: an event about a consumer that is not there changes nothing.
//! - A dead letter names an event by its position; there is one at most for each.

mod row;
#[cfg(test)]
mod tests;

use std::{ops::Bound, sync::Arc};

use annal_event::{ConsumerEvent, ConsumerSpec, DeadLetters, Position, Timestamp};

use crate::{
    Order,
    draft::Draft,
    resources::Place,
    store::{Key, KeyRange, Store, StoreError},
};

/// Version of the rows, part of the store's format.
pub const FORMAT: u32 = 1;

/// Rows of a removed consumer that are removed with it; more are left where nobody finds them.
const REMOVED_ROWS_MAX: usize = 10_000;

/// Consumers: id. Capital letters are this projection's.
const CONSUMER: u8 = b'W';
/// Dead letters: id, NUL, the event's position big-endian.
const LETTER: u8 = b'L';
/// What is to be delivered after all: id, NUL, the redriving event's position big-endian.
const REDRIVE: u8 = b'R';

/// What a consumer is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// It is sent events.
    Active,
    /// Somebody has stopped that.
    Paused,
    /// Its endpoint has, and why.
    Disabled(String),
}

/// A consumer as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// What was registered.
    pub spec: ConsumerSpec,
    /// What it is at.
    pub state: ConsumerState,
    /// Position of the event that said last where it begins: a register from before says nothing.
    pub epoch: Position,
    /// It begins after this position.
    pub after: Position,
    /// When it was registered.
    pub registered: Timestamp,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub position: Position,
    /// How often it was tried.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong last.
    pub error: String,
    /// When it was given up.
    pub time: Timestamp,
}

/// Events that are to be delivered after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Position of the event that says so.
    pub by: Position,
    /// The events.
    pub positions: Vec<Position>,
}

/// The consumers of one log.
#[derive(Clone, Debug)]
pub struct Consumers {
    store: Arc<Store>,
}

fn key(kind: u8, parts: &[&[u8]]) -> Key {
    [&[kind], parts.concat().as_slice()].concat().into()
}

fn numbered(kind: u8, id: &str, position: Position) -> Key {
    key(kind, &[id.as_bytes(), b"\0", &position.get().to_be_bytes()])
}

/// The rows of a kind and a consumer after a position.
fn numbered_after(kind: u8, id: &str, after: Position) -> KeyRange {
    let all = KeyRange::prefix(&key(kind, &[id.as_bytes(), b"\0"]));
    KeyRange { from: Bound::Excluded(numbered(kind, id, after)), ..all }
}

fn position_of(key: &[u8]) -> Option<Position> {
    let digits = key.get(key.len().checked_sub(8)?..)?;
    Some(Position(u64::from_be_bytes(digits.try_into().ok()?)))
}

impl Consumers {
    /// The consumers in a store, whose rows are those of [`FORMAT`].
    pub fn new(store: Arc<Store>) -> Consumers {
        Consumers { store }
    }

    /// Adds what an event changes to the draft.
    pub fn fold(draft: &mut Draft, event: &ConsumerEvent, place: Place) -> Result<(), StoreError> {
        let id = event.id();
        let at = key(CONSUMER, &[id.as_bytes()]);
        let known = draft.get(&at)?.and_then(|row| row::consumer(&row));
        if let ConsumerEvent::Registered(spec) = event {
            if known.is_none() {
                let consumer = Consumer {
                    spec: ConsumerSpec::clone(spec),
                    state: ConsumerState::Active,
                    epoch: place.position,
                    after: spec.from,
                    registered: place.recorded,
                };
                draft.set(at, Some(row::of_consumer(&consumer)));
            }
            return Ok(());
        }
        let Some(mut consumer) = known else { return Ok(()) };
        match event {
            ConsumerEvent::Removed { .. } => {
                draft.set(at, None);
                return remove_rows(draft, id);
            }
            ConsumerEvent::Paused { .. } => consumer.state = ConsumerState::Paused,
            ConsumerEvent::Resumed { .. } => consumer.state = ConsumerState::Active,
            ConsumerEvent::Disabled { reason, .. } => {
                consumer.state = ConsumerState::Disabled(reason.clone());
            }
            ConsumerEvent::Sought { to, .. } => {
                (consumer.epoch, consumer.after) = (place.position, *to);
                // Where its topics were to begin has been said before.
                consumer.spec.topics.iter_mut().for_each(|start| start.after = Position::ZERO);
            }
            ConsumerEvent::Dead(letters) => return bury(draft, letters, place.recorded),
            ConsumerEvent::Redriven { positions, .. } => {
                return redrive(draft, id, positions, place.position);
            }
            ConsumerEvent::Registered(_) | ConsumerEvent::SecretRotated { .. } => return Ok(()),
        }
        draft.set(at, Some(row::of_consumer(&consumer)));
        Ok(())
    }

    /// All consumers as of a head, in order of id; at most so many.
    pub fn list(&self, at: Position, limit: usize) -> Result<Vec<Consumer>, StoreError> {
        let range = KeyRange::prefix(&[CONSUMER]);
        let view = self.store.view(at);
        let mut found = Vec::new();
        for row in view.scan(&range, Order::Ascending).take(limit) {
            found.extend(row::consumer(&row?.1));
        }
        Ok(found)
    }

    /// A consumer as of a head.
    pub fn get(&self, id: &str, at: Position) -> Result<Option<Consumer>, StoreError> {
        let row = self.store.get(&key(CONSUMER, &[id.as_bytes()]), at)?;
        Ok(row.and_then(|row| row::consumer(&row)))
    }

    /// Dead letters of events after a position, in order; at most so many.
    pub fn dead_letters(
        &self,
        id: &str,
        after: Position,
        limit: usize,
        at: Position,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let view = self.store.view(at);
        let mut found = Vec::new();
        let range = numbered_after(LETTER, id, after);
        for row in view.scan(&range, Order::Ascending).take(limit) {
            let (key, row) = row?;
            found.extend(position_of(&key).and_then(|position| row::letter(&row, position)));
        }
        Ok(found)
    }

    /// The first redrive after a position, if there is one.
    pub fn next_redrive(
        &self,
        id: &str,
        after: Position,
        at: Position,
    ) -> Result<Option<Redrive>, StoreError> {
        let view = self.store.view(at);
        let range = numbered_after(REDRIVE, id, after);
        let Some((key, row)) = view.scan(&range, Order::Ascending).next().transpose()? else {
            return Ok(None);
        };
        Ok(position_of(&key).map(|by| Redrive { by, positions: row::positions(&row) }))
    }
}

fn remove_rows(draft: &mut Draft, id: &str) -> Result<(), StoreError> {
    for kind in [LETTER, REDRIVE] {
        let prefix = key(kind, &[id.as_bytes(), b"\0"]);
        for (key, _) in draft.prefixed(&prefix, REMOVED_ROWS_MAX)? {
            draft.set(key, None);
        }
    }
    Ok(())
}

fn bury(draft: &mut Draft, letters: &DeadLetters, time: Timestamp) -> Result<(), StoreError> {
    for position in &letters.positions {
        let letter = DeadLetter {
            position: *position,
            attempts: letters.attempts,
            status: letters.status,
            error: letters.error.clone(),
            time,
        };
        draft.set(numbered(LETTER, &letters.id, *position), Some(row::of_letter(&letter)));
    }
    Ok(())
}

/// Only what is dead can be redriven: of two who ask at once one finds nothing left.
fn redrive(
    draft: &mut Draft,
    id: &str,
    positions: &[Position],
    by: Position,
) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for position in positions {
        let letter = numbered(LETTER, id, *position);
        if draft.get(&letter)?.is_some() {
            draft.set(letter, None);
            found.push(*position);
        }
    }
    if !found.is_empty() {
        draft.set(numbered(REDRIVE, id, by), Some(row::of_positions(&found)));
    }
    Ok(())
}
