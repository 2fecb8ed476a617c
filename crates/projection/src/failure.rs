//! Why an event was not folded: it may not be, or the rows that say so could not be read.

use annal_event::EventError;

use crate::store::StoreError;

/// Why an event was not folded.
#[derive(Debug)]
pub enum Failure<R> {
    /// It may not be stored.
    Refused(R),
    /// The rows could not be read.
    Store(StoreError),
}

/// What a kind of rows says against an event.
pub trait Refuses: From<EventError> {}

impl<R: Refuses> From<R> for Failure<R> {
    fn from(refusal: R) -> Failure<R> {
        Failure::Refused(refusal)
    }
}

impl<R> From<StoreError> for Failure<R> {
    fn from(error: StoreError) -> Failure<R> {
        Failure::Store(error)
    }
}

impl<R: Refuses> From<EventError> for Failure<R> {
    fn from(error: EventError) -> Failure<R> {
        Failure::Refused(error.into())
    }
}
