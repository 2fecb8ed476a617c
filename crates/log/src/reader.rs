//! Readers: any number, from memory where the tail reaches, else from the segments.
//!
//! A reader sees only what was published, in order and without gaps. It works on one state of the
//! segment list per call; a segment that is sealed meanwhile keeps its old file until no reader
//! holds that state any more.

use std::sync::Arc;

use annal_event::{Batch, Position, StoredEvent, Timestamp};

use parking_lot::Mutex;

use crate::{
    Fault, Footer, ReadError,
    frame::{FILE_HEADER_BYTES, LogHeader},
    sealed::{Sealed, block::Block},
    segment::{MARK_BYTES, Mark, Marks, Segment, Store},
    shared::{Segments, Shared},
    upkeep::Upkeep,
    walk::Walk,
};

const CHUNK_BYTES_MIN: usize = MARK_BYTES as usize;
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Reads one log. Cheap to clone; every clone sees the same.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
    upkeep: Arc<Mutex<Upkeep>>,
}

/// How the log stands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Segments that are sealed.
    pub sealed_segments: usize,
    /// Segments that are not: the active one and those waiting.
    pub unsealed_segments: usize,
    /// Size of the sealed ones on disk, in bytes.
    pub sealed_bytes: u64,
    /// Size of the records in the sealed ones before compression, in bytes.
    pub sealed_payload_bytes: u64,
    /// Used part of the active segment, in bytes.
    pub active_bytes: u64,
    /// Memory of the tail cache, in bytes.
    pub tail_bytes: usize,
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>) -> LogReader {
        let upkeep = Arc::new(Mutex::new(Upkeep::new(Arc::clone(&shared))));
        LogReader { shared, upkeep }
    }

    /// The last position readers may see.
    pub fn head(&self) -> Position {
        self.shared.visible()
    }

    /// The last position written.
    pub fn written(&self) -> Position {
        self.shared.written()
    }

    /// The last position that is durable.
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// Batches from the one that holds the position after `after`, in order and without gaps, up
    /// to about `max_bytes` of records but at least one if there is any. The first may begin
    /// before; a batch read from disk may be a part of the one that was committed.
    pub fn batches(&self, after: Position, max_bytes: usize) -> Result<Vec<Arc<Batch>>, ReadError> {
        let mut reading = Reading::new(after.next(), self.head(), max_bytes);
        if reading.next > reading.upto || self.read_tail(&mut reading) {
            return Ok(reading.out);
        }
        let segments = self.shared.segments();
        while reading.wants_more() && !self.read_tail(&mut reading) {
            let index = segment_of(&segments, reading.next);
            let last = last_of(&segments, index, reading.upto);
            self.read_segment(&segments[index], last, &mut reading)?;
        }
        Ok(reading.out)
    }

    /// The event at a position; `None` if it is past the head (or 0).
    pub fn get(&self, position: Position) -> Result<Option<StoredEvent>, ReadError> {
        let mut out = Vec::with_capacity(1);
        self.get_many(&[position], &mut out)?;
        Ok(out.pop())
    }

    /// Adds the events at these positions to `out`, in the order asked for. Positions past the head
    /// are left out. Each block that is needed is read once.
    pub fn get_many(
        &self,
        positions: &[Position],
        out: &mut Vec<StoredEvent>,
    ) -> Result<(), ReadError> {
        let head = self.head();
        let mut order: Vec<usize> = (0..positions.len())
            .filter(|index| (Position::FIRST..=head).contains(&positions[*index]))
            .collect();
        order.sort_unstable_by_key(|index| positions[*index]);
        let mut found: Vec<Option<StoredEvent>> = vec![None; positions.len()];
        let segments = self.shared.segments();
        let mut near = Near::Nothing;
        for index in order {
            found[index] = Some(self.lookup(&segments, positions[index], &mut near)?);
        }
        out.extend(found.into_iter().flatten());
        Ok(())
    }

    /// The first position with a recorded time at or after `time`; the one after the head if
    /// there is none.
    pub fn position_at(&self, time: Timestamp) -> Result<Position, ReadError> {
        let head = self.head();
        let segments = self.shared.segments();
        for (index, segment) in segments.iter().enumerate() {
            let next = segments.get(index + 1);
            let newest = segment.time_max().or_else(|| next.and_then(|next| next.time_before()));
            if newest.is_some_and(|newest| newest < time) {
                continue;
            }
            let last = last_of(&segments, index, head);
            if let Some(position) = self.position_in(segment, last, time)? {
                return Ok(position.min(head.next()));
            }
        }
        Ok(head.next())
    }

    /// Does a bounded piece of background work: writes the space of the next segment, seals rolled
    /// segments, reuses their files. False if there was nothing to do. A failure leaves the log as
    /// it was, and a later step starts over. Meant for one thread; others wait.
    pub fn seal_step(&self) -> Result<bool, ReadError> {
        self.upkeep.lock().step()
    }

    /// How the log stands.
    pub fn stats(&self) -> LogStats {
        let active_bytes = self.shared.active_bytes.load(std::sync::atomic::Ordering::Relaxed);
        let tail_bytes = self.shared.tail.weight();
        let mut stats = LogStats { active_bytes, tail_bytes, ..LogStats::default() };
        for segment in self.shared.segments().iter() {
            match &segment.store {
                Store::Log { .. } => stats.unsealed_segments += 1,
                Store::Sealed(Footer { file_bytes, payload_bytes, .. }) => {
                    stats.sealed_segments += 1;
                    stats.sealed_bytes += file_bytes;
                    stats.sealed_payload_bytes += payload_bytes;
                }
            }
        }
        stats
    }

    fn read_tail(&self, reading: &mut Reading) -> bool {
        self.shared.tail.read(reading.next, reading.upto, reading.left(), &mut reading.out)
    }

    fn read_segment(
        &self,
        segment: &Segment,
        last: Position,
        reading: &mut Reading,
    ) -> Result<(), ReadError> {
        match &segment.store {
            Store::Log { header, marks } => {
                let mark =
                    self.mark(segment, header, marks, last, |marks| marks.before(reading.next))?;
                let chunk = reading.left().clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
                let mut walk = self.walk(segment, header, mark, chunk)?;
                while reading.wants_more() && reading.next <= last {
                    if let Some(batch) = next_batch(&mut walk, &segment.path)? {
                        reading.take(batch);
                    }
                }
                Ok(())
            }
            Store::Sealed(_) => {
                let sealed = self.shared.sealed(segment)?;
                let run = sealed.run(sealed.block_of(reading.next), reading.left());
                let start = run.start;
                for (at, block) in sealed.read(run)?.enumerate() {
                    take_block(&sealed, start + at, &block?, reading)?;
                    if !reading.wants_more() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    fn lookup(
        &self,
        segments: &Segments,
        position: Position,
        near: &mut Near,
    ) -> Result<StoredEvent, ReadError> {
        if let Near::Batch(batch) = &*near
            && let Some(event) = event_of(batch, position)
        {
            return Ok(event);
        }
        if let Some(batch) = self.shared.tail.get(position) {
            let event = event_of(&batch, position);
            *near = Near::Batch(batch);
            return Ok(event.expect("the tail returns the batch that holds a position"));
        }
        let segment = &segments[segment_of(segments, position)];
        match &segment.store {
            Store::Log { header, marks } => {
                let last = last_of(segments, segment_of(segments, position), self.head());
                let mark =
                    self.mark(segment, header, marks, last, |marks| marks.before(position))?;
                let mut walk = self.walk(segment, header, mark, CHUNK_BYTES_MIN)?;
                loop {
                    if let Some(batch) = next_batch(&mut walk, &segment.path)?
                        && let Some(event) = event_of(&batch, position)
                    {
                        *near = Near::Batch(batch);
                        return Ok(event);
                    }
                }
            }
            Store::Sealed(_) => self.lookup_sealed(segment, position, near),
        }
    }

    fn lookup_sealed(
        &self,
        segment: &Segment,
        position: Position,
        near: &mut Near,
    ) -> Result<StoredEvent, ReadError> {
        let same = matches!(&*near, Near::Block { sealed, .. }
            if sealed.footer.first == segment.first);
        if !same {
            let sealed = self.shared.sealed(segment)?;
            let index = sealed.block_of(position);
            let block = self.shared.block(&sealed, index)?;
            *near = Near::Block { sealed, index, block };
        }
        let Near::Block { sealed, index, block } = near else {
            unreachable!("set just above");
        };
        let wanted = sealed.block_of(position);
        if *index != wanted {
            *block = self.shared.block(sealed, wanted)?;
            *index = wanted;
        }
        block.event(position).ok_or_else(|| sealed.damaged(wanted))
    }

    fn position_in(
        &self,
        segment: &Segment,
        last: Position,
        time: Timestamp,
    ) -> Result<Option<Position>, ReadError> {
        match &segment.store {
            Store::Log { header, marks } => {
                let mark =
                    self.mark(segment, header, marks, last, |marks| marks.before_time(time))?;
                let mut walk = self.walk(segment, header, mark, CHUNK_BYTES_MIN)?;
                while walk.expected() <= last {
                    if let Some(batch) = next_batch(&mut walk, &segment.path)?
                        && batch.time() >= time
                    {
                        return Ok(Some(batch.first()));
                    }
                }
                Ok(None)
            }
            Store::Sealed(_) => {
                let sealed = self.shared.sealed(segment)?;
                let index = sealed.block_at(time);
                if index == sealed.blocks() {
                    return Ok(None);
                }
                Ok(self.shared.block(&sealed, index)?.position_at(time))
            }
        }
    }

    fn walk(
        &self,
        segment: &Segment,
        header: &LogHeader,
        mark: Mark,
        chunk_bytes: usize,
    ) -> Result<Walk, ReadError> {
        let file = self.shared.log_file(segment)?;
        Walk::new(file, &segment.path, header.salt, mark.offset, mark.first, chunk_bytes)
    }

    /// Where to begin in an unsealed segment. One that was rolled before the log was opened is
    /// walked once, up to `last`, to find out.
    fn mark(
        &self,
        segment: &Segment,
        header: &LogHeader,
        marks: &parking_lot::RwLock<Option<Marks>>,
        last: Position,
        find: impl Fn(&Marks) -> Option<Mark>,
    ) -> Result<Mark, ReadError> {
        let start = Mark {
            first: segment.first,
            offset: FILE_HEADER_BYTES,
            time_before: header.time_before,
        };
        if let Some(marks) = &*marks.read() {
            return Ok(find(marks).unwrap_or(start));
        }
        let mut walked = Marks::default();
        let mut walk = self.walk(segment, header, start, CHUNK_BYTES_MAX)?;
        let mut time_before = header.time_before;
        while walk.expected() <= last {
            let Some(frame) = walk.next()? else { return Err(walk.damage(Fault::Frame)) };
            let (first, offset) = (frame.header.first, frame.offset);
            walked.note(Mark { first, offset, time_before });
            time_before = time_before.max(frame.header.time);
        }
        let mark = find(&walked).unwrap_or(start);
        *marks.write() = Some(walked);
        Ok(mark)
    }
}

/// What a lookup found last, where the next one probably finds its event too.
enum Near {
    Nothing,
    Batch(Arc<Batch>),
    Block { sealed: Arc<Sealed>, index: usize, block: Arc<Block> },
}

/// A call of [`LogReader::batches`] on its way.
struct Reading {
    next: Position,
    upto: Position,
    max_bytes: usize,
    bytes: usize,
    out: Vec<Arc<Batch>>,
}

impl Reading {
    fn new(next: Position, upto: Position, max_bytes: usize) -> Reading {
        Reading { next, upto, max_bytes, bytes: 0, out: Vec::new() }
    }

    fn wants_more(&self) -> bool {
        self.next <= self.upto && (self.out.is_empty() || self.bytes < self.max_bytes)
    }

    fn left(&self) -> usize {
        self.max_bytes - self.bytes.min(self.max_bytes)
    }

    /// Takes a batch unless everything in it is behind the cursor, or it is not published yet: a
    /// segment may be sealed before its last batches are visible.
    fn take(&mut self, batch: Arc<Batch>) {
        if batch.last() >= self.next && batch.first() <= self.upto {
            self.bytes += batch.payload().len();
            self.next = batch.last().next();
            self.out.push(batch);
        }
    }
}

fn take_block(
    sealed: &Sealed,
    index: usize,
    block: &Block,
    reading: &mut Reading,
) -> Result<(), ReadError> {
    for (part, bytes) in block.parts() {
        let batch = Batch::parse(part.first, part.time, part.count as usize, bytes)
            .map_err(|_| sealed.damaged(index))?;
        reading.take(Arc::new(batch));
    }
    Ok(())
}

/// The next batch of a walk that must not end yet; `None` for a frame without events.
fn next_batch(walk: &mut Walk, path: &str) -> Result<Option<Arc<Batch>>, ReadError> {
    match walk.next()? {
        Some(frame) => frame.batch(path),
        None => Err(walk.damage(Fault::Frame)),
    }
}

fn event_of(batch: &Arc<Batch>, position: Position) -> Option<StoredEvent> {
    batch.at(position)?;
    let index = (position.0 - batch.first().0) as usize;
    Some(StoredEvent::new(Arc::clone(batch), index))
}

/// Index of the segment that holds a visible position.
fn segment_of(segments: &Segments, position: Position) -> usize {
    segments.partition_point(|segment| segment.first <= position).saturating_sub(1)
}

fn last_of(segments: &Segments, index: usize, head: Position) -> Position {
    segments.get(index + 1).map_or(head, |next| next.first.prev().min(head))
}
