//! Bodies that are larger than a request may hold in memory: in a file until they are whole.
//!
//! The file has no name while it has bytes, so that nothing is left of it when the request ends or
//! the process dies. It is never synced: it need not outlive anything. Files are written and read
//! in pieces of [`PIECE_BYTES`], where that holds nobody up.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use tokio::task::spawn_blocking;

use crate::problem::{Code, Problem};

/// Bytes written and read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Seconds after which a client may try again if files cannot be written.
const UNAVAILABLE_RETRY_S: u32 = 5;

/// A body on its way to a file.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    /// Made when there is something to write.
    file: Option<File>,
    /// Not yet written.
    tail: Vec<u8>,
    written: usize,
}

impl Spool {
    /// For files in this directory, which is made if need be.
    pub(crate) fn new(dir: &Path) -> Spool {
        Spool { dir: dir.to_owned(), file: None, tail: Vec::new(), written: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn len(&self) -> usize {
        self.written + self.tail.len()
    }

    /// Takes the next bytes.
    pub(crate) async fn push(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        if self.tail.capacity() == 0 {
            self.tail.reserve(PIECE_BYTES + PIECE_BYTES / 4);
        }
        self.tail.extend_from_slice(chunk);
        if self.tail.len() < PIECE_BYTES {
            return Ok(());
        }
        self.write().await.map_err(|error| not_possible(&error))
    }

    /// Everything that was taken, from the beginning.
    pub(crate) fn into_pieces(self) -> Result<Pieces, Problem> {
        let Spool { mut file, tail, .. } = self;
        let rewound = file.as_mut().map_or(Ok(()), Seek::rewind);
        rewound.map_err(|error| not_possible(&error))?;
        let piece = vec![0; if file.is_some() { PIECE_BYTES } else { 0 }];
        Ok(Pieces { file, piece, tail })
    }

    /// Not with `block_in_place`: that would move the connections to another thread each time, and
    /// allocators keep memory for every thread that reads from sockets.
    async fn write(&mut self) -> io::Result<()> {
        let (dir, file) = (self.dir.clone(), self.file.take());
        let mut tail = std::mem::take(&mut self.tail);
        let writing = spawn_blocking(move || {
            let mut file = file.map_or_else(|| nameless(&dir), Ok)?;
            file.write_all(&tail)?;
            let written = tail.len();
            tail.clear();
            Ok::<_, io::Error>((file, tail, written))
        });
        let (file, tail, written) = writing.await.map_err(io::Error::other)??;
        (self.file, self.tail) = (Some(file), tail);
        self.written += written;
        Ok(())
    }
}

/// A body, piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    file: Option<File>,
    piece: Vec<u8>,
    /// What came last and never was in the file.
    tail: Vec<u8>,
}

impl Pieces {
    /// The next piece; `None` at the end. Waits for the disk.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Problem> {
        if let Some(file) = &mut self.file {
            let read = file.read(&mut self.piece).map_err(|error| not_possible(&error))?;
            if read > 0 {
                return Ok(Some(&self.piece[..read]));
            }
            self.file = None;
        }
        self.piece = std::mem::take(&mut self.tail);
        Ok((!self.piece.is_empty()).then_some(&self.piece[..]))
    }
}

fn nameless(dir: &Path) -> io::Result<File> {
    match tempfile::tempfile_in(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir)?;
            tempfile::tempfile_in(dir)
        }
        made => made,
    }
}

fn not_possible(error: &io::Error) -> Problem {
    tracing::warn!(%error, "a large batch cannot be kept in a file");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            let detail = "nothing was stored: there is no room for a batch of this size; split it, \
                or send it as application/x-ndjson";
            Problem::new(Code::DiskFull, detail)
        }
        _ => {
            let detail = "nothing was stored: a batch of this size cannot be taken in; the \
                server's log says why";
            Problem::new(Code::Unavailable, detail).retry_after(UNAVAILABLE_RETRY_S)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spool: Spool) -> Vec<u8> {
        let mut pieces = spool.into_pieces().expect("rewound");
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().expect("a piece") {
            all.extend_from_slice(piece);
        }
        all
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_in_comes_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("made");
        let text: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
        for bytes in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, text.len()] {
            let mut spool = Spool::new(&below);
            for chunk in text[..bytes].chunks(4_099) {
                spool.push(chunk).await.expect("taken");
            }
            assert_eq!(spool.len(), bytes);
            assert!(read(spool) == text[..bytes], "{bytes} bytes");
        }
        assert_eq!(fs::read_dir(&below).expect("made").count(), 0, "files have no names");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_cannot_be_made_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let not_a_dir = dir.path().join("file");
        fs::write(&not_a_dir, "x").expect("written");
        let refused = Spool::new(&not_a_dir).push(&[0; PIECE_BYTES]).await.expect_err("refused");
        assert_eq!(refused.code(), Code::Unavailable);
        let full = io::Error::from(ErrorKind::StorageFull);
        assert_eq!(not_possible(&full).code(), Code::DiskFull);
    }
}
