//! The first few of many, in bounded memory.

use std::collections::BinaryHeap;

/// Keeps the least `limit` of what is offered.
#[derive(Debug)]
pub(super) struct Top<T: Ord> {
    limit: usize,
    /// The greatest on top.
    kept: BinaryHeap<T>,
}

impl<T: Ord> Top<T> {
    pub(super) fn new(limit: usize) -> Top<T> {
        Top { limit, kept: BinaryHeap::with_capacity(limit.min(1_000)) }
    }

    pub(super) fn offer(&mut self, item: T) {
        if self.kept.len() < self.limit {
            self.kept.push(item);
        } else if let Some(mut last) = self.kept.peek_mut()
            && item < *last
        {
            *last = item;
        }
    }

    /// The greatest that is kept, once nothing more fits without displacing it.
    pub(super) fn last(&self) -> Option<&T> {
        if self.kept.len() < self.limit { None } else { self.kept.peek() }
    }

    /// From least to greatest.
    pub(super) fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}
