//! The newest visible batches in memory, shared by all readers that keep up.

use std::{collections::VecDeque, sync::Arc};

use annal_event::{Batch, Position};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Tail {
    budget: usize,
    batches: Mutex<Batches>,
}

#[derive(Debug, Default)]
struct Batches {
    queue: VecDeque<Arc<Batch>>,
    weight: usize,
}

impl Tail {
    pub(crate) fn new(budget: usize) -> Tail {
        Tail { budget, batches: Mutex::default() }
    }

    /// Adds the next batch and lets the oldest go. The newest is always kept.
    pub(crate) fn push(&self, batch: Arc<Batch>) {
        let mut dropped = Vec::new();
        let mut batches = self.batches.lock();
        batches.weight += batch.weight();
        batches.queue.push_back(batch);
        while batches.weight > self.budget && batches.queue.len() > 1 {
            if let Some(oldest) = batches.queue.pop_front() {
                batches.weight -= oldest.weight();
                dropped.push(oldest);
            }
        }
        drop(batches);
        // Memory is given back outside the lock.
        drop(dropped);
    }

    /// Puts batches from the one that holds `from` on, up to `max_bytes` of payload but at least
    /// one, into `out`. False if that one is not kept.
    pub(crate) fn read(
        &self,
        from: Position,
        upto: Position,
        max_bytes: usize,
        out: &mut Vec<Arc<Batch>>,
    ) -> bool {
        let batches = self.batches.lock();
        let Some(start) = batches.index_of(from) else { return false };
        let mut bytes = 0;
        for batch in batches.queue.range(start..) {
            if batch.first() > upto || bytes >= max_bytes {
                break;
            }
            bytes += batch.payload().len();
            out.push(Arc::clone(batch));
        }
        true
    }

    pub(crate) fn get(&self, position: Position) -> Option<Arc<Batch>> {
        let batches = self.batches.lock();
        batches.index_of(position).map(|index| Arc::clone(&batches.queue[index]))
    }

    pub(crate) fn weight(&self) -> usize {
        self.batches.lock().weight
    }
}

impl Batches {
    fn index_of(&self, position: Position) -> Option<usize> {
        if self.queue.front()?.first() > position {
            return None;
        }
        let index = self.queue.partition_point(|batch| batch.last() < position);
        (index < self.queue.len()).then_some(index)
    }
}
