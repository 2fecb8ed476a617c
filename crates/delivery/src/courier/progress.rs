//! How far a courier has come, as bytes for a register.
//!
//! Numbers are variable-length (LEB128); positions are written as differences, so that what waits
//! takes a byte or two each.

use annal_event::Position;

/// Version of the bytes. The first had nothing skipped.
const VERSION: u8 = 2;
const VERSION_FIRST: u8 = 1;

/// How far a courier has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to here is done, but for what is listed here.
    pub cursor: Position,
    /// The last redrive that was taken in.
    pub redriven: Position,
    /// Parcels that have failed before.
    pub waiting: Vec<Waiting>,
    /// Other events that are not done, and what redrives them; in order.
    pub loose: Vec<(Position, Position)>,
    /// Lanes of which events are to be read again, and the first of these.
    pub skipped: Vec<(u64, Position)>,
}

/// A parcel that has failed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its events.
    pub positions: Vec<Position>,
    /// What redrives it.
    pub round: Position,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried first, in milliseconds since the Unix epoch.
    pub first_at: i64,
    /// When it is tried next.
    pub due: i64,
}

impl Progress {
    /// The same after it was moved. What was redriven stays, unless it comes again by itself; the rest
    /// is of no interest any more.
    pub fn moved_to(self, cursor: Position) -> Progress {
        let stays = |round: Position, first: Option<&Position>| {
            round > Position::ZERO && first.is_some_and(|first| *first <= cursor)
        };
        let Progress { redriven, mut waiting, mut loose, .. } = self;
        waiting.retain(|waiting| stays(waiting.round, waiting.positions.first()));
        loose.retain(|(position, round)| stays(*round, Some(position)));
        Progress { cursor, redriven, waiting, loose, skipped: Vec::new() }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push(&mut out, self.cursor.get());
        push(&mut out, self.redriven.get());
        push(&mut out, self.waiting.len() as u64);
        for waiting in &self.waiting {
            push(&mut out, waiting.round.get());
            push(&mut out, u64::from(waiting.attempts));
            push(&mut out, waiting.first_at.max(0) as u64);
            push(&mut out, waiting.due.max(0) as u64);
            push(&mut out, waiting.positions.len() as u64);
            let mut before = 0;
            for position in &waiting.positions {
                push(&mut out, position.get().wrapping_sub(before));
                before = position.get();
            }
        }
        push(&mut out, self.loose.len() as u64);
        let mut before = 0;
        for (position, round) in &self.loose {
            push(&mut out, position.get().wrapping_sub(before));
            push(&mut out, round.get());
            before = position.get();
        }
        push(&mut out, self.skipped.len() as u64);
        for (lane, first) in &self.skipped {
            out.extend_from_slice(&lane.to_le_bytes());
            push(&mut out, first.get());
        }
        out
    }

    /// Reads it back; `None` if it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Progress> {
        let (version, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        if !(VERSION_FIRST..=VERSION).contains(version) {
            return None;
        }
        let mut progress = Progress {
            cursor: Position(take(rest)?),
            redriven: Position(take(rest)?),
            ..Progress::default()
        };
        for _ in 0..take(rest)? {
            let round = Position(take(rest)?);
            let attempts = u32::try_from(take(rest)?).ok()?;
            let first_at = i64::try_from(take(rest)?).ok()?;
            let due = i64::try_from(take(rest)?).ok()?;
            let (mut positions, mut before) = (Vec::new(), 0_u64);
            for _ in 0..take(rest)? {
                before = before.wrapping_add(take(rest)?);
                positions.push(Position(before));
            }
            progress.waiting.push(Waiting { positions, round, attempts, first_at, due });
        }
        let mut before = 0_u64;
        for _ in 0..take(rest)? {
            before = before.wrapping_add(take(rest)?);
            progress.loose.push((Position(before), Position(take(rest)?)));
        }
        let skipped = if *version == VERSION_FIRST { 0 } else { take(rest)? };
        for _ in 0..skipped {
            let (lane, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            progress.skipped.push((u64::from_le_bytes(*lane), Position(take(rest)?)));
        }
        rest.is_empty().then_some(progress)
    }
}

fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_nothing_else_does() {
        let progress = Progress {
            cursor: Position(1_000_000),
            redriven: Position(3),
            waiting: vec![Waiting {
                positions: vec![Position(7), Position(900)],
                round: Position(2),
                attempts: 3,
                first_at: 1_800_000_000_000,
                due: 1_800_000_005_000,
            }],
            loose: vec![(Position(5), Position(0)), (Position(999_999), Position(4))],
            skipped: vec![(u64::MAX, Position(6)), (0, Position(7))],
        };
        for progress in [progress, Progress::default()] {
            let bytes = progress.encode();
            assert_eq!(Progress::decode(&bytes), Some(progress));
            assert!((0..bytes.len()).all(|end| Progress::decode(&bytes[..end]).is_none()));
            assert_eq!(Progress::decode(&[&bytes[..], &[0]].concat()), None);
        }
        assert_eq!(Progress::decode(&[VERSION; 40]), None);
    }
}
