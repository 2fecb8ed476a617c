//! Bytes set aside while a run is written: in memory while they are few, else in a scratch file.
//!
//! A scratch file is never synced nor kept; each piece carries its checksum in memory, so that what
//! comes back is what was put in.

use std::sync::Arc;

use annal_storage::{File, Storage};

use super::error::IndexError;

/// Bytes kept in memory before they are spilled.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Where a piece lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    offset: u64,
    len: u32,
    sum: u32,
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

/// An append-only store of pieces.
#[derive(Debug)]
pub(super) struct Spool {
    storage: Arc<dyn Storage>,
    path: String,
    file: Option<Arc<dyn File>>,
    spilled: u64,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(storage: Arc<dyn Storage>, path: String) -> Spool {
        Spool { storage, path, file: None, spilled: 0, buffer: Vec::new() }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<Piece, IndexError> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.spill()?;
        }
        let offset = self.spilled + self.buffer.len() as u64;
        self.buffer.extend_from_slice(bytes);
        Ok(Piece { offset, len: bytes.len() as u32, sum: crc32c::crc32c(bytes) })
    }

    /// Reads a piece over what `out` held.
    pub(super) fn get(&self, piece: Piece, out: &mut Vec<u8>) -> Result<(), IndexError> {
        out.clear();
        match (piece.offset.checked_sub(self.spilled), &self.file) {
            (Some(at), _) => {
                out.extend_from_slice(&self.buffer[at as usize..at as usize + piece.len()]);
            }
            (None, Some(file)) => {
                out.resize(piece.len(), 0);
                file.read_exact_at(out, piece.offset).map_err(|e| self.io(e))?;
            }
            (None, None) => unreachable!("bytes are only spilled into a file"),
        }
        if crc32c::crc32c(out) != piece.sum {
            return Err(IndexError::damaged(&self.path, piece.offset, "scratch"));
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), IndexError> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let made = self.storage.create(&self.path).map_err(|e| self.io(e))?;
                self.file.insert(made)
            }
        };
        file.write_at(&self.buffer, self.spilled).map_err(|e| IndexError::io(&self.path, e))?;
        self.spilled += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn io(&self, source: std::io::Error) -> IndexError {
        IndexError::io(&self.path, source)
    }
}

impl Drop for Spool {
    /// A scratch file that cannot be removed now is removed when the index is next opened.
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = self.storage.remove(&self.path);
        }
    }
}
