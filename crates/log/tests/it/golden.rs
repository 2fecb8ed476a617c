//! Files of every format version, kept: they must stay readable, and be written the same.
//!
//! `GOLDEN=write cargo test -p annal-log golden` writes them anew, for a new version only.

use std::{fs, path::PathBuf};

use annal_log::LogOptions;
use annal_storage::{FaultStorage, Storage};

use crate::support::{append, batch, events_of, open_with, options, read_all, settle};

const FILES: [(&str, &str); 2] = [
    ("log/00000000000000000001.seg", "v1-sealed.seg"),
    ("log/00000000000000000019.log", "v1-active.log"),
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn written() -> Vec<(std::sync::Arc<annal_event::Batch>, annal_event::Digest)> {
    let times = [1_700_000_000_000_000, 1_700_000_000_000_000, 1_699_999_999_000_000];
    (0..10).map(|n| batch(1 + 3 * n, times[n as usize % 3] + n as i64, &[90, 0, 200], n)).collect()
}

fn fixed_options() -> LogOptions {
    LogOptions { segment_bytes: 4096 + 6 * 384, ..options() }
}

fn produce() -> FaultStorage {
    let disk = FaultStorage::new(1);
    let (mut writer, reader) = open_with(&disk, fixed_options(), 42).expect("open");
    for next in written() {
        append(&mut writer, &next).expect("append");
    }
    settle(&reader);
    writer.close().expect("close");
    disk
}

#[test]
fn golden_files_are_read() {
    let disk = FaultStorage::new(1);
    for (path, name) in FILES {
        disk.put(path, &fs::read(golden(name)).expect("golden file"));
    }
    let (_, reader) = open_with(&disk, fixed_options(), 1).expect("open");
    assert_eq!(read_all(&reader, 1000).expect("read"), events_of(&written()));
    annal_log::verify(&disk, "log", |_| {}).expect("verify");
}

#[test]
fn golden_files_are_written_the_same() {
    let disk = produce();
    let mut names = disk.list("log").expect("list");
    names.retain(|name| name != "spare");
    assert_eq!(names, FILES.map(|(path, _)| path.trim_start_matches("log/")));
    for (path, name) in FILES {
        let bytes = disk.contents(path).expect("contents");
        if std::env::var_os("GOLDEN").is_some() {
            fs::create_dir_all(golden("")).expect("create");
            fs::write(golden(name), &bytes).expect("write");
        }
        let kept = fs::read(golden(name)).expect("golden file");
        assert!(bytes == kept, "{name} would be written differently");
    }
}
