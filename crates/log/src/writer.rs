//! The one who appends.
//!
//! `write` puts a batch into the active segment as one frame, `sync` makes what was written durable
//! and `publish` lets readers see it; in which order the last two come is the caller's durability.
//! Space is written before a frame is: a full disk is met before any byte of the frame, costs only
//! that append, and the writer goes on. Any other failure poisons it for ever.

use std::{
    fmt, io,
    sync::{Arc, atomic::Ordering},
};

use annal_event::{Batch, Digest, Position, Timestamp, chain};
use annal_storage::{File, write_zeros};

use crate::{
    WriteError,
    frame::{FILE_HEADER_BYTES, FrameHeader, LogHeader, frame_bytes, padding},
    segment::{Mark, Marks, NEXT_TMP, SPARE, Segment, Store, log_path},
    shared::{Shared, Spare},
};

pub(crate) type Salts = Box<dyn FnMut() -> u64 + Send>;

/// The writer of one log.
pub struct LogWriter {
    shared: Arc<Shared>,
    salts: Salts,
    active: Option<Active>,
    head: Position,
    durable: Position,
    chain: Digest,
    time_max: Timestamp,
    poisoned: bool,
}

/// The segment being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: LogHeader,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// Up to here the file's space is written; never less than `end`.
    pub(crate) prepared: u64,
    /// Whether the last frame already vouches for everything before it.
    pub(crate) vouched: bool,
}

/// Where the log ends, as recovery found it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) head: Position,
    pub(crate) chain: Digest,
    pub(crate) time_max: Timestamp,
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter")
            .field("head", &self.head)
            .field("durable", &self.durable)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl LogWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        salts: Salts,
        active: Option<Active>,
        end: End,
    ) -> LogWriter {
        let active_bytes = active.as_ref().map_or(0, |active| active.end);
        shared.active_bytes.store(active_bytes, Ordering::Relaxed);
        let End { head, chain, time_max } = end;
        LogWriter { shared, salts, active, head, durable: head, chain, time_max, poisoned: false }
    }

    /// The last position written.
    pub fn head(&self) -> Position {
        self.head
    }

    /// The last position that is durable.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Hash chain up to the head.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Newest recorded time so far; the least there is if the log is empty.
    pub fn time_max(&self) -> Timestamp {
        self.time_max
    }

    /// Appends a batch, which begins right after the head, as one frame. `root` is the Merkle root
    /// over the digests of its events.
    ///
    /// # Panics
    ///
    /// If the batch is empty or does not begin right after the head.
    pub fn write(&mut self, batch: &Batch, root: &Digest) -> Result<(), WriteError> {
        self.usable()?;
        assert!(!batch.is_empty(), "a frame holds at least one event");
        assert_eq!(batch.first(), self.head.next(), "INV-2: positions are contiguous");
        let frame = frame_bytes(batch.payload().len());
        self.make_room(batch.time(), frame)?;
        let header = self.header(batch);
        self.put_frame(&header, batch.payload())?;
        self.chain = chain(&self.chain, header.first, header.count, header.time, root);
        self.time_max = self.time_max.max(header.time);
        self.head = batch.last();
        self.shared.set_written(self.head);
        Ok(())
    }

    /// Makes everything written durable, and says up to where that is.
    pub fn sync(&mut self) -> Result<Position, WriteError> {
        self.usable()?;
        if let Some(active) = &self.active
            && self.durable < self.head
        {
            let synced = active.file.sync();
            self.fatal(synced)?;
            self.durable = self.head;
            self.shared.set_durable(self.head);
        }
        Ok(self.durable)
    }

    /// Lets readers see a batch that was written. In order.
    ///
    /// # Panics
    ///
    /// If it is not the next one, or not written yet.
    pub fn publish(&mut self, batch: Arc<Batch>) {
        self.shared.publish(batch);
    }

    /// Syncs, leaves a mark that everything is there, and gives back the space ahead. Nothing can
    /// be appended afterwards.
    pub fn close(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        self.vouch()?;
        let Some(active) = self.active.take() else { return Ok(()) };
        self.poisoned = true;
        let trimmed = active.file.set_len(active.end).and_then(|()| active.file.sync());
        self.fatal(trimmed)
    }

    /// Appends a frame without events that says how far the log is durable. Damage to the last
    /// batch could else not be told from a write torn by a crash.
    fn vouch(&mut self) -> Result<(), WriteError> {
        if self.active.as_ref().is_none_or(|active| active.vouched) {
            return Ok(());
        }
        match self.prepare(frame_bytes(0)) {
            Err(WriteError::DiskFull { .. }) => return Ok(()),
            prepared => prepared?,
        }
        let header = FrameHeader {
            payload_bytes: 0,
            count: 0,
            first: self.head.next(),
            time: self.time_max,
            flags: 0,
            payload_crc: 0,
            synced: self.durable,
            previous: self.chain,
        };
        self.put_frame(&header, &[])
    }

    fn usable(&self) -> Result<(), WriteError> {
        if self.poisoned { Err(WriteError::Poisoned) } else { Ok(()) }
    }

    fn header(&self, batch: &Batch) -> FrameHeader {
        FrameHeader {
            payload_bytes: batch.payload().len() as u32,
            count: batch.len() as u32,
            first: batch.first(),
            time: batch.time(),
            flags: 0,
            payload_crc: crc32c::crc32c(batch.payload()),
            synced: self.durable,
            previous: self.chain,
        }
    }

    /// Writes a frame into space that is there already.
    fn put_frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), WriteError> {
        let active = self.active.as_mut().expect("room was made in an active segment");
        let encoded = header.encode(active.header.salt);
        let parts = [&encoded[..], payload, padding(payload.len())];
        let written = active.file.write_parts_at(&parts, active.end);
        if written.is_ok() {
            if let Store::Log { marks, .. } = &active.segment.store {
                marks.write().get_or_insert_default().note(Mark {
                    first: header.first,
                    offset: active.end,
                    time_before: self.time_max,
                });
            }
            active.end += header.frame_bytes();
            active.vouched = header.count == 0;
            self.shared.active_bytes.store(active.end, Ordering::Relaxed);
        }
        self.fatal(written)
    }

    /// Passes a result on; a failure poisons the writer.
    fn fatal(&mut self, result: io::Result<()>) -> Result<(), WriteError> {
        result.map_err(|source| {
            self.poisoned = true;
            let (file, offset) = match &self.active {
                Some(active) => (active.segment.path.clone(), active.end),
                None => (self.shared.dir.clone(), 0),
            };
            WriteError::Io { file, offset, source }
        })
    }

    /// Sees to it that `frame` bytes fit at the end, in this segment or a new one.
    fn make_room(&mut self, time: Timestamp, frame: u64) -> Result<(), WriteError> {
        let rolls = self.active.as_ref().is_none_or(|active| {
            let holds_frames = active.end > FILE_HEADER_BYTES;
            let full = active.end + frame > self.shared.options.segment_bytes;
            let age_ms = (time.0.saturating_sub(active.header.created.0) / 1000).max(0) as u64;
            holds_frames && (full || age_ms > self.shared.options.segment_age_ms)
        });
        if rolls {
            self.sync()?;
            self.begin_segment(time)?;
        }
        self.prepare(frame)
    }

    /// Writes space ahead of the end, so that `frame` bytes fit.
    fn prepare(&mut self, frame: u64) -> Result<(), WriteError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let needed = active.end + frame;
        if needed <= active.prepared {
            return Ok(());
        }
        let options = &self.shared.options;
        // A small step would be used up by a large frame at once: then only make room for it.
        let step = (active.end / 4).clamp(options.step_bytes_min, options.step_bytes_max);
        let ahead = (active.prepared + step).min(options.segment_bytes);
        let targets = if frame < step / 4 { [ahead.max(needed), needed] } else { [needed; 2] };
        for target in targets {
            match write_zeros(&*active.file, active.prepared, target - active.prepared) {
                Ok(()) => {
                    active.prepared = target;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::StorageFull => {}
                Err(e) => return self.fatal(Err(e)),
            }
        }
        let file = active.segment.path.clone();
        Err(WriteError::DiskFull { file, bytes: needed - active.prepared })
    }

    /// Begins a new segment. The one before is synced, so that a segment with a name says of all
    /// earlier ones that they are whole. The new file is durable before it gets its name.
    fn begin_segment(&mut self, time: Timestamp) -> Result<(), WriteError> {
        let header = LogHeader {
            salt: (self.salts)(),
            first: self.head.next(),
            created: time,
            time_before: self.time_max,
            chain_before: self.chain,
        };
        let path = log_path(&self.shared.dir, header.first);
        // Held until the file has its name: until then it lies where the next spare would.
        let shared = Arc::clone(&self.shared);
        let mut spare = shared.spare.lock();
        let begun = match self.begin_file(&header, spare.take()) {
            Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                return Err(WriteError::DiskFull { file: path, bytes: FILE_HEADER_BYTES });
            }
            Err(e) => return self.fatal(Err(e)),
            Ok(begun) => begun,
        };
        // From here on even a full disk is fatal: if a file of that name may be there, no frame
        // may be added to the segment before it.
        let named = self.name_file(&begun, &path);
        drop(spare);
        self.fatal(named)?;
        let Begun { file, prepared, .. } = begun;
        let segment = Segment::log(&self.shared.dir, header.clone(), Some(Marks::default()));
        let segment = Arc::new(segment);
        self.shared.add_segment(Arc::clone(&segment));
        let end = FILE_HEADER_BYTES;
        self.active = Some(Active { segment, file, header, end, prepared, vouched: true });
        Ok(())
    }

    /// A file with a header and no name yet.
    fn begin_file(&self, header: &LogHeader, spare: Option<Spare>) -> io::Result<Begun> {
        let storage = &*self.shared.storage;
        let begun = match spare {
            Some(Spare { file, bytes }) => {
                Begun { path: self.shared.path(SPARE), file, prepared: bytes }
            }
            None => {
                let path = self.shared.path(NEXT_TMP);
                Begun { file: storage.create(&path)?, path, prepared: 0 }
            }
        };
        if let Err(error) = begun.file.write_at(&header.encode(), 0) {
            storage.remove(&begun.path)?;
            return Err(error);
        }
        Ok(Begun { prepared: begun.prepared.max(FILE_HEADER_BYTES), ..begun })
    }

    fn name_file(&self, begun: &Begun, path: &str) -> io::Result<()> {
        begun.file.sync()?;
        self.shared.storage.rename(&begun.path, path)?;
        self.shared.storage.sync_dir(&self.shared.dir)
    }
}

struct Begun {
    path: String,
    file: Arc<dyn File>,
    prepared: u64,
}
