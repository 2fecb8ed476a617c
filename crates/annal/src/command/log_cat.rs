//! `annal log cat`: segments as JSON lines, without opening the log.
//!
//! Reads what can be read, in the order of positions, also of a directory that is in use or damaged;
//! the first thing that cannot be read is named, and ends it.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use annal_event::StoredEvent;
use annal_log::LogFile;
use annal_storage::FileStorage;
use anyhow::{Context, bail};

use crate::output;

/// Prints every event of the file or files.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for file in files(path)? {
        cat(&file, &mut out)?;
    }
    Ok(out.flush()?)
}

/// A segment itself, or the segments of a directory.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let inner = path.join("log");
    let dir = if inner.is_dir() { inner } else { path.to_owned() };
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(cannot)? {
        let entry = entry?.path();
        if is_segment(&entry) {
            files.push(entry);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("there is no segment in {}", dir.display());
    }
    Ok(files)
}

/// Named after its first position, twenty digits.
fn is_segment(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit())
}

fn cat(path: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} is no segment", path.display()))?;
    let storage = FileStorage::new(dir)?;
    let mut file = LogFile::open(&storage, name)?;
    let mut line = Vec::new();
    while let Some(frame) = file.next_frame()? {
        for index in 0..frame.batch.len() {
            let stored = StoredEvent::new(frame.batch.clone(), index);
            output::write_stored(out, &mut line, &stored)?;
        }
    }
    Ok(())
}
