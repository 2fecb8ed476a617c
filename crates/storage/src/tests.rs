//! The faulting disk keeps what was synced and only that; the real one keeps its promises.

use std::{io, sync::Arc};

use super::*;

fn filled(storage: &dyn Storage, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = storage.create(path).expect("create");
    file.write_at(bytes, 0).expect("write");
    file
}

fn read(storage: &dyn Storage, path: &str) -> io::Result<Vec<u8>> {
    let file = storage.open(path)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[test]
fn synced_content_under_a_synced_name_survives_every_crash() {
    let disk = FaultStorage::new(1);
    let file = filled(&disk, "a/x", &[7; 3000]);
    file.sync().expect("sync");
    disk.sync_dir("a").expect("sync_dir");
    file.write_at(&[9; 600], 1000).expect("write");
    for seed in 0..200 {
        let after = read(&disk.after_crash(seed), "a/x").expect("survives");
        assert_eq!(after[..512], [7; 512], "seed {seed}");
        assert_eq!(after[2048..], [7; 952], "seed {seed}");
    }
}

#[test]
fn unsynced_content_is_kept_lost_and_torn_by_sectors() {
    let disk = FaultStorage::new(1);
    let file = filled(&disk, "x", &[0; 2048]);
    file.sync().expect("sync");
    disk.sync_dir("").expect("sync_dir");
    file.write_at(&[1; 2048], 0).expect("write");
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let after = read(&disk.after_crash(seed), "x").expect("survives");
        for sector in after.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
        }
        outcomes.insert(after.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>());
    }
    assert_eq!(outcomes.len(), 16, "every subset of four sectors is seen");
}

#[test]
fn names_survive_only_after_sync_dir() {
    let disk = FaultStorage::new(1);
    filled(&disk, "d/x", b"x").sync().expect("sync");
    let survived = (0..100).filter(|seed| disk.after_crash(*seed).open("d/x").is_ok()).count();
    assert!((1..100).contains(&survived), "{survived} of 100");
    disk.sync_dir("other").expect("sync_dir");
    assert!((0..100).any(|seed| disk.after_crash(seed).open("d/x").is_err()));
    disk.sync_dir("d").expect("sync_dir");
    assert!((0..100).all(|seed| disk.after_crash(seed).open("d/x").is_ok()));
}

#[test]
fn a_rename_leaves_one_of_the_two_names() {
    let disk = FaultStorage::new(1);
    filled(&disk, "x", b"x").sync().expect("sync");
    disk.sync_dir("").expect("sync_dir");
    disk.rename("x", "y").expect("rename");
    for seed in 0..50 {
        let names = disk.after_crash(seed).list("").expect("list");
        assert!(names == ["x"] || names == ["y"], "{names:?}");
    }
}

#[test]
fn a_failed_sync_loses_pages_for_good() {
    let disk = FaultStorage::new(3);
    let file = filled(&disk, "x", &[0; 51200]);
    file.sync().expect("sync");
    disk.sync_dir("").expect("sync_dir");
    file.write_at(&[1; 51200], 0).expect("write");
    disk.fail_sync(1);
    file.sync().expect_err("EIO");
    file.sync().expect("the kernel says yes the second time");
    assert_eq!(read(&disk, "x").expect("seen"), vec![1; 51200]);
    let after = read(&disk.crash(1), "x").expect("survives");
    assert!(after.contains(&0), "some page never reached the disk");
    file.sync().expect_err("handles die with the machine");
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let disk = FaultStorage::new(1);
    disk.set_capacity(Some(1000));
    let file = disk.create("x").expect("create");
    let error = file.write_at(&[1; 1500], 0).expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().expect("len"), 1000);
    file.write_at(&[2; 1000], 0).expect("overwriting needs no room");
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let disk = FaultStorage::new(1);
    filled(&disk, "x", &[3; 5000]);
    for seed in 0..20 {
        let (a, b) = (disk.after_crash(seed), disk.after_crash(seed));
        assert_eq!(a.contents("x").ok(), b.contents("x").ok());
    }
}

#[test]
fn dying_in_the_middle_stops_everything() {
    let disk = FaultStorage::new(1);
    let file = filled(&disk, "x", b"x");
    disk.die_after(1);
    file.sync().expect("one more");
    file.write_at(b"y", 0).expect_err("off");
    disk.list("").expect_err("off");
}

#[test]
fn the_real_disk_writes_parts_lists_and_stays_inside() {
    let dir = tempfile::tempdir().expect("tempdir");
    let storage = FileStorage::new(dir.path()).expect("new");
    storage.create_dir("a/b").expect("create_dir");
    let file = storage.create("a/b/x").expect("create");
    file.write_parts_at(&[b"head", b"", b"body"], 2).expect("write");
    write_zeros(&*file, 10, 300_000).expect("zeros");
    file.sync().expect("sync");
    storage.sync_dir("a/b").expect("sync_dir");
    let bytes = read(&storage, "a/b/x").expect("read");
    assert_eq!((&bytes[..10], bytes.len()), (&b"\0\0headbody"[..], 300_010));
    storage.rename("a/b/x", "a/b/y").expect("rename");
    assert_eq!(storage.list("a/b").expect("list"), ["y"]);
    assert_eq!(storage.list("none").expect("list"), [""; 0]);
    storage.remove("a/b/x").expect("a missing file is no error");
    for path in ["../x", "/etc/passwd", "a/../../x"] {
        storage.open(path).expect_err(path);
    }
}

#[test]
fn the_lock_names_its_holder() {
    let dir = tempfile::tempdir().expect("tempdir");
    let lock = DirLock::acquire(dir.path()).expect("free");
    let error = DirLock::acquire(dir.path()).expect_err("held");
    assert!(
        matches!(&error, LockError::Held { pid, .. }
        if *pid == std::process::id().to_string()),
        "{error}"
    );
    drop(lock);
    DirLock::acquire(dir.path()).expect("free again");
}
