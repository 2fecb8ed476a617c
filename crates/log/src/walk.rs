//! Walks the frames of an active (or rolled, not yet sealed) segment in order.
//!
//! Stops at the first byte that is not the expected next frame and says so; what that means, the
//! end of the log, a torn tail or damage, is for the caller to judge. Payloads share the memory of
//! the piece of file they were read with.

use std::sync::Arc;

use annal_event::{Batch, Position};
use annal_storage::File;
use bytes::Bytes;

use crate::{
    Damage, Fault, ReadError,
    error::read_io,
    frame::{FRAME_HEADER_BYTES, FrameHeader},
};

/// One frame as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) offset: u64,
    pub(crate) payload: Bytes,
}

impl Frame {
    /// The events; `None` if the frame has none.
    pub(crate) fn batch(&self, path: &str) -> Result<Option<Arc<Batch>>, ReadError> {
        let header = &self.header;
        if header.count == 0 {
            return Ok(None);
        }
        let payload = self.payload.clone();
        match Batch::parse(header.first, header.time, header.count as usize, payload) {
            Ok(batch) => Ok(Some(Arc::new(batch))),
            Err(_) => Err(self.damage(path, Fault::Records)),
        }
    }

    pub(crate) fn damage(&self, path: &str, fault: Fault) -> ReadError {
        let position = self.header.first;
        Damage { file: path.to_owned(), offset: self.offset, position, fault }.into()
    }
}

#[derive(Debug)]
pub(crate) struct Walk {
    file: Arc<dyn File>,
    path: String,
    salt: u64,
    at: u64,
    expected: Position,
    len: u64,
    chunk_bytes: usize,
    buffer: Bytes,
    buffer_at: u64,
}

impl Walk {
    /// Begins at byte `at`, where the frame of position `expected` should stand. Reads the file in
    /// pieces of `chunk_bytes`.
    pub(crate) fn new(
        file: Arc<dyn File>,
        path: &str,
        salt: u64,
        at: u64,
        expected: Position,
        chunk_bytes: usize,
    ) -> Result<Walk, ReadError> {
        let len = file.len().map_err(read_io(path))?;
        let path = path.to_owned();
        let buffer = Bytes::new();
        Ok(Walk { file, path, salt, at, expected, len, chunk_bytes, buffer, buffer_at: 0 })
    }

    /// Where the next frame should begin.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Position the next frame should have.
    pub(crate) fn expected(&self) -> Position {
        self.expected
    }

    /// Length of the file when the walk began.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Damage where the walk stands.
    pub(crate) fn damage(&self, fault: Fault) -> ReadError {
        let file = self.path.clone();
        Damage { file, offset: self.at, position: self.expected, fault }.into()
    }

    /// A failure of the file it walks.
    pub(crate) fn io(&self, source: std::io::Error) -> ReadError {
        ReadError::Io { file: self.path.clone(), source }
    }

    /// The next frame, whole and with its checksums right; `None` where there is none.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        let Some(bytes) = self.piece(self.at, FRAME_HEADER_BYTES)? else { return Ok(None) };
        let Some(header) = FrameHeader::decode(&bytes, self.salt) else { return Ok(None) };
        if header.first != self.expected {
            return Ok(None);
        }
        let payload_at = self.at + FRAME_HEADER_BYTES as u64;
        let Some(payload) = self.piece(payload_at, header.payload_bytes as usize)? else {
            return Ok(None);
        };
        if crc32c::crc32c(&payload) != header.payload_crc {
            return Ok(None);
        }
        let offset = self.at;
        self.at += header.frame_bytes();
        self.expected = header.next();
        Ok(Some(Frame { header, offset, payload }))
    }

    /// `len` bytes at `at`; `None` if the file ends first.
    fn piece(&mut self, at: u64, len: usize) -> Result<Option<Bytes>, ReadError> {
        if at + len as u64 > self.len {
            return Ok(None);
        }
        let buffered =
            at >= self.buffer_at && at + len as u64 <= self.buffer_at + self.buffer.len() as u64;
        if !buffered {
            let wanted = (len.max(self.chunk_bytes) as u64).min(self.len - at) as usize;
            let mut buffer = vec![0; wanted];
            self.file.read_exact_at(&mut buffer, at).map_err(read_io(&self.path))?;
            self.buffer = buffer.into();
            self.buffer_at = at;
        }
        let start = (at - self.buffer_at) as usize;
        Ok(Some(self.buffer.slice(start..start + len)))
    }
}
