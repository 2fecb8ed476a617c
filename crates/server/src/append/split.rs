//! The two kinds of batches, taken apart in the same way.

use annal_event::json::ArraySplitter;
use memchr::memchr_iter;

use super::{
    ahead::{Ahead, JsonAhead},
    proto_split::BatchSplitter,
};
use crate::problem::Problem;

/// Cuts a batch into its events.
pub(super) enum Splitter {
    Json(ArraySplitter),
    Proto(BatchSplitter),
}

impl Splitter {
    /// Takes the next bytes and gives every event that is complete to `each`.
    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        each: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        match self {
            Splitter::Json(splitter) => splitter.feed(chunk, each),
            Splitter::Proto(splitter) => splitter.feed(chunk, each),
        }
    }

    /// Takes bytes up to a place from where [`Splitter::ahead`] can look ahead: the end of an item.
    /// Gives how many these were; `None` if there is no such place and all were taken.
    pub(super) fn feed_to_boundary(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<Option<usize>, Problem> {
        let splitter = match self {
            Splitter::Json(splitter) => splitter,
            Splitter::Proto(_) => return Ok(Some(0)),
        };
        let (items, mut taken) = (splitter.items(), 0);
        for brace in memchr_iter(b'}', chunk) {
            splitter.feed(&chunk[taken..=brace], &mut each)?;
            taken = brace + 1;
            if splitter.items() > items {
                return Ok(Some(taken));
            }
        }
        splitter.feed(&chunk[taken..], &mut each).map(|()| None)
    }

    /// Looks ahead from a boundary, behind `items` items.
    pub(super) fn ahead(&self, items: usize, item_bytes_max: usize) -> Result<Ahead, Problem> {
        match self {
            Splitter::Json(_) => Ok(Ahead::Json(JsonAhead::behind(items, item_bytes_max))),
            Splitter::Proto(splitter) => splitter.ahead(items).map(Ahead::Proto),
        }
    }

    /// Says whether the batch was whole.
    pub(super) fn finish(&self) -> Result<(), Problem> {
        match self {
            Splitter::Json(splitter) => Ok(splitter.finish()?),
            Splitter::Proto(splitter) => splitter.finish(),
        }
    }
}
