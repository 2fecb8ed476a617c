//! What the rows hold.

use annal_event::Position;

use crate::store::Value;

/// How many events a topic has had, and how large they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The number of its last event; 0: it has had none.
    pub sequence: u64,
    /// Bytes of the payloads of all its events.
    pub bytes: u64,
}

impl Counter {
    pub(super) fn of(row: &[u8]) -> Option<Counter> {
        let [sequence, bytes] = numbers(row)?;
        Some(Counter { sequence, bytes })
    }

    pub(super) fn row(self) -> Value {
        pair(self.sequence, self.bytes)
    }
}

/// Where an event of a topic stands, and how large all up to it were. The mark of number 0 stands
/// where the topic was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its number.
    pub number: u64,
    /// Its position.
    pub position: Position,
    /// Bytes of the payloads of all events up to it, itself included.
    pub bytes: u64,
}

impl Mark {
    pub(super) fn of(number: u64, row: &[u8]) -> Option<Mark> {
        let [position, bytes] = numbers(row)?;
        Some(Mark { number, position: Position(position), bytes })
    }

    pub(super) fn row(self) -> Value {
        pair(self.position.get(), self.bytes)
    }
}

fn pair(first: u64, second: u64) -> Value {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&first.to_le_bytes());
    row[8..].copy_from_slice(&second.to_le_bytes());
    row.into()
}

fn numbers(row: &[u8]) -> Option<[u64; 2]> {
    let (first, second) = row.split_at_checked(8)?;
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
    Some([number(first)?, number(second)?])
}

/// A topic's row: the position of its last change, then what it is.
pub(super) fn of_definition(position: Position, text: &str) -> Value {
    let mut row = position.get().to_le_bytes().to_vec();
    row.extend_from_slice(text.as_bytes());
    row.into()
}

/// Reads it back.
pub(super) fn definition(row: &[u8]) -> Option<(Position, &str)> {
    let (position, text) = row.split_first_chunk::<8>()?;
    Some((Position(u64::from_le_bytes(*position)), std::str::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        let counter = Counter { sequence: 7, bytes: 1 << 40 };
        assert_eq!(Counter::of(&counter.row()), Some(counter));
        let mark = Mark { number: 256, position: Position(300), bytes: 5 };
        assert_eq!(Mark::of(256, &mark.row()), Some(mark));
        assert_eq!(Counter::of(&counter.row()[..15]), None);
        let row = of_definition(Position(9), "{\"é\":1}");
        assert_eq!(definition(&row), Some((Position(9), "{\"é\":1}")));
        assert_eq!(definition(&row[..7]), None);
    }
}
