//! Cuts a log off after a position, when what follows is damaged and there is no better copy.
//!
//! Loses events on purpose, so it is never done without being asked for by a person. Whole batches
//! only: a batch that goes beyond the position is dropped. Everything is written to a new file
//! first; a crash leaves the old log or the new one, or a log that the same call finishes.

use std::sync::Arc;

use annal_event::Position;
use annal_storage::{File, Storage};

use crate::{
    FileHeader, LogFile, ReadError,
    error::read_io,
    frame::{FILE_HEADER_BYTES, FrameHeader, LogHeader, padding},
    segment::{FileKind, NEXT_TMP, SPARE, kind_of, log_path, path},
    verify::chain_over,
};

/// What a cut left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The last position that is still there.
    pub head: Position,
}

/// Why a log was not cut.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// What should stay cannot be read either.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no segment that holds the position.
    #[error("no segment holds position {0}; `annal verify` shows what there is")]
    NoSegment(Position),
}

/// Cuts the log in `dir` so that nothing after `position` is left. Nobody else may have it open.
pub fn truncate_at(
    storage: &dyn Storage,
    dir: &str,
    position: Position,
    salt: u64,
) -> Result<Truncated, RepairError> {
    let names = storage.list(dir).map_err(read_io(dir))?;
    let files: Vec<(Position, FileKind, String)> = names
        .iter()
        .filter_map(|name| {
            let kind = kind_of(name)?;
            let (FileKind::Log(first) | FileKind::Sealed(first)) = kind;
            Some((first, kind, path(dir, name)))
        })
        .collect();
    if position == Position::ZERO {
        remove_after(storage, dir, &files, Position::ZERO)?;
        return Ok(Truncated { head: Position::ZERO });
    }
    let kept = files.iter().rev().find(|(first, ..)| *first <= position);
    let (first, kind, source) = kept.ok_or(RepairError::NoSegment(position))?;
    let head = rewrite(storage, dir, source, position, salt)?;
    remove_after(storage, dir, &files, *first)?;
    let (from, to) = (path(dir, NEXT_TMP), log_path(dir, *first));
    storage.rename(&from, &to).map_err(read_io(&to))?;
    storage.sync_dir(dir).map_err(read_io(dir))?;
    if matches!(kind, FileKind::Sealed(_)) {
        storage.remove(source).map_err(read_io(source))?;
        storage.sync_dir(dir).map_err(read_io(dir))?;
    }
    Ok(Truncated { head })
}

/// Removes the segments that begin after `first`, from the newest on, so that a crash in between
/// leaves no gap.
fn remove_after(
    storage: &dyn Storage,
    dir: &str,
    files: &[(Position, FileKind, String)],
    first: Position,
) -> Result<(), ReadError> {
    // A spare may hold frames of positions that will be given again.
    storage.remove(&path(dir, SPARE)).map_err(read_io(SPARE))?;
    for (_, _, file) in files.iter().rev().filter(|file| file.0 > first) {
        storage.remove(file).map_err(read_io(file))?;
        storage.sync_dir(dir).map_err(read_io(dir))?;
    }
    Ok(())
}

/// Copies what stays of a segment into a new file, durably.
fn rewrite(
    storage: &dyn Storage,
    dir: &str,
    source: &str,
    position: Position,
    salt: u64,
) -> Result<Position, ReadError> {
    let mut frames = LogFile::open(storage, source)?;
    let header = match frames.header().clone() {
        FileHeader::Log(header) => LogHeader { salt, ..header },
        FileHeader::Sealed(footer) => LogHeader {
            salt,
            first: footer.first,
            created: footer.time_min,
            // Newer than it may have been: a lookup by time reads more than it must, nothing else.
            time_before: footer.time_max,
            chain_before: footer.chain_before,
        },
    };
    let tmp = path(dir, NEXT_TMP);
    let file = storage.create(&tmp).map_err(read_io(&tmp))?;
    let copied = copy_frames(&mut frames, &*file, &header, position)?;
    file.sync().map_err(read_io(&tmp))?;
    Ok(copied)
}

fn copy_frames(
    frames: &mut LogFile,
    file: &dyn File,
    header: &LogHeader,
    position: Position,
) -> Result<Position, ReadError> {
    let io = || read_io(NEXT_TMP);
    file.write_at(&header.encode(), 0).map_err(io())?;
    let mut head = header.first.prev();
    let mut chain = header.chain_before;
    let mut at = FILE_HEADER_BYTES;
    // A damaged frame ends what can be kept, like the position does.
    while head < position
        && let Some(frame) = readable(frames.next_frame())?
        && frame.batch.last() <= position
    {
        let batch = Arc::clone(&frame.batch);
        let copy = FrameHeader {
            payload_bytes: batch.payload().len() as u32,
            count: batch.len() as u32,
            first: batch.first(),
            time: batch.time(),
            flags: frame.flags,
            payload_crc: crc32c::crc32c(batch.payload()),
            synced: head,
            previous: chain,
        };
        let encoded = copy.encode(header.salt);
        let parts = [&encoded[..], batch.payload(), padding(batch.payload().len())];
        file.write_parts_at(&parts, at).map_err(io())?;
        at += copy.frame_bytes();
        chain = chain_over(&chain, &batch);
        head = batch.last();
    }
    Ok(head)
}

fn readable<T>(frame: Result<Option<T>, ReadError>) -> Result<Option<T>, ReadError> {
    match frame {
        Err(ReadError::Damaged(_)) => Ok(None),
        other => other,
    }
}
