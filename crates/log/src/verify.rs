//! Reads everything and proves it: checksums, positions, and the hash chain over the digests of
//! all events. Changes nothing. Nobody else may write meanwhile.

use std::sync::Arc;

use annal_event::{Batch, Digest, Position, chain, event_digest, merkle_root};
use annal_storage::Storage;

use crate::{
    Damage, Fault, FileHeader, LogFile, ReadError,
    error::read_io,
    recovery::{find_end, read_segments_before_damage},
    segment::{Segment, Store},
};

/// What a whole log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Position of the last event.
    pub head: Position,
    /// Hash chain up to it: what a signature of the head signs.
    pub chain: Digest,
    /// Number of batches.
    pub batches: u64,
    /// Number of events.
    pub events: u64,
    /// Size of their records, in bytes.
    pub payload_bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// Leftover of a write torn by a crash, in bytes, which opening the log will cut off.
    pub torn_bytes: u64,
}

/// Why a log is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The first thing that is not what it should be.
    #[error("{damage}; everything before position {} is whole", damage.position)]
    Damaged {
        /// Where.
        damage: Damage,
        /// What was proven before it.
        whole: Box<VerifyReport>,
    },
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// Path, relative to the storage's root.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Verifies the log in `dir`. `progress` is called now and then with what has been proven so far.
pub fn verify(
    storage: &dyn Storage,
    dir: &str,
    mut progress: impl FnMut(&VerifyReport),
) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport::default();
    let done = read_segments_before_damage(storage, dir).and_then(|(segments, whole)| {
        for (index, segment) in segments.iter().enumerate() {
            verify_segment(storage, segment, segments.get(index + 1), &mut report, &mut progress)?;
        }
        whole
    });
    match done {
        Ok(()) => Ok(report),
        Err(ReadError::Damaged(damage)) => {
            Err(VerifyError::Damaged { damage, whole: Box::new(report) })
        }
        Err(ReadError::Io { file, source }) => Err(VerifyError::Io { file, source }),
    }
}

fn verify_segment(
    storage: &dyn Storage,
    segment: &Segment,
    next: Option<&Segment>,
    report: &mut VerifyReport,
    progress: &mut impl FnMut(&VerifyReport),
) -> Result<(), ReadError> {
    let mut file = LogFile::open(storage, &segment.path)?;
    if file.header().chain_before() != report.chain {
        return Err(file.damage(0, segment.first, Fault::Chain).into());
    }
    while let Some(frame) = file.next_frame()? {
        if frame.previous.is_some_and(|previous| previous != report.chain) {
            return Err(file.damage(frame.offset, frame.batch.first(), Fault::Chain).into());
        }
        prove(&frame.batch, report);
        progress(report);
    }
    report.segments += 1;
    verify_end(storage, segment, next, &file, report)
}

fn prove(batch: &Batch, report: &mut VerifyReport) {
    report.chain = chain_over(&report.chain, batch);
    report.batches += 1;
    report.events += batch.len() as u64;
    report.payload_bytes += batch.payload().len() as u64;
    report.head = batch.last();
}

pub(crate) fn chain_over(previous: &Digest, batch: &Batch) -> Digest {
    let digests: Vec<Digest> = batch.records().map(event_digest).collect();
    let root = merkle_root(&digests);
    chain(previous, batch.first(), batch.len() as u32, batch.time(), &root)
}

/// Checks that the segment holds all it should.
fn verify_end(
    storage: &dyn Storage,
    segment: &Segment,
    next: Option<&Segment>,
    file: &LogFile,
    report: &mut VerifyReport,
) -> Result<(), ReadError> {
    let (position, offset) = file.reached();
    if let FileHeader::Sealed(footer) = file.header()
        && (footer.chain_after != report.chain || footer.last() != report.head)
    {
        return Err(file.damage(offset, footer.first, Fault::Chain).into());
    }
    match (next, &segment.store) {
        (Some(next), _) if next.first != position => {
            Err(file.damage(offset, position, Fault::Frame).into())
        }
        (None, Store::Log { header, .. }) => {
            let file = storage.open(&segment.path).map_err(read_io(&segment.path))?;
            let ending = find_end(&Arc::clone(&file), &segment.path, header)?;
            report.torn_bytes = ending.torn_until - ending.end;
            Ok(())
        }
        _ => Ok(()),
    }
}
