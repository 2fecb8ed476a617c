//! Bit flips: every one is harmless or named, and repair leaves what was before it.

use annal_event::Position;
use annal_log::{LogFile, truncate_at, verify};
use annal_storage::{FaultStorage, Storage};

use crate::support::{append, batch, events_of, open, open_with, options, read_all, settle};

/// A closed log with sealed segments and an active one.
fn closed_log(segment_bytes: u64, batches: u64) -> (FaultStorage, Vec<(i64, Vec<u8>)>) {
    let disk = FaultStorage::new(1);
    let options = annal_log::LogOptions { segment_bytes, ..options() };
    let (mut writer, reader) = open_with(&disk, options, 1).expect("open");
    let mut written = Vec::new();
    for n in 0..batches {
        let next = batch(writer.head().0 + 1, n as i64, &[70, 90, 40], n);
        append(&mut writer, &next).expect("append");
        written.push(next);
    }
    settle(&reader);
    writer.close().expect("close");
    (disk, events_of(&written))
}

#[test]
fn a_flipped_bit_is_harmless_or_named() {
    let (disk, expected) = closed_log(5 << 10, 12);
    let names = disk.list("log").expect("list");
    assert!(names.iter().any(|name| name.ends_with(".seg")));
    let mut named = 0;
    for name in names.iter().filter(|name| *name != "spare") {
        let path = format!("log/{name}");
        for offset in 0..disk.contents(&path).expect("contents").len() as u64 {
            let hurt = disk.after_crash(0);
            hurt.flip_bit(&path, offset, (offset % 8) as u8).expect("flip");
            let verified = verify(&hurt, "log", |_| {});
            let read = open(&hurt)
                .map_err(|e| e.to_string())
                .and_then(|(_, reader)| read_all(&reader, 1000).map_err(|error| error.to_string()));
            match read {
                Ok(events) => {
                    assert_eq!(events, expected, "{name} byte {offset}");
                    verified.unwrap_or_else(|error| panic!("{name} byte {offset}: {error}"));
                }
                Err(error) => {
                    assert!(error.contains(&path), "{error}");
                    verified.expect_err("verify sees it too");
                    named += 1;
                }
            }
        }
    }
    assert!(named > 1000, "{named} flips were found out");
}

#[test]
fn repair_keeps_everything_before_the_cut() {
    for position in 0..=36 {
        let (disk, expected) = closed_log(5 << 10, 12);
        let cut = truncate_at(&disk, "log", Position(position), 77).expect("truncate");
        assert_eq!(cut.head.0, position / 3 * 3, "whole batches");
        let disk = disk.crash(position);
        let (mut writer, reader) = open(&disk).expect("open");
        assert_eq!(read_all(&reader, 500).expect("read"), expected[..cut.head.0 as usize]);
        append(&mut writer, &batch(cut.head.0 + 1, 99, &[5], 5)).expect("it goes on");
        verify(&disk, "log", |_| {}).expect("the chain holds");
    }
}

#[test]
fn damage_in_the_middle_is_refused_and_repaired_by_hand() {
    let (disk, expected) = closed_log(64 << 10, 12);
    let path = "log/00000000000000000001.log";
    disk.flip_bit(path, 4096 + 900, 3).expect("flip");
    let error = open(&disk).expect_err("damaged").to_string();
    assert!(error.contains(path) && error.contains("position 10"), "{error}");
    truncate_at(&disk, "log", Position(9), 5).expect("truncate");
    let (_, reader) = open(&disk).expect("open");
    assert_eq!(read_all(&reader, 500).expect("read"), expected[..9]);
}

#[test]
fn changed_events_break_the_chain_even_with_good_checksums() {
    let (disk, _) = closed_log(64 << 10, 3);
    let (other, _) = {
        let disk = FaultStorage::new(1);
        let (mut writer, _) = open_with(&disk, options(), 1).expect("open");
        // The same shape, other content, and a root that does not belong to it.
        let (forged, _) = batch(1, 0, &[70, 90, 40], 1000);
        let (_, honest) = batch(1, 0, &[70, 90, 40], 0);
        append(&mut writer, &(forged, honest)).expect("append");
        append(&mut writer, &batch(4, 1, &[70, 90, 40], 1)).expect("append");
        writer.close().expect("close");
        (disk, ())
    };
    verify(&disk, "log", |_| {}).expect("honest");
    let error = verify(&other, "log", |_| {}).expect_err("forged").to_string();
    assert!(error.contains("hash chain") && error.contains("position 4"), "{error}");
}

#[test]
fn a_file_can_be_read_alone() {
    let (disk, expected) = closed_log(5 << 10, 12);
    let mut events = Vec::new();
    for name in disk.list("log").expect("list").iter().filter(|name| *name != "spare") {
        let mut file = LogFile::open(&disk, &format!("log/{name}")).expect("open");
        while let Some(frame) = file.next_frame().expect("frame") {
            assert_eq!(frame.batch.len(), 3, "frames come whole");
            events.extend(frame.batch.records().map(|r| (frame.batch.time().0, r.to_vec())));
        }
    }
    assert_eq!(events, expected);
}
