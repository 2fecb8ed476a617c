//! What the disk alone can do: the baselines that the engine is measured against.

use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    events,
    table::{Figure, rate},
};

const BLOCK: [u8; 4096] = [7; 4096];

/// A file that was zeroed before, to be written and synced block by block.
pub(super) struct Zeroed {
    file: File,
    blocks: usize,
    next: usize,
}

impl Zeroed {
    pub(super) fn new(dir: &Path, blocks: usize) -> std::io::Result<Zeroed> {
        let file = File::create(dir.join("zeroed"))?;
        let zeros = vec![0; 1 << 20];
        let blocks_per_chunk = zeros.len() / BLOCK.len();
        for chunk in 0..blocks.div_ceil(blocks_per_chunk) {
            file.write_all_at(&zeros, (chunk * zeros.len()) as u64)?;
        }
        file.sync_all()?;
        Ok(Zeroed { file, blocks, next: 0 })
    }

    /// How long writing and `fdatasync` of the next 4 KiB takes.
    pub(super) fn sync(&mut self) -> std::io::Result<Duration> {
        let at = (self.next % self.blocks * BLOCK.len()) as u64;
        self.next += 1;
        let start = Instant::now();
        self.file.write_all_at(&BLOCK, at)?;
        self.file.sync_data()?;
        Ok(start.elapsed())
    }
}

/// The middle one.
pub(super) fn median(taken: &mut [Duration]) -> Duration {
    taken.sort_unstable();
    taken.get(taken.len() / 2).copied().unwrap_or_default()
}

/// Keys are hashes already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The least that a durable, deduplicating store must do: append to a file, `fdatasync` once a batch,
/// remember identities in memory. Returns its rate and that of reading the file back line by line.
pub(super) fn append_file(
    dir: &Path,
    total: usize,
    batch: usize,
) -> anyhow::Result<(Figure, Figure)> {
    let path = dir.join("append");
    let mut file = File::create(&path)?;
    let mut index: HashMap<u64, u64, BuildHasherDefault<Taken>> = HashMap::default();
    let mut took = Duration::ZERO;
    let mut written = 0u64;
    for first in (0..total).step_by(batch) {
        let body = events::ndjson("base", first, batch);
        let start = Instant::now();
        let mut at = 0;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let key = xxh3_64(identity(line));
            if index.insert(key, written + at).is_some() {
                anyhow::bail!("the baseline met the same identity twice");
            }
            at += line.len() as u64;
        }
        file.write_all(&body)?;
        file.sync_data()?;
        took += start.elapsed();
        written += at;
    }
    let start = Instant::now();
    let mut reader = BufReader::with_capacity(1 << 20, File::open(&path)?);
    let (mut line, mut lines) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        line.clear();
    }
    let replay = rate(lines, start.elapsed());
    std::fs::remove_file(&path)?;
    Ok((rate(total, took), replay))
}

/// The part of the line that holds id and source.
fn identity(line: &[u8]) -> &[u8] {
    line.get(20..64).unwrap_or(line)
}
