//! One process per data directory.
//!
//! The lock is the operating system's (`flock`), so that it goes with the process however that
//! ends; the process id in the file is only there to be shown. Refuses network file systems that
//! do not lock.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// Holds a directory for this process until dropped.
#[derive(Debug)]
pub struct DirLock {
    // Closing the file releases the lock. The file stays: removing it would let two processes
    // lock two different inodes of the same name.
    file: File,
}

/// A directory that cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works on it.
    #[error("{path} is in use by process {pid}; stop it, or choose another data directory",
        path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder, as it wrote itself down; `unknown` if it could not be read.
        pid: String,
        /// What the holder has announced, such as where it can be reached.
        note: Option<String>,
    },
    /// The lock file cannot be made, or the file system does not lock.
    #[error("{path} cannot be locked: {source}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DirLock {
    /// Name of the lock file.
    pub const FILE_NAME: &'static str = "LOCK";

    /// Locks `dir`, which must exist, without waiting.
    pub fn acquire(dir: &Path) -> Result<DirLock, LockError> {
        let path = dir.join(DirLock::FILE_NAME);
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (pid, note) = holder(&mut file);
                return Err(LockError::Held { path, pid, note });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        write_holder(&mut file, "").map_err(io)?;
        Ok(DirLock { file })
    }

    /// Leaves one line for those who find the directory taken.
    pub fn announce(&mut self, note: &str) -> io::Result<()> {
        write_holder(&mut self.file, note)
    }
}

/// The first line is the process id, the second the note.
fn write_holder(file: &mut File, note: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}\n{note}\n", std::process::id())
}

fn holder(file: &mut File) -> (String, Option<String>) {
    let mut text = String::new();
    // What cannot be read is shown as unknown: the lock itself is what counts.
    let _ = file.read_to_string(&mut text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pid = lines.next().unwrap_or("unknown").to_owned();
    (pid, lines.next().map(str::to_owned))
}
