//! Sealing in the background: nothing changes for readers, whatever happens meanwhile.

use std::sync::Arc;

use annal_event::Position;
use annal_log::{Fault, VerifyError, verify};
use annal_storage::{FaultStorage, FileStorage, Storage};

use crate::support::{Rng, append, batch, events_of, open, options, read_all, settle};

#[test]
fn readers_go_on_while_segments_are_sealed_and_their_files_reused() {
    let dir = tempfile::tempdir().expect("tempdir");
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.path()).expect("storage"));
    let mut rng = Rng(1);
    let salts = move || rng.next();
    let (mut writer, reader) =
        annal_log::open(Arc::clone(&storage), "log", options(), salts).expect("open");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut written = Vec::new();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (reader, stop) = (reader.clone(), &stop);
            scope.spawn(move || {
                let mut rng = Rng(seed);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let seen = read_all(&reader, 1 + rng.below(5000) as usize).expect("read");
                    let position = Position(1 + rng.below(seen.len() as u64 + 1));
                    let event = reader.get(position).expect("get");
                    if let Some(expected) = seen.get(position.0 as usize - 1) {
                        assert_eq!(event.expect("visible").record(), expected.1);
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                reader.seal_step().expect("upkeep");
            }
        });
        for n in 0..600 {
            let next = batch(writer.head().0 + 1, n, &[200; 5], n as u64);
            append(&mut writer, &next).expect("append");
            written.push(next);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    settle(&reader);
    assert!(reader.stats().sealed_segments > 10, "{:?}", reader.stats());
    assert_eq!(reader.stats().unsealed_segments, 1);
    assert_eq!(read_all(&reader, 4000).expect("read"), events_of(&written));
    annal_log::verify(&*storage, "log", |_| {}).expect("verify");
}

#[test]
fn a_crash_at_any_point_of_sealing_leaves_the_segment_whole() {
    let mut sealed = 0;
    for changes in 0..60 {
        let disk = FaultStorage::new(changes);
        let (mut writer, reader) = open(&disk).expect("open");
        let mut written = Vec::new();
        for n in 0..60 {
            let next = batch(writer.head().0 + 1, n, &[300; 3], n as u64);
            append(&mut writer, &next).expect("append");
            written.push(next);
        }
        disk.die_after(changes);
        while reader.seal_step().is_ok_and(|more| more) {}
        let (_, reader) = open(&disk.crash(changes)).expect("open");
        assert_eq!(read_all(&reader, 4000).expect("read"), events_of(&written));
        sealed += reader.stats().sealed_segments;
    }
    assert!(sealed > 60, "{sealed}");
}

#[test]
fn a_full_disk_while_sealing_changes_nothing_and_is_tried_again() {
    let disk = FaultStorage::new(1);
    let (mut writer, reader) = open(&disk).expect("open");
    let mut written = Vec::new();
    for n in 0..60 {
        let next = batch(writer.head().0 + 1, n, &[300; 3], n as u64);
        append(&mut writer, &next).expect("append");
        written.push(next);
    }
    disk.set_capacity(Some(disk.used() + 1000));
    let refused = (0..1000).find_map(|_| reader.seal_step().err()).expect("no room for a copy");
    assert!(refused.to_string().contains("sealing.tmp"), "{refused}");
    assert_eq!(read_all(&reader, 4000).expect("read"), events_of(&written));
    disk.set_capacity(None);
    settle(&reader);
    assert!(reader.stats().sealed_segments > 2);
    assert_eq!(read_all(&reader, 4000).expect("read"), events_of(&written));
}

#[test]
fn large_batches_span_blocks_and_come_back_whole() {
    let disk = FaultStorage::new(1);
    let (mut writer, reader) = open(&disk).expect("open");
    let mut written = Vec::new();
    for n in 0..12 {
        let sizes: &[usize] = if n % 3 == 0 { &[100; 90] } else { &[6000] };
        let next = batch(writer.head().0 + 1, n, sizes, n as u64);
        append(&mut writer, &next).expect("append");
        written.push(next);
    }
    settle(&reader);
    assert!(reader.stats().sealed_segments > 2);
    for max_bytes in [1, 700, 100_000] {
        assert_eq!(read_all(&reader, max_bytes).expect("read"), events_of(&written));
    }
    annal_log::verify(&disk, "log", |_| {}).expect("the chain runs over whole batches");
}

#[test]
fn a_segment_that_is_missing_is_named_and_what_comes_before_is_proven() {
    let disk = FaultStorage::new(1);
    let (mut writer, reader) = open(&disk).expect("open");
    for n in 0..40 {
        let next = batch(writer.head().0 + 1, n, &[200; 20], n as u64);
        append(&mut writer, &next).expect("append");
    }
    settle(&reader);
    drop((writer, reader));
    let names = disk.list("log").expect("listed");
    let sealed: Vec<_> = names.iter().filter(|name| name.ends_with(".seg")).collect();
    let (missing, after) = (format!("log/{}", sealed[2]), Position(first_of(sealed[2])));
    disk.remove(&missing).expect("removed");
    let Err(VerifyError::Damaged { damage, whole }) = verify(&disk, "log", |_| {}) else {
        panic!("it is not whole")
    };
    assert_eq!((&damage.file, damage.position), (&missing, after));
    assert_eq!(damage.fault, Fault::Missing { next: Position(first_of(sealed[3])) });
    assert_eq!((whole.head, whole.segments), (after.prev(), 2));
    let refused = open(&disk).expect_err("nothing is lost in silence").to_string();
    assert!(refused.contains(&missing) && refused.contains("bring it back"), "{refused}");
}

fn first_of(name: &str) -> u64 {
    name.split('.').next().and_then(|digits| digits.parse().ok()).expect("a position")
}
