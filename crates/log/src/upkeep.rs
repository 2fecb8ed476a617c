//! What the log does in the background, in steps small enough to be paced: writing the space of
//! the next segment, sealing rolled segments, reusing or removing their files.
//!
//! A step that fails leaves the log as it was; what it was about is taken up again by a later step,
//! from the start and with a new file. A rolled segment found damaged is reported once and kept.

use std::{collections::HashSet, io, sync::Arc};

use annal_event::{Digest, Position};
use annal_storage::write_zeros;

use crate::{
    Fault, ReadError,
    error::read_io,
    frame::{FILE_HEADER_BYTES, LogHeader},
    recovery::chain_after,
    sealed::build::Builder,
    segment::{SEALING_TMP, SPARE, Segment, Store, sealed_path},
    shared::{Shared, Spare},
    walk::Walk,
};

/// Records the dictionary of a segment is trained on.
const SAMPLE_BYTES: usize = 4 << 20;
const SAMPLES: usize = 256;
/// A segment with less than this is sealed without a dictionary.
const DICTIONARY_PAYS_BYTES: u64 = 4 << 20;

/// Does the background work of one log.
#[derive(Debug)]
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    sealing: Option<Sealing>,
    /// Rolled files whose sealed copy is in place, kept while readers hold them.
    retired: Vec<Arc<Segment>>,
    refused: HashSet<Position>,
    /// The newest segment when the disk was too full for a spare: not tried again before the next.
    no_spare_in: Option<Position>,
}

#[derive(Debug)]
struct Sealing {
    source: Arc<Segment>,
    walk: Walk,
    builder: Builder,
    /// Position and chain with which the next segment begins.
    next: Position,
    chain_after: Digest,
    chain: Digest,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>) -> Upkeep {
        Upkeep {
            shared,
            sealing: None,
            retired: Vec::new(),
            refused: HashSet::new(),
            no_spare_in: None,
        }
    }

    /// Does about [`crate::LogOptions::upkeep_step_bytes`] of work. False if there was nothing
    /// to do.
    pub(crate) fn step(&mut self) -> Result<bool, ReadError> {
        if self.retire()? || self.prepare_spare()? {
            return Ok(true);
        }
        match self.sealing.take() {
            Some(sealing) => self.seal(sealing),
            None => self.begin_sealing(),
        }
    }

    /// Gives the file of a sealed segment to the next one, or removes it.
    fn retire(&mut self) -> Result<bool, ReadError> {
        // The list no longer holds it: once nobody else does, no reader can come back to it.
        let free = self.retired.iter().position(|segment| Arc::strong_count(segment) == 1);
        let Some(index) = free else { return Ok(false) };
        let segment = self.retired.swap_remove(index);
        let file = self.shared.log_file(&segment)?;
        self.shared.forget_log_file(segment.first);
        let bytes = file.len().map_err(read_io(&segment.path))?;
        let mut spare = self.shared.spare.lock();
        let larger = spare.as_ref().is_none_or(|spare| spare.bytes < bytes);
        let storage = &*self.shared.storage;
        if larger && bytes <= self.shared.options.segment_bytes {
            *spare = None;
            storage.rename(&segment.path, &self.shared.path(SPARE)).map_err(read_io(SPARE))?;
            // The old name must be gone for good before the file begins a new life.
            storage.sync_dir(&self.shared.dir).map_err(read_io(&self.shared.dir))?;
            *spare = Some(Spare { file, bytes });
        } else {
            storage.remove(&segment.path).map_err(read_io(&segment.path))?;
        }
        Ok(true)
    }

    /// Writes a piece of the next segment's space. It grows twice as fast as the active segment
    /// once that is half full, so that a small log has none.
    fn prepare_spare(&mut self) -> Result<bool, ReadError> {
        let newest = self.shared.segments().last().map(|segment| segment.first);
        if newest.is_none() || newest == self.no_spare_in {
            return Ok(false);
        }
        let options = &self.shared.options;
        let active = self.shared.active_bytes.load(std::sync::atomic::Ordering::Relaxed);
        let wanted = (2 * active).saturating_sub(options.segment_bytes).min(options.segment_bytes);
        let path = self.shared.path(SPARE);
        let mut spare = self.shared.spare.lock();
        let bytes = spare.as_ref().map_or(0, |spare| spare.bytes);
        let step = options.upkeep_step_bytes as u64;
        if wanted < bytes + step.min(options.segment_bytes) {
            return Ok(false);
        }
        let file = match &*spare {
            Some(spare) => Arc::clone(&spare.file),
            None => self.shared.storage.create(&path).map_err(read_io(&path))?,
        };
        let more = step.min(options.segment_bytes - bytes);
        let grown = write_zeros(&*file, bytes, more).and_then(|()| file.sync());
        if let Err(source) = grown {
            *spare = None;
            self.shared.storage.remove(&path).map_err(read_io(&path))?;
            self.no_spare_in = newest;
            return match source.kind() {
                // A spare is a convenience: its space is better used by what is being written.
                io::ErrorKind::StorageFull => Ok(false),
                _ => Err(ReadError::Io { file: path, source }),
            };
        }
        *spare = Some(Spare { file, bytes: bytes + more });
        Ok(true)
    }

    fn begin_sealing(&mut self) -> Result<bool, ReadError> {
        let segments = self.shared.segments();
        let rolled = segments.windows(2).find_map(|pair| match (&pair[0].store, &pair[1]) {
            (Store::Log { header, .. }, next) if !self.refused.contains(&pair[0].first) => {
                Some((&pair[0], header, next))
            }
            _ => None,
        });
        let Some((source, header, next)) = rolled else { return Ok(false) };
        self.sealing = Some(self.sealing_of(source, header, next)?);
        Ok(true)
    }

    fn sealing_of(
        &self,
        source: &Arc<Segment>,
        header: &LogHeader,
        next: &Segment,
    ) -> Result<Sealing, ReadError> {
        let path = self.shared.path(SEALING_TMP);
        let storage = &*self.shared.storage;
        storage.remove(&path).map_err(read_io(&path))?;
        let dictionary = self.train(source, header)?;
        let file = storage.create(&path).map_err(read_io(&path))?;
        let options = &self.shared.options;
        let (chain, time) = (header.chain_before, header.time_before);
        let builder = Builder::new(file, options, dictionary, source.first, chain, time);
        let (at, chunk) = (FILE_HEADER_BYTES, options.upkeep_step_bytes);
        let file = self.shared.log_file(source)?;
        let walk = Walk::new(file, &source.path, header.salt, at, source.first, chunk)?;
        let (next, chain_after) = (next.first, next.chain_before());
        Ok(Sealing { source: Arc::clone(source), walk, builder, next, chain_after, chain })
    }

    /// A dictionary of what the segment's blocks have in common; empty if that does not pay.
    fn train(&self, source: &Segment, header: &LogHeader) -> Result<Vec<u8>, ReadError> {
        let options = &self.shared.options;
        let Store::Log { marks, .. } = &source.store else { return Ok(Vec::new()) };
        let spread = marks.read().as_ref().map(|marks| marks.spread(SAMPLES)).unwrap_or_default();
        let file = self.shared.log_file(source)?;
        let len = file.len().map_err(read_io(&source.path))?;
        if options.dictionary_bytes == 0 || len < DICTIONARY_PAYS_BYTES || spread.is_empty() {
            return Ok(Vec::new());
        }
        let each = SAMPLE_BYTES / spread.len();
        let mut samples = Vec::with_capacity(SAMPLE_BYTES);
        let mut sizes = Vec::new();
        for mark in spread {
            let file = Arc::clone(&file);
            let mut walk =
                Walk::new(file, &source.path, header.salt, mark.offset, mark.first, each)?;
            let start = samples.len();
            while samples.len() - start < each {
                let Some(frame) = walk.next()? else { break };
                let room = each - (samples.len() - start);
                samples.extend_from_slice(&frame.payload[..frame.payload.len().min(room)]);
            }
            let taken = samples.len() - start;
            sizes.extend(piece_sizes(taken, options.block_bytes.min(SAMPLE_PIECE_BYTES)));
        }
        // Training refuses too few or too uniform samples; blocks then go without.
        Ok(zstd::dict::from_continuous(&samples, &sizes, options.dictionary_bytes)
            .unwrap_or_default())
    }

    fn seal(&mut self, mut sealing: Sealing) -> Result<bool, ReadError> {
        let worked = sealing.work(self.shared.options.upkeep_step_bytes);
        if let Err(ReadError::Damaged(_)) = &worked {
            self.refused.insert(sealing.source.first);
        }
        if !worked? {
            self.sealing = Some(sealing);
            return Ok(true);
        }
        let source = Arc::clone(&sealing.source);
        self.finish(sealing)?;
        self.retired.push(source);
        Ok(true)
    }

    fn finish(&self, sealing: Sealing) -> Result<(), ReadError> {
        let tmp = self.shared.path(SEALING_TMP);
        let path = sealed_path(&self.shared.dir, sealing.source.first);
        let footer = sealing.builder.finish(sealing.chain).map_err(read_io(&tmp))?;
        let storage = &*self.shared.storage;
        storage.rename(&tmp, &path).map_err(read_io(&path))?;
        storage.sync_dir(&self.shared.dir).map_err(read_io(&path))?;
        self.shared.replace_segment(Arc::new(Segment::sealed(&self.shared.dir, footer)));
        Ok(())
    }
}

const SAMPLE_PIECE_BYTES: usize = 4 << 10;

fn piece_sizes(total: usize, piece: usize) -> impl Iterator<Item = usize> {
    (0..total).step_by(piece.max(1)).map(move |start| piece.min(total - start))
}

impl Sealing {
    /// Copies about `bytes` of records. True once the whole segment is there.
    fn work(&mut self, bytes: usize) -> Result<bool, ReadError> {
        let path = &self.source.path;
        let mut done = 0;
        while done < bytes && self.walk.expected() < self.next {
            let Some(frame) = self.walk.next()? else {
                return Err(self.walk.damage(Fault::Frame));
            };
            let Some(batch) = frame.batch(path)? else { continue };
            if frame.header.previous != self.chain {
                return Err(frame.damage(path, Fault::Chain));
            }
            self.chain = chain_after(&frame, path)?;
            done += frame.payload.len();
            let mut end = 0;
            let ends = batch.records().map(|record| {
                end += RECORD_PREFIX_BYTES + record.len();
                end
            });
            self.builder.push(&frame.header, &frame.payload, ends).map_err(write_io)?;
        }
        if self.walk.expected() < self.next {
            return Ok(false);
        }
        if self.chain == self.chain_after && self.walk.expected() == self.next {
            Ok(true)
        } else {
            Err(self.walk.damage(Fault::Chain))
        }
    }
}

/// Length prefix of a record in a payload.
const RECORD_PREFIX_BYTES: usize = 4;

fn write_io(source: io::Error) -> ReadError {
    ReadError::Io { file: SEALING_TMP.to_owned(), source }
}
