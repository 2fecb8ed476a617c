//! Small values that change too often to be events: what clients and consumers have processed.
//!
//! A register is a kind, a name and a few bytes. Values are in memory; what has changed is handed
//! to the system by [`Registers::write`], which a killed process does not lose, and made durable by
//! [`Registers::sync`]: upkeep does the one every few milliseconds, the other within a second, and
//! both happen at shutdown. A power loss takes registers back to what they all were at one moment,
//! never to a value that they did not have.
//!
//! After a failed write or sync the file is given up, and a whole new one is written beside it.
//! Damage before what was synced refuses to open. `docs/file-format.md` has the bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use annal_event::Timestamp;
use annal_storage::{File, Storage};
use parking_lot::Mutex;

/// Registers of one kind, bytes of a name, bytes of a value.
pub const REGISTERS_MAX: usize = 100_000;
/// See [`REGISTERS_MAX`].
pub const REGISTER_NAME_BYTES_MAX: usize = 256;
/// See [`REGISTERS_MAX`].
pub const REGISTER_VALUE_BYTES_MAX: usize = 1_024;

const DIR: &str = "registers";
const PATH: &str = "registers/state";
const SCRATCH: &str = "registers/state.new";

const MAGIC: &[u8; 8] = b"ANNALREG";
const VERSION: u32 = 1;
const FILE_HEADER_BYTES: usize = 12;
const FRAME_HEADER_BYTES: usize = 20;

/// A frame is closed when it has so many bytes.
const FRAME_BYTES: usize = 256 * 1024;

/// More than all registers come to, twice.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A file is written anew when it has so many bytes more than twice what its values take.
const GARBAGE_BYTES: u64 = 1024 * 1024;

/// How long a change waits to be durable, and a new try after a failure.
const SYNC_AFTER: Duration = Duration::from_millis(500);

/// A length that says that the register is removed.
const REMOVED: u16 = u16::MAX;

/// What a register is about. Each kind has room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegisterKind {
    /// What a realtime client has processed.
    Client,
    /// What a consumer has processed.
    Consumer,
}

impl RegisterKind {
    const ALL: [RegisterKind; 2] = [RegisterKind::Client, RegisterKind::Consumer];

    fn code(self) -> u8 {
        match self {
            RegisterKind::Client => 1,
            RegisterKind::Consumer => 2,
        }
    }

    fn of_code(code: u8) -> Option<RegisterKind> {
        RegisterKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Why a register was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It does not have the value that was expected.
    #[error("the register has another value than expected")]
    Moved {
        /// The value it has.
        actual: Option<Vec<u8>>,
    },
    /// There are as many of its kind as may be.
    #[error("there are {REGISTERS_MAX} registers of this kind already")]
    Full,
    /// Its name or its value is too long.
    #[error(
        "a register has a name of {REGISTER_NAME_BYTES_MAX} and a value of \
         {REGISTER_VALUE_BYTES_MAX} bytes at most"
    )]
    TooLong,
}

/// Why the registers could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegisterOpenError {
    /// The file could not be read.
    #[error("cannot read {PATH}: {0}")]
    Io(#[from] io::Error),
    /// What was durable is not whole.
    #[error(
        "{PATH} is damaged at byte {offset}: bring it back from a copy; or remove it, and clients \
         and consumers begin without their checkpoints"
    )]
    Damaged {
        /// Where.
        offset: usize,
    },
    /// Another version wrote it.
    #[error("{PATH} was written by another version of Annal")]
    Version,
}

/// All registers of a data directory.
#[derive(Debug)]
pub struct Registers {
    storage: Arc<dyn Storage>,
    values: Mutex<Values>,
    /// Taken before `values`, never while those are held.
    disk: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Values {
    all: BTreeMap<RegisterKind, BTreeMap<Box<str>, Box<[u8]>>>,
    /// What the file does not have yet.
    changed: BTreeSet<(RegisterKind, Box<str>)>,
}

#[derive(Debug, Default)]
struct Disk {
    /// `None`: nothing yet, or it cannot be trusted. It is written anew.
    file: Option<Arc<dyn File>>,
    len: u64,
    /// Everything before this is durable.
    synced: u64,
    /// When upkeep last synced, or failed to.
    looked: Timestamp,
    /// The directory may be somebody else's by now.
    closed: bool,
}

impl Registers {
    /// Reads them.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Registers, RegisterOpenError> {
        let (mut values, mut disk) = (Values::default(), Disk::default());
        if storage.list(DIR)?.iter().any(|name| name == "state") {
            let file = storage.open(PATH)?;
            let mut bytes = vec![0; usize::try_from(file.len()?.min(FILE_BYTES_MAX)).unwrap_or(0)];
            file.read_exact_at(&mut bytes, 0)?;
            read(&bytes, &mut values)?;
            // Upkeep writes a new file: what a killed process has written need not be durable, and
            // what is behind a torn end is to go.
            disk.len = bytes.len() as u64;
        }
        Ok(Registers { storage, values: Mutex::new(values), disk: Mutex::new(disk) })
    }

    /// The value of a register.
    pub fn get(&self, kind: RegisterKind, name: &str) -> Option<Vec<u8>> {
        self.values.lock().all.get(&kind)?.get(name).map(|value| value.to_vec())
    }

    /// Every register of a kind, in order of name.
    pub fn list(&self, kind: RegisterKind) -> Vec<(String, Vec<u8>)> {
        let values = self.values.lock();
        let of_kind = values.all.get(&kind).into_iter().flatten();
        of_kind.map(|(name, value)| (String::from(&**name), value.to_vec())).collect()
    }

    /// Sets a register unless it has a greater value, as bytes compare (so numbers stand in it
    /// big-endian). Answers with the value it has then.
    pub fn raise(
        &self,
        kind: RegisterKind,
        name: &str,
        value: &[u8],
    ) -> Result<Vec<u8>, RegisterError> {
        check(name, Some(value))?;
        let mut values = self.values.lock();
        match values.get(kind, name) {
            Some(have) if have >= value => Ok(have.to_vec()),
            _ => values.set(kind, name, Some(value)).map(|()| value.to_vec()),
        }
    }

    /// Sets or removes a register that has the expected value (`None`: there is none).
    pub fn swap(
        &self,
        kind: RegisterKind,
        name: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), RegisterError> {
        check(name, value)?;
        let mut values = self.values.lock();
        let have = values.get(kind, name);
        if have != expected {
            return Err(RegisterError::Moved { actual: have.map(<[u8]>::to_vec) });
        }
        values.set(kind, name, value)
    }

    /// Hands what has changed to the system: a killed process does not lose it.
    pub fn write(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        self.write_to(&mut disk).inspect_err(|_| disk.file = None)
    }

    /// Makes everything durable.
    pub fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let synced = self.write_to(&mut disk).and_then(|()| disk.sync());
        synced.inspect_err(|_| disk.file = None)
    }

    /// Gives the file up for good: nothing is written any more.
    pub(crate) fn close(&self) {
        let mut disk = self.disk.lock();
        (disk.closed, disk.file) = (true, None);
    }

    /// Whether something waits to be durable for long enough, or to be written.
    pub(crate) fn is_due(&self, now: Timestamp) -> Due {
        let changed = !self.values.lock().changed.is_empty();
        let mut disk = self.disk.lock();
        if !changed && disk.synced == disk.len {
            disk.looked = now;
            return Due::Nothing;
        }
        let waited = Duration::from_micros(now.micros().abs_diff(disk.looked.micros()));
        if waited >= SYNC_AFTER {
            disk.looked = now;
            return Due::Sync;
        }
        // After a failure not at once again.
        if changed && (disk.file.is_some() || disk.len == 0) { Due::Write } else { Due::Nothing }
    }

    fn write_to(&self, disk: &mut Disk) -> io::Result<()> {
        if disk.closed {
            return Err(io::Error::other("the engine has been stopped"));
        }
        let mut values = self.values.lock();
        if values.changed.is_empty() && (disk.file.is_some() || disk.len == 0) {
            return Ok(());
        }
        let live = values.bytes();
        match disk.file.clone() {
            Some(file) if disk.len <= live * 2 + GARBAGE_BYTES => {
                let bytes = frames(values.changes(), disk.synced);
                // Before the write: if that fails, all of it is written anew.
                values.changed.clear();
                drop(values);
                file.write_at(&bytes, disk.len)?;
                disk.len += bytes.len() as u64;
            }
            _ => {
                let bytes = [&file_header()[..], &frames(values.everything(), 0)].concat();
                values.changed.clear();
                drop(values);
                disk.len = bytes.len() as u64;
                disk.file = None;
                disk.file = Some(self.begin(&bytes)?);
                disk.synced = disk.len;
            }
        }
        Ok(())
    }

    /// A new file in place of the old one, durable at once.
    fn begin(&self, bytes: &[u8]) -> io::Result<Arc<dyn File>> {
        self.storage.create_dir(DIR)?;
        let file = self.storage.create(SCRATCH)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.storage.sync_dir(DIR)?;
        self.storage.rename(SCRATCH, PATH)?;
        self.storage.sync_dir(DIR)?;
        Ok(file)
    }
}

/// What upkeep has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Write,
    Sync,
}

fn check(name: &str, value: Option<&[u8]>) -> Result<(), RegisterError> {
    let fits = name.len() <= REGISTER_NAME_BYTES_MAX
        && value.is_none_or(|value| value.len() <= REGISTER_VALUE_BYTES_MAX);
    if fits { Ok(()) } else { Err(RegisterError::TooLong) }
}

impl Disk {
    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && self.synced < self.len
        {
            file.sync()?;
            self.synced = self.len;
        }
        Ok(())
    }
}

impl Values {
    fn get(&self, kind: RegisterKind, name: &str) -> Option<&[u8]> {
        self.all.get(&kind)?.get(name).map(|value| &**value)
    }

    fn set(
        &mut self,
        kind: RegisterKind,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), RegisterError> {
        let of_kind = self.all.entry(kind).or_default();
        match value {
            Some(_) if of_kind.len() >= REGISTERS_MAX && !of_kind.contains_key(name) => {
                return Err(RegisterError::Full);
            }
            Some(value) => drop(of_kind.insert(name.into(), value.into())),
            None => drop(of_kind.remove(name)),
        }
        self.changed.insert((kind, name.into()));
        Ok(())
    }

    fn changes(&self) -> impl Iterator<Item = Entry<'_>> {
        self.changed.iter().map(|(kind, name)| (*kind, &**name, self.get(*kind, name)))
    }

    fn everything(&self) -> impl Iterator<Item = Entry<'_>> {
        self.all.iter().flat_map(|(kind, of_kind)| {
            of_kind.iter().map(|(name, value)| (*kind, &**name, Some(&**value)))
        })
    }

    /// About what they take in a file.
    fn bytes(&self) -> u64 {
        self.everything().map(|(_, name, value)| entry_bytes(name, value) as u64).sum()
    }
}

type Entry<'a> = (RegisterKind, &'a str, Option<&'a [u8]>);

fn entry_bytes(name: &str, value: Option<&[u8]>) -> usize {
    5 + name.len() + value.map_or(0, <[u8]>::len)
}

fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let mut header = [0; FILE_HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// Entries as frames: size and checksum of the payload, what was synced before, checksum of that.
fn frames<'a>(entries: impl Iterator<Item = Entry<'a>>, synced: u64) -> Vec<u8> {
    let (mut out, mut payload) = (Vec::new(), Vec::new());
    for (kind, name, value) in entries {
        payload.push(kind.code());
        payload.extend_from_slice(&(name.len() as u16).to_le_bytes());
        payload.extend_from_slice(name.as_bytes());
        let len = value.map_or(REMOVED, |value| value.len() as u16);
        payload.extend_from_slice(&len.to_le_bytes());
        payload.extend_from_slice(value.unwrap_or_default());
        if payload.len() >= FRAME_BYTES {
            push_frame(&mut out, &payload, synced);
            payload.clear();
        }
    }
    if !payload.is_empty() {
        push_frame(&mut out, &payload, synced);
    }
    out
}

fn push_frame(out: &mut Vec<u8>, payload: &[u8], synced: u64) {
    let begin = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    let sum = crc32c::crc32c(&out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The good frame at an offset: its payload, and what was synced when it was written.
fn frame_at(bytes: &[u8], offset: usize) -> Option<(&[u8], u64)> {
    let header = bytes.get(offset..)?.get(..FRAME_HEADER_BYTES)?;
    let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if crc32c::crc32c(header.get(..16)?) != word(16)? {
        return None;
    }
    let payload = bytes.get(offset + FRAME_HEADER_BYTES..)?.get(..word(0)? as usize)?;
    let synced = u64::from_le_bytes(header.get(8..16)?.try_into().ok()?);
    (crc32c::crc32c(payload) == word(4)?).then_some((payload, synced))
}

/// Reads a file up to its end or to where a write was torn.
fn read(bytes: &[u8], values: &mut Values) -> Result<(), RegisterOpenError> {
    let header = bytes.get(..FILE_HEADER_BYTES).filter(|header| header.starts_with(MAGIC));
    let header = header.ok_or(RegisterOpenError::Damaged { offset: 0 })?;
    if header != file_header() {
        return Err(RegisterOpenError::Version);
    }
    let mut offset = FILE_HEADER_BYTES;
    while let Some((payload, _)) = frame_at(bytes, offset) {
        take(payload, values).ok_or(RegisterOpenError::Damaged { offset })?;
        offset += FRAME_HEADER_BYTES + payload.len();
    }
    // Whatever is behind was not durable, unless something there says that it was.
    let behind = (offset + 1..bytes.len()).filter_map(|at| frame_at(bytes, at));
    if offset < bytes.len() && behind.into_iter().any(|(_, synced)| synced > offset as u64) {
        return Err(RegisterOpenError::Damaged { offset });
    }
    Ok(())
}

fn take(mut payload: &[u8], values: &mut Values) -> Option<()> {
    fn split<'a>(payload: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (head, rest) = payload.split_at_checked(len)?;
        *payload = rest;
        Some(head)
    }
    let short = |payload: &mut &[u8]| split(payload, 2)?.try_into().ok().map(u16::from_le_bytes);
    while !payload.is_empty() {
        let kind = RegisterKind::of_code(*split(&mut payload, 1)?.first()?)?;
        let len = short(&mut payload)?;
        let name = std::str::from_utf8(split(&mut payload, usize::from(len))?).ok()?;
        let len = short(&mut payload)?;
        let of_kind = values.all.entry(kind).or_default();
        if len == REMOVED {
            of_kind.remove(name);
        } else {
            of_kind.insert(name.into(), split(&mut payload, usize::from(len))?.into());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
