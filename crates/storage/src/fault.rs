//! A disk in memory that forgets, tears and refuses, for tests and the simulator.
//!
//! It keeps two states. What programs see is the page cache: every write at once. What survives
//! [`FaultStorage::crash`] is decided sector by sector: each 512-byte sector shows what was last
//! synced or any later state it went through, independently of its neighbours, so unsynced writes
//! may be lost, torn and reordered. Creations, renames and removals survive only after
//! [`Storage::sync_dir`], else by chance. A failed sync follows the kernel's rules: the pages count
//! as clean afterwards, and a later successful sync does not bring them back.
//!
//! Everything it does by chance follows from the seeds it is given. A sector itself is never torn.

mod inode;
mod random;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{inode::Inode, random::Random};
use crate::{File, Storage};

/// The unit a disk writes whole.
const SECTOR_BYTES: u64 = 512;

/// The faulting disk. Clones share it.
#[derive(Clone, Debug)]
pub struct FaultStorage {
    disk: Arc<Mutex<Disk>>,
}

/// How often something was asked of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes and changes of length.
    pub writes: u64,
    /// File syncs.
    pub syncs: u64,
    /// Creations, renames, removals and directory syncs.
    pub names: u64,
}

#[derive(Debug)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    next_inode: u64,
    random: Random,
    counts: Counts,
    capacity: Option<u64>,
    failing_syncs: Vec<u64>,
    failing_writes: Vec<u64>,
    changes_left: Option<u64>,
    dead: bool,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create { path: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Remove { path: String },
}

impl NameChange {
    fn is_in(&self, dir: &str) -> bool {
        let (NameChange::Create { path, .. }
        | NameChange::Rename { to: path, .. }
        | NameChange::Remove { path }) = self;
        parent(path) == dir
    }

    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Create { path, inode } => {
                names.insert(path, inode);
            }
            NameChange::Rename { from, to, inode } => {
                names.remove(&from);
                names.insert(to, inode);
            }
            NameChange::Remove { path } => {
                names.remove(&path);
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Default for FaultStorage {
    fn default() -> FaultStorage {
        FaultStorage::new(0)
    }
}

impl FaultStorage {
    /// An empty disk without limits or faults.
    pub fn new(seed: u64) -> FaultStorage {
        FaultStorage::of(Disk {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_inode: 1,
            random: Random::new(seed),
            counts: Counts::default(),
            capacity: None,
            failing_syncs: Vec::new(),
            failing_writes: Vec::new(),
            changes_left: None,
            dead: false,
        })
    }

    fn of(disk: Disk) -> FaultStorage {
        FaultStorage { disk: Arc::new(Mutex::new(disk)) }
    }

    /// The disk as it is found after the power went now. This one is dead afterwards: every
    /// further call on it or on its files fails.
    pub fn crash(&self, seed: u64) -> FaultStorage {
        let after = self.after_crash(seed);
        self.lock().dead = true;
        after
    }

    /// One of the disks that could be found if the power went now; this one goes on.
    pub fn after_crash(&self, seed: u64) -> FaultStorage {
        let disk = self.lock();
        let mut random = Random::new(seed);
        let mut names = disk.durable_names.clone();
        // Half of the time a journal keeps the order of what survives, else anything goes.
        let ordered = random.chance(50);
        let kept = random.below(disk.unsynced_names.len() as u64 + 1);
        for (index, change) in disk.unsynced_names.iter().enumerate() {
            if if ordered { (index as u64) < kept } else { random.chance(50) } {
                change.clone().apply(&mut names);
            }
        }
        let inodes = names
            .values()
            .filter_map(|id| Some((*id, disk.inodes.get(id)?.after_crash(&mut random))))
            .collect();
        FaultStorage::of(Disk {
            inodes,
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            next_inode: disk.next_inode,
            random,
            counts: Counts::default(),
            capacity: disk.capacity,
            failing_syncs: Vec::new(),
            failing_writes: Vec::new(),
            changes_left: None,
            dead: false,
        })
    }

    /// Lets the power go in the middle of things: after `changes` more writes, syncs and changes
    /// of names every call fails. Then ask [`FaultStorage::crash`] what is left.
    pub fn die_after(&self, changes: u64) {
        self.lock().changes_left = Some(changes);
    }

    /// Lets the `nth` file sync from now (1 is the next) fail with EIO.
    pub fn fail_sync(&self, nth: u64) {
        let mut disk = self.lock();
        let at = disk.counts.syncs + nth;
        disk.failing_syncs.push(at);
    }

    /// Lets the `nth` write from now (1 is the next) fail with EIO after a part of it.
    pub fn fail_write(&self, nth: u64) {
        let mut disk = self.lock();
        let at = disk.counts.writes + nth;
        disk.failing_writes.push(at);
    }

    /// The disk's size in bytes of file content; `None` is endless.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes of file content.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Turns one bit of a file over, as a worn disk does. Refuses what lies past the end.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> io::Result<()> {
        self.lock().inode_of(path)?.flip(offset, bit)
    }

    /// Whole content of a file.
    pub fn contents(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(self.lock().inode_of(path)?.seen().to_vec())
    }

    /// Puts a file there, durable at once.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut disk = self.lock();
        let inode = disk.add_inode(Inode::durable(bytes.to_vec()));
        disk.names.insert(path.to_owned(), inode);
        disk.durable_names.insert(path.to_owned(), inode);
    }

    /// How much was asked of it so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, inode: u64) -> Arc<dyn File> {
        Arc::new(FaultFile { disk: self.clone(), inode })
    }
}

impl Disk {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts one change against [`FaultStorage::die_after`].
    fn change(&mut self) -> io::Result<()> {
        self.alive()?;
        match &mut self.changes_left {
            Some(0) => {
                self.dead = true;
                self.alive()
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn rename_change(&mut self, change: NameChange) -> io::Result<()> {
        self.change()?;
        self.counts.names += 1;
        change.clone().apply(&mut self.names);
        self.unsynced_names.push(change);
        Ok(())
    }

    fn inode_of(&mut self, path: &str) -> io::Result<&mut Inode> {
        let inode = self.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        self.inode(inode)
    }

    fn inode(&mut self, id: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn add_inode(&mut self, inode: Inode) -> u64 {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|id| self.inodes.get(id))
            .map(|inode| inode.seen().len() as u64)
            .sum()
    }

    /// How many of `wanted` more bytes fit.
    fn room(&self, wanted: u64) -> u64 {
        self.capacity.map_or(wanted, |capacity| wanted.min(capacity.saturating_sub(self.used())))
    }

    fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change()?;
        self.counts.writes += 1;
        let len = self.inode(id)?.seen().len() as u64;
        let growth = (offset + bytes.len() as u64).saturating_sub(len);
        let short = growth - self.room(growth);
        let fits = &bytes[..bytes.len().saturating_sub(short as usize)];
        let fails = self.failing_writes.contains(&self.counts.writes);
        let written = match fails {
            true => &fits[..self.random.below(fits.len() as u64 + 1) as usize],
            false => fits,
        };
        self.inode(id)?.write(written, offset);
        match (fails, short) {
            (true, _) => Err(eio()),
            (false, 0) => Ok(()),
            (false, _) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync(&mut self, id: u64) -> io::Result<()> {
        self.change()?;
        self.counts.syncs += 1;
        if !self.failing_syncs.contains(&self.counts.syncs) {
            self.inode(id)?.sync();
            return Ok(());
        }
        let mut random = self.random.fork();
        self.inode(id)?.fail_sync(&mut random);
        Err(eio())
    }
}

fn eio() -> io::Error {
    io::Error::other("input/output error (EIO, injected)")
}

impl Storage for FaultStorage {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let disk = self.lock();
        disk.alive()?;
        let inode = disk.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        drop(disk);
        Ok(self.handle(inode))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut disk = self.lock();
        disk.alive()?;
        if let Some(inode) = disk.names.get(path).copied() {
            disk.change()?;
            disk.counts.writes += 1;
            disk.inode(inode)?.set_len(0);
            drop(disk);
            return Ok(self.handle(inode));
        }
        let inode = disk.add_inode(Inode::durable(Vec::new()));
        disk.rename_change(NameChange::Create { path: path.to_owned(), inode })?;
        drop(disk);
        Ok(self.handle(inode))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = self.lock();
        disk.alive()?;
        let in_dir = disk.names.keys().filter(|path| parent(path) == dir);
        Ok(in_dir.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect())
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.lock().alive()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.lock();
        let inode = disk.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        disk.rename_change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.alive()?;
        if !disk.names.contains_key(path) {
            return Ok(());
        }
        disk.rename_change(NameChange::Remove { path: path.to_owned() })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.change()?;
        disk.counts.names += 1;
        let (synced, left) =
            disk.unsynced_names.drain(..).partition::<Vec<_>, _>(|change| change.is_in(dir));
        disk.unsynced_names = left;
        for change in synced {
            change.apply(&mut disk.durable_names);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultStorage,
    inode: u64,
}

impl File for FaultFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.lock();
        disk.alive()?;
        let seen = disk.inode(self.inode)?.seen();
        let start = (offset as usize).min(seen.len());
        let n = buffer.len().min(seen.len() - start);
        buffer[..n].copy_from_slice(&seen[start..start + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.lock().write(self.inode, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk.lock();
        disk.alive()?;
        Ok(disk.inode(self.inode)?.seen().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.counts.writes += 1;
        let growth = len.saturating_sub(disk.inode(self.inode)?.seen().len() as u64);
        if disk.room(growth) < growth {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.inode(self.inode)?.set_len(len);
        Ok(())
    }
}
