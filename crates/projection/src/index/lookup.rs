//! Answers about one identity, one subject, or the keys there are.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use annal_event::{Identity, Pattern, Position, Query, Selector};

use super::{
    Index, Kind, Order,
    error::IndexError,
    key::{KeyMatch, KeyRange, hash_key, key},
    memory::{MemoryKey, Table},
    plan::key_span,
    run::Run,
};

/// What the events of a subject, or of it and everything under it, add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectState {
    /// Number of events ever appended: the subject version, where only one subject is asked for.
    pub version: u64,
    /// Position of the first; `ZERO` without any.
    pub first: Position,
    /// Position of the last; `ZERO` without any.
    pub last: Position,
}

impl SubjectState {
    fn add(&mut self, events: u64, first: Position, last: Position) {
        if events == 0 {
            return;
        }
        if self.version == 0 {
            self.first = first;
        }
        self.version += events;
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    /// Adds what a key of a table has up to a position.
    fn add_memory(&mut self, table: &Table, key: &MemoryKey, upto: Position) {
        let (first, rest) = key.positions();
        let position = |relative: u32| table.first().plus(u64::from(relative));
        if position(first) > upto {
            return;
        }
        let within = rest.partition_point(|&relative| position(relative) <= upto);
        let last = within.checked_sub(1).map_or(first, |index| rest[index]);
        self.add(within as u64 + 1, position(first), position(last));
    }
}

/// A subject, type or other key and what its events add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The text.
    pub text: String,
    /// Number of events and where they begin and end.
    pub state: SubjectState,
}

impl Index {
    /// Appends the positions of events that may have this identity, oldest first. A hash can be
    /// shared: compare the events.
    pub fn identity(&self, identity: Identity, out: &mut Vec<Position>) -> Result<(), IndexError> {
        let (runs, in_memory) = {
            let state = self.shared.state.read();
            let mut found = Vec::new();
            state.tables().for_each(|table| table.identity(identity, &mut found));
            (Arc::clone(&state.runs), found)
        };
        for run in runs.iter().filter(|run| run.may_hold(identity)) {
            run.identities(&(identity..=identity), out)?;
        }
        out.extend(in_memory);
        Ok(())
    }

    /// Appends the positions of events whose identity lies in a range, in no order: with
    /// [`Identity::of_id`], of those that may have an id, whatever their source. Reads one page of
    /// each run and looks through the memory tables.
    pub fn identities_in(
        &self,
        range: &RangeInclusive<Identity>,
        out: &mut Vec<Position>,
    ) -> Result<(), IndexError> {
        let runs = {
            let state = self.shared.state.read();
            state.tables().for_each(|table| table.identities_in(range, out));
            Arc::clone(&state.runs)
        };
        runs.iter().try_for_each(|run| run.identities(range, out))
    }

    /// The same for many identities: appends (index of the identity, candidate), oldest candidates
    /// of an identity first. The filters are asked run by run, so that memory is read in parallel.
    pub fn identities(
        &self,
        identities: &[Identity],
        out: &mut Vec<(usize, Position)>,
    ) -> Result<(), IndexError> {
        let mut found = Vec::new();
        let (runs, in_memory) = {
            let state = self.shared.state.read();
            let mut in_memory = Vec::new();
            for (index, identity) in identities.iter().enumerate() {
                state.tables().for_each(|table| table.identity(*identity, &mut found));
                in_memory.extend(found.drain(..).map(|position| (index, position)));
            }
            (Arc::clone(&state.runs), in_memory)
        };
        for run in runs.iter() {
            for (index, identity) in identities.iter().enumerate() {
                if run.may_hold(*identity) {
                    run.identities(&(*identity..=*identity), &mut found)?;
                    out.extend(found.drain(..).map(|position| (index, position)));
                }
            }
        }
        out.extend(in_memory);
        Ok(())
    }

    /// What the events of a subject up to a position add up to; `recursive` includes everything
    /// under it.
    pub fn subject(
        &self,
        subject: &str,
        recursive: bool,
        upto: Position,
    ) -> Result<SubjectState, IndexError> {
        let pattern = match recursive {
            true => Pattern::Tree(subject.to_owned()),
            false => Pattern::Exact(subject.to_owned()),
        };
        let matching = KeyMatch::of(Kind::Subject, &pattern);
        let (runs, in_memory) = {
            let state = self.shared.state.read();
            let mut sum = SubjectState::default();
            state.tables().for_each(|table| add_table(&mut sum, table, &matching, upto));
            (Arc::clone(&state.runs), sum)
        };
        let mut sum = SubjectState::default();
        for run in runs.iter().take_while(|run| run.first <= upto) {
            if run.last() > upto {
                return self.subject_by_positions(pattern, upto);
            }
            let span = key_span(run, &matching)?;
            if span.events > 0 {
                sum.add(span.events, run.position(span.first), run.position(span.last));
            }
        }
        sum.add(in_memory.version, in_memory.first, in_memory.last);
        Ok(sum)
    }

    /// For a position in the past, in the middle of a run.
    fn subject_by_positions(
        &self,
        pattern: Pattern,
        upto: Position,
    ) -> Result<SubjectState, IndexError> {
        let query = Query::one(Selector { subjects: vec![pattern], ..Selector::default() });
        let end = |order| -> Result<Position, IndexError> {
            let mut found = Vec::new();
            self.select(&query, Position::ZERO, upto.next(), order).next(1, &mut found)?;
            Ok(found.first().copied().unwrap_or_default())
        };
        Ok(SubjectState {
            version: self.count(&query, Position::ZERO, upto.next(), u64::MAX)?,
            first: end(Order::Ascending)?,
            last: end(Order::Descending)?,
        })
    }

    /// The subjects or types that begin with `prefix` and come after the text `after`, in order of
    /// their bytes, at most `limit`, with what their events up to a position add up to.
    pub fn keys(
        &self,
        kind: Kind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        upto: Position,
    ) -> Result<Vec<KeyState>, IndexError> {
        let mut range = KeyRange::prefix(kind, prefix);
        if let Some(after) = after {
            // The text right after it: no UTF-8 text comes between.
            let mut past = key(kind, after);
            past.push(0);
            range.from = range.from.max(past);
        }
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        // Each part's first keys are enough: the first of all are among them.
        let mut first = FirstKeys { limit, keys: BTreeMap::new() };
        let runs = {
            let state = self.shared.state.read();
            state.tables().for_each(|table| first.add_table(table, &range, upto));
            Arc::clone(&state.runs)
        };
        for run in runs.iter().take_while(|run| run.first <= upto) {
            first.add_run(run, &range, upto)?;
        }
        Ok(first.finish())
    }
}

fn add_table(sum: &mut SubjectState, table: &Table, matching: &KeyMatch, upto: Position) {
    if let Some(exact) = &matching.exact
        && let Some(found) = table.find(exact, hash_key(exact))
    {
        sum.add_memory(table, found, upto);
    }
    if let Some(range) = &matching.range {
        table.visit(range, |_, found| {
            sum.add_memory(table, found, upto);
            true
        });
    }
}

/// The first keys of several parts, added up.
struct FirstKeys {
    limit: usize,
    keys: BTreeMap<Vec<u8>, SubjectState>,
}

impl FirstKeys {
    fn add_table(&mut self, table: &Table, range: &KeyRange, upto: Position) {
        let mut taken = 0;
        table.visit(range, |text, found| {
            if taken < self.limit {
                let mut state = SubjectState::default();
                state.add_memory(table, found, upto);
                taken += self.add(text, state);
            }
            taken < self.limit
        });
    }

    fn add_run(
        &mut self,
        run: &Arc<Run>,
        range: &KeyRange,
        upto: Position,
    ) -> Result<(), IndexError> {
        let mut cursor = run.dictionary.cursor_at(&range.from);
        let mut more = cursor.advance_to(&run.dictionary, &range.from)?;
        let mut taken = 0;
        while more && range.contains(cursor.key()) && taken < self.limit {
            let state = state_in_run(run, cursor.entry().list, upto)?;
            taken += self.add(cursor.key(), state);
            more = cursor.advance(&run.dictionary)?;
        }
        Ok(())
    }

    /// Adds to a key; how many keys that were (none without events).
    fn add(&mut self, text: &[u8], state: SubjectState) -> usize {
        if state.version == 0 {
            return 0;
        }
        let sum = self.keys.entry(text.to_vec()).or_default();
        sum.add(state.version, state.first, state.last);
        1
    }

    fn finish(self) -> Vec<KeyState> {
        let first = self.keys.into_iter().take(self.limit);
        let text = |key: Vec<u8>| String::from_utf8_lossy(&key[1..]).into_owned();
        first.map(|(key, state)| KeyState { text: text(key), state }).collect()
    }
}

fn state_in_run(
    run: &Run,
    list: super::postings::List,
    upto: Position,
) -> Result<SubjectState, IndexError> {
    let mut state = SubjectState::default();
    if run.position(list.first) > upto {
        return Ok(state);
    }
    if run.position(list.last) <= upto {
        state.add(u64::from(list.count), run.position(list.first), run.position(list.last));
        return Ok(state);
    }
    let target = (upto.get() - run.first.get()) as u32;
    let mut positions = run.list(list);
    let last = positions.at_or_before(target)?.unwrap_or(list.first);
    let count = positions.count_to(target)?;
    state.add(u64::from(count), run.position(list.first), run.position(last));
    Ok(state)
}
