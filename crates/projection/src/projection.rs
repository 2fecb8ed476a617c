//! What every projection is: a fold with a checkpoint.

use annal_event::{Batch, Position};

/// A deterministic fold of the log.
///
/// What is folded is answered from at once; what is at or before the checkpoint survives a crash.
/// `checkpoint ≤ folded` always holds, and nothing past what the caller calls durable is ever
/// written, so a checkpoint trails the log and never leads it.
pub trait Projection {
    /// What can go wrong.
    type Error: std::error::Error + 'static;

    /// Everything up to here is reflected in answers.
    fn folded(&self) -> Position;

    /// Everything up to here is on disk.
    fn checkpoint(&self) -> Position;

    /// Folds a batch. Its first event follows [`Projection::folded`] or lies before it; what has
    /// been folded already is skipped.
    fn fold(&self, batch: &Batch) -> Result<(), Self::Error>;

    /// Does one bounded step of writing behind. `false`: there is nothing to do.
    fn maintain(&self, durable: Position) -> Result<bool, Self::Error>;
}

/// What was found when the files of a projection were opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Everything up to the checkpoint is there.
    Ready,
    /// It starts empty; the log must be folded from its beginning.
    Empty {
        /// What was missing or wrong.
        reason: String,
    },
}

/// Which way positions or keys are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest or least first.
    #[default]
    Ascending,
    /// Newest or greatest first.
    Descending,
}
