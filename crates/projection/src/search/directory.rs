//! The files of the index: tantivy's, without a list on disk of what they are, and with a checksum
//! where tantivy has none.
//!
//! tantivy writes and syncs a list of its files each time one is made, which is half of what a
//! small commit costs. The list serves nothing but the removal of leftovers, and the directory
//! itself is a list; so it is made from that when the index is opened, and kept in memory.
//!
//! `meta.json`, which names the segments and carries what a commit says of itself, ends in a line
//! with its checksum. All other files have one already.

use std::{fs, io, path::Path, sync::Arc};

use parking_lot::Mutex;
use tantivy::{
    Directory,
    directory::{
        DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr,
        error::{DeleteError, LockError, OpenReadError, OpenWriteError},
    },
};

/// tantivy's list of files.
const LIST: &str = ".managed.json";

/// What names the segments.
const META: &str = "meta.json";

/// How the line with its checksum begins.
const CHECKSUM: &str = "crc32c ";

/// How tantivy begins the names of files that are not whole yet.
const UNFINISHED: &str = ".tmp";

#[derive(Clone, Debug)]
pub(super) struct Files {
    inner: MmapDirectory,
    list: Arc<Mutex<Vec<u8>>>,
}

impl Files {
    /// Opens a directory that is there.
    pub(super) fn open(dir: &Path) -> io::Result<Files> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        let inner = MmapDirectory::open(dir).map_err(io::Error::other)?;
        Ok(Files { inner, list: Arc::new(Mutex::new(serde_json::to_vec(&names)?)) })
    }
}

/// What stands before the line with the checksum, if it is what was written.
fn checked(mut data: Vec<u8>) -> Option<Vec<u8>> {
    let end = data.len().checked_sub(CHECKSUM.len() + 9)?;
    let line = data.split_off(end);
    (line == format!("{CHECKSUM}{:08x}\n", crc32c::crc32c(&data)).as_bytes()).then_some(data)
}

/// Removes what a crash left half-written. Nobody else may be writing.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes everything in a directory.
pub(super) fn wipe(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Size of everything in a directory, in bytes. A file that vanishes meanwhile does not count.
pub(super) fn bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.inner.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if path == Path::new(LIST) {
            return Ok(self.list.lock().clone());
        }
        let data = self.inner.atomic_read(path)?;
        if path != Path::new(META) {
            return Ok(data);
        }
        checked(data).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "meta.json is damaged");
            OpenReadError::wrap_io_error(error, path.to_owned())
        })
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        if path == Path::new(LIST) {
            *self.list.lock() = data.to_vec();
            return Ok(());
        }
        if path != Path::new(META) {
            return self.inner.atomic_write(path, data);
        }
        let mut data = data.to_vec();
        let line = format!("{CHECKSUM}{:08x}\n", crc32c::crc32c(&data));
        data.extend_from_slice(line.as_bytes());
        self.inner.atomic_write(path, &data)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.inner.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(callback)
    }
}
