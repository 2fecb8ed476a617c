//! What the index costs: events a second, lookups, bytes and memory.
//!
//! `cargo run --release -p annal-projection --example index_speed -- [events] [shape…]`, shapes
//! `few`, `tree`, `distinct`. Every line is one measurement.

use std::{
    borrow::Cow,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annal_event::{Data, Encoded, Event, Identity, Pattern, Position, Query, Selector};
use annal_projection::index::{Index, IndexOptions, Order};
use annal_storage::{FileStorage, Storage};

const BATCH_EVENTS: u64 = 1_000;
/// Every so manieth event belongs to the subject that is looked for.
const NEEDLES: u64 = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let events = arguments.first().map_or(Ok(10_000_000), |text| text.parse::<u64>())?;
    let shapes: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let shapes = if shapes.is_empty() { vec!["few", "tree", "distinct"] } else { shapes };
    for shape in shapes {
        println!("== {shape}: {events} events");
        insert_only(shape, events.min(1_000_000))?;
        for threads in [1, 2] {
            measure(shape, events, threads)?;
        }
    }
    Ok(())
}

fn subject(shape: &str, n: u64, events: u64) -> String {
    if n.is_multiple_of((events / NEEDLES).max(1)) {
        return "needle/in/haystack".to_owned();
    }
    match shape {
        "few" => format!("sensor/{}", n % 500),
        "tree" => format!("tenant/{}/orders/{}/items", n % 97, n * 7919 % 1_000_003),
        _ => format!("orders/{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    }
}

fn batch(shape: &str, first: u64, events: u64) -> Encoded {
    let mut encoded = Encoded::default();
    for n in first..first + BATCH_EVENTS {
        encoded.push(&Event {
            id: Cow::Owned(format!("event-{n:012}")),
            source: Cow::Borrowed("https://example.com/shop"),
            ty: Cow::Owned(format!("com.example.shop.kind-{}", n % 8)),
            subject: Some(Cow::Owned(subject(shape, n, events))),
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Vec::new(),
            data: Data::None,
        });
    }
    encoded
}

/// Batches are made ahead of the clock, a few at a time, so that only the index is measured.
fn feed(
    index: &Index,
    shape: &str,
    events: u64,
    mut after: impl FnMut() -> Outcome<()>,
) -> Outcome<Duration> {
    let mut spent = Duration::ZERO;
    let mut first = 1;
    while first <= events {
        let ready: Vec<Encoded> =
            (0..16).map(|n| batch(shape, first + n * BATCH_EVENTS, events)).collect();
        for encoded in ready.iter().take(((events - first) / BATCH_EVENTS + 1) as usize) {
            let start = Instant::now();
            index.insert(Position(first), encoded, 0, encoded.len())?;
            after()?;
            spent += start.elapsed();
            first += BATCH_EVENTS;
        }
    }
    Ok(spent)
}

fn rate(events: u64, spent: Duration) -> String {
    format!("{:.0} k/s", events as f64 / spent.as_secs_f64() / 1e3)
}

fn insert_only(shape: &str, events: u64) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.path())?);
    let index = Index::open(storage, "index", IndexOptions::default())?;
    let spent = feed(&index, shape, events, || Ok(()))?;
    println!("insert into memory alone, {events} events: {}", rate(events, spent));
    println!(
        "  a table of 64 Ki events: {} KiB by estimate",
        index.stats().table_bytes as u64 / 1024 * 65_536 / events
    );
    Ok(())
}

fn measure(shape: &str, events: u64, threads: usize) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.path())?);
    let index = Index::open(Arc::clone(&storage), "index", IndexOptions::default())?;
    if threads == 1 {
        same_thread(&index, shape, events)?;
        return Ok(());
    }
    two_threads(&index, shape, events)?;
    queries(&index, shape, events)?;
    let stats = index.stats();
    println!(
        "  {} runs, {:.1} bytes/event on disk, {} KiB kept of runs, {} KiB in tables, resident {} MiB",
        stats.runs,
        stats.run_bytes as f64 / stats.checkpoint.get() as f64,
        stats.run_memory_bytes / 1024,
        stats.table_bytes / 1024,
        resident_mib(),
    );
    drop(index);
    let start = Instant::now();
    let index = Index::open(storage, "index", IndexOptions::default())?;
    println!("  open: {:?}, {} events", start.elapsed(), index.checkpoint());
    Ok(())
}

/// One core: a step of maintenance follows whenever a table is full, merges in what time is left.
fn same_thread(index: &Index, shape: &str, events: u64) -> Outcome<()> {
    let mut batches = 0;
    let spent = feed(index, shape, events, || {
        batches += 1;
        if batches % 4 == 0 {
            while index.maintain(index.folded())? {}
        }
        Ok(())
    })?;
    println!("insert, freeze and merge on one thread: {}", rate(events, spent));
    Ok(())
}

fn two_threads(index: &Index, shape: &str, events: u64) -> Outcome<()> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome<()> {
        let (mut busy, mut lag_max) = (Duration::ZERO, 0);
        let maintenance = scope.spawn(|| -> Result<(Duration, Duration), String> {
            let (mut busy, mut longest) = (Duration::ZERO, Duration::ZERO);
            loop {
                let stopping = stop.load(Ordering::Relaxed);
                let start = Instant::now();
                let worked = index.maintain(index.folded()).map_err(|e| e.to_string())?;
                longest = longest.max(start.elapsed());
                busy += start.elapsed();
                match (worked, stopping) {
                    (true, _) => {}
                    (false, true) => return Ok((busy, longest)),
                    (false, false) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let spent = feed(index, shape, events, || {
            lag_max = lag_max.max(index.lag());
            Ok(())
        })?;
        stop.store(true, Ordering::Relaxed);
        let (worked, longest) = maintenance.join().map_err(|_| "maintenance panicked")??;
        busy += worked;
        println!(
            "insert with maintenance on another thread: {} (that one busy {busy:.1?} in all, longest step {longest:.1?}, lag at most {lag_max} events)",
            rate(events, spent),
        );
        Ok(())
    })
}

fn queries(index: &Index, shape: &str, events: u64) -> Outcome<()> {
    let mut out = Vec::new();
    let absent = per_call(200_000, |n| {
        index.identity(Identity::of("https://example.com/shop", &format!("absent-{n}")), &mut out)
    })?;
    let many: Vec<Identity> =
        (0..1000).map(|n| Identity::of("https://example.com/shop", &format!("none-{n}"))).collect();
    let mut found = Vec::new();
    let in_batches = per_call(200, |_| index.identities(&many, &mut found))? / 1000;
    let present = per_call(50_000, |n| {
        out.clear();
        let id = format!("event-{:012}", n * 7919 % events + 1);
        index.identity(Identity::of("https://example.com/shop", &id), &mut out)
    })?;
    assert!(!out.is_empty(), "a stored identity is found");
    println!(
        "  identity absent {absent:?}, absent in batches of 1,000 {in_batches:?}, present {present:?}"
    );
    let select = |pattern: Pattern, limit: usize| -> Outcome<(Duration, usize)> {
        let query = Query::one(Selector { subjects: vec![pattern], ..Selector::default() });
        let mut out = Vec::new();
        let spent = per_call(20, |_| {
            out.clear();
            index
                .select(&query, Position::ZERO, Position::MAX, Order::Ascending)
                .next(limit, &mut out)
        })?;
        Ok((spent, out.len()))
    };
    let (needle, count) = select(Pattern::Exact("needle/in/haystack".into()), 1000)?;
    println!("  one subject's {count} events among {events}: {needle:?}");
    let tree = match shape {
        "few" => "sensor",
        "tree" => "tenant/42/orders",
        _ => "orders",
    };
    let (dense, count) = select(Pattern::Tree(tree.into()), 100)?;
    println!("  first {count} under {tree}: {dense:?}");
    let recursive = per_call(100, |_| index.subject(tree, true, index.folded()))?;
    let exact =
        per_call(1000, |n| index.subject(&subject(shape, n * 37, events), false, index.folded()))?;
    println!("  subject state: exact {exact:?}, recursive over {tree} {recursive:?}");
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
