//! Lanes that fail and have more behind them than can be held: what is too much is skipped, and read
//! again once the lane is free, so that one stuck lane holds up no other.

use annal_event::Position;

use super::{Courier, Item, Policy};

/// Most lanes of which events are skipped.
const SKIPPED_MAX: usize = 1_024;

/// Events of a lane to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// The lane, which is free.
    pub lane: u64,
    /// Those after this position.
    pub after: Position,
    /// The last position to look at.
    pub upto: Position,
}

impl Policy {
    /// When so many wait behind others, those of lanes that fail are skipped.
    fn behind_max(&self) -> usize {
        self.pending_max / 2
    }
}

impl Courier {
    /// Puts an event behind the parcel that holds its lane; skips it if that is too much.
    pub(super) fn wait_behind(&mut self, lane: u64, item: Item) {
        let full = self.behind_count >= self.policy.behind_max();
        let may_skip = item.round == Position::ZERO && self.may_skip(lane);
        let Some(behind) = self.behind.get_mut(&lane) else { return };
        let fails = self.parcels.get(&behind.parcel).is_some_and(|held| held.attempts > 0);
        if full && fails && may_skip {
            self.skipped.insert(lane, item.position);
        } else {
            behind.items.push_back(item);
            self.behind_count += 1;
        }
    }

    pub(super) fn is_skipped(&self, lane: u64, item: &Item) -> bool {
        let first = self.skipped.get(&lane);
        item.round == Position::ZERO && first.is_some_and(|first| *first <= item.position)
    }

    fn may_skip(&self, lane: u64) -> bool {
        self.skipped.len() < SKIPPED_MAX || self.skipped.contains_key(&lane)
    }

    /// Skips what waits behind a parcel that has failed, if too much waits.
    pub(super) fn shed(&mut self, key: u64) {
        if self.behind_count < self.policy.behind_max() {
            return;
        }
        let Some(held) = self.parcels.get(&key) else { return };
        for lane in held.items.iter().filter_map(|item| item.lane) {
            let may_skip = self.may_skip(lane);
            let Some(behind) = self.behind.get_mut(&lane).filter(|_| may_skip) else { continue };
            let from_log = |item: &Item| item.round == Position::ZERO;
            let first = behind.items.iter().find(|item| from_log(item)).map(|item| item.position);
            let Some(first) = first else { continue };
            let before = behind.items.len();
            behind.items.retain(|item| !from_log(item));
            self.behind_count -= before - behind.items.len();
            self.skipped.insert(lane, first);
        }
    }

    /// Events that were skipped and may go now: to be [offered again](Courier::offer_again).
    pub fn again(&self) -> Option<Again> {
        if !self.released.is_empty() {
            return None;
        }
        let free = |lane: &u64| !self.behind.contains_key(lane);
        let (lane, first) = self.skipped.iter().find(|(lane, _)| free(lane))?;
        Some(Again { lane: *lane, after: first.prev(), upto: self.cursor() })
    }

    /// Events of a lane that were skipped, in order: all that there are up to a position.
    pub fn offer_again(&mut self, lane: u64, items: Vec<Item>, upto: Position) {
        let all = upto >= self.cursor();
        match self.skipped.get_mut(&lane) {
            Some(_) if all => drop(self.skipped.remove(&lane)),
            Some(first) => *first = upto.next(),
            None => return,
        }
        self.released.extend(items);
    }
}
