//! The rows, little-endian. What is on disk has been checked by the store.

use annal_event::{ConsumerSpec, Position, Timestamp};

use super::{Consumer, ConsumerState, DeadLetter};
use crate::store::Value;

const ACTIVE: u8 = 0;
const PAUSED: u8 = 1;
const DISABLED: u8 = 2;

/// State, epoch, after, registered; length of the reason, the reason, the JSON of what was
/// registered.
pub(super) fn of_consumer(consumer: &Consumer) -> Value {
    let (state, reason) = match &consumer.state {
        ConsumerState::Active => (ACTIVE, ""),
        ConsumerState::Paused => (PAUSED, ""),
        ConsumerState::Disabled(reason) => (DISABLED, reason.as_str()),
    };
    let mut row = vec![state];
    row.extend_from_slice(&consumer.epoch.get().to_le_bytes());
    row.extend_from_slice(&consumer.after.get().to_le_bytes());
    row.extend_from_slice(&consumer.registered.micros().to_le_bytes());
    row.extend_from_slice(&(reason.len() as u32).to_le_bytes());
    row.extend_from_slice(reason.as_bytes());
    row.extend_from_slice(consumer.spec.to_json().as_bytes());
    row.into()
}

pub(super) fn consumer(row: &[u8]) -> Option<Consumer> {
    let (state, row) = row.split_first()?;
    let (epoch, row) = number(row)?;
    let (after, row) = number(row)?;
    let (registered, row) = number(row)?;
    let (length, row) = row.split_first_chunk::<4>()?;
    let (reason, spec) = row.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let reason = std::str::from_utf8(reason).ok()?;
    Some(Consumer {
        spec: ConsumerSpec::from_json(std::str::from_utf8(spec).ok()?)?,
        state: match *state {
            ACTIVE => ConsumerState::Active,
            PAUSED => ConsumerState::Paused,
            DISABLED => ConsumerState::Disabled(reason.to_owned()),
            _ => return None,
        },
        epoch: Position(epoch),
        after: Position(after),
        registered: Timestamp(registered as i64),
    })
}

/// Time, attempts, status (0: none), the error.
pub(super) fn of_letter(letter: &DeadLetter) -> Value {
    let mut row = letter.time.micros().to_le_bytes().to_vec();
    row.extend_from_slice(&letter.attempts.to_le_bytes());
    row.extend_from_slice(&letter.status.unwrap_or(0).to_le_bytes());
    row.extend_from_slice(letter.error.as_bytes());
    row.into()
}

pub(super) fn letter(row: &[u8], position: Position) -> Option<DeadLetter> {
    let (time, row) = number(row)?;
    let (attempts, row) = row.split_first_chunk::<4>()?;
    let (status, error) = row.split_first_chunk::<2>()?;
    Some(DeadLetter {
        position,
        attempts: u32::from_le_bytes(*attempts),
        status: Some(u16::from_le_bytes(*status)).filter(|status| *status != 0),
        error: String::from_utf8_lossy(error).into_owned(),
        time: Timestamp(time as i64),
    })
}

/// Positions, eight bytes each.
pub(super) fn of_positions(positions: &[Position]) -> Value {
    positions.iter().flat_map(|position| position.get().to_le_bytes()).collect()
}

pub(super) fn positions(row: &[u8]) -> Vec<Position> {
    let (positions, _) = row.as_chunks::<8>();
    positions.iter().map(|bytes| Position(u64::from_le_bytes(*bytes))).collect()
}

fn number(row: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = row.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*digits), rest))
}
