//! Opens a log directory: checks that its segments follow each other, finds the end of the newest
//! and makes what is there durable.
//!
//! A segment gets its name only when it is durable and all before it are. So every named file has a
//! good header, only the newest may end in a torn frame, and anything else is damage.
//!
//! A bad frame in the newest segment is a torn tail unless a later frame says that it was synced.
//! Behind the cut the headers of all leftover frames are wiped durably before anything is appended:
//! else a later, shorter frame could end right where a stale one with the same salt begins.

use std::{collections::VecDeque, sync::Arc};

use annal_event::{Digest, Position, Timestamp, chain, event_digest, merkle_root};
use annal_storage::{File, Storage, write_zeros};

use crate::{
    Damage, Fault, LogOptions, LogReader, OpenError, ReadError,
    error::read_io,
    frame::{FILE_HEADER_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, LogHeader},
    sealed::Sealed,
    segment::{FileKind, Mark, Marks, SPARE, Segment, Store, kind_of, log_path, path, sealed_path},
    shared::{Shared, Spare},
    walk::{Frame, Walk},
    writer::{Active, End, LogWriter, Salts},
};

const CHUNK_BYTES: usize = 1 << 20;

pub(crate) fn open(
    storage: Arc<dyn Storage>,
    dir: &str,
    options: LogOptions,
    salts: Salts,
) -> Result<(LogWriter, LogReader), OpenError> {
    storage.create_dir(dir).map_err(read_io(dir))?;
    clear_leftovers(&*storage, dir)?;
    let mut segments = read_segments(&*storage, dir)?;
    let spare = open_spare(&*storage, dir)?;
    let newest = segments.pop();
    let (active, end) = match &newest {
        Some(newest) => recover(&*storage, dir, newest)?,
        None => (None, End::EMPTY),
    };
    let newest = active.as_ref().map(|active| Arc::clone(&active.segment));
    let segments = segments.into_iter().map(Arc::new).chain(newest).collect();
    storage.sync_dir(dir).map_err(read_io(dir))?;
    let shared = Arc::new(Shared::new(storage, dir, options, segments, end.head, spare));
    let reader = LogReader::new(Arc::clone(&shared));
    Ok((LogWriter::new(shared, salts, active, end), reader))
}

impl End {
    const EMPTY: End = End { head: Position::ZERO, chain: [0; 32], time_max: Timestamp(i64::MIN) };
}

/// Removes what interrupted work left: unfinished files, and originals of sealed segments.
fn clear_leftovers(storage: &dyn Storage, dir: &str) -> Result<(), ReadError> {
    let names = storage.list(dir).map_err(read_io(dir))?;
    for name in &names {
        let leftover = match kind_of(name) {
            // A sealed segment was durable before it got its name; if it is damaged since, the
            // original is not thrown away too.
            Some(FileKind::Log(first)) => {
                is_sealed(&names, first)
                    && Sealed::open(storage, &sealed_path(dir, first), first).map(|_| true)?
            }
            Some(FileKind::Sealed(_)) => false,
            None => name.ends_with(".tmp"),
        };
        if leftover {
            let path = path(dir, name);
            storage.remove(&path).map_err(read_io(&path))?;
        }
    }
    Ok(())
}

fn is_sealed(names: &[String], first: Position) -> bool {
    names.iter().any(|name| kind_of(name) == Some(FileKind::Sealed(first)))
}

fn open_spare(storage: &dyn Storage, dir: &str) -> Result<Option<Spare>, ReadError> {
    let path = path(dir, SPARE);
    match storage.open(&path) {
        Ok(file) => {
            let bytes = file.len().map_err(read_io(&path))?;
            Ok(Some(Spare { file, bytes }))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(read_io(&path)(e)),
    }
}

/// All segments, in order, with their headers or footers checked, and that each follows the one
/// before as far as that can be seen without reading frames.
pub(crate) fn read_segments(storage: &dyn Storage, dir: &str) -> Result<Vec<Segment>, ReadError> {
    let (segments, whole) = read_segments_before_damage(storage, dir)?;
    whole.map(|()| segments)
}

/// The segments before the first thing that is not what it should be, and that.
pub(crate) fn read_segments_before_damage(
    storage: &dyn Storage,
    dir: &str,
) -> Result<(Vec<Segment>, Result<(), ReadError>), ReadError> {
    let mut segments: Vec<Segment> = Vec::new();
    let names = storage.list(dir).map_err(read_io(dir))?;
    for name in &names {
        let read = match kind_of(name) {
            Some(FileKind::Log(first)) if is_sealed(&names, first) => continue,
            Some(FileKind::Log(first)) => read_log_segment(storage, dir, first),
            Some(FileKind::Sealed(first)) => Sealed::open(storage, &sealed_path(dir, first), first)
                .map(|sealed| Segment::sealed(dir, sealed.footer)),
            None => continue,
        };
        let read = read.and_then(|segment| {
            follows(dir, segments.last(), &segment)?;
            Ok(segment)
        });
        match read {
            Ok(segment) => segments.push(segment),
            Err(error) => return Ok((segments, Err(error))),
        }
    }
    let whole = match segments.last() {
        Some(Segment { store: Store::Sealed(footer), path, .. }) => Err(Damage {
            file: path.clone(),
            offset: footer.file_bytes,
            position: footer.last().next(),
            fault: Fault::NewestMissing,
        }
        .into()),
        _ => Ok(()),
    };
    Ok((segments, whole))
}

fn follows(dir: &str, before: Option<&Segment>, segment: &Segment) -> Result<(), ReadError> {
    let (expected, chain) = match before.map(|before| &before.store) {
        None => (Position::FIRST, None),
        Some(Store::Sealed(footer)) => (footer.last().next(), Some(footer.chain_after)),
        Some(_) => return Ok(()),
    };
    if segment.first > expected {
        let (file, fault) = (sealed_path(dir, expected), Fault::Missing { next: segment.first });
        return Err(Damage { file, offset: 0, position: expected, fault }.into());
    }
    let fault = match chain {
        _ if segment.first != expected => Fault::Gap { expected },
        Some(chain) if segment.chain_before() != chain => Fault::Chain,
        _ => return Ok(()),
    };
    let (file, position) = (segment.path.clone(), segment.first);
    Err(Damage { file, offset: 0, position, fault }.into())
}

fn read_log_segment(
    storage: &dyn Storage,
    dir: &str,
    first: Position,
) -> Result<Segment, ReadError> {
    let path = log_path(dir, first);
    let file = storage.open(&path).map_err(read_io(&path))?;
    let header = read_log_header(&*file, &path, first)?;
    Ok(Segment::log(dir, header, None))
}

pub(crate) fn read_log_header(
    file: &dyn File,
    path: &str,
    named: Position,
) -> Result<LogHeader, ReadError> {
    let mut bytes = vec![0; FILE_HEADER_BYTES as usize];
    let read = file.read_at(&mut bytes, 0).map_err(read_io(path))?;
    let fault = match LogHeader::decode(&bytes[..read]) {
        Ok(header) if header.first == named => return Ok(header),
        Ok(header) => Fault::Name { found: header.first },
        Err(fault) => fault,
    };
    Err(Damage { file: path.to_owned(), offset: 0, position: named, fault }.into())
}

/// The frames of the newest segment, as far as they can be trusted.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Where the next frame goes.
    pub(crate) end: u64,
    pub(crate) head: Position,
    pub(crate) chain: Digest,
    pub(crate) time_max: Timestamp,
    /// Leftovers of torn frames reach up to here; `end` if there are none.
    pub(crate) torn_until: u64,
    /// From here on no frame vouches that what is there was synced.
    unvouched_from: u64,
    ends_vouched: bool,
    marks: Marks,
}

/// Walks the newest segment to its end and judges what stands there. Changes nothing.
pub(crate) fn find_end(
    file: &Arc<dyn File>,
    path: &str,
    header: &LogHeader,
) -> Result<Ending, ReadError> {
    let (salt, first) = (header.salt, header.first);
    let at = FILE_HEADER_BYTES;
    let mut walk = Walk::new(Arc::clone(file), path, salt, at, first, CHUNK_BYTES)?;
    let mut ending = Ending {
        end: at,
        head: first.prev(),
        chain: header.chain_before,
        time_max: header.time_before,
        torn_until: at,
        unvouched_from: at,
        ends_vouched: true,
        marks: Marks::default(),
    };
    let mut last: Option<Frame> = None;
    // Frames after the newest promise, so that the rewriting starts at the first of them.
    let mut unvouched: VecDeque<(Position, u64)> = VecDeque::new();
    while let Some(frame) = walk.next()? {
        while unvouched.front().is_some_and(|(last, _)| *last <= frame.header.synced) {
            unvouched.pop_front();
        }
        let (first, offset, time_before) = (frame.header.first, frame.offset, ending.time_max);
        ending.marks.note(Mark { first, offset, time_before });
        ending.ends_vouched = frame.header.count == 0;
        // A frame without events is itself vouched for only by what comes after it: the sync that
        // followed it may have failed while the page cache went on showing it.
        let covers = frame.header.last().unwrap_or(frame.header.first);
        unvouched.push_back((covers, frame.offset));
        if frame.header.count > 0 {
            ending.time_max = ending.time_max.max(frame.header.time);
            last = Some(frame);
        }
    }
    ending.end = walk.at();
    ending.head = walk.expected().prev();
    ending.unvouched_from = unvouched.front().map_or(walk.at(), |(_, offset)| *offset);
    if let Some(frame) = last {
        ending.chain = chain_after(&frame, path)?;
    }
    ending.torn_until = judge_rest(file, salt, &walk)?;
    Ok(ending)
}

/// The hash chain after a frame, recomputed from its records.
pub(crate) fn chain_after(frame: &Frame, path: &str) -> Result<Digest, ReadError> {
    let header = &frame.header;
    let Some(batch) = frame.batch(path)? else { return Ok(header.previous) };
    let digests: Vec<Digest> = batch.records().map(event_digest).collect();
    let root = merkle_root(&digests);
    Ok(chain(&header.previous, header.first, header.count, header.time, &root))
}

/// Looks for frames behind the place where the walk ended. One that knows of synced positions not
/// reached means damage. Returns where the last of them ends.
fn judge_rest(file: &Arc<dyn File>, salt: u64, walk: &Walk) -> Result<u64, ReadError> {
    let mut until = walk.at();
    let mut at = walk.at();
    let mut buffer = vec![0; CHUNK_BYTES];
    while at < walk.len() {
        let wanted = buffer.len().min((walk.len() - at) as usize);
        let bytes = &mut buffer[..wanted];
        file.read_exact_at(bytes, at).map_err(|source| walk.io(source))?;
        for offset in (0..wanted).step_by(FRAME_ALIGN as usize) {
            let Some(header) = FrameHeader::decode(&bytes[offset..], salt) else { continue };
            if header.synced >= walk.expected() {
                return Err(walk.damage(Fault::Synced { synced: header.synced }));
            }
            let end = at + offset as u64 + header.frame_bytes();
            until = until.max(end.min(walk.len()));
        }
        // Headers may lie across two pieces.
        let overlap = (FRAME_HEADER_BYTES as u64).next_multiple_of(FRAME_ALIGN);
        at += match wanted < buffer.len() {
            true => wanted as u64,
            false => wanted as u64 - overlap,
        };
    }
    Ok(until)
}

fn recover(
    storage: &dyn Storage,
    dir: &str,
    newest: &Segment,
) -> Result<(Option<Active>, End), ReadError> {
    let Store::Log { header, .. } = &newest.store else { return Ok((None, End::EMPTY)) };
    let file = storage.open(&newest.path).map_err(read_io(&newest.path))?;
    let ending = find_end(&file, &newest.path, header)?;
    make_durable(&*file, &ending).map_err(read_io(&newest.path))?;
    let prepared = file.len().map_err(read_io(&newest.path))?.max(ending.end);
    let segment = Arc::new(Segment::log(dir, header.clone(), Some(ending.marks)));
    let header = header.clone();
    let (end, vouched) = (ending.end, ending.ends_vouched);
    let active = Active { segment, file, header, end, prepared, vouched };
    let end = End { head: ending.head, chain: ending.chain, time_max: ending.time_max };
    Ok((Some(active), end))
}

/// Wipes the leftovers behind the end and makes everything before it durable.
///
/// What nobody vouches for is written again, not only synced: if an fsync failed in the process
/// before, the page cache holds frames that count as clean and are not on the disk.
fn make_durable(file: &dyn File, ending: &Ending) -> std::io::Result<()> {
    write_zeros(file, ending.end, ending.torn_until - ending.end)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = ending.unvouched_from;
    while at < ending.end {
        let wanted = buffer.len().min((ending.end - at) as usize);
        file.read_exact_at(&mut buffer[..wanted], at)?;
        file.write_at(&buffer[..wanted], at)?;
        at += wanted as u64;
    }
    if ending.unvouched_from < ending.end || ending.torn_until > ending.end {
        file.sync()?;
    }
    Ok(())
}
