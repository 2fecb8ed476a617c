//! From a query to cursors over one run or one memory table.

use std::sync::Arc;

use annal_event::{Pattern, Query, Selector};

use crate::Order;

use super::{
    cursor::{ColumnScan, Cursor},
    dictionary::Span,
    error::IndexError,
    key::{KeyMatch, KeyRange, Kind, hash_key},
    memory::Table,
    run::Run,
};

/// Positions that are collected and sorted; more are looked for in the subject column.
const COLLECT_MAX: u64 = 16 * 1024;
/// The same in a memory table.
const COLLECT_MEMORY_MAX: usize = 4 * 1024;
/// A list of more positions is not collected but read as it goes.
const SHORT_LIST_MAX: u32 = 128;

/// One of these must match.
type Group = Vec<KeyMatch>;

/// A query, ready to be asked of every part of the index: an OR of ANDs of ORs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    selectors: Vec<Vec<Group>>,
    order: Order,
}

impl Plan {
    pub(super) fn new(query: &Query, order: Order) -> Plan {
        let selectors =
            if query.is_all() { vec![Vec::new()] } else { query.any.iter().map(groups).collect() };
        Plan { selectors, order }
    }

    /// Events that carry one key.
    pub(super) fn of_key(kind: Kind, text: &str, order: Order) -> Plan {
        Plan { selectors: vec![vec![vec![KeyMatch::exact(kind, text)]]], order }
    }

    /// The same, or events that carry any key of a kind.
    pub(super) fn or_of_kind(mut self, kind: Kind) -> Plan {
        let any = KeyMatch::of(kind, &Pattern::Prefix(String::new()));
        self.selectors.push(vec![vec![any]]);
        self
    }

    /// The matching positions of a table.
    pub(super) fn of_table<'a>(&self, table: &'a Table) -> Cursor<'a> {
        let selectors = self.selectors.iter().map(|groups| {
            let any_of = |group: &Group| {
                let members = group.iter().flat_map(|m| table_cursors(table, m)).collect();
                Cursor::or(members, self.order)
            };
            all_of(groups.iter().map(any_of).collect(), table.len())
        });
        Cursor::or(selectors.collect(), self.order)
    }

    /// The matching positions of a run.
    pub(super) fn of_run(&self, run: &Arc<Run>) -> Result<Cursor<'static>, IndexError> {
        let mut selectors = Vec::with_capacity(self.selectors.len());
        for groups in &self.selectors {
            selectors.push(self.selector_of_run(run, groups)?);
        }
        Ok(Cursor::or(selectors, self.order))
    }

    fn selector_of_run(
        &self,
        run: &Arc<Run>,
        groups: &[Group],
    ) -> Result<Cursor<'static>, IndexError> {
        let mut members = Vec::with_capacity(groups.len());
        for group in groups {
            let mut any = Vec::with_capacity(group.len());
            for matching in group {
                run_cursors(run, matching, self.order, &mut any)?;
            }
            if any.is_empty() {
                return Ok(Cursor::Nothing);
            }
            members.push(Cursor::or(any, self.order));
        }
        Ok(all_of(members, run.count))
    }

    /// How many events of a run match, where the dictionary alone can tell.
    pub(super) fn count_of_run(&self, run: &Run) -> Result<Option<u64>, IndexError> {
        match self.selectors.as_slice() {
            [groups] => match groups.as_slice() {
                [] => Ok(Some(u64::from(run.count))),
                [group] => match group.as_slice() {
                    [matching] => key_span(run, matching).map(|span| Some(span.events)),
                    _ => Ok(None),
                },
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

fn all_of(members: Vec<Cursor<'_>>, count: u32) -> Cursor<'_> {
    if members.is_empty() { Cursor::All(count) } else { Cursor::and(members) }
}

fn groups(selector: &Selector) -> Vec<Group> {
    let exact = |kind: Kind, texts: &[String]| -> Group {
        texts.iter().map(|text| KeyMatch::exact(kind, text)).collect()
    };
    let mut groups: Vec<Group> = vec![
        selector.subjects.iter().map(|p| KeyMatch::of(Kind::Subject, p)).collect(),
        selector.types.iter().map(|p| KeyMatch::of(Kind::Type, p)).collect(),
        exact(Kind::Source, &selector.sources),
        exact(Kind::Topic, &selector.topics),
    ];
    groups.retain(|group| !group.is_empty());
    groups.extend(selector.tags.iter().map(|tag| vec![KeyMatch::exact(Kind::Tag, tag)]));
    groups
}

fn table_cursors<'a>(table: &'a Table, matching: &KeyMatch) -> Vec<Cursor<'a>> {
    let mut cursors = Vec::new();
    if let Some(exact) = &matching.exact
        && let Some(key) = table.find(exact, hash_key(exact))
    {
        let (first, rest) = key.positions();
        cursors.push(Cursor::Memory(first, rest));
    }
    if let Some(range) = &matching.range {
        cursors.push(table_range(table, range));
    }
    cursors
}

fn table_range<'a>(table: &'a Table, range: &KeyRange) -> Cursor<'a> {
    let mut positions = Vec::new();
    let mut is_dense = false;
    table.visit(range, |_, key| {
        is_dense = positions.len() + key.len() > COLLECT_MEMORY_MAX;
        if !is_dense {
            let (first, rest) = key.positions();
            positions.push(first);
            positions.extend_from_slice(rest);
        }
        !is_dense
    });
    if is_dense { Cursor::Table(table, range.clone()) } else { few(positions) }
}

fn few<'a>(mut positions: Vec<u32>) -> Cursor<'a> {
    if positions.is_empty() {
        return Cursor::Nothing;
    }
    positions.sort_unstable();
    Cursor::Few(positions)
}

fn run_cursors(
    run: &Arc<Run>,
    matching: &KeyMatch,
    order: Order,
    out: &mut Vec<Cursor<'static>>,
) -> Result<(), IndexError> {
    let Some(range) = &matching.range else {
        return run_exact(run, matching, out);
    };
    let span = run.dictionary.span(range)?;
    if span.events > COLLECT_MAX && range.from.first() == Some(&(Kind::Subject as u8)) {
        out.push(column_scan(run, matching, span)?);
        return Ok(());
    }
    run_exact(run, matching, out)?;
    if span.events > 0 {
        out.push(collect(run, range, order)?);
    }
    Ok(())
}

fn run_exact(
    run: &Arc<Run>,
    matching: &KeyMatch,
    out: &mut Vec<Cursor<'static>>,
) -> Result<(), IndexError> {
    if let Some(exact) = &matching.exact
        && let Some(entry) = run.find(exact, hash_key(exact))?
    {
        out.push(match entry.list.count {
            1 => Cursor::Few(vec![entry.list.first]),
            _ => Cursor::List(Box::new(run.list(entry.list))),
        });
    }
    Ok(())
}

fn column_scan(
    run: &Arc<Run>,
    matching: &KeyMatch,
    mut span: Span,
) -> Result<Cursor<'static>, IndexError> {
    let mut ordinals = vec![span.ordinals.clone()];
    if let Some(exact) = &matching.exact
        && let Some(entry) = run.find(exact, hash_key(exact))?
    {
        ordinals.push(entry.ordinal..entry.ordinal + 1);
        span.add_entry(&entry);
    }
    let Span { events, first, last, .. } = span;
    Ok(Cursor::Column(Box::new(ColumnScan { column: run.column(), ordinals, events, first, last })))
}

/// The short lists of a range sorted into one, the long ones beside it.
fn collect(run: &Arc<Run>, range: &KeyRange, order: Order) -> Result<Cursor<'static>, IndexError> {
    let mut short = Vec::new();
    let mut members = Vec::new();
    let mut keys = run.dictionary.cursor_at(&range.from);
    let mut more = keys.advance_to(&run.dictionary, &range.from)?;
    let mut stream = run.list_collector();
    while more && range.contains(keys.key()) {
        let list = keys.entry().list;
        match list.count {
            1 => short.push(list.first),
            2..=SHORT_LIST_MAX => stream.collect(list, &mut short)?,
            _ => members.push(Cursor::List(Box::new(run.list(list)))),
        }
        more = keys.advance(&run.dictionary)?;
    }
    members.push(few(short));
    Ok(Cursor::or(members, order))
}

/// What the keys of a match add up to in a run.
pub(super) fn key_span(run: &Run, matching: &KeyMatch) -> Result<Span, IndexError> {
    let mut span = match &matching.range {
        Some(range) => run.dictionary.span(range)?,
        None => Span::empty(),
    };
    if let Some(exact) = &matching.exact
        && let Some(entry) = run.find(exact, hash_key(exact))?
    {
        span.add_entry(&entry);
    }
    Ok(span)
}
