//! The content of one file: as programs see it, as it was synced, and what happened in between.

use std::{collections::BTreeSet, io};

use super::{SECTOR_BYTES, random::Random};

#[derive(Clone, Debug)]
pub(super) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = *offset as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset as usize..end].copy_from_slice(bytes);
            }
            Change::SetLen(len) => content.resize(*len as usize, 0),
        }
    }

    /// The sectors a write touches. A change of length touches none: what it cuts off is decided
    /// with the length.
    fn sectors(&self) -> std::ops::Range<u64> {
        match self {
            Change::Write { offset, bytes } if !bytes.is_empty() => {
                offset / SECTOR_BYTES..(offset + bytes.len() as u64).div_ceil(SECTOR_BYTES)
            }
            _ => 0..0,
        }
    }
}

/// How a crash treats the unsynced changes of one file.
enum Fate {
    AllLost,
    AllKept,
    /// The first `n` changes, as if the disk had worked in order and then stopped.
    Prefix(usize),
    /// Every sector for itself.
    Scattered,
}

impl Inode {
    pub(super) fn durable(bytes: Vec<u8>) -> Inode {
        Inode { seen: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if !bytes.is_empty() {
            self.record(Change::Write { offset, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.record(Change::SetLen(len));
    }

    fn record(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The pages are marked clean although only some of them reached the disk.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.surviving(random);
        self.unsynced.clear();
    }

    pub(super) fn after_crash(&self, random: &mut Random) -> Inode {
        Inode::durable(self.surviving(random))
    }

    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> io::Result<()> {
        for content in [&mut self.seen, &mut self.durable] {
            match content.get_mut(offset as usize) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    fn surviving(&self, random: &mut Random) -> Vec<u8> {
        let fate = match random.below(6) {
            0 => Fate::AllLost,
            1 => Fate::AllKept,
            2 => Fate::Prefix(random.below(self.unsynced.len() as u64 + 1) as usize),
            _ => Fate::Scattered,
        };
        match fate {
            Fate::AllLost => self.durable.clone(),
            Fate::AllKept => self.after(self.unsynced.len()),
            Fate::Prefix(kept) => self.torn(kept, random),
            Fate::Scattered => self.scattered(random),
        }
    }

    fn after(&self, changes: usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.unsynced[..changes].iter().for_each(|change| change.apply(&mut content));
        content
    }

    /// The first `kept` changes and a part, in whole sectors, of the next.
    fn torn(&self, kept: usize, random: &mut Random) -> Vec<u8> {
        let mut content = self.after(kept);
        if let Some(Change::Write { offset, bytes }) = self.unsynced.get(kept) {
            let cut = offset + random.below(bytes.len() as u64 + 1);
            let part = (cut / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(*offset) as usize;
            Change::Write { offset: *offset, bytes: bytes[..part].to_vec() }.apply(&mut content);
        }
        content
    }

    fn scattered(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        content.resize(self.surviving_len(random), 0);
        let touched: BTreeSet<u64> =
            self.unsynced.iter().flat_map(|change| change.sectors()).collect();
        for sector in touched {
            let changes = random.below(self.unsynced.len() as u64 + 1) as usize;
            copy_sector(&self.sector_after(sector, changes), &mut content, sector);
        }
        content
    }

    /// Any length the file had since it was synced.
    fn surviving_len(&self, random: &mut Random) -> usize {
        let mut lengths = vec![self.durable.len()];
        for change in &self.unsynced {
            let before = lengths.last().copied().unwrap_or(0);
            lengths.push(match change {
                Change::Write { offset, bytes } => before.max(*offset as usize + bytes.len()),
                Change::SetLen(len) => *len as usize,
            });
        }
        lengths[random.below(lengths.len() as u64) as usize]
    }

    fn sector_after(&self, sector: u64, changes: usize) -> Vec<u8> {
        let start = sector * SECTOR_BYTES;
        let mut bytes = vec![0; SECTOR_BYTES as usize];
        let known = self.durable.get(start as usize..).unwrap_or(&[]);
        let n = known.len().min(bytes.len());
        bytes[..n].copy_from_slice(&known[..n]);
        for change in &self.unsynced[..changes] {
            change.apply_to_sector(start, &mut bytes);
        }
        bytes
    }
}

impl Change {
    fn apply_to_sector(&self, start: u64, sector: &mut [u8]) {
        let end = start + sector.len() as u64;
        match self {
            Change::Write { offset, bytes } => {
                let from = start.max(*offset);
                let to = end.min(offset + bytes.len() as u64);
                if from < to {
                    sector[(from - start) as usize..(to - start) as usize]
                        .copy_from_slice(&bytes[(from - offset) as usize..(to - offset) as usize]);
                }
            }
            Change::SetLen(len) if *len < end => {
                sector[len.saturating_sub(start) as usize..].fill(0);
            }
            Change::SetLen(_) => {}
        }
    }
}

/// Copies what of a sector lies within the file.
fn copy_sector(bytes: &[u8], content: &mut [u8], sector: u64) {
    let start = (sector * SECTOR_BYTES) as usize;
    if start < content.len() {
        let n = bytes.len().min(content.len() - start);
        content[start..start + n].copy_from_slice(&bytes[..n]);
    }
}
