//! Batches to write, and a log to write them to.

use std::sync::Arc;

use annal_event::{Batch, Digest, Position, Timestamp, event_digest, merkle_root};
use annal_log::{LogOptions, LogReader, LogWriter, OpenError, ReadError, WriteError};
use annal_storage::{FaultStorage, Storage};

/// SplitMix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A batch whose records have these sizes, filled from `seed`.
pub(crate) fn batch(first: u64, time: i64, sizes: &[usize], seed: u64) -> (Arc<Batch>, Digest) {
    let mut rng = Rng(seed);
    let mut payload = Vec::new();
    let mut digests = Vec::new();
    for size in sizes {
        let record: Vec<u8> = (0..*size).map(|_| b'a' + rng.below(26) as u8).collect();
        payload.extend_from_slice(&(*size as u32).to_le_bytes());
        payload.extend_from_slice(&record);
        digests.push(event_digest(&record));
    }
    let batch = Batch::parse(Position(first), Timestamp(time), sizes.len(), payload.into());
    (Arc::new(batch.expect("whole records")), merkle_root(&digests))
}

pub(crate) fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 16 << 10,
        step_bytes_min: 1 << 10,
        step_bytes_max: 4 << 10,
        tail_bytes: 2 << 10,
        block_bytes: 512,
        block_cache_bytes: 4 << 10,
        upkeep_step_bytes: 2 << 10,
        ..LogOptions::default()
    }
}

pub(crate) fn open(disk: &FaultStorage) -> Result<(LogWriter, LogReader), OpenError> {
    open_with(disk, options(), 1)
}

pub(crate) fn open_with(
    disk: &FaultStorage,
    options: LogOptions,
    seed: u64,
) -> Result<(LogWriter, LogReader), OpenError> {
    let mut rng = Rng(seed);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    annal_log::open(storage, "log", options, move || rng.next())
}

/// Writes, syncs and publishes.
pub(crate) fn append(
    writer: &mut LogWriter,
    (batch, root): &(Arc<Batch>, Digest),
) -> Result<(), WriteError> {
    writer.write(batch, root)?;
    writer.sync()?;
    writer.publish(Arc::clone(batch));
    Ok(())
}

/// Every event a reader sees, as (recorded time, record).
pub(crate) fn read_all(
    reader: &LogReader,
    max_bytes: usize,
) -> Result<Vec<(i64, Vec<u8>)>, ReadError> {
    let mut events = Vec::new();
    let mut after = Position::ZERO;
    while after < reader.head() {
        let batches = reader.batches(after, max_bytes)?;
        assert!(!batches.is_empty(), "there is more up to the head");
        for batch in batches {
            assert!(batch.first() <= after.next(), "no gap");
            let skip = (after.next().0 - batch.first().0) as usize;
            events.extend(batch.records().skip(skip).map(|r| (batch.time().0, r.to_vec())));
            after = batch.last();
        }
    }
    Ok(events)
}

pub(crate) fn events_of(batches: &[(Arc<Batch>, Digest)]) -> Vec<(i64, Vec<u8>)> {
    let events = |batch: &Arc<Batch>| {
        let time = batch.time().0;
        batch.records().map(|record| (time, record.to_vec())).collect::<Vec<_>>()
    };
    batches.iter().flat_map(|(batch, _)| events(batch)).collect()
}

/// Does upkeep until there is none.
pub(crate) fn settle(reader: &LogReader) {
    for _ in 0..10_000 {
        if !reader.seal_step().expect("upkeep") {
            return;
        }
    }
    panic!("upkeep never ends");
}
