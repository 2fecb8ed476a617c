//! What writer, readers and upkeep of one log share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use annal_event::{Batch, Position};
use annal_storage::{File, Storage};
use parking_lot::{Mutex, RwLock};

use crate::{
    LogOptions, ReadError,
    cache::Cache,
    error::read_io,
    sealed::{Sealed, block::Block},
    segment::{Segment, path},
    tail::Tail,
};

/// Segments in order. Replaced as a whole, so that a reader works on one state of it.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: String,
    pub(crate) options: LogOptions,
    segments: RwLock<Segments>,
    written: AtomicU64,
    durable: AtomicU64,
    visible: AtomicU64,
    /// End of the active segment in bytes, so that upkeep sees how fast it fills.
    pub(crate) active_bytes: AtomicU64,
    pub(crate) tail: Tail,
    pub(crate) spare: Mutex<Option<Spare>>,
    logs: Cache<Position, Arc<dyn File>>,
    sealed: Cache<Position, Arc<Sealed>>,
    blocks: Cache<(Position, usize), Arc<Block>>,
}

/// The file at [`crate::segment::SPARE`].
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        dir: &str,
        options: LogOptions,
        segments: Vec<Arc<Segment>>,
        head: Position,
        spare: Option<Spare>,
    ) -> Shared {
        Shared {
            dir: dir.to_owned(),
            storage,
            segments: RwLock::new(Arc::new(segments)),
            written: AtomicU64::new(head.0),
            durable: AtomicU64::new(head.0),
            visible: AtomicU64::new(head.0),
            active_bytes: AtomicU64::new(0),
            tail: Tail::new(options.tail_bytes),
            spare: Mutex::new(spare),
            logs: Cache::new(options.open_files_max),
            // Each loaded segment holds a file open: the weight of one bounds those too.
            sealed: Cache::new(options.segment_cache_bytes),
            blocks: Cache::new(options.block_cache_bytes),
            options,
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        path(&self.dir, name)
    }

    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read())
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write();
        let mut longer = Vec::clone(&segments);
        longer.push(segment);
        *segments = Arc::new(longer);
    }

    /// Puts a sealed segment in the place of the one with the same first position.
    pub(crate) fn replace_segment(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write();
        let mut changed = Vec::clone(&segments);
        for place in changed.iter_mut().filter(|place| place.first == segment.first) {
            *place = Arc::clone(&segment);
        }
        *segments = Arc::new(changed);
    }

    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn set_written(&self, position: Position) {
        self.written.store(position.0, Ordering::Release);
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn set_durable(&self, position: Position) {
        self.durable.store(position.0, Ordering::Release);
    }

    pub(crate) fn visible(&self) -> Position {
        Position(self.visible.load(Ordering::Acquire))
    }

    pub(crate) fn publish(&self, batch: Arc<Batch>) {
        let last = batch.last();
        assert_eq!(batch.first(), self.visible().next(), "INV-2: published in order");
        assert!(last <= self.written(), "INV-2: published only what is written");
        self.tail.push(batch);
        self.visible.store(last.0, Ordering::Release);
    }

    /// The open file of an unsealed segment.
    pub(crate) fn log_file(&self, segment: &Segment) -> Result<Arc<dyn File>, ReadError> {
        if let Some(file) = self.logs.get(segment.first) {
            return Ok(file);
        }
        let file = self.storage.open(&segment.path).map_err(read_io(&segment.path))?;
        self.logs.insert(segment.first, Arc::clone(&file), 1);
        Ok(file)
    }

    pub(crate) fn forget_log_file(&self, first: Position) {
        self.logs.remove(first);
    }

    /// Index and dictionary of a sealed segment.
    pub(crate) fn sealed(&self, segment: &Segment) -> Result<Arc<Sealed>, ReadError> {
        if let Some(sealed) = self.sealed.get(segment.first) {
            return Ok(sealed);
        }
        let sealed = Arc::new(Sealed::open(&*self.storage, &segment.path, segment.first)?);
        let files = self.options.segment_cache_bytes / self.options.open_files_max.max(1);
        self.sealed.insert(segment.first, Arc::clone(&sealed), sealed.weight().max(files));
        Ok(sealed)
    }

    /// A decompressed block, from the cache if it is there.
    pub(crate) fn block(&self, sealed: &Sealed, index: usize) -> Result<Arc<Block>, ReadError> {
        let key = (sealed.footer.first, index);
        if let Some(block) = self.blocks.get(key) {
            return Ok(block);
        }
        let block = Arc::new(sealed.block(index)?);
        self.blocks.insert(key, Arc::clone(&block), block.weight());
        Ok(block)
    }
}
