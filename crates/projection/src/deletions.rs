//! Which events a user has deleted: hidden from every read, and gone at the next compaction.
//!
//! A deletion is an event, and what it hides follows from the index: the events before it that
//! match. So nothing of this is kept on disk; whoever opens the log asks the index again. Like
//! everything the writer decides by, it knows staged deletions as well, and forgets them when their
//! commit fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use annal_event::Position;
use parking_lot::RwLock;
use roaring::RoaringTreemap;

/// The hidden events of one log, as they stand after each deletion that may still be taken back.
#[derive(Debug, Default)]
pub struct Deletions {
    /// So that a log without deletions pays for nothing.
    any: AtomicBool,
    /// All that is hidden once the deletion at a position has happened, oldest first.
    after: RwLock<Vec<(Position, Arc<RoaringTreemap>)>>,
}

/// What is hidden as of some head. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hidden(Option<Arc<RoaringTreemap>>);

impl Deletions {
    /// The deletion at `by` hides events. `visible`: no reader looks at an earlier head.
    pub fn hide(&self, by: Position, events: &[Position], visible: Position) {
        let mut after = self.after.write();
        let mut all = after.last().map(|(_, hidden)| (**hidden).clone()).unwrap_or_default();
        all.extend(events.iter().map(|position| position.get()));
        let landed = after.partition_point(|(by, _)| *by <= visible);
        after.drain(..landed.saturating_sub(1));
        after.push((by, Arc::new(all)));
        self.any.store(true, Ordering::Release);
    }

    /// Forgets deletions after `to`, as if they had never come.
    pub fn rollback(&self, to: Position) {
        self.after.write().retain(|(by, _)| *by <= to);
    }

    /// What is hidden by the deletions up to `head`.
    pub fn as_of(&self, head: Position) -> Hidden {
        if !self.any.load(Ordering::Acquire) {
            return Hidden(None);
        }
        let after = self.after.read();
        let landed = after.partition_point(|(by, _)| *by <= head);
        Hidden(landed.checked_sub(1).map(|last| Arc::clone(&after[last].1)))
    }
}

impl Hidden {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the event at a position is.
    pub fn contains(&self, position: Position) -> bool {
        self.0.as_ref().is_some_and(|hidden| hidden.contains(position.get()))
    }

    /// How many events are.
    pub fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |hidden| hidden.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(list: &[u64]) -> Vec<Position> {
        list.iter().map(|at| Position(*at)).collect()
    }

    #[test]
    fn each_head_sees_the_deletions_before_it() {
        let deletions = Deletions::default();
        assert!(deletions.as_of(Position::MAX).is_empty());
        deletions.hide(Position(10), &positions(&[2, 5]), Position(9));
        deletions.hide(Position(20), &positions(&[7]), Position(9));
        let seen = |head| {
            let hidden = deletions.as_of(Position(head));
            [2, 5, 7].map(|at| hidden.contains(Position(at)))
        };
        assert_eq!(seen(9), [false; 3]);
        assert_eq!(seen(10), [true, true, false]);
        assert_eq!(seen(20), [true; 3]);
        deletions.rollback(Position(19));
        assert_eq!(seen(20), [true, true, false]);
        // What is older than what every reader sees is forgotten, and the newest of it kept.
        deletions.hide(Position(30), &positions(&[9]), Position(29));
        deletions.hide(Position(40), &positions(&[11]), Position(35));
        assert_eq!(deletions.as_of(Position(35)).len(), 3);
        assert_eq!(deletions.as_of(Position(40)).len(), 4);
        assert_eq!(deletions.after.read().len(), 2);
    }
}
