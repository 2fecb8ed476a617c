//! Keys: what postings are kept for. One byte of kind, then the text.
//!
//! Subjects sort first, so that their ordinals in a dictionary start at zero.

use annal_event::Pattern;
use xxhash_rust::xxh3::xxh3_64;

/// An attribute that events are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// What it happened to.
    Subject = 1,
    /// What kind of thing happened.
    Type = 2,
    /// Where it happened.
    Source = 3,
    /// The topic it belongs to.
    Topic = 4,
    /// One of its tags.
    Tag = 5,
    /// The resource that it changes, as `type/id`.
    Resource = 6,
}

/// Greater than every byte of UTF-8, so a prefix followed by it ends the keys with that prefix.
const PAST_TEXT: u8 = 0xFF;

/// Writes kind and text over what `key` held.
pub(super) fn write_key(key: &mut Vec<u8>, kind: Kind, text: &str) {
    key.clear();
    key.push(kind as u8);
    key.extend_from_slice(text.as_bytes());
}

/// Kind and text as one string of bytes.
pub(super) fn key(kind: Kind, text: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(text.len() + 1);
    write_key(&mut key, kind, text);
    key
}

/// The hash that filters and the memory table know a key by.
pub(super) fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Keys `from ≤ key < to`.
#[derive(Clone, Debug)]
pub(super) struct KeyRange {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
}

impl KeyRange {
    pub(super) fn prefix(kind: Kind, prefix: &str) -> KeyRange {
        let from = key(kind, prefix);
        let mut to = from.clone();
        to.push(PAST_TEXT);
        KeyRange { from, to }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && key < self.to.as_slice()
    }
}

/// What a pattern asks of a dictionary: at most one exact key and one range, which do not overlap.
#[derive(Clone, Debug)]
pub(super) struct KeyMatch {
    pub(super) exact: Option<Vec<u8>>,
    pub(super) range: Option<KeyRange>,
}

impl KeyMatch {
    pub(super) fn of(kind: Kind, pattern: &Pattern) -> KeyMatch {
        match pattern {
            Pattern::Exact(text) => KeyMatch::exact(kind, text),
            Pattern::Prefix(text) => {
                KeyMatch { exact: None, range: Some(KeyRange::prefix(kind, text)) }
            }
            Pattern::Tree(root) => KeyMatch {
                exact: Some(key(kind, root)),
                range: Some(KeyRange::prefix(kind, &format!("{root}/"))),
            },
        }
    }

    pub(super) fn exact(kind: Kind, text: &str) -> KeyMatch {
        KeyMatch { exact: Some(key(kind, text)), range: None }
    }
}
