//! What the store costs: changes a second, lookups, rows written behind, bytes and memory.
//!
//! `cargo run --release -p annal-projection --example store_speed -- [rows] [table] [cache]`, sizes
//! in MiB. Every line is one measurement; rows are 300 bytes beside a key of 24 in no order.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annal_event::Position;
use annal_projection::{
    Order,
    store::{Change, Key, KeyRange, Store, StoreOptions, Value},
};
use annal_storage::{FileStorage, Storage};

const ROW_BYTES: usize = 300;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let argument = |n: usize, default: u64| {
        std::env::args().nth(n).map_or(Ok(default), |text| text.parse::<u64>())
    };
    let rows = argument(1, 1_000_000)?;
    let options = StoreOptions {
        table_bytes: (argument(2, 16)? as usize) << 20,
        cache_bytes: (argument(3, 64)? as usize) << 20,
        ..StoreOptions::default()
    };
    println!("== {rows} rows, {options:?}");
    memory_alone(rows.min(200_000), options)?;
    let dir = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.path())?);
    let store = open(&storage, options)?;
    bulk(&store, rows)?;
    disk_lookups(&store, rows, "cache as given")?;
    rewrite(&store, rows)?;
    readers_beside_a_writer(&store, rows)?;
    let head = store.folded();
    let start = Instant::now();
    store.flush(head)?;
    println!("flush before a clean end: {:?}", start.elapsed());
    let start = Instant::now();
    drop(store);
    println!("close: {:?}", start.elapsed());
    let start = Instant::now();
    let store = open(&storage, StoreOptions { cache_bytes: 1 << 30, ..options })?;
    println!("open: {:?}, {} rows", start.elapsed(), store.stats().disk_rows);
    disk_lookups(&store, rows.min(400_000), "cache of 1 GiB")?;
    scans(&store)?;
    let file = std::fs::metadata(dir.path().join("data.redb"))?;
    let used = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
    println!(
        "file: {} MiB, {} bytes a row; resident {} MiB",
        used >> 20,
        used / store.stats().disk_rows,
        resident_mib()
    );
    Ok(())
}

fn open(storage: &Arc<dyn Storage>, options: StoreOptions) -> Outcome<Store> {
    Ok(Store::open(Arc::clone(storage), "data.redb", b"speed 1", options)?)
}

fn key(n: u64) -> Key {
    Key::from(format!("r/{:022x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes())
}

/// Made ahead of the clock.
fn keys(which: impl Fn(u64) -> u64) -> Vec<Key> {
    (0..100_000).map(|n| key(which(n))).collect()
}

/// A lookup: the best of five rounds, since the machine is shared.
fn gets(store: &Store, keys: &[Key]) -> Outcome<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for key in keys {
            store.get(key, Position::MAX)?;
        }
        best = best.min(start.elapsed() / keys.len() as u32);
    }
    Ok(best)
}

fn change(n: u64) -> Change {
    Change { key: key(n), value: Some(Value::from(vec![n as u8; ROW_BYTES])) }
}

fn rate(count: u64, spent: Duration) -> String {
    format!("{:.0} k/s", count as f64 / spent.as_secs_f64() / 1e3)
}

/// Stages rows `from..to`, made ahead of the clock, one a position.
fn stage(
    store: &Store,
    from: u64,
    to: u64,
    mut after: impl FnMut() -> Outcome<()>,
) -> Outcome<Duration> {
    let mut spent = Duration::ZERO;
    let mut next = from;
    while next < to {
        let ready: Vec<Change> = (next..to.min(next + 1000)).map(change).collect();
        next += ready.len() as u64;
        let start = Instant::now();
        for change in ready {
            store.stage(store.folded().next(), vec![change]);
        }
        after()?;
        spent += start.elapsed();
    }
    Ok(spent)
}

fn memory_alone(rows: u64, options: StoreOptions) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.path())?);
    let store = open(&storage, options)?;
    let before = resident_mib();
    let spent = stage(&store, 0, rows, || Ok(()))?;
    let stats = store.stats();
    println!("stage into memory alone, {rows} rows: {}", rate(rows, spent));
    println!(
        "  {} tables, {} MiB by estimate, {} MiB resident; {} bytes a row",
        stats.tables,
        stats.table_bytes >> 20,
        resident_mib() - before,
        stats.table_bytes as u64 / rows,
    );
    let one_table = 35_000.min(rows);
    for (name, span) in [("the newest 35,000", one_table), ("all of them", rows)] {
        let keys = keys(|n| rows - 1 - n * 7919 % span);
        println!("  get, {name}: {:?}", gets(&store, &keys)?);
    }
    Ok(())
}

/// A store filled from nothing: staged and written on one thread.
fn bulk(store: &Store, rows: u64) -> Outcome<()> {
    let mut busy = Duration::ZERO;
    let mut longest = Duration::ZERO;
    stage(store, 0, rows, || {
        let start = Instant::now();
        while store.maintain(store.folded())? {}
        longest = longest.max(start.elapsed());
        busy += start.elapsed();
        Ok(())
    })?;
    let start = Instant::now();
    store.flush(store.folded())?;
    busy += start.elapsed();
    println!(
        "write behind, {rows} new rows in no order: {}, longest step {longest:.1?}",
        rate(rows, busy)
    );
    let start = Instant::now();
    for n in 0..200_000 {
        let mut key = format!("s/{n:022x}").into_bytes();
        key.truncate(24);
        let value = Some(Value::from(vec![1; ROW_BYTES]));
        store.stage(store.folded().next(), vec![Change { key: Key::from(key), value }]);
    }
    let staged = start.elapsed();
    let start = Instant::now();
    store.flush(store.folded())?;
    println!(
        "write behind, 200000 new rows in order: {} (staged at {})",
        rate(200_000, start.elapsed()),
        rate(200_000, staged)
    );
    Ok(())
}

fn disk_lookups(store: &Store, rows: u64, cache: &str) -> Outcome<()> {
    let few = 5_000.min(rows);
    let all = gets(store, &keys(|n| n * 7919 % rows))?;
    let cached = gets(store, &keys(|n| n * 7919 % few))?;
    let absent = gets(store, &keys(|n| rows + 1 + n % few))?;
    println!(
        "get from disk, {cache}: any of {rows} {all:?}, of {few} {cached:?}, absent {absent:?}"
    );
    Ok(())
}

/// A quarter of the rows anew, in no order.
fn rewrite(store: &Store, rows: u64) -> Outcome<()> {
    let count = rows / 4;
    for n in 0..count {
        store.stage(store.folded().next(), vec![change(n * 7919 % rows)]);
    }
    let start = Instant::now();
    store.flush(store.folded())?;
    println!("write behind, {count} of {rows} rows anew: {}", rate(count, start.elapsed()));
    Ok(())
}

/// One thread stages as fast as it can, one writes behind; this one reads what is visible.
fn readers_beside_a_writer(store: &Store, rows: u64) -> Outcome<()> {
    let stop = AtomicBool::new(false);
    let until = Duration::from_secs(5);
    std::thread::scope(|scope| -> Outcome<()> {
        let writer = scope.spawn(|| {
            let (mut n, mut longest, mut overlay_max) = (0_u64, Duration::ZERO, 0);
            while !stop.load(Ordering::Relaxed) {
                let change = change(n * 7919 % rows);
                let start = Instant::now();
                store.stage(store.folded().next(), vec![change]);
                longest = longest.max(start.elapsed());
                n += 1;
                if n.is_multiple_of(1000) {
                    overlay_max = overlay_max.max(store.overlay_bytes());
                    while store.overlay_bytes() > 128 << 20 && !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
            (n, longest, overlay_max)
        });
        let upkeep = scope.spawn(|| -> Result<(), String> {
            while !stop.load(Ordering::Relaxed) {
                if !store.maintain(store.folded()).map_err(|e| e.to_string())? {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(())
        });
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed() < until {
            let key = key(times.len() as u64 * 104_729 % rows);
            let at = store.folded();
            let call = Instant::now();
            store.get(&key, at)?;
            times.push(call.elapsed());
            if times.len().is_multiple_of(100) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        stop.store(true, Ordering::Relaxed);
        let (staged, longest, overlay_max) = writer.join().map_err(|_| "the writer panicked")?;
        upkeep.join().map_err(|_| "the upkeep panicked")??;
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!(
            "beside writing: staged {} (longest {longest:.1?}, overlay at most {} MiB)",
            rate(staged, until),
            overlay_max >> 20
        );
        println!(
            "  {} gets: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:.1?}",
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        Ok(())
    })
}

fn scans(store: &Store) -> Outcome<()> {
    for order in [Order::Ascending, Order::Descending] {
        let start = Instant::now();
        let mut count = 0;
        for row in store.view(Position::MAX).scan(&KeyRange::all(), order).take(500_000) {
            row?;
            count += 1;
        }
        println!("scan, {order:?}, {count} rows: {}", rate(count, start.elapsed()));
    }
    let page = per_call(20_000, |n| -> Result<usize, annal_projection::store::StoreError> {
        let range = KeyRange { from: std::ops::Bound::Included(key(n)), ..KeyRange::all() };
        let rows: Result<Vec<_>, _> =
            store.view(Position::MAX).scan(&range, Order::Ascending).take(20).collect();
        Ok(rows?.len())
    })?;
    println!("a page of 20 rows: {page:?}");
    Ok(())
}

fn per_call<T, E: Error + 'static>(
    calls: u64,
    mut call: impl FnMut(u64) -> Result<T, E>,
) -> Outcome<Duration> {
    let start = Instant::now();
    for n in 0..calls {
        call(n)?;
    }
    Ok(start.elapsed() / calls as u32)
}

/// Resident memory of this process; the allocator may hold on to what is free.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
