//! One file of the log, frame by frame, as `annal log cat`, `verify` and `repair` read it.
//!
//! Frames of a sealed segment come whole, put together again from their parts. The first thing that
//! cannot be read ends the iteration: in a file that was not sealed that may be its regular end.

use std::{collections::VecDeque, sync::Arc};

use annal_event::{Batch, Digest, Position, Timestamp};
use annal_storage::Storage;

use crate::{
    Damage, Fault, Footer, ReadError,
    error::read_io,
    frame::{FILE_HEADER_BYTES, LogHeader},
    recovery::read_log_header,
    sealed::{Sealed, block::Block},
    segment::{FileKind, kind_of},
    walk::Walk,
};

const CHUNK_BYTES: usize = 1 << 20;

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileHeader {
    /// An active segment, or one that waits to be sealed.
    Log(LogHeader),
    /// A sealed segment.
    Sealed(Footer),
}

impl FileHeader {
    /// Hash chain before the first frame.
    pub fn chain_before(&self) -> Digest {
        match self {
            FileHeader::Log(header) => header.chain_before,
            FileHeader::Sealed(footer) => footer.chain_before,
        }
    }
}

/// A committed batch with what its frame says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatFrame {
    /// The events.
    pub batch: Arc<Batch>,
    /// The frame's flags.
    pub flags: u32,
    /// Where it begins in the file, in bytes; in a sealed segment, where its first block does.
    pub offset: u64,
    /// The hash chain before it, as the frame has it; sealed frames do not keep it.
    pub previous: Option<Digest>,
}

/// An open file of the log.
#[derive(Debug)]
pub struct LogFile {
    path: String,
    header: FileHeader,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    Log(Walk),
    Sealed { sealed: Box<Sealed>, next_block: usize, ready: VecDeque<CatFrame>, open: Option<Open> },
}

/// A frame whose parts are not all there yet.
#[derive(Debug)]
struct Open {
    first: Position,
    time: Timestamp,
    flags: u32,
    offset: u64,
    count: usize,
    payload: Vec<u8>,
}

impl LogFile {
    /// Opens the file at `path`, whose name says what it is.
    pub fn open(storage: &dyn Storage, path: &str) -> Result<LogFile, ReadError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (header, frames) = match kind_of(name) {
            Some(FileKind::Log(first)) => {
                let file = storage.open(path).map_err(read_io(path))?;
                let header = read_log_header(&*file, path, first)?;
                let (salt, at) = (header.salt, FILE_HEADER_BYTES);
                let walk = Walk::new(file, path, salt, at, first, CHUNK_BYTES)?;
                (FileHeader::Log(header), Frames::Log(walk))
            }
            Some(FileKind::Sealed(first)) => {
                let sealed = Box::new(Sealed::open(storage, path, first)?);
                let header = FileHeader::Sealed(sealed.footer.clone());
                let (ready, open) = (VecDeque::new(), None);
                (header, Frames::Sealed { sealed, next_block: 0, ready, open })
            }
            None => {
                let source = std::io::Error::new(
                    std::io::ErrorKind::InvalidInput,
                    "not a file of the log: they are called <20 digits>.log or .seg",
                );
                return Err(ReadError::Io { file: path.to_owned(), source });
            }
        };
        Ok(LogFile { path: path.to_owned(), header, frames })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next frame with events; `None` at the end, which in an unsealed file is the first place
    /// without a good frame.
    pub fn next_frame(&mut self) -> Result<Option<CatFrame>, ReadError> {
        match &mut self.frames {
            Frames::Log(walk) => {
                while let Some(frame) = walk.next()? {
                    if let Some(batch) = frame.batch(&self.path)? {
                        let header = frame.header;
                        return Ok(Some(CatFrame {
                            batch,
                            flags: header.flags,
                            offset: frame.offset,
                            previous: Some(header.previous),
                        }));
                    }
                }
                Ok(None)
            }
            Frames::Sealed { sealed, next_block, ready, open } => loop {
                if let Some(frame) = ready.pop_front() {
                    return Ok(Some(frame));
                }
                if *next_block == sealed.blocks() {
                    return match open {
                        Some(_) => Err(sealed.damaged(*next_block)),
                        None => Ok(None),
                    };
                }
                let block = sealed.block(*next_block)?;
                join_parts(sealed, *next_block, &block, open, ready)?;
                *next_block += 1;
            },
        }
    }

    /// Damage at the place the iteration has reached.
    pub(crate) fn damage(&self, offset: u64, position: Position, fault: Fault) -> Damage {
        Damage { file: self.path.clone(), offset, position, fault }
    }

    /// Position of the frame that was not there, and where it should begin.
    pub(crate) fn reached(&self) -> (Position, u64) {
        match &self.frames {
            Frames::Log(walk) => (walk.expected(), walk.at()),
            Frames::Sealed { sealed, .. } => {
                (sealed.footer.last().next(), sealed.footer.dictionary.offset)
            }
        }
    }
}

fn join_parts(
    sealed: &Sealed,
    index: usize,
    block: &Block,
    open: &mut Option<Open>,
    ready: &mut VecDeque<CatFrame>,
) -> Result<(), ReadError> {
    for (part, bytes) in block.parts() {
        if part.continued != open.is_some() {
            return Err(sealed.damaged(index));
        }
        let frame = open.get_or_insert_with(|| Open {
            first: part.first,
            time: part.time,
            flags: part.flags,
            offset: sealed.offset_of(index),
            count: 0,
            payload: Vec::new(),
        });
        frame.count += part.count as usize;
        frame.payload.extend_from_slice(&bytes);
        if !part.continues
            && let Some(Open { first, time, flags, offset, count, payload }) = open.take()
        {
            let batch = Batch::parse(first, time, count, payload.into())
                .map_err(|_| sealed.damaged(index))?;
            ready.push_back(CatFrame { batch: Arc::new(batch), flags, offset, previous: None });
        }
    }
    Ok(())
}
