//! Trees of one file an event: `TOPIC/DATE/GROUP/TOPIC-N.json`.
//!
//! Files are taken by date, then topic, then number, so that each topic keeps its order and topics
//! mix as they did. A file that does not fit the scheme is an error, not skipped.

use std::{
    fs, io,
    path::{Path, PathBuf},
    vec::IntoIter,
};

use anyhow::{Context, bail};

use super::{formats::Shape, input::Piece};

pub(crate) struct Tree {
    files: IntoIter<Leaf>,
    total_bytes: u64,
    bytes_done: u64,
}

struct Leaf {
    date: String,
    topic: String,
    number: u64,
    path: PathBuf,
    bytes: u64,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> anyhow::Result<Tree> {
        let mut leaves = Vec::new();
        for topic in dirs(root)? {
            for date in dirs(&topic)? {
                for group in dirs(&date)? {
                    collect(&topic, &date, &group, &mut leaves)?;
                }
            }
        }
        if leaves.is_empty() {
            bail!("no file below it is called TOPIC/DATE/GROUP/TOPIC-N.json");
        }
        leaves.sort_by(|a, b| (&a.date, &a.topic, a.number).cmp(&(&b.date, &b.topic, b.number)));
        let total_bytes = leaves.iter().map(|leaf| leaf.bytes).sum();
        Ok(Tree { files: leaves.into_iter(), total_bytes, bytes_done: 0 })
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(crate) fn next(&mut self, bytes_max: usize) -> anyhow::Result<Option<Piece>> {
        let Some(leaf) = self.files.next() else { return Ok(None) };
        let place = leaf.path.display().to_string();
        if leaf.bytes > bytes_max as u64 {
            bail!("{place} is longer than {bytes_max} bytes");
        }
        let text = fs::read(&leaf.path).with_context(|| format!("cannot read {place}"))?;
        self.bytes_done += leaf.bytes;
        Ok(Some(Piece {
            place,
            text,
            shape: Shape::Topic { topic: leaf.topic, number: leaf.number },
            ordinal: leaf.number,
            bytes_done: self.bytes_done,
        }))
    }
}

fn collect(topic: &Path, date: &Path, group: &Path, leaves: &mut Vec<Leaf>) -> anyhow::Result<()> {
    let (topic, date) = (name(topic), name(date));
    for entry in entries(group)? {
        let number = number(&topic, &name(&entry))
            .with_context(|| format!("{} is not called {topic}-N.json", entry.display()))?;
        let bytes = fs::metadata(&entry)?.len();
        leaves.push(Leaf { date: date.clone(), topic: topic.clone(), number, path: entry, bytes });
    }
    Ok(())
}

/// `orders-17.json` of topic `orders` → 17.
fn number(topic: &str, name: &str) -> Option<u64> {
    name.strip_prefix(topic)?.strip_prefix('-')?.strip_suffix(".json")?.parse().ok()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn dirs(path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(entries(path)?.into_iter().filter(|entry| entry.is_dir()).collect())
}

/// Without hidden files.
fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        if !name(&entry).starts_with('.') {
            entries.push(entry);
        }
    }
    entries.sort();
    Ok(entries)
}
