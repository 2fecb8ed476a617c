//! Events as they are stored: protobuf records, length-prefixed, in batches that commit together.
//!
//! A payload is a sequence of records, each a `u32` length (little-endian) followed by that many
//! bytes of `io.cloudevents.v1.CloudEvent`. Position and recorded time are not in a record: they
//! follow from the batch.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{Event, EventError, Identity, Limits, Position, Timestamp, proto};

/// A BLAKE3 hash.
pub type Digest = [u8; 32];

const LENGTH_BYTES: usize = 4;

/// Events that have been validated and encoded and wait for their positions.
///
/// Built where a request is parsed, so that the writer only copies bytes and compares hashes.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    payload: Vec<u8>,
    // One event alone, the commonest append over HTTP, allocates for its payload only.
    ends: SmallVec<[u32; 1]>,
    digests: SmallVec<[Digest; 1]>,
    identities: SmallVec<[Identity; 1]>,
    /// Events that mean something to the store itself ([`Event::is_marked`]), by index.
    marked: Vec<u32>,
    /// Events whose id is given when their place is known, by index.
    unnamed: Vec<u32>,
}

impl Encoded {
    /// Appends one event. The caller has validated it ([`Event::validate`]).
    pub fn push(&mut self, event: &Event<'_>) {
        let start = self.payload.len();
        self.payload.reserve(LENGTH_BYTES + event.record_bytes_at_most());
        self.payload.extend_from_slice(&[0; LENGTH_BYTES]);
        proto::encode_record(event, &mut self.payload);
        self.close(start, Identity::of(&event.source, &event.id), event.is_marked());
    }

    /// The payload from `start` on, room for its length before it, is one more record.
    fn close(&mut self, start: usize, identity: Identity, marked: bool) {
        let record_start = start + LENGTH_BYTES;
        let length = (self.payload.len() - record_start) as u32;
        self.payload[start..record_start].copy_from_slice(&length.to_le_bytes());
        self.ends.push(self.payload.len() as u32);
        self.digests.push(event_digest(&self.payload[record_start..]));
        self.identities.push(identity);
        if marked {
            self.marked.push(self.ends.len() as u32 - 1);
        }
    }

    /// Appends one event whose id is given when its place is known ([`Encoded::with_ids`]). Until
    /// then it has one that no other event of these has, and that is no shorter.
    pub fn push_unnamed(&mut self, event: &Event<'_>) {
        self.unnamed.push(self.ends.len() as u32);
        self.push(event);
    }

    /// Validates one event ([`Event::validate`]) and appends it. On an error nothing is appended.
    pub fn push_valid(&mut self, event: &Event<'_>, limits: &Limits) -> Result<(), EventError> {
        event.validate(limits)?;
        self.push(event);
        Ok(())
    }

    /// Drops the last event pushed, for instance because its record turned out too large.
    pub fn pop(&mut self) {
        self.ends.pop();
        self.digests.pop();
        self.identities.pop();
        self.marked.pop_if(|marked| *marked as usize == self.ends.len());
        self.unnamed.pop_if(|unnamed| *unnamed as usize == self.ends.len());
        self.payload.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All records with their length prefixes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// End offset in [`Encoded::payload`] of each record.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Digest of each record.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// Identity hash of each event.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Events that mean something to the store itself ([`Event::is_marked`]), by index.
    pub fn marked(&self) -> &[u32] {
        &self.marked
    }

    /// Events whose id is given when their place is known, by index.
    pub fn unnamed(&self) -> &[u32] {
        &self.unnamed
    }

    /// The same events, where each of [`Encoded::unnamed`] has the id that stands at its place in
    /// `ids`; those without one there are left as they are.
    pub fn with_ids(&self, ids: &[String]) -> Result<Encoded, EventError> {
        let mut named = Encoded::default();
        named.payload.reserve(self.payload.len());
        let mut copied = 0;
        for (index, id) in self.unnamed.iter().map(|index| *index as usize).zip(ids) {
            named.extend(self, copied, index);
            let start = named.payload.len();
            named.payload.extend_from_slice(&[0; LENGTH_BYTES]);
            let record = self.record(index);
            let source = proto::put_record_with_id(&mut named.payload, record, id)?;
            let identity = Identity::of(source, id);
            named.close(start, identity, self.marked.binary_search(&(index as u32)).is_ok());
            copied = index + 1;
        }
        named.extend(self, copied, self.len());
        Ok(named)
    }

    /// The record of event `index`, without its length prefix.
    pub fn record(&self, index: usize) -> &[u8] {
        record(&self.payload, &self.ends, index)
    }

    /// The records of events `from..to` with their length prefixes, ready to be copied.
    pub fn framed(&self, from: usize, to: usize) -> &[u8] {
        &self.payload[start_of(&self.ends, from)..start_of(&self.ends, to)]
    }

    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.ends.clear();
        self.digests.clear();
        self.identities.clear();
        self.marked.clear();
        self.unnamed.clear();
    }

    /// Appends events `from..to` of `other`.
    pub fn extend(&mut self, other: &Encoded, from: usize, to: usize) {
        let shift = self.payload.len() as u32;
        let base = start_of(&other.ends, from) as u32;
        let before = self.ends.len();
        let moved = |of: &[u32]| -> Vec<u32> {
            let within = of.iter().filter(|index| (from..to).contains(&(**index as usize)));
            within.map(|index| (*index as usize - from + before) as u32).collect()
        };
        self.marked.extend(moved(&other.marked));
        self.unnamed.extend(moved(&other.unnamed));
        self.payload.extend_from_slice(other.framed(from, to));
        self.ends.extend(other.ends[from..to].iter().map(|end| end - base + shift));
        self.digests.extend_from_slice(&other.digests[from..to]);
        self.identities.extend_from_slice(&other.identities[from..to]);
    }

    /// Gives the events their place. The digests are left to be made into a [`merkle_root`].
    pub fn commit(self, first: Position, time: Timestamp) -> (Batch, Vec<Digest>) {
        let batch =
            Batch { first, time, payload: self.payload.into(), ends: self.ends.into_boxed_slice() };
        (batch, self.digests.into_vec())
    }
}

fn start_of(ends: &[u32], index: usize) -> usize {
    if index == 0 { 0 } else { ends[index - 1] as usize }
}

fn record<'a>(payload: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    &payload[start_of(ends, index) + LENGTH_BYTES..ends[index] as usize]
}

/// Consecutive events that share one recorded time: a committed batch, or a part of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    first: Position,
    time: Timestamp,
    payload: Bytes,
    ends: Box<[u32]>,
}

/// A payload that is not a whole number of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload of {bytes} bytes does not hold {count} whole records")]
pub struct BatchError {
    /// Size of the payload.
    pub bytes: usize,
    /// How many records it should hold.
    pub count: usize,
}

impl Batch {
    /// Reads a payload as it stands on disk. `count` records must fill it exactly.
    pub fn parse(
        first: Position,
        time: Timestamp,
        count: usize,
        payload: Bytes,
    ) -> Result<Batch, BatchError> {
        let wrong = BatchError { bytes: payload.len(), count };
        if count > payload.len() / LENGTH_BYTES || payload.len() > u32::MAX as usize {
            return Err(wrong);
        }
        let mut ends = Vec::with_capacity(count);
        let mut at = 0usize;
        for _ in 0..count {
            let Some(prefix) = payload.get(at..at + LENGTH_BYTES) else { return Err(wrong) };
            let length = u32::from_le_bytes(prefix.try_into().expect("four bytes")) as usize;
            at += LENGTH_BYTES + length;
            if at > payload.len() {
                return Err(wrong);
            }
            ends.push(at as u32);
        }
        if at != payload.len() {
            return Err(wrong);
        }
        Ok(Batch { first, time, payload, ends: ends.into_boxed_slice() })
    }

    /// Position of the first event.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Position of the last event.
    pub fn last(&self) -> Position {
        Position(self.first.0 + self.ends.len() as u64 - 1)
    }

    /// Number of events, at least one.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// When these events were committed.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// All records with their length prefixes, as on disk.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The record of event `index` (0 is [`Batch::first`]), without its length prefix.
    pub fn record(&self, index: usize) -> &[u8] {
        record(&self.payload, &self.ends, index)
    }

    /// The records in order.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// The record at a position, if this batch holds it.
    pub fn at(&self, position: Position) -> Option<&[u8]> {
        let index = position.0.checked_sub(self.first.0)?;
        (index < self.len() as u64).then(|| self.record(index as usize))
    }

    /// Memory this batch holds on to, in bytes.
    pub fn weight(&self) -> usize {
        self.payload.len() + self.ends.len() * size_of::<u32>() + size_of::<Batch>()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Batch({}..={}, {}, {} B)",
            self.first,
            self.last(),
            self.time,
            self.payload.len()
        )
    }
}

/// One committed event, sharing the memory of the batch it was read with.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    batch: Arc<Batch>,
    index: u32,
}

impl StoredEvent {
    /// Event `index` of a batch. Panics if the batch is shorter.
    pub fn new(batch: Arc<Batch>, index: usize) -> StoredEvent {
        assert!(index < batch.len(), "event {index} of {batch:?}");
        StoredEvent { batch, index: index as u32 }
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.batch.first.plus(u64::from(self.index))
    }

    /// When it was committed.
    pub fn recorded(&self) -> Timestamp {
        self.batch.time
    }

    /// Its protobuf record.
    pub fn record(&self) -> &[u8] {
        self.batch.record(self.index as usize)
    }

    /// The event itself, borrowing from the record.
    pub fn event(&self) -> Result<Event<'_>, EventError> {
        proto::decode_record(self.record())
    }
}

/// Digest of one record.
pub fn event_digest(record: &[u8]) -> Digest {
    *blake3::hash(record).as_bytes()
}

/// Root of the binary Merkle tree over event digests; an odd node moves up unchanged. Inner nodes
/// are told apart from leaves by BLAKE3's key.
pub fn merkle_root(digests: &[Digest]) -> Digest {
    let mut level: Vec<Digest> = digests.to_vec();
    while level.len() > 1 {
        let mut write = 0;
        for read in (0..level.len()).step_by(2) {
            level[write] = match level.get(read + 1) {
                Some(right) => node(&level[read], right),
                None => level[read],
            };
            write += 1;
        }
        level.truncate(write);
    }
    level.first().copied().unwrap_or_default()
}

const NODE_KEY: &[u8; 32] = b"annal merkle node, version 1 ...";
const LINK_KEY: &[u8; 32] = b"annal chain link, version 1 ....";

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    *blake3::keyed_hash(NODE_KEY, &both).as_bytes()
}

/// The next link of the chain: what was before, where this batch stands, and what it holds.
pub fn chain(
    previous: &Digest,
    first: Position,
    count: u32,
    time: Timestamp,
    root: &Digest,
) -> Digest {
    let mut link = [0; 84];
    link[..32].copy_from_slice(previous);
    link[32..40].copy_from_slice(&first.0.to_le_bytes());
    link[40..44].copy_from_slice(&count.to_le_bytes());
    link[44..52].copy_from_slice(&time.0.to_le_bytes());
    link[52..].copy_from_slice(root);
    *blake3::keyed_hash(LINK_KEY, &link).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topical(id: &str) -> Event<'static> {
        Event::new(id.to_owned(), "/topics/t", "a").with_extension("topic", "t").with_json("{}")
    }

    fn ids(events: &Encoded) -> Vec<String> {
        let id = |index| proto::decode_record(events.record(index)).expect("a record").id.into();
        (0..events.len()).map(id).collect()
    }

    #[test]
    fn events_get_their_ids_later() {
        let mut events = Encoded::default();
        events.push(&Event::new("own", "/s", "a"));
        events.push_unnamed(&topical("stand-in-1"));
        events.push(&Event::new("other", "/s", "a"));
        events.push_unnamed(&topical("stand-in-2"));
        events.push_unnamed(&topical("stand-in-3"));
        events.pop();
        assert_eq!((events.unnamed(), events.marked()), (&[1, 3][..], &[1, 3][..]));
        let named = events.with_ids(&["t-7".to_owned(), "t-8".to_owned()]).expect("records");
        assert_eq!(ids(&named), ["own", "t-7", "other", "t-8"]);
        assert_eq!((named.unnamed(), named.marked()), (&[][..], &[1, 3][..]));
        assert_eq!(named.identities()[1], Identity::of("/topics/t", "t-7"));
        let mut again = Encoded::default();
        again.push(&topical("t-8"));
        assert_eq!(named.record(3), again.record(0), "as if it had come with it");
        assert_eq!(named.digests()[3], again.digests()[0]);
        let mut part = Encoded::default();
        part.push(&Event::new("before", "/s", "a"));
        part.extend(&events, 2, 4);
        assert_eq!((part.unnamed(), part.marked()), (&[2][..], &[2][..]));
        part.clear();
        assert!(part.unnamed().is_empty());
    }
}
