//! The file beneath redb: its pages, each with a checksum.
//!
//! redb verifies its own checksums only when it repairs. A read believes what the disk says, and a
//! damaged page then gives a wrong answer, a panic or an allocation that ends the process. So every
//! page is checked here before redb sees a byte of it. Layout, in units of 4,096 bytes:
//!
//! ```text
//! head │ its copy │ sums of group 0 │ 1,024 pages │ sums of group 1 │ 1,024 pages │ …
//! ```
//!
//! The head holds redb's own header, which redb overwrites in place: the copy is written once the
//! head is durable. So one of them is whole after a crash, and both are the same at rest. A sum is
//! the CRC32C of a page and its number.
//!
//! Why a crash leaves no false alarm: redb never overwrites a page that its last commit refers to,
//! and a commit is two syncs, of the pages and then of the header. The sums go to the file before
//! each sync. A page that a crash tore, and a sum that it lost, belong to no commit.
//!
//! It is not a general file: it refuses reads and writes other than of whole pages and the header.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc};

use annal_storage::File;
use parking_lot::Mutex;

use super::fault::Fault;

const PAGE_BYTES: usize = 4096;
/// Pages of redb in a group: as many as sums fit into a page.
const GROUP_PAGES: u64 = (PAGE_BYTES / SUM_BYTES) as u64;
const SUM_BYTES: usize = 4;
/// Pages of sums kept in memory, beside those that wait to be written: 4 MiB, for 4 GiB of rows.
const SUMS_KEPT_MAX: usize = 1024;

/// The head and its copy.
const HEAD_PAGES: u64 = 2;
const HEAD_BYTES: usize = 512;
const MAGIC: [u8; 8] = *b"ANNALKVS";
const VERSION: u32 = 1;
const SUM_AT: Range<usize> = 12..16;
/// redb's header: all it ever reads or writes of its first page.
const HEADER_BYTES: usize = 320;
const HEADER_AT: Range<usize> = 16..16 + HEADER_BYTES;

/// redb's file. Reads and writes are of whole pages, or lie within the header.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn File>,
    fault: Arc<Fault>,
    header: Mutex<Header>,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Header {
    bytes: [u8; HEADER_BYTES],
    /// The copy is older.
    dirty: bool,
}

/// Sums by group.
#[derive(Debug, Default)]
struct Sums(BTreeMap<u64, SumPage>);

#[derive(Debug)]
struct SumPage {
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Not in the file yet.
    dirty: bool,
}

/// Where the bytes of a run of redb's pages lie: within one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    group: u64,
    slot: u64,
    pages: u64,
}

impl Place {
    fn sums_offset(group: u64) -> u64 {
        (HEAD_PAGES + group * (GROUP_PAGES + 1)) * PAGE_BYTES as u64
    }

    fn offset(self) -> u64 {
        Place::sums_offset(self.group) + (1 + self.slot) * PAGE_BYTES as u64
    }

    fn bytes(self) -> usize {
        self.pages as usize * PAGE_BYTES
    }

    /// Number of the first page, as redb counts.
    fn first(self) -> u64 {
        1 + self.group * GROUP_PAGES + self.slot
    }

    fn sum_range(self, index: u64) -> Range<usize> {
        let at = (self.slot + index) as usize * SUM_BYTES;
        at..at + SUM_BYTES
    }
}

impl Pages {
    /// A new store's file, which is empty.
    pub(super) fn create(file: Arc<dyn File>, fault: Arc<Fault>) -> Pages {
        let header = Mutex::new(Header { bytes: [0; HEADER_BYTES], dirty: false });
        Pages { file, fault, header, sums: Mutex::default() }
    }

    /// A file that is there.
    pub(super) fn open(file: Arc<dyn File>, fault: Arc<Fault>) -> io::Result<Pages> {
        let read = |offset: u64| -> io::Result<Result<[u8; HEAD_BYTES], &'static str>> {
            let mut head = [0; HEAD_BYTES];
            let read = file.read_at(&mut head, offset).map_err(|e| fault.io(e))?;
            Ok(check_head(&head[..read]).map(|()| head))
        };
        // The head is never older than its copy.
        let head = match (read(0)?, read(PAGE_BYTES as u64)?) {
            (Ok(head), _) | (Err(_), Ok(head)) => head,
            (Err(what), Err(_)) => return Err(fault.damaged(what.to_owned())),
        };
        let pages = Pages::create(file, fault);
        {
            let mut header = pages.header.lock();
            header.bytes.copy_from_slice(&head[HEADER_AT]);
            header.dirty = true;
        }
        // After a sync that failed the system believes to have written what it has not.
        pages.file.write_at(&head, 0).map_err(|e| pages.fault.io(e))?;
        redb::StorageBackend::sync_data(&pages)?;
        Ok(pages)
    }

    /// Cuts a run of pages where groups end.
    fn places(&self, offset: u64, len: usize) -> io::Result<Vec<Place>> {
        let page_bytes = PAGE_BYTES as u64;
        if offset < page_bytes
            || !offset.is_multiple_of(page_bytes)
            || !len.is_multiple_of(PAGE_BYTES)
        {
            let what = format!("redb asked for {len} bytes at {offset}, which are not whole pages");
            return Err(self.fault.io(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let mut places = Vec::with_capacity(1);
        let mut next = offset / page_bytes - 1;
        let end = next + (len / PAGE_BYTES) as u64;
        while next < end {
            let (group, slot) = (next / GROUP_PAGES, next % GROUP_PAGES);
            let pages = (end - next).min(GROUP_PAGES - slot);
            places.push(Place { group, slot, pages });
            next += pages;
        }
        Ok(places)
    }

    fn read_place(&self, place: Place, out: &mut [u8]) -> io::Result<()> {
        let mut wanted = Vec::with_capacity(place.pages as usize);
        {
            let mut sums = self.sums.lock();
            let sums = sums.page(&*self.file, place.group).map_err(|e| self.cut_short(e))?;
            wanted.extend((0..place.pages).map(|n| sum_at(&*sums.bytes, place.sum_range(n))));
        }
        self.file.read_exact_at(out, place.offset()).map_err(|e| self.cut_short(e))?;
        for (index, (page, wanted)) in out.chunks_exact(PAGE_BYTES).zip(wanted).enumerate() {
            let number = place.first() + index as u64;
            if page_sum(page, number) != wanted {
                let at = place.offset() + (index * PAGE_BYTES) as u64;
                let what = format!("the checksum of the page at byte {at} does not fit");
                return Err(self.fault.damaged(what));
            }
        }
        Ok(())
    }

    fn write_place(&self, place: Place, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(bytes, place.offset())?;
        let mut sums = self.sums.lock();
        let sums = sums.page(&*self.file, place.group)?;
        for (index, page) in bytes.chunks_exact(PAGE_BYTES).enumerate() {
            let sum = page_sum(page, place.first() + index as u64);
            sums.bytes[place.sum_range(index as u64)].copy_from_slice(&sum.to_le_bytes());
        }
        sums.dirty = true;
        Ok(())
    }

    fn write_header(&self, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header.lock();
        header.bytes.copy_from_slice(bytes);
        header.dirty = true;
        self.file.write_at(&head(&header.bytes), 0)
    }

    fn sync(&self) -> io::Result<()> {
        self.sums.lock().write(&*self.file)?;
        self.file.sync()?;
        let mut header = self.header.lock();
        if header.dirty {
            self.file.write_at(&head(&header.bytes), PAGE_BYTES as u64)?;
            self.file.sync()?;
            header.dirty = false;
        }
        Ok(())
    }

    /// A file that ends before what it should hold is damage, not a disk that refuses.
    fn cut_short(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.fault.damaged("it is cut short".to_owned()),
            _ => self.fault.io(error),
        }
    }
}

impl Sums {
    fn page(&mut self, file: &dyn File, group: u64) -> io::Result<&mut SumPage> {
        if self.0.len() >= SUMS_KEPT_MAX && !self.0.contains_key(&group) {
            self.0.retain(|_, page| page.dirty);
        }
        match self.0.entry(group) {
            std::collections::btree_map::Entry::Occupied(kept) => Ok(kept.into_mut()),
            std::collections::btree_map::Entry::Vacant(missing) => {
                let mut bytes = Box::new([0; PAGE_BYTES]);
                file.read_exact_at(&mut *bytes, Place::sums_offset(group))?;
                Ok(missing.insert(SumPage { bytes, dirty: false }))
            }
        }
    }

    fn write(&mut self, file: &dyn File) -> io::Result<()> {
        for (group, page) in self.0.iter_mut().filter(|(_, page)| page.dirty) {
            file.write_at(&*page.bytes, Place::sums_offset(*group))?;
            page.dirty = false;
        }
        Ok(())
    }
}

impl redb::StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        let bytes = self.file.len().map_err(|e| self.fault.io(e))?;
        let Some(after_head) = (bytes / PAGE_BYTES as u64).checked_sub(HEAD_PAGES) else {
            return Ok(0);
        };
        let groups = after_head.div_ceil(GROUP_PAGES + 1);
        Ok((1 + after_head - groups) * PAGE_BYTES as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(out.len() as u64);
        if end <= HEADER_BYTES as u64 {
            out.copy_from_slice(&self.header.lock().bytes[offset as usize..end as usize]);
            return Ok(());
        }
        let mut rest = out;
        for place in self.places(offset, rest.len())? {
            let (bytes, after) = rest.split_at_mut(place.bytes());
            self.read_place(place, bytes)?;
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let pages = (len / PAGE_BYTES as u64).saturating_sub(1);
        let groups = pages.div_ceil(GROUP_PAGES);
        self.sums.lock().0.retain(|group, _| *group < groups);
        let bytes = (HEAD_PAGES + pages + groups) * PAGE_BYTES as u64;
        self.file.set_len(bytes).map_err(|e| self.fault.io(e))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync().map_err(|e| self.fault.io(e))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() == HEADER_BYTES {
            return self.write_header(data).map_err(|e| self.fault.io(e));
        }
        let mut rest = data;
        for place in self.places(offset, rest.len())? {
            let (bytes, after) = rest.split_at(place.bytes());
            self.write_place(place, bytes).map_err(|e| self.fault.io(e))?;
            rest = after;
        }
        Ok(())
    }
}

fn page_sum(page: &[u8], number: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(page), &number.to_le_bytes())
}

fn sum_at(sums: &[u8], range: Range<usize>) -> u32 {
    let mut bytes = [0; SUM_BYTES];
    bytes.copy_from_slice(&sums[range]);
    u32::from_le_bytes(bytes)
}

fn head(header: &[u8; HEADER_BYTES]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[HEADER_AT].copy_from_slice(header);
    let sum = head_sum(&head);
    head[SUM_AT].copy_from_slice(&sum.to_le_bytes());
    head
}

fn check_head(head: &[u8]) -> Result<(), &'static str> {
    if head.len() < HEAD_BYTES || head[..8] != MAGIC {
        return Err("it does not begin as a store does");
    }
    if head[8..12] != VERSION.to_le_bytes() {
        return Err("it is of another version");
    }
    match head[SUM_AT] == head_sum(head).to_le_bytes() {
        true => Ok(()),
        false => Err("the checksum of its head does not fit"),
    }
}

/// Over all of the head but the sum itself.
fn head_sum(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..SUM_AT.start]), &head[SUM_AT.end..])
}
