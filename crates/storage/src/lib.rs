//! The disk, as a seam: everything Annal asks of a file system, so that the simulator can answer.
//!
//! Two implementations: [`FileStorage`] (the real one) and [`FaultStorage`] (in memory; loses and
//! tears what was not synced, flips bits, fails on purpose). Paths are relative to the storage's
//! root, `/`-separated. A full disk (or quota) is [`io::ErrorKind::StorageFull`].

mod fault;
mod file;
mod lock;
mod priority;
#[cfg(test)]
mod tests;

use std::{fmt, io, sync::Arc};

pub use fault::{Counts, FaultStorage};
pub use file::FileStorage;
pub use lock::{DirLock, LockError};
pub use priority::{Rank, stand_back, thread_time};

/// A directory tree of files. All methods block.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Creates a file, or truncates one that is there. Durable only after [`Storage::sync_dir`].
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Names (not paths) of the files directly in a directory, sorted. A missing one is empty.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Moves a file over another, atomically. Durable only after [`Storage::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that is missing is no error.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// One open file. Positioned reads and writes only, so that it can be shared.
pub trait File: fmt::Debug + Send + Sync {
    /// Fills `buffer` from `offset`; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if need be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes several pieces one behind the other, as if they were one.
    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.write_at(&parts.concat(), offset)
    }
    /// Makes all earlier writes durable (`fdatasync`). After a failure it is unknown what reached
    /// the disk, and syncing again proves nothing.
    fn sync(&self) -> io::Result<()>;
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// `read_at` that treats a short read as an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// Writes zeros over `len` bytes from `offset`.
///
/// Really written, not allocated: `fdatasync` of a 4 KiB write costs 63 µs in a file of written
/// zeros and 124 µs after `fallocate`, which leaves the file system extents to convert.
pub fn write_zeros(file: &dyn File, offset: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let step = (end - at).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}
