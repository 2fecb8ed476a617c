//! Positions that satisfy a part of a query, found without reading those that do not.
//!
//! A cursor answers one question: which position comes next at or after a target (or, going
//! backwards, at or before it). Conjunctions leapfrog: each member jumps to where the others are.
//! Targets only ever move on in the direction of the cursor.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use crate::Order;

use super::{
    column::ColumnCursor, error::IndexError, key::KeyRange, memory::Table, postings::ListCursor,
};

impl Order {
    /// The position after this one in this order.
    fn step(self, position: u32) -> Option<u32> {
        match self {
            Order::Ascending => position.checked_add(1),
            Order::Descending => position.checked_sub(1),
        }
    }

    /// A number that grows in this order.
    fn rank(self, position: u32) -> u32 {
        match self {
            Order::Ascending => position,
            Order::Descending => !position,
        }
    }
}

/// A set of positions relative to one run or table.
#[derive(Debug)]
pub(super) enum Cursor<'a> {
    Nothing,
    /// Every position below.
    All(u32),
    /// A key of the memory table: its first position and the others.
    Memory(u32, &'a [u32]),
    /// Few positions, in order.
    Few(Vec<u32>),
    List(Box<ListCursor>),
    Column(Box<ColumnScan>),
    Table(&'a Table, KeyRange),
    And(Vec<Cursor<'a>>),
    Or(Union<'a>),
}

/// A dense subtree: the subject column, looked at within the range where the subtree occurs.
#[derive(Debug)]
pub(super) struct ColumnScan {
    pub(super) column: ColumnCursor,
    pub(super) ordinals: Vec<Range<u32>>,
    pub(super) events: u64,
    pub(super) first: u32,
    pub(super) last: u32,
}

impl ColumnScan {
    fn seek(&mut self, target: u32, order: Order) -> Result<Option<u32>, IndexError> {
        match order {
            Order::Ascending => {
                let from = target.max(self.first);
                self.column.first(from, self.last.saturating_add(1), &self.ordinals)
            }
            Order::Descending => {
                self.column.last(self.first, target.min(self.last), &self.ordinals)
            }
        }
    }
}

impl<'a> Cursor<'a> {
    /// All of these hold.
    pub(super) fn and(mut members: Vec<Cursor<'a>>) -> Cursor<'a> {
        if members.iter().any(|member| matches!(member, Cursor::Nothing)) {
            return Cursor::Nothing;
        }
        members.sort_by_key(Cursor::estimate);
        if members.len() == 1 { members.remove(0) } else { Cursor::And(members) }
    }

    /// One of these holds.
    pub(super) fn or(mut members: Vec<Cursor<'a>>, order: Order) -> Cursor<'a> {
        members.retain(|member| !matches!(member, Cursor::Nothing));
        match members.len() {
            0 => Cursor::Nothing,
            1 => members.remove(0),
            _ => Cursor::Or(Union { members, order, heads: BinaryHeap::new(), started: false }),
        }
    }

    /// How many positions there are, at most.
    fn estimate(&self) -> u64 {
        match self {
            Cursor::Nothing => 0,
            Cursor::All(end) => u64::from(*end),
            Cursor::Memory(_, rest) => rest.len() as u64 + 1,
            Cursor::Few(positions) => positions.len() as u64,
            Cursor::List(list) => u64::from(list.list().count),
            Cursor::Column(scan) => scan.events,
            Cursor::Table(table, _) => u64::from(table.len()),
            Cursor::And(members) => members.first().map_or(0, Cursor::estimate),
            Cursor::Or(union) => union.members.iter().map(Cursor::estimate).sum(),
        }
    }

    /// The next position at or after the target, in the order given.
    pub(super) fn seek(&mut self, target: u32, order: Order) -> Result<Option<u32>, IndexError> {
        Ok(match self {
            Cursor::Nothing => None,
            Cursor::All(end) => match order {
                Order::Ascending => (target < *end).then_some(target),
                Order::Descending => end.checked_sub(1).map(|last| target.min(last)),
            },
            Cursor::Memory(first, rest) => seek_memory(*first, rest, target, order),
            Cursor::Few(positions) => seek_slice(positions, target, order),
            Cursor::List(list) => match order {
                Order::Ascending => list.at_or_after(target)?,
                Order::Descending => list.at_or_before(target)?,
            },
            Cursor::Column(scan) => scan.seek(target, order)?,
            Cursor::Table(table, range) => seek_table(table, range, target, order),
            Cursor::And(members) => seek_all(members, target, order)?,
            Cursor::Or(union) => union.seek(target)?,
        })
    }

    /// Whether a position is in the set. Scans look only at that position.
    fn holds(&mut self, position: u32, order: Order) -> Result<Met, IndexError> {
        let held = match self {
            Cursor::Column(scan) => scan.column.holds(position, &scan.ordinals)?,
            Cursor::Table(table, range) => table.mentions(position, range),
            _ => {
                return Ok(match self.seek(position, order)? {
                    Some(found) if found == position => Met::Here,
                    Some(found) => Met::NotBefore(found),
                    None => Met::Never,
                });
            }
        };
        if held {
            return Ok(Met::Here);
        }
        Ok(order.step(position).map_or(Met::Never, Met::NotBefore))
    }
}

/// What a member of a conjunction says of a candidate.
enum Met {
    Here,
    NotBefore(u32),
    Never,
}

/// The member with the fewest positions leads, the others confirm or say where to go on.
fn seek_all(
    members: &mut [Cursor<'_>],
    mut target: u32,
    order: Order,
) -> Result<Option<u32>, IndexError> {
    let Some((leader, others)) = members.split_first_mut() else { return Ok(None) };
    'candidate: loop {
        let Some(candidate) = leader.seek(target, order)? else { return Ok(None) };
        for other in others.iter_mut() {
            match other.holds(candidate, order)? {
                Met::Here => {}
                Met::NotBefore(next) => {
                    target = next;
                    continue 'candidate;
                }
                Met::Never => return Ok(None),
            }
        }
        return Ok(Some(candidate));
    }
}

fn seek_slice(positions: &[u32], target: u32, order: Order) -> Option<u32> {
    match order {
        Order::Ascending => {
            positions.get(positions.partition_point(|&position| position < target)).copied()
        }
        Order::Descending => {
            let after = positions.partition_point(|&position| position <= target);
            after.checked_sub(1).map(|index| positions[index])
        }
    }
}

fn seek_memory(first: u32, rest: &[u32], target: u32, order: Order) -> Option<u32> {
    let in_first = seek_slice(&[first], target, order);
    match order {
        Order::Ascending => in_first.or_else(|| seek_slice(rest, target, order)),
        Order::Descending => seek_slice(rest, target, order).or(in_first),
    }
}

fn seek_table(table: &Table, range: &KeyRange, target: u32, order: Order) -> Option<u32> {
    match order {
        Order::Ascending => (target..table.len()).find(|&at| table.mentions(at, range)),
        Order::Descending => {
            let last = table.len().checked_sub(1)?;
            (0..=target.min(last)).rev().find(|&at| table.mentions(at, range))
        }
    }
}

/// A disjunction: a heap of where each member stands.
#[derive(Debug)]
pub(super) struct Union<'a> {
    members: Vec<Cursor<'a>>,
    order: Order,
    /// Rank of the position, position, member.
    heads: BinaryHeap<Reverse<(u32, u32, u32)>>,
    started: bool,
}

impl Union<'_> {
    fn seek(&mut self, target: u32) -> Result<Option<u32>, IndexError> {
        if !self.started {
            self.started = true;
            for member in 0..self.members.len() as u32 {
                self.move_member(member, target)?;
            }
        }
        let rank = self.order.rank(target);
        while let Some(&Reverse((head, position, member))) = self.heads.peek() {
            if head >= rank {
                return Ok(Some(position));
            }
            self.heads.pop();
            self.move_member(member, target)?;
        }
        Ok(None)
    }

    fn move_member(&mut self, member: u32, target: u32) -> Result<(), IndexError> {
        if let Some(position) = self.members[member as usize].seek(target, self.order)? {
            self.heads.push(Reverse((self.order.rank(position), position, member)));
        }
        Ok(())
    }
}
