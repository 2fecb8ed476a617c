//! What can go wrong, one enum per operation, each carrying where.

use std::io;

use annal_event::Position;

/// Bytes in the log that are not what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}, position {position}: {fault}")]
pub struct Damage {
    /// Path of the file, relative to the storage's root.
    pub file: String,
    /// Where in the file the damaged piece begins, in bytes.
    pub offset: u64,
    /// The first position that cannot be read.
    pub position: Position,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a piece of a log file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A file header whose checksum does not hold.
    #[error("the file header is damaged")]
    Header,
    /// A format this program does not know.
    #[error("the file has format version {found}; this program reads version {known}")]
    Version {
        /// The version found.
        found: u32,
        /// The version this program writes.
        known: u32,
    },
    /// A file whose name is not its first position.
    #[error("the file holds positions from {found}, which is not what it is named after")]
    Name {
        /// First position in its header.
        found: Position,
    },
    /// A frame that must be there and is not, or whose checksum does not hold.
    #[error("the frame is damaged or missing")]
    Frame,
    /// A damaged frame that cannot be a torn tail: what follows it was written after it was synced.
    #[error("the frame is damaged, and a later one says that it was synced up to {synced}")]
    Synced {
        /// Last position that the later frame knew to be durable.
        synced: Position,
    },
    /// Two segments that do not follow each other.
    #[error("the segment should begin at position {expected}")]
    Gap {
        /// Where the one before it ends, plus one.
        expected: Position,
    },
    /// A segment that is not there, although one after it is.
    #[error("it is missing, and the segment after it begins at position {next}; bring it back")]
    Missing {
        /// First position of the segment after it.
        next: Position,
    },
    /// The newest file of the log is gone: a sealed segment is never the last.
    #[error("the segment that follows is missing")]
    NewestMissing,
    /// A sealed segment's footer.
    #[error("the footer is damaged")]
    Footer,
    /// A sealed segment's block index.
    #[error("the block index is damaged")]
    Index,
    /// A sealed segment's compression dictionary.
    #[error("the dictionary is damaged")]
    Dictionary,
    /// A block of a sealed segment.
    #[error("the block is damaged")]
    Block,
    /// Records that do not fill their frame.
    #[error("the records do not fill their frame")]
    Records,
    /// Whole frames that are not the ones that were committed.
    #[error("the hash chain does not hold: these are not the events that were committed")]
    Chain,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something acknowledged cannot be read. `annal verify` shows how far the log is whole.
    #[error("{0}; `annal verify` shows how far the log is whole, `annal repair` cuts it there")]
    Damaged(Damage),
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// Path, relative to the storage's root.
        file: String,
        /// Why.
        source: io::Error,
    },
}

/// Why an append was not written, or not made durable.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No room for the frame. Nothing of it was written; the writer goes on once there is room.
    #[error("the disk is full: no room for {bytes} more bytes in {file}")]
    DiskFull {
        /// The file that should have grown.
        file: String,
        /// How much was missing at least.
        bytes: u64,
    },
    /// A write or a sync failed. It is not known what reached the disk, so this writer refuses
    /// everything from now on.
    #[error("{file} could not be written at byte {offset}: {source}; restart to recover")]
    Io {
        /// Path, relative to the storage's root.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// An earlier write failed, and this writer refuses for ever.
    #[error("the log refuses writes since an earlier failure; restart to recover")]
    Poisoned,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is stored there cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// Path, relative to the storage's root.
        file: String,
        /// Why.
        source: io::Error,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> OpenError {
        match error {
            ReadError::Damaged(damage) => OpenError::Damaged(damage),
            ReadError::Io { file, source } => OpenError::Io { file, source },
        }
    }
}

pub(crate) fn read_io(file: &str) -> impl FnOnce(io::Error) -> ReadError + use<> {
    let file = file.to_owned();
    move |source| ReadError::Io { file, source }
}
