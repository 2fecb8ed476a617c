//! Failures while writing: what is refused, what poisons, and what is never taken for valid.

use annal_event::Position;
use annal_log::{OpenError, WriteError};
use annal_storage::{FaultStorage, Storage};

use crate::support::{append, batch, events_of, open, read_all};

#[test]
fn a_failed_sync_poisons_for_ever_and_nothing_acknowledged_is_lost() {
    for seed in 0..200 {
        let disk = FaultStorage::new(seed);
        let (mut writer, _) = open(&disk).expect("open");
        let (a, b) = (batch(1, 1, &[300], 1), batch(2, 2, &[3000], 2));
        append(&mut writer, &a).expect("append");
        writer.write(&b.0, &b.1).expect("write");
        disk.fail_sync(1);
        assert!(matches!(writer.sync(), Err(WriteError::Io { .. })));
        assert!(matches!(writer.sync(), Err(WriteError::Poisoned)));
        assert!(matches!(writer.write(&b.0, &b.1), Err(WriteError::Poisoned)));

        // The page cache still shows the frame. If a new process believes it, it must see to it
        // that the frame is on the disk.
        let (_, reader) = open(&disk).expect("reopen");
        let seen = read_all(&reader, 4096).expect("read");
        let (_, reader) = open(&disk.crash(seed)).expect("reopen");
        assert_eq!(read_all(&reader, 4096).expect("read"), seen, "seed {seed}");
        assert_eq!(seen[0], events_of(&[a])[0]);
    }
}

#[test]
fn a_failed_write_poisons_and_leaves_a_torn_tail() {
    let disk = FaultStorage::new(1);
    let (mut writer, _) = open(&disk).expect("open");
    append(&mut writer, &batch(1, 1, &[30], 1)).expect("append");
    disk.fail_write(1);
    let b = batch(2, 2, &[40; 4], 2);
    assert!(matches!(writer.write(&b.0, &b.1), Err(WriteError::Io { .. })));
    assert!(matches!(writer.write(&b.0, &b.1), Err(WriteError::Poisoned)));
    let (writer, _) = open(&disk).expect("reopen");
    assert!(writer.head() <= Position(2));
}

#[test]
fn a_full_disk_refuses_whole_frames_and_the_writer_goes_on_when_there_is_room() {
    for capacity in (4096..40_000).step_by(97) {
        let disk = FaultStorage::new(1);
        disk.set_capacity(Some(capacity));
        let (mut writer, reader) = open(&disk).expect("open");
        let mut written = Vec::new();
        let full = loop {
            let next = batch(writer.head().0 + 1, 1, &[150; 4], writer.head().0);
            match append(&mut writer, &next) {
                Ok(()) => written.push(next),
                Err(error) => break (error, next),
            }
        };
        assert!(matches!(full.0, WriteError::DiskFull { .. }), "{}", full.0);
        assert_eq!(read_all(&reader, 4096).expect("reads go on"), events_of(&written));
        disk.set_capacity(None);
        append(&mut writer, &full.1).expect("room again");
        written.push(full.1);
        drop(writer);
        let (_, reader) = open(&disk.crash(capacity)).expect("reopen");
        assert_eq!(read_all(&reader, 4096).expect("read"), events_of(&written));
    }
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_off() {
    let disk = FaultStorage::new(1);
    let (mut writer, _) = open(&disk).expect("open");
    let written = [batch(1, 1, &[60], 1), batch(2, 2, &[50, 60], 2)];
    append(&mut writer, &written[0]).expect("append");
    let before = disk.contents("log/00000000000000000001.log").expect("contents");
    append(&mut writer, &written[1]).expect("append");
    let after = disk.contents("log/00000000000000000001.log").expect("contents");
    let start = before.iter().zip(&after).position(|(a, b)| a != b).expect("a frame more");
    let end = after.iter().rposition(|byte| *byte != 0).expect("a frame") + 1;
    for torn in start..end {
        let mut bytes = after.clone();
        bytes[torn..].copy_from_slice(&before[torn..]);
        let disk = FaultStorage::new(1);
        disk.put("log/00000000000000000001.log", &bytes);
        let (mut writer, _) = open(&disk).expect("a torn tail is no damage");
        assert_eq!(writer.head(), Position(1), "torn at {torn}");
        append(&mut writer, &written[1]).expect("append");
        let (_, reader) = open(&disk).expect("reopen");
        assert_eq!(read_all(&reader, 100).expect("read"), events_of(&written));
    }
}

/// A stale frame of the same file must not come back behind a shorter new one.
#[test]
fn frames_behind_a_torn_one_never_come_back() {
    let disk = FaultStorage::new(1);
    let (mut writer, _) = open(&disk).expect("open");
    append(&mut writer, &batch(1, 1, &[44], 1)).expect("append");
    let synced = disk.contents("log/00000000000000000001.log").expect("contents");
    // Two more without a sync between: the first is lost, the second reaches the disk.
    for position in 2..=3 {
        let next = batch(position, 1, &[44], position);
        writer.write(&next.0, &next.1).expect("write");
    }
    let mut bytes = disk.contents("log/00000000000000000001.log").expect("contents");
    let frame = 80 + 48;
    let second = 4096 + frame;
    bytes[second..second + frame].copy_from_slice(&synced[second..second + frame]);
    let disk = FaultStorage::new(1);
    disk.put("log/00000000000000000001.log", &bytes);

    let (mut writer, _) = open(&disk).expect("nobody was promised positions 2 and 3");
    assert_eq!(writer.head(), Position(1));
    let mine = batch(2, 9, &[44], 99);
    append(&mut writer, &mine).expect("append");
    drop(writer);
    let (writer, _) = open(&disk).expect("reopen");
    assert_eq!(writer.head(), Position(2), "the stale frame 3 fits exactly behind, and is gone");
}

#[test]
fn the_newest_file_must_be_there() {
    let disk = FaultStorage::new(1);
    let (mut writer, reader) = open(&disk).expect("open");
    while disk.list("log").expect("list").len() < 3 {
        let next = batch(writer.head().0 + 1, 1, &[900; 3], 1);
        append(&mut writer, &next).expect("append");
    }
    crate::support::settle(&reader);
    let newest = disk.list("log").expect("list").into_iter().rfind(|name| name.ends_with(".log"));
    disk.remove(&format!("log/{}", newest.expect("active"))).expect("remove");
    assert!(matches!(open(&disk), Err(OpenError::Damaged(_))));
}
