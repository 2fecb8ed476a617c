//! Walking the positions that match a query, across runs and memory tables.
//!
//! A selection holds no lock between calls. It remembers the next position to look at; whichever
//! part of the index covers that position then is asked. So freezing and merging go on beneath it.

use std::{fmt, sync::Arc};

use annal_event::{Position, Query};

use crate::Order;

use super::{Shared, cursor::Cursor, error::IndexError, memory::Table, plan::Plan, run::Run};

/// Positions taken from a memory table while its lock is held.
const LOCKED_MAX: usize = 256;

/// Matching positions, in order, none twice.
pub struct Selection {
    shared: Arc<Shared>,
    plan: Plan,
    order: Order,
    /// Bounds, inclusive.
    low: u64,
    high: u64,
    /// The next position to look at; `None` at the end.
    at: Option<u64>,
    run: Option<(Arc<Run>, Cursor<'static>)>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Selection { low, high, order, at, .. } = self;
        write!(f, "Selection({low}..={high}, {order:?}, at {at:?})")
    }
}

/// What covers a position.
enum Part {
    Run(Arc<Run>),
    /// It was taken from memory; this is where to go on.
    Memory(Option<u64>),
    /// Nothing is folded there yet.
    Beyond,
}

impl Selection {
    pub(super) fn new(
        shared: Arc<Shared>,
        query: &Query,
        after: Position,
        before: Position,
        order: Order,
    ) -> Selection {
        Selection::of_plan(shared, Plan::new(query, order), after, before, order)
    }

    pub(super) fn of_plan(
        shared: Arc<Shared>,
        plan: Plan,
        after: Position,
        before: Position,
        order: Order,
    ) -> Selection {
        let low = after.get().saturating_add(1);
        let high = before.get().saturating_sub(1).min(shared.folded().get());
        let at = match order {
            Order::Ascending => low,
            Order::Descending => high,
        };
        let at = (low <= high).then_some(at);
        Selection { shared, plan, order, low, high, at, run: None }
    }

    /// Appends up to `max` positions. `false`: there are no more.
    pub fn next(&mut self, max: usize, out: &mut Vec<Position>) -> Result<bool, IndexError> {
        let end = out.len().saturating_add(max);
        while self.at.is_some() && out.len() < end {
            self.step(end - out.len(), &mut |position| out.push(Position(position)))?;
        }
        Ok(self.at.is_some())
    }

    /// How many positions are left, counted no further than `stop_at`.
    pub(super) fn count(mut self, stop_at: u64) -> Result<u64, IndexError> {
        let mut count = 0;
        while let Some(at) = self.at {
            if count >= stop_at {
                break;
            }
            if let Some(known) = self.whole_run(at)? {
                count += known;
                continue;
            }
            let left = usize::try_from(stop_at - count).unwrap_or(usize::MAX);
            self.step(left, &mut |_| count += 1)?;
        }
        Ok(count.min(stop_at))
    }

    /// Steps over a run that lies within the bounds if its dictionary knows the count.
    fn whole_run(&mut self, at: u64) -> Result<Option<u64>, IndexError> {
        let Some(run) = self.shared.run_at(Position(at)) else { return Ok(None) };
        if at != run.first.get() || run.last().get() > self.high {
            return Ok(None);
        }
        let known = self.plan.count_of_run(&run)?;
        if known.is_some() {
            self.leave(&run);
        }
        Ok(known)
    }

    /// Takes up to `max` positions from whatever covers the present one.
    fn step(&mut self, max: usize, out: &mut impl FnMut(u64)) -> Result<(), IndexError> {
        let Some(at) = self.at else { return Ok(()) };
        if let Some((run, cursor)) = &mut self.run {
            let first = run.first.get();
            let bounds = Bounds::new(self.low, self.high, first, u64::from(run.count));
            match take(cursor, at, self.order, bounds, max, out)? {
                Some(next) => self.at = Some(next),
                None => self.leave_current(),
            }
            return Ok(());
        }
        match self.part_at(at, max, out)? {
            Part::Run(run) => {
                let cursor = self.plan.of_run(&run)?;
                self.run = Some((run, cursor));
            }
            Part::Memory(next) => self.at = next,
            // Staged events may have been forgotten since; what is before them is still there.
            Part::Beyond => {
                let folded = self.shared.folded().get();
                let below = folded < at && folded >= self.low;
                self.at = (self.order == Order::Descending && below).then_some(folded);
            }
        }
        Ok(())
    }

    fn part_at(&self, at: u64, max: usize, out: &mut impl FnMut(u64)) -> Result<Part, IndexError> {
        let state = self.shared.state.read();
        if let Some(run) = state.run_at(Position(at)) {
            return Ok(Part::Run(Arc::clone(run)));
        }
        match state.table_at(Position(at)) {
            Some(table) => Ok(Part::Memory(self.take_from_table(table, at, max, out)?)),
            None => Ok(Part::Beyond),
        }
    }

    fn take_from_table(
        &self,
        table: &Table,
        at: u64,
        max: usize,
        out: &mut impl FnMut(u64),
    ) -> Result<Option<u64>, IndexError> {
        let mut cursor = self.plan.of_table(table);
        let first = table.first().get();
        let bounds = Bounds::new(self.low, self.high, first, u64::from(table.len()));
        let next = take(&mut cursor, at, self.order, bounds, max.min(LOCKED_MAX), out)?;
        Ok(next.or_else(|| self.beyond(first, table.end().get() - 1)))
    }

    fn leave_current(&mut self) {
        if let Some((run, _)) = self.run.take() {
            self.leave(&run);
        }
    }

    fn leave(&mut self, run: &Run) {
        self.run = None;
        self.at = self.beyond(run.first.get(), run.last().get());
    }

    /// The position after a part in this order, if the bounds allow.
    fn beyond(&self, first: u64, last: u64) -> Option<u64> {
        match self.order {
            Order::Ascending => Some(last + 1).filter(|next| *next <= self.high),
            Order::Descending => Some(first - 1).filter(|next| *next >= self.low),
        }
    }
}

/// The part of the bounds that one run or table covers, relative to it, inclusive.
#[derive(Clone, Copy)]
struct Bounds {
    first: u64,
    low: u32,
    high: u32,
}

impl Bounds {
    /// The part is not empty and touches the bounds.
    fn new(low: u64, high: u64, first: u64, count: u64) -> Bounds {
        let last = first + count - 1;
        Bounds {
            first,
            low: (low.max(first) - first) as u32,
            high: (high.min(last).max(first) - first) as u32,
        }
    }
}

/// Takes up to `max` positions; answers where to go on, `None` once the part has no more.
fn take(
    cursor: &mut Cursor<'_>,
    at: u64,
    order: Order,
    bounds: Bounds,
    max: usize,
    out: &mut impl FnMut(u64),
) -> Result<Option<u64>, IndexError> {
    let mut target = (at - bounds.first) as u32;
    for _ in 0..max {
        let found = cursor.seek(target, order)?;
        let Some(found) = found.filter(|found| (bounds.low..=bounds.high).contains(found)) else {
            return Ok(None);
        };
        out(bounds.first + u64::from(found));
        let next = match order {
            Order::Ascending => found.checked_add(1),
            Order::Descending => found.checked_sub(1),
        };
        match next.filter(|next| (bounds.low..=bounds.high).contains(next)) {
            Some(next) => target = next,
            None => return Ok(None),
        }
    }
    Ok(Some(bounds.first + u64::from(target)))
}
