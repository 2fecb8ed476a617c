//! The memory table: the newest events, staged ones included, until they are frozen into a run.
//!
//! Events are only ever added at the end and taken from the end, so that forgetting staged events
//! leaves the table as if they had never come: keys are numbered in the order they appeared, and
//! those that only forgotten events had are the last.

use std::{collections::BTreeMap, ops::Bound, ops::RangeInclusive, sync::Arc};

use annal_event::{Identity, Keys, Position};
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{
    error::IndexError,
    key::{KeyRange, Kind, hash_key, write_key},
    run_writer::RunWriter,
};

/// Memory of an event apart from its keys' text, in bytes; an estimate for the budget.
const EVENT_BYTES: usize = 64;
/// Memory of a key apart from its text (held once, referred to thrice).
const KEY_BYTES: usize = 160;
/// Memory of one mention of a key.
const MENTION_BYTES: usize = 8;

/// A key of the table and where it occurs.
#[derive(Debug)]
pub(super) struct MemoryKey {
    text: Arc<[u8]>,
    hash: u64,
    first: u32,
    /// All positions but the first: most keys of a large log occur once.
    rest: Vec<u32>,
}

impl MemoryKey {
    /// Number of positions.
    pub(super) fn len(&self) -> usize {
        self.rest.len() + 1
    }

    /// The positions in order.
    pub(super) fn positions(&self) -> (u32, &[u32]) {
        (self.first, &self.rest)
    }
}

/// Kinds of keys that are also asked for by range.
const RANGED: [u8; 3] = [Kind::Subject as u8, Kind::Type as u8, Kind::Topic as u8];

/// Keys of such kinds in order of text. Sorting is left to those who ask, since a writer adds many keys that nobody asks for before they are frozen.
#[derive(Debug, Default)]
struct Sorted {
    ids: BTreeMap<Arc<[u8]>, u32>,
    /// Keys numbered below this are in.
    upto: usize,
}

impl Sorted {
    fn catch_up(&mut self, keys: &[MemoryKey]) {
        for (id, key) in keys.iter().enumerate().skip(self.upto) {
            if key.text.first().is_some_and(|kind| RANGED.contains(kind)) {
                self.ids.insert(Arc::clone(&key.text), id as u32);
            }
        }
        self.upto = keys.len();
    }
}

/// The hash that an identity has in the table. The low bits of an identity are those of its source:
/// taken as they are, all events of one source would fall into one bucket.
fn spread(identity: u64) -> u64 {
    let mixed = identity.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// The newest events, or a full table that waits to be frozen.
#[derive(Debug)]
pub(super) struct Table {
    first: Position,
    identities: HashTable<(u64, u32)>,
    hashes: Vec<u64>,
    keys: Vec<MemoryKey>,
    by_text: HashTable<u32>,
    sorted: Mutex<Sorted>,
    /// The keys of every event, one after the other.
    mentions: Vec<u32>,
    /// End of each event's keys in `mentions`.
    ends: Vec<u32>,
    bytes: usize,
    scratch: Vec<u8>,
}

impl Table {
    /// An empty table; its first event will stand at `first`.
    pub(super) fn new(first: Position) -> Table {
        Table {
            first,
            identities: HashTable::new(),
            hashes: Vec::new(),
            keys: Vec::new(),
            by_text: HashTable::new(),
            sorted: Mutex::new(Sorted::default()),
            mentions: Vec::new(),
            ends: Vec::new(),
            bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// An empty table for about as many events as the one before it had.
    pub(super) fn after(full: &Table) -> Table {
        let events = full.ends.len();
        let mut table = Table::new(full.end());
        table.identities.reserve(events, |entry| spread(entry.0));
        table.hashes.reserve(events);
        table.ends.reserve(events);
        table.mentions.reserve(full.mentions.len());
        table
    }

    pub(super) fn first(&self) -> Position {
        self.first
    }

    /// Number of events.
    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Position after the last event.
    pub(super) fn end(&self) -> Position {
        self.first.plus(self.ends.len() as u64)
    }

    /// What it holds on to, roughly; follows from its events alone.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the event that follows the last.
    pub(super) fn push(&mut self, identity: Identity, keys: &Keys<'_>, resource: Option<&str>) {
        let relative = self.len();
        let entry = (identity.0, relative);
        self.identities.insert_unique(spread(identity.0), entry, |entry| spread(entry.0));
        self.hashes.push(identity.0);
        self.mention(Kind::Type, keys.ty, relative);
        self.mention(Kind::Source, keys.source, relative);
        if let Some(subject) = keys.subject {
            self.mention(Kind::Subject, subject, relative);
        }
        if let Some(topic) = keys.topic {
            self.mention(Kind::Topic, topic, relative);
        }
        for tag in keys.tags() {
            self.mention(Kind::Tag, tag, relative);
        }
        if let Some(resource) = resource {
            self.mention(Kind::Resource, resource, relative);
        }
        self.ends.push(self.mentions.len() as u32);
        self.bytes += EVENT_BYTES;
    }

    /// Forgets events until `len` are left.
    pub(super) fn truncate(&mut self, len: u32) {
        while self.len() > len {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let (Some(_), Some(hash)) = (self.ends.pop(), self.hashes.pop()) else { return };
        let relative = self.ends.len() as u32;
        if let Ok(found) =
            self.identities.find_entry(spread(hash), |entry| *entry == (hash, relative))
        {
            found.remove();
        }
        let start = self.ends.last().map_or(0, |end| *end as usize);
        while self.mentions.len() > start {
            if let Some(id) = self.mentions.pop() {
                self.forget_mention(id);
            }
        }
        self.bytes -= EVENT_BYTES;
    }

    fn forget_mention(&mut self, id: u32) {
        self.bytes -= MENTION_BYTES;
        if self.keys[id as usize].rest.pop().is_some() {
            return;
        }
        let Some(key) = self.keys.pop() else { return };
        debug_assert_eq!(id as usize, self.keys.len(), "the newest key goes first");
        if let Ok(found) = self.by_text.find_entry(key.hash, |other| *other == id) {
            found.remove();
        }
        let sorted = self.sorted.get_mut();
        if sorted.upto > self.keys.len() {
            sorted.ids.remove(&key.text);
            sorted.upto = self.keys.len();
        }
        self.bytes -= KEY_BYTES + key.text.len();
    }

    fn mention(&mut self, kind: Kind, text: &str, relative: u32) {
        write_key(&mut self.scratch, kind, text);
        let hash = hash_key(&self.scratch);
        let keys = &self.keys;
        let same = |id: &u32| *keys[*id as usize].text == *self.scratch;
        let id = match self.by_text.find(hash, same) {
            Some(&id) => {
                let key = &mut self.keys[id as usize];
                if key.rest.last().copied().unwrap_or(key.first) == relative {
                    return; // the same tag twice on one event
                }
                key.rest.push(relative);
                id
            }
            None => self.add_key(hash, relative),
        };
        self.mentions.push(id);
        self.bytes += MENTION_BYTES;
    }

    fn add_key(&mut self, hash: u64, relative: u32) -> u32 {
        let id = self.keys.len() as u32;
        let text: Arc<[u8]> = self.scratch.as_slice().into();
        self.bytes += KEY_BYTES + text.len();
        self.keys.push(MemoryKey { text, hash, first: relative, rest: Vec::new() });
        let keys = &self.keys;
        self.by_text.insert_unique(hash, id, |id| keys[*id as usize].hash);
        id
    }

    /// Appends the positions of an identity hash, oldest first.
    pub(super) fn identity(&self, identity: Identity, out: &mut Vec<Position>) {
        let start = out.len();
        let found =
            self.identities.iter_hash(spread(identity.0)).filter(|entry| entry.0 == identity.0);
        out.extend(found.map(|entry| self.first.plus(u64::from(entry.1))));
        out[start..].sort_unstable();
    }

    /// Appends the positions of the identity hashes in a range, by looking at every one.
    pub(super) fn identities_in(&self, range: &RangeInclusive<Identity>, out: &mut Vec<Position>) {
        let found = self.identities.iter().filter(|entry| range.contains(&Identity(entry.0)));
        out.extend(found.map(|entry| self.first.plus(u64::from(entry.1))));
    }

    /// Where a key occurs.
    pub(super) fn find(&self, key: &[u8], hash: u64) -> Option<&MemoryKey> {
        let same = |id: &u32| *self.keys[*id as usize].text == *key;
        self.by_text.find(hash, same).map(|id| &self.keys[*id as usize])
    }

    /// Calls `visit` with the subjects, types or topics of a range, in order, until it answers `false`.
    pub(super) fn visit<'a>(
        &'a self,
        range: &KeyRange,
        mut visit: impl FnMut(&'a [u8], &'a MemoryKey) -> bool,
    ) {
        let bounds = (Bound::Included(&*range.from), Bound::Excluded(&*range.to));
        let mut sorted = self.sorted.lock();
        sorted.catch_up(&self.keys);
        for (_, id) in sorted.ids.range::<[u8], _>(bounds) {
            let key = &self.keys[*id as usize];
            if !visit(&key.text, key) {
                return;
            }
        }
    }

    /// Whether the event at a relative position has a key in the range.
    pub(super) fn mentions(&self, relative: u32, range: &KeyRange) -> bool {
        let start = relative.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        let mentions = &self.mentions[start as usize..self.ends[relative as usize] as usize];
        mentions.iter().any(|id| range.contains(&self.keys[*id as usize].text))
    }

    /// Hands everything to a writer, in order.
    pub(super) fn freeze(&self, writer: &mut RunWriter) -> Result<(), IndexError> {
        let mut identities: Vec<(u64, u32)> = self.hashes.iter().copied().zip(0..).collect();
        identities.sort_unstable();
        for (hash, relative) in identities {
            writer.identity(hash, relative)?;
        }
        writer.end_identities()?;
        let mut keys: Vec<&MemoryKey> = self.keys.iter().collect();
        keys.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        for key in keys {
            writer.begin_key(&key.text);
            writer.posting(key.first)?;
            for relative in &key.rest {
                writer.posting(*relative)?;
            }
            writer.end_key()?;
        }
        Ok(())
    }
}
