//! Parts of the store, each alone.

use std::{ops::Bound, sync::Arc};

use annal_event::Position;
use annal_storage::{FaultStorage, File, Storage};
use redb::StorageBackend;

use super::{
    Change, Key, Order, Value,
    fault::Fault,
    filter::{Filter, Hashed},
    pages::Pages,
    scan::KeyRange,
    table::Table,
};

const PAGE: u64 = 4096;

fn pages() -> (FaultStorage, Pages) {
    let disk = FaultStorage::new(1);
    let file = disk.create("f").expect("a file");
    (disk, Pages::create(file, Arc::new(Fault::new("f"))))
}

fn reopened(disk: &FaultStorage) -> std::io::Result<Pages> {
    Pages::open(disk.open("f").expect("the file"), Arc::new(Fault::new("f")))
}

fn filled(byte: u8, pages: u64) -> Vec<u8> {
    vec![byte; (pages * PAGE) as usize]
}

#[test]
fn the_length_of_the_file_is_what_redb_set() {
    let (disk, pages) = pages();
    assert_eq!(pages.len().expect("a length"), 0);
    let mut sizes = vec![];
    for count in [2, 18, 1024, 1025, 1026, 1027, 2049, 2050, 3, 2] {
        pages.set_len(count * PAGE).expect("set");
        assert_eq!(pages.len().expect("a length"), count * PAGE);
        sizes.push(disk.used() / PAGE);
    }
    // Two heads, the pages but the first, a page of sums for every 1,024 of them.
    assert_eq!(sizes, [4, 20, 1026, 1027, 1029, 1030, 2052, 2054, 5, 4]);
}

#[test]
fn runs_of_pages_cross_the_ends_of_groups() {
    let (disk, pages) = pages();
    pages.set_len(3000 * PAGE).expect("set");
    pages.write(0, &[7; 320]).expect("the header");
    let run: Vec<u8> = (0..5 * PAGE).map(|n| (n / 1000) as u8).collect();
    for first in [1, 1020, 1022, 1024, 1025, 2046, 2048] {
        pages.write(first * PAGE, &run).expect("written");
        let mut back = filled(0, 5);
        pages.read(first * PAGE, &mut back).expect("read");
        assert!(back == run, "at {first}");
    }
    pages.sync_data().expect("synced");
    disk.sync_dir("").expect("synced");
    let pages = reopened(&disk.crash(1)).expect("it is whole");
    let mut back = filled(0, 5);
    pages.read(2048 * PAGE, &mut back).expect("read");
    assert!(back == run);
    let mut header = [0; 320];
    pages.read(0, &mut header).expect("the header");
    assert_eq!(header, [7; 320]);
}

#[test]
fn other_than_whole_pages_is_refused() {
    let (_, pages) = pages();
    pages.set_len(10 * PAGE).expect("set");
    let mut some = [0; 100];
    assert!(pages.read(300, &mut some).is_err(), "past the header");
    assert!(pages.read(PAGE, &mut some).is_err(), "a part of a page");
    assert!(pages.write(PAGE + 1, &filled(1, 1)).is_err(), "between two pages");
    assert!(pages.write(0, &filled(1, 1)).is_err(), "the first page");
}

#[test]
fn a_page_with_its_sum_in_another_place_is_not_believed() {
    let (disk, pages) = pages();
    pages.set_len(5 * PAGE).expect("set");
    pages.write(0, &[7; 320]).expect("the header");
    for n in 1..5 {
        pages.write(n * PAGE, &filled(n as u8, 1)).expect("written");
    }
    pages.sync_data().expect("synced");
    // Two heads, the sums, the pages: the first becomes the second.
    let mut bytes = disk.contents("f").expect("the file");
    bytes.copy_within(3 * 4096..4 * 4096, 4 * 4096);
    bytes.copy_within(2 * 4096..2 * 4096 + 4, 2 * 4096 + 4);
    disk.put("f", &bytes);
    let pages = reopened(&disk).expect("its heads are whole");
    let mut back = filled(0, 1);
    pages.read(PAGE, &mut back).expect("the first is whole");
    let error = pages.read(2 * PAGE, &mut back).expect_err("the second is not");
    assert_eq!(error.to_string(), "the checksum of the page at byte 16384 does not fit");
}

#[test]
fn what_was_read_on_opening_is_on_the_disk() {
    let header = |pages: &Pages| {
        let mut header = [0; 320];
        pages.read(0, &mut header).expect("the header");
        header[0]
    };
    for seed in 0..40 {
        let (disk, pages) = pages();
        pages.set_len(2 * PAGE).expect("set");
        pages.write(0, &[1; 320]).expect("the header");
        pages.sync_data().expect("synced");
        disk.sync_dir("").expect("synced");
        pages.write(0, &[2; 320]).expect("the header");
        disk.fail_sync(1);
        pages.sync_data().expect_err("a sync fails");
        // What the system shows may not be on the disk, and will not be by another sync.
        let pages = reopened(&disk).expect("it is whole");
        assert_eq!(header(&pages), 2);
        let pages = reopened(&disk.crash(seed)).expect("it is whole");
        assert_eq!(header(&pages), 2, "seed {seed}");
    }
}

#[test]
fn sums_of_pages_that_were_cut_off_do_not_come_back() {
    let (disk, pages) = pages();
    pages.set_len(3000 * PAGE).expect("set");
    pages.write(2500 * PAGE, &filled(1, 1)).expect("written");
    pages.set_len(10 * PAGE).expect("cut");
    pages.sync_data().expect("synced");
    assert_eq!(disk.used(), (2 + 1 + 9) * PAGE, "the file stays as short as it is");
}

#[test]
fn more_sums_than_are_kept_are_read_again() {
    // One page in each of many groups; nothing but the pages that were written takes memory here.
    let disk = FaultStorage::new(1);
    let file = disk.create("f").expect("a file");
    let pages = Pages::create(Arc::new(Sparse(file)), Arc::new(Fault::new("f")));
    let group = |n: u64| (1 + n * 1024) * PAGE;
    for n in 0..2500 {
        pages.write(group(n), &filled(n as u8, 1)).expect("written");
        if n % 700 == 0 {
            pages.sync_data().expect("synced");
        }
    }
    pages.sync_data().expect("synced");
    for n in (0..2500).rev() {
        let mut back = filled(0, 1);
        pages.read(group(n), &mut back).expect("read");
        assert!(back == filled(n as u8, 1), "group {n}");
    }
}

/// A file in which group after group lies close together, so that thousands fit into memory.
#[derive(Debug)]
struct Sparse(Arc<dyn File>);

impl Sparse {
    /// The sums and the first page of every group.
    fn place(offset: u64) -> u64 {
        let page = offset / PAGE;
        let (group, within) = ((page - 2) / 1025, (page - 2) % 1025);
        assert!(within < 2);
        (group * 2 + within) * PAGE
    }
}

impl File for Sparse {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        // The end of the file is far away.
        buffer.fill(0);
        self.0.read_at(buffer, Sparse::place(offset)).map(|_| buffer.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_at(bytes, Sparse::place(offset))
    }

    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
}

fn change(key: &[u8], value: Option<&[u8]>) -> Change {
    Change { key: Key::from(key), value: value.map(Value::from) }
}

#[test]
fn what_a_table_says_it_holds_returns_to_nothing() {
    let table = Table::new(10_000);
    table.stage(Position(1), vec![change(b"a", Some(b"one")), change(b"b", None)]);
    let one = table.bytes();
    table.stage(Position(2), vec![change(b"a", Some(b"x")), change(b"a", Some(b"longer"))]);
    table.stage(Position(3), vec![change(b"c", Some(b"three"))]);
    assert!(table.bytes() > one + 11);
    assert_eq!((table.len(), table.last()), (3, Position(3)));
    table.rollback(Position(1));
    assert_eq!((table.len(), table.last(), table.bytes()), (2, Position(1), one));
    table.rollback(Position::ZERO);
    assert_eq!((table.len(), table.last(), table.bytes()), (0, Position::ZERO, 0));
}

#[test]
fn of_several_changes_at_a_position_the_last_holds() {
    let table = Table::new(10_000);
    table.stage(Position(1), vec![change(b"a", Some(b"one")), change(b"a", None)]);
    table.stage(Position(2), vec![change(b"a", None), change(b"a", Some(b"two"))]);
    let get = |at| table.get(b"a", Hashed::new(b"a"), at);
    assert_eq!(get(Position::ZERO), None);
    assert_eq!(get(Position(1)), Some(None));
    assert_eq!(get(Position(9)), Some(Some(Value::from(*b"two"))));
    let mut all = Vec::new();
    table.changes(Position::ZERO, Position(1), &mut all);
    assert_eq!(all, [(Key::from(*b"a"), None)]);
    table.changes(Position(1), Position(1), &mut all);
    assert_eq!(all.len(), 1, "nothing more");
}

#[test]
fn a_prefix_ends_where_its_last_byte_can_be_raised() {
    let end = |prefix: &[u8]| KeyRange::prefix(prefix).to;
    assert_eq!(end(b"ab"), Bound::Excluded(Key::from(*b"ac")));
    assert_eq!(end(b"a\xFF\xFF"), Bound::Excluded(Key::from(*b"b")));
    assert_eq!(end(b"\xFF"), Bound::Unbounded);
    assert_eq!(end(b""), Bound::Unbounded);
}

#[test]
fn what_is_left_of_a_range_begins_after_what_was_seen() {
    let key = Key::from(*b"k");
    let left = KeyRange::prefix(b"k").after(&key, Order::Ascending);
    assert_eq!(left.from, Bound::Excluded(key.clone()));
    assert_eq!(left.to, Bound::Excluded(Key::from(*b"l")));
    let left = KeyRange::all().after(&key, Order::Descending);
    assert_eq!((left.from, left.to), (Bound::Unbounded, Bound::Excluded(key)));
}

#[test]
fn a_filter_misses_no_key_and_finds_few_too_many() {
    let filter = Filter::new(16 * 1024 * 1024);
    assert_eq!(filter.bytes(), 128 * 1024);
    let hashed = |n: u64| Hashed::new(&n.to_le_bytes());
    (0..40_000).for_each(|n| filter.add(hashed(n)));
    assert!((0..40_000).all(|n| filter.may_have(hashed(n))));
    let wrong = (40_000..140_000).filter(|n| filter.may_have(hashed(*n))).count();
    assert!(wrong < 500, "{wrong} of 100,000 for nothing");
    let least = Filter::new(0);
    least.add(hashed(1));
    assert!(least.may_have(hashed(1)) && !least.may_have(hashed(2)));
}
