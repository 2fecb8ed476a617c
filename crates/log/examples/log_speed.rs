//! What the log does on this machine, beside what the disk does in the same run.
//!
//! `cargo run --release -p annal-log --example log_speed -- [directory] [events] [sealed]`
//!
//! The directory must not exist yet. `sealed` leaves out the commits.

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use annal_event::{Batch, Digest, Position, StoredEvent, Timestamp, event_digest, merkle_root};
use annal_log::{LogOptions, LogReader};
use annal_storage::{FileStorage, Storage, write_zeros};

type Outcome<T> = Result<T, Box<dyn Error>>;

const WORDS: &str = "order payment invoice customer basket delivery address warehouse product price \
    quantity refund discount shipment courier parcel label street number city country telephone \
    email account balance currency amount reference status pending accepted rejected returned \
    archived reviewed assigned priority comment description summary title author reviewer approved";

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// An event of about 350 bytes as JSON text.
fn event(rng: &mut Rng, words: &[&str]) -> String {
    let id = format!("{:016x}{:016x}", rng.next(), rng.next());
    let word = |rng: &mut Rng| words[rng.below(words.len())];
    let message: Vec<&str> = (0..12).map(|_| word(rng)).collect();
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/shop/{}","type":"com.example.{}.{}","subject":"orders/{}","time":"2026-01-{:02}T{:02}:{:02}:{:02}.{:06}Z","datacontenttype":"application/json","data":{{"message":"{}","amount":{},"{}":"{}"}}}}"#,
        word(rng),
        words[rng.below(6)],
        words[rng.below(4) + 30],
        rng.below(100_000),
        1 + rng.below(28),
        rng.below(24),
        rng.below(60),
        rng.below(60),
        rng.below(1_000_000),
        message.join(" "),
        rng.below(1_000_000),
        word(rng),
        word(rng),
    )
}

fn batch(
    first: u64,
    events: usize,
    rng: &mut Rng,
    words: &[&str],
) -> Outcome<(Arc<Batch>, Digest)> {
    let mut payload = Vec::new();
    let mut digests = Vec::new();
    for _ in 0..events {
        let record = event(rng, words);
        payload.extend_from_slice(&(record.len() as u32).to_le_bytes());
        payload.extend_from_slice(record.as_bytes());
        digests.push(event_digest(record.as_bytes()));
    }
    let time = Timestamp(1_768_000_000_000_000 + first as i64 * 100);
    let batch = Batch::parse(Position(first), time, events, payload.into())?;
    Ok((Arc::new(batch), merkle_root(&digests)))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn raw(storage: &FileStorage, bytes: usize, times: usize) -> Outcome<(f64, f64)> {
    let file = storage.create("raw")?;
    write_zeros(&*file, 0, (bytes * times) as u64)?;
    file.sync()?;
    let buffer = vec![7; bytes];
    let mut each = Vec::new();
    let start = Instant::now();
    for n in 0..times {
        let at = Instant::now();
        file.write_at(&buffer, (n * bytes) as u64)?;
        file.sync()?;
        each.push(at.elapsed());
    }
    let seconds = start.elapsed().as_secs_f64();
    storage.remove("raw")?;
    Ok((times as f64 / seconds, median(each)))
}

fn log(dir: &Path, options: LogOptions) -> Outcome<(annal_log::LogWriter, LogReader)> {
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir)?);
    let mut rng = Rng(7);
    Ok(annal_log::open(storage, "log", options, move || rng.next())?)
}

fn commits(dir: &Path, events: usize, times: usize, words: &[&str]) -> Outcome<()> {
    let root = dir.join(format!("commits-{events}"));
    let (mut writer, _reader) = log(&root, LogOptions::default())?;
    let mut rng = Rng(1);
    let mut batches = Vec::new();
    for n in 0..times {
        batches.push(batch(1 + (n * events) as u64, events, &mut rng, words)?);
    }
    let size = batches[0].0.payload().len();
    let mut each = Vec::new();
    let start = Instant::now();
    for (batch, root) in &batches {
        let at = Instant::now();
        writer.write(batch, root)?;
        writer.sync()?;
        writer.publish(Arc::clone(batch));
        each.push(at.elapsed());
    }
    let rate = times as f64 / start.elapsed().as_secs_f64();
    writer.close()?;
    let (raw_rate, raw_median) = raw(&FileStorage::new(dir)?, size, times)?;
    println!(
        "commit {events:>5} events, {size:>7} B: log {rate:>7.0}/s p50 {:>6.0} us | raw \
         {raw_rate:>7.0}/s p50 {raw_median:>6.0} us | {:.0} %, {:.0} events/s",
        median(each),
        100.0 * rate / raw_rate,
        rate * events as f64,
    );
    std::fs::remove_dir_all(root)?;
    Ok(())
}

/// Writes a log of so many events in batches of 50 and seals it.
fn fill(
    dir: &Path,
    options: &LogOptions,
    events: usize,
    per_batch: usize,
) -> Outcome<(usize, Duration)> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let (mut writer, reader) = log(dir, options.clone())?;
    let mut rng = Rng(1);
    let mut json_bytes = 0;
    while writer.head().0 < events as u64 {
        let (batch, root) = batch(writer.head().0 + 1, per_batch, &mut rng, &words)?;
        json_bytes += batch.payload().len() - 4 * per_batch;
        writer.write(&batch, &root)?;
        writer.publish(batch);
    }
    writer.sync()?;
    let start = Instant::now();
    while reader.seal_step()? {}
    let took = start.elapsed();
    writer.close()?;
    Ok((json_bytes, took))
}

fn sealed(
    dir: &Path,
    options: &LogOptions,
    events: usize,
    per_batch: usize,
    name: &str,
) -> Outcome<()> {
    let root = dir.join("sealed");
    let (_, sealing) = fill(&root, options, events, per_batch)?;
    let start = Instant::now();
    let (_writer, reader) = log(&root, options.clone())?;
    let opened = start.elapsed();
    let stats = reader.stats();

    let sealed_upto = sealed_head(&root)?;
    if sealed_upto == 0 {
        return Err("too few events to fill a segment: ask for 500000 or more".into());
    }
    let replay = replay(&reader, sealed_upto)?.min(replay(&reader, sealed_upto)?);
    let mut rng = Rng(3);
    let mut times = Vec::new();
    for _ in 0..30 {
        let positions: Vec<Position> =
            (0..100).map(|_| Position(1 + rng.below(sealed_upto as usize) as u64)).collect();
        let mut out: Vec<StoredEvent> = Vec::new();
        let at = Instant::now();
        reader.get_many(&positions, &mut out)?;
        times.push(at.elapsed());
        assert_eq!(out.len(), 100);
    }
    println!(
        "{name}: size {:.3} of the records, sealed at {:.0} MB/s, replay {:.2} M events/s, 100 \
         scattered {:.2} ms, open {:.1} ms ({} segments)",
        stats.sealed_bytes as f64 / stats.sealed_payload_bytes as f64,
        stats.sealed_payload_bytes as f64 / 1e6 / sealing.as_secs_f64(),
        sealed_upto as f64 / 1e6 / replay.as_secs_f64(),
        median(times) / 1000.0,
        opened.as_secs_f64() * 1000.0,
        stats.sealed_segments,
    );
    std::fs::remove_dir_all(root)?;
    Ok(())
}

fn sealed_head(root: &Path) -> Outcome<u64> {
    let names = FileStorage::new(root)?.list("log")?;
    let active = names.iter().rfind(|name| name.ends_with(".log")).ok_or("no active segment")?;
    Ok(active.trim_end_matches(".log").parse::<u64>()? - 1)
}

fn replay(reader: &LogReader, upto: u64) -> Outcome<Duration> {
    let start = Instant::now();
    let mut after = Position::ZERO;
    while after.0 < upto {
        for batch in reader.batches(after, 1 << 20)? {
            after = batch.last();
        }
    }
    Ok(start.elapsed())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = std::path::PathBuf::from(arguments.next().unwrap_or("log_speed.tmp".to_owned()));
    let events: usize = arguments.next().unwrap_or("1000000".to_owned()).parse()?;
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let sealed_only = arguments.next().as_deref() == Some("sealed");
    std::fs::create_dir(&dir)?;
    for (per_batch, times) in [(1, 4000), (10, 4000), (100, 2000), (1000, 1000)] {
        if sealed_only {
            break;
        }
        commits(&dir, per_batch, times, &words)?;
    }
    for (block_kib, dictionary_kib, level) in [
        (4, 64, 1),
        (8, 0, 1),
        (8, 16, 1),
        (8, 64, 1),
        (16, 0, 1),
        (16, 64, 1),
        (16, 64, 3),
        (32, 0, 1),
        (32, 64, 1),
    ] {
        let options = LogOptions {
            block_bytes: block_kib << 10,
            dictionary_bytes: dictionary_kib << 10,
            compression_level: level,
            ..LogOptions::default()
        };
        let name =
            format!("block {block_kib:>2} KiB, dictionary {dictionary_kib:>2} KiB, level {level}");
        sealed(&dir, &options, events, 50, &name)?;
    }
    sealed(&dir, &LogOptions::default(), events, 1, "defaults, one event a batch")?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
