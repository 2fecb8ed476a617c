//! The place of an event in its log.

use std::{fmt, str::FromStr};

/// A position: from 1, contiguous at append, the total order of one log.
///
/// [`Position::ZERO`] stands before the first event; a log whose head is `ZERO` is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const ZERO: Position = Position(0);
    /// The first event of a log.
    pub const FIRST: Position = Position(1);
    /// After every event a log can hold.
    pub const MAX: Position = Position(u64::MAX);

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position right after this one.
    pub const fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }

    /// The position right before this one; `ZERO` stays.
    pub const fn prev(self) -> Position {
        Position(self.0.saturating_sub(1))
    }

    /// The position `n` events later.
    pub const fn plus(self, n: u64) -> Position {
        Position(self.0.saturating_add(n))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Text that is not a decimal position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is a decimal number from 0 to 18446744073709551615")]
pub struct ParsePositionError;

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParsePositionError);
        }
        text.parse().map(Position).map_err(|_| ParsePositionError)
    }
}
