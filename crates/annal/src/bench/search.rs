//! Search: what a query costs, how soon an append is found, how fast documents are indexed, and what
//! plain appends pay while that goes on.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use annal_engine::{
    Append, AskError, Engine, EngineOptions, Scope, SearchOptions, SearchQuery, Searcher,
};
use annal_event::{Encoded, Event, Position};
use anyhow::{Context, bail, ensure};

use super::{
    Scale, engine,
    http::{CONNECTIONS, Running, singles},
    live::processor_time,
    load::send_all,
    scale::size_of,
    table::{Figure, Table, rate},
};

const BATCH: usize = 1_000;

/// Words there are; small numbers occur far more often.
const WORDS: usize = 20_000;

/// What words are made of.
const SYLLABLES: [&str; 20] = [
    "ra", "to", "mi", "ke", "su", "no", "la", "vi", "po", "de", "ba", "ti", "gu", "se", "fo", "wa",
    "ne", "lo", "cha", "re",
];

/// Words of a document, which makes about a kilobyte.
const DOCUMENT_WORDS: usize = 110;

/// Queries of each kind.
const QUERIES: usize = 400;

/// Appends that are looked for at once.
const LOOKED_FOR: usize = 200;

/// Between two of them, so that each finds search idle.
const IDLE: Duration = Duration::from_millis(20);

/// Nothing is at work when a round takes less than a twentieth of a core.
const SETTLE_ROUND: Duration = Duration::from_millis(500);
const SETTLE_ROUNDS_MAX: u32 = 240;

/// Rounds of appends with and without, which take turns.
const ROUNDS: usize = 9;

/// How often so many events are caught up with.
const CAUGHT_UP: usize = 5;

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    beside_appends(dir, scale.events, table)?;
    beside_requests(dir, scale.singles / 2, table)?;
    let root = dir.join("search");
    let opened = Engine::open(&root, searching(true))?;
    let bytes = documents(&opened, scale.documents, table)?;
    queries(&opened, table)?;
    visible(&opened, "while segments are merged", table)?;
    settle()?;
    visible(&opened, "idle", table)?;
    // Which ends what is being merged.
    opened.shutdown();
    let share = size_of(&root.join("search_index"))? as f64 / bytes as f64;
    table.row("search index, of the JSON of both", Figure::Share(share), None);
    Ok(fs::remove_dir_all(&root)?)
}

fn searching(on: bool) -> EngineOptions {
    EngineOptions { search: on.then(SearchOptions::default), ..EngineOptions::default() }
}

/// Plain events with and without search over them, in turns; then the time to catch up with some.
fn beside_appends(dir: &Path, total: usize, table: &mut Table) -> anyhow::Result<()> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for on in [round % 2 == 0, round % 2 != 0] {
            let root = dir.join(format!("beside-{round}-{on}"));
            let opened = Engine::open(&root, searching(on))?;
            let took = engine::batches(&opened, "beside", total, true)?;
            if on { &mut with } else { &mut without }.push(took);
            opened.shutdown();
            fs::remove_dir_all(&root)?;
        }
    }
    let (on, off) = (rate(total, median(&mut with)), rate(total, median(&mut without)));
    table.row("plain events in batches, search over events on", on, Some((off, "search off")));
    let root = dir.join("caught-up");
    let opened = Engine::open(&root, searching(true))?;
    let searcher = opened.search().context("search is on")?;
    let mut caught_up = Vec::new();
    for round in 0..CAUGHT_UP {
        engine::batches(&opened, &format!("caught{round}"), total / CAUGHT_UP, true)?;
        caught_up.push(catch_up(&opened, searcher)?);
    }
    caught_up.sort_by(f64::total_cmp);
    let caught_up = Figure::Rate(caught_up[caught_up.len() / 2]);
    table.row("events indexed afterwards, until all are found", caught_up, None);
    opened.shutdown();
    Ok(fs::remove_dir_all(&root)?)
}

/// Waits until all is found; positions a second.
fn catch_up(engine: &Engine, searcher: &Searcher) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let left = engine.head().get() - searcher.status().folded.get();
    found(searcher, engine.head())?;
    Ok(left as f64 / begun.elapsed().as_secs_f64())
}

/// The same with single events over HTTP.
fn beside_requests(dir: &Path, total: usize, table: &mut Table) -> anyhow::Result<()> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for on in [round % 2 == 0, round % 2 != 0] {
            let root = dir.join(format!("requests-{round}-{on}"));
            let running = Running::with(&root, searching(on))?;
            let took = send_all(running.address, CONNECTIONS, singles(total))?;
            if on { &mut with } else { &mut without }.push(took);
            running.stop()?;
            fs::remove_dir_all(&root)?;
        }
    }
    let (on, off) = (rate(total, median(&mut with)), rate(total, median(&mut without)));
    let what = format!("HTTP, single events, {CONNECTIONS} connections, search over events on");
    table.row(&what, on, Some((off, "search off")));
    Ok(())
}

/// Commits that make documents, and the time until all are found. Gives the bytes of what is indexed.
fn documents(engine: &Engine, total: usize, table: &mut Table) -> anyhow::Result<usize> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut bytes, begun) = (0, Instant::now());
    for first in (0..total).step_by(BATCH) {
        let mut batch = Encoded::default();
        for number in first..(first + BATCH).min(total) {
            let text = document(&mut dice, number);
            bytes += text.len();
            batch.push(&commit(&format!("d{number}"), &number.to_string(), &text));
        }
        engine.append(Append::of(batch))?.wait()?;
    }
    let searcher = engine.search().context("search is on")?;
    let appended = rate(total, begun.elapsed());
    table.row("commits of 1 kB in batches, made and folded on the same cores", appended, None);
    let left = engine.head().get() - searcher.status().folded.get();
    let catching_up = Instant::now();
    found(searcher, engine.head())?;
    let took = catching_up.elapsed();
    // Each is a resource and an event.
    let indexed = rate(2 * left as usize, took);
    table.row("documents indexed afterwards, resources and events", indexed, None);
    Ok(2 * bytes)
}

fn commit(event: &str, id: &str, text: &str) -> Event<'static> {
    Event::new(event.to_owned(), "/bench", "json.commit")
        .with_subject(format!("doc/{id}"))
        .with_json(format!("{{\"resource_id\":\"{id}\",\"resource_data\":{text}}}"))
}

fn document(dice: &mut Dice, number: usize) -> String {
    let mut text = format!("{{\"number\":{number},\"title\":\"");
    for word in 0..DOCUMENT_WORDS {
        if word == 8 {
            text.push_str("\",\"text\":\"");
        } else if word > 0 {
            text.push(' ');
        }
        text.push_str(&dice.word());
    }
    text.push_str("\"}");
    text
}

fn queries(engine: &Engine, table: &mut Table) -> anyhow::Result<()> {
    let searcher = engine.search().context("search is on")?;
    let mut dice = Dice(77);
    type Ask = fn(&mut Dice) -> String;
    let kinds: [(&str, Ask); 3] = [
        ("a word", Dice::word),
        ("two words, AND", |dice| format!("{} AND {}", dice.word(), dice.word())),
        ("a phrase of two words", |dice| format!("\"{} {}\"", dice.word(), dice.word())),
    ];
    for (name, make) in kinds {
        let mut times = Vec::with_capacity(QUERIES);
        let mut hits = 0;
        for _ in 0..QUERIES {
            let text = make(&mut dice);
            let begun = Instant::now();
            hits += searcher.query(&SearchQuery { limit: 50, ..SearchQuery::new(&text) })?.count;
            times.push(begun.elapsed());
        }
        ensure!(hits > 0, "nothing was found");
        two_rows(table, &format!("search, {name}"), times);
    }
    Ok(())
}

/// An append, then a query for it: the time from the acknowledgement to the answer that has it.
fn visible(engine: &Engine, when: &str, table: &mut Table) -> anyhow::Result<()> {
    let searcher = engine.search().context("search is on")?;
    let (head, mut times) = (engine.head(), Vec::with_capacity(LOOKED_FOR));
    for number in 0..LOOKED_FOR {
        let word = format!("sought{}x{number}", head.get());
        let mut one = Encoded::default();
        one.push(&commit(&word, &word, &format!("{{\"title\":\"{word}\"}}")));
        engine.append(Append::of(one))?.wait()?;
        let begun = Instant::now();
        found(searcher, engine.head())?;
        let query = SearchQuery { scope: Scope::Resources, ..SearchQuery::new(&word) };
        ensure!(searcher.query(&query)?.count == 1, "{word} was not found at once");
        times.push(begun.elapsed());
        thread::sleep(IDLE);
    }
    two_rows(table, &format!("an append is found, {when}"), times);
    Ok(())
}

/// Waits until nothing more is merged, which takes all of a thread's time.
fn settle() -> anyhow::Result<()> {
    for _ in 0..SETTLE_ROUNDS_MAX {
        let before = processor_time()?;
        thread::sleep(SETTLE_ROUND);
        if processor_time()? - before < SETTLE_ROUND / 20 {
            return Ok(());
        }
    }
    bail!("search is still at work {:?} after the last append", SETTLE_ROUND * SETTLE_ROUNDS_MAX)
}

fn two_rows(table: &mut Table, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| Figure::Time(times[(times.len() * share / 100).min(times.len() - 1)]);
    table.row(&format!("{what}, p50"), at(50), None);
    table.row(&format!("{what}, p99"), at(99), None);
}

/// Waits until everything up to a position is found.
fn found(searcher: &Searcher, upto: Position) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    loop {
        match runtime.block_on(searcher.wait(upto)) {
            Ok(()) => return Ok(()),
            Err(AskError::Rebuilding(_)) => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A word as they occur: the n-th about 1/n as often as the first, and longer.
    fn word(&mut self) -> String {
        let rank = (WORDS as f64).powf(self.next()) as usize;
        let (mut word, mut left) = (String::new(), rank + SYLLABLES.len());
        while left > 0 {
            word.push_str(SYLLABLES[left % SYLLABLES.len()]);
            left /= SYLLABLES.len();
        }
        word
    }
}
