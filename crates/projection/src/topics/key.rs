//! The keys of this projection's rows. The first byte says what kind of row it is; names of topics
//! have no NUL in them.

use crate::store::Key;

/// Topics: name.
const TOPIC: u8 = b't';
/// Counters: name.
const COUNTER: u8 = b'n';
/// Marks: name, NUL, the number big-endian.
const MARK: u8 = b'm';

fn key(kind: u8, parts: &[&[u8]]) -> Key {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(kind);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.into()
}

pub(super) fn topic(name: &str) -> Key {
    key(TOPIC, &[name.as_bytes()])
}

/// The prefix of all topics.
pub(super) fn topics() -> Key {
    key(TOPIC, &[])
}

/// The text after the kind.
pub(super) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(1..)?).ok()
}

pub(super) fn counter(topic: &str) -> Key {
    key(COUNTER, &[topic.as_bytes()])
}

pub(super) fn mark(topic: &str, number: u64) -> Key {
    key(MARK, &[topic.as_bytes(), b"\0", &number.to_be_bytes()])
}

/// The prefix of the marks of a topic.
pub(super) fn marks(topic: &str) -> Key {
    key(MARK, &[topic.as_bytes(), b"\0"])
}

/// The number that the key of a mark names.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    let digits = key.get(key.len().checked_sub(8)?..)?;
    Some(u64::from_be_bytes(digits.try_into().ok()?))
}
