//! Registers: small values beside the log that are overwritten often, or that nobody may read: how
//! far a consumer or a realtime client has come, secrets. One file, to which every change is appended; written anew
//! once most of it is out of date (`docs/file-format.md`).
//!
//! Invariants:
//! - After a crash every register has the value it was given last, or, where the machine lost what
//!   was not [synced](Registers::sync), an earlier one.
//! - A write that failed does not stand in the way of later ones: it is written over.
//! - A record that is not whole ends the file. What was dropped then is told.

use std::{collections::HashMap, io, sync::Arc};

use annal_storage::{File, Storage};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

/// Where they are kept, and where they are while that is written anew.
const PATH: &str = "registers";
const PATH_NEW: &str = "registers.new";

/// What the file begins with.
const MAGIC: &[u8; 8] = b"ANNALRG1";

/// Before every record: its hash, its length.
const HEADER_BYTES: usize = 8 + 4;

/// The file is written anew when it is so large, and more than twice as large as what is in it.
const REWRITE_BYTES: u64 = 4 * 1024 * 1024;

/// Largest value, in bytes.
const VALUE_BYTES_MAX: usize = 1024 * 1024;
const NAME_BYTES_MAX: usize = 255;

const PUT: u8 = 1;
const REMOVED: u8 = 0;

/// Registers that there may be.
const REGISTERS_MAX: usize = 200_000;

/// What the names of registers of consumers begin with.
const CONSUMER: &str = "consumer/";

/// The register that says how far a consumer has come.
pub fn progress_register(consumer: &str) -> String {
    format!("{CONSUMER}{consumer}/progress")
}

/// The register that holds what is secret about a consumer.
pub fn keys_register(consumer: &str) -> String {
    format!("{CONSUMER}{consumer}/keys")
}

/// What the names of registers of realtime clients begin with.
const CLIENT: &str = "client/";

/// The register that says what a realtime client has processed.
pub fn client_register(client: &str) -> String {
    format!("{CLIENT}{client}")
}

/// The consumer that a register is about.
fn consumer_of(register: &str) -> Option<&str> {
    register.strip_prefix(CONSUMER)?.rsplit_once('/').map(|(id, _)| id)
}

/// The registers of one log. All methods take `&self` and block.
#[derive(Debug)]
pub struct Registers {
    storage: Arc<dyn Storage>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Made with the first value.
    file: Option<Arc<dyn File>>,
    /// Where the next record goes.
    end: u64,
    values: HashMap<Box<str>, Arc<[u8]>>,
    /// Bytes that the values would take in a new file.
    live: u64,
    /// It is not written anew before it is so large.
    rewrite_after: u64,
    dirty: bool,
    closed: bool,
}

impl Registers {
    pub(crate) fn open(storage: Arc<dyn Storage>) -> io::Result<Registers> {
        let mut inner = Inner::default();
        match storage.open(PATH) {
            Ok(file) => inner.read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let registers = Registers { storage, inner: Mutex::new(inner) };
        registers.rewrite_if_stale(&mut registers.inner.lock())?;
        Ok(registers)
    }

    /// The value of a register.
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.inner.lock().values.get(name).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.lock().values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all registers.
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().values.keys().map(|name| name.to_string()).collect()
    }

    /// Forgets registers of realtime clients, by their values.
    pub fn retain_clients(&self, stays: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let all = inner.values.iter().filter(|(name, _)| name.starts_with(CLIENT));
        let gone: Vec<_> =
            all.filter(|(_, value)| !stays(value)).map(|(name, _)| name.clone()).collect();
        gone.iter().try_for_each(|name| self.forget(&mut inner, name))
    }

    /// Gives a register a value. Written when this returns; a machine that loses power may forget
    /// it until the next [`Registers::sync`].
    pub fn put(&self, name: &str, value: &[u8]) -> io::Result<()> {
        self.set(&mut self.inner.lock(), name, value)
    }

    /// As [`Registers::put`], unless the register has a greater value, as bytes compare (so numbers
    /// stand in it big-endian).
    pub fn raise(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        match inner.values.get(name) {
            Some(have) if **have >= *value => Ok(()),
            _ => self.set(&mut inner, name, value),
        }
    }

    fn set(&self, inner: &mut Inner, name: &str, value: &[u8]) -> io::Result<()> {
        if name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the register is too large"));
        }
        if inner.values.len() >= REGISTERS_MAX && !inner.values.contains_key(name) {
            return Err(io::Error::other("there are as many registers as may be"));
        }
        self.append(inner, &record(PUT, name, value))?;
        let size = record_bytes(name, value);
        let old = inner.values.insert(name.into(), value.into());
        inner.live += size;
        inner.live -= old.map_or(0, |old| record_bytes(name, &old));
        // The value is written; that the file stays as long as it is harms nobody.
        if let Err(error) = self.rewrite_if_stale(inner) {
            tracing::warn!(%error, "registers could not be written anew; trying again later");
            inner.rewrite_after = inner.end + REWRITE_BYTES;
        }
        Ok(())
    }

    /// Forgets a register.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(&mut self.inner.lock(), name)
    }

    fn forget(&self, inner: &mut Inner, name: &str) -> io::Result<()> {
        let Some(old) = inner.values.get(name).cloned() else { return Ok(()) };
        self.append(inner, &record(REMOVED, name, &[]))?;
        inner.values.remove(name);
        inner.live -= record_bytes(name, &old);
        Ok(())
    }

    /// Forgets those of consumers that were never quite registered, or not quite removed.
    pub(crate) fn retain_consumers(&self, is_there: impl Fn(&str) -> bool) -> io::Result<()> {
        for name in self.names() {
            if consumer_of(&name).is_some_and(|id| !is_there(id)) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Whether something written may not be durable yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.inner.lock().dirty
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> io::Result<()> {
        let file = {
            let mut inner = self.inner.lock();
            if !std::mem::take(&mut inner.dirty) {
                return Ok(());
            }
            inner.file.clone()
        };
        file.map_or(Ok(()), |file| file.sync())
    }

    /// Makes everything durable and lets go of the file: another process may take it over.
    pub(crate) fn close(&self) -> io::Result<()> {
        let synced = self.sync();
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.file = None;
        synced
    }

    fn append(&self, inner: &mut Inner, record: &[u8]) -> io::Result<()> {
        if inner.closed {
            return Err(io::Error::other("the engine has stopped"));
        }
        let file = match &inner.file {
            Some(file) => Arc::clone(file),
            None => {
                let file = self.storage.create(PATH)?;
                file.write_at(MAGIC, 0)?;
                self.storage.sync_dir("")?;
                inner.end = MAGIC.len() as u64;
                inner.file = Some(Arc::clone(&file));
                file
            }
        };
        file.write_at(record, inner.end)?;
        inner.end += record.len() as u64;
        inner.dirty = true;
        Ok(())
    }

    fn rewrite_if_stale(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.end < REWRITE_BYTES.max(2 * inner.live).max(inner.rewrite_after) {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        for (name, value) in &inner.values {
            bytes.extend_from_slice(&record(PUT, name, value));
        }
        let file = self.storage.create(PATH_NEW)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.storage.rename(PATH_NEW, PATH)?;
        self.storage.sync_dir("")?;
        inner.file = Some(file);
        inner.end = bytes.len() as u64;
        inner.dirty = false;
        Ok(())
    }
}

fn record_bytes(name: &str, value: &[u8]) -> u64 {
    (HEADER_BYTES + 2 + name.len() + value.len()) as u64
}

/// Hash, length; kind, length of the name, the name, the value.
fn record(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + 2 + name.len() + value.len());
    record.extend_from_slice(&[0; 8]);
    record.extend_from_slice(&((2 + name.len() + value.len()) as u32).to_le_bytes());
    record.extend_from_slice(&[kind, name.len() as u8]);
    record.extend_from_slice(name.as_bytes());
    record.extend_from_slice(value);
    let hash = xxh3_64(&record[8..]).to_le_bytes();
    record[..8].copy_from_slice(&hash);
    record
}

/// The first record, and what comes after it.
fn split(bytes: &[u8]) -> Option<(u8, &str, &[u8], &[u8])> {
    let (hash, checked) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = checked.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (body, after) = rest.split_at_checked(length)?;
    if xxh3_64(&checked[..4 + length]) != u64::from_le_bytes(*hash) {
        return None;
    }
    let ([kind, name], body) = body.split_first_chunk::<2>()?;
    let (name, value) = body.split_at_checked(*name as usize)?;
    Some((*kind, std::str::from_utf8(name).ok()?, value, after))
}

impl Inner {
    fn read(&mut self, file: Arc<dyn File>) -> io::Result<()> {
        let length = file.len()?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        if length < MAGIC.len() as u64 {
            // It was being made.
            return Ok(());
        }
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            let what =
                "`registers` is not a file of registers, or of a later version; move it away";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        while let Some((kind, name, value, after)) = split(rest) {
            let old = match kind {
                PUT => self.values.insert(name.into(), value.into()),
                _ => self.values.remove(name),
            };
            self.live -= old.map_or(0, |old| record_bytes(name, &old));
            self.live += if kind == PUT { record_bytes(name, value) } else { 0 };
            rest = after;
        }
        self.end = length - rest.len() as u64;
        if !rest.is_empty() {
            tracing::warn!(
                bytes = rest.len(),
                at = self.end,
                "registers end with a record that is not whole; it is dropped, and consumers may \
                 get a few events again"
            );
            // So that what is left of it never looks like a record behind a shorter one.
            file.set_len(self.end)?;
        }
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use annal_storage::FaultStorage;

    use super::*;

    fn open(storage: &Arc<dyn Storage>) -> Registers {
        Registers::open(Arc::clone(storage)).expect("registers")
    }

    #[test]
    fn the_last_value_is_there_after_opening_again() {
        let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
        assert_eq!(open(&storage).names(), Vec::<String>::new());
        assert!(storage.list("").expect("a list").is_empty(), "no file before there is a value");
        {
            let registers = open(&storage);
            registers.put("a", b"1").expect("put");
            registers.put("b", b"2").expect("put");
            registers.put("a", b"three").expect("put");
            registers.remove("b").expect("removed");
            registers.remove("c").expect("removed");
            registers.raise(&client_register("x"), &[2]).expect("raised");
            registers.raise(&client_register("x"), &[1]).expect("left");
            assert_eq!(registers.get(&client_register("x")).as_deref(), Some(&[2][..]));
            registers.retain_clients(|value| value != [2]).expect("forgotten");
            registers.close().expect("synced");
            assert!(registers.put("a", b"late").is_err(), "another may have the file by now");
        }
        let registers = open(&storage);
        assert_eq!(registers.get("a").as_deref(), Some(&b"three"[..]));
        assert_eq!(registers.names(), ["a"]);
        assert!(registers.put("a", &vec![0; VALUE_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_torn_record_is_dropped_and_written_over() {
        let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
        open(&storage).put("a", b"1").expect("put");
        let whole = storage.open(PATH).expect("a file").len().expect("a length");
        open(&storage).put("a", b"a longer value").expect("put");
        let file = storage.open(PATH).expect("a file");
        let length = file.len().expect("a length");
        for cut in whole + 1..length {
            let mut bytes = vec![0; cut as usize];
            file.read_exact_at(&mut bytes, 0).expect("read");
            let torn: Arc<dyn Storage> = Arc::new(FaultStorage::new(2));
            torn.create(PATH).expect("a file").write_at(&bytes, 0).expect("written");
            let registers = open(&torn);
            assert_eq!(registers.get("a").as_deref(), Some(&b"1"[..]), "{cut}");
            registers.put("b", b"2").expect("put");
            assert_eq!(open(&torn).get("b").as_deref(), Some(&b"2"[..]), "{cut}");
        }
        let mut byte = [0];
        file.read_exact_at(&mut byte, length - 1).expect("read");
        file.write_at(&[byte[0] ^ 1], length - 1).expect("written");
        assert_eq!(open(&storage).get("a").as_deref(), Some(&b"1"[..]), "a flipped bit");
    }

    #[test]
    fn a_stale_file_is_written_anew() {
        let storage: Arc<dyn Storage> = Arc::new(FaultStorage::new(1));
        let registers = open(&storage);
        let value = vec![7; 64 * 1024];
        registers.put("other", b"stays").expect("put");
        for round in 0..200_u8 {
            registers.put("a", &[&value[..], &[round]].concat()).expect("put");
        }
        let length = storage.open(PATH).expect("a file").len().expect("a length");
        assert!(length < REWRITE_BYTES + 128 * 1024, "{length}");
        let again = open(&storage);
        assert_eq!(again.get("a").and_then(|value| value.last().copied()), Some(199));
        assert_eq!(again.get("other").as_deref(), Some(&b"stays"[..]));
    }
}
