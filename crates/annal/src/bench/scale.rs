//! Ten million events: what stays in memory, what lies on disk, how soon it is there again, and how
//! long it takes to find one subject's hundred events among them.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use annal_engine::{Append, Engine, EngineOptions, ReadSpec};
use annal_event::{Encoded, Event, Interest, Pattern, Query, Selector};
use anyhow::{Context, ensure};

use super::{
    events,
    table::{Figure, Table, rate},
};

const BATCH: usize = 1_000;

/// Events of each subject that is looked for.
const SCATTERED: usize = 100;

/// Subjects looked for; each only once, so that none is warm by accident.
const SUBJECTS: usize = 40;

/// How long sealing and merging may take after the last append.
const SETTLE_MAX: Duration = Duration::from_secs(600);

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, total: usize, table: &mut Table) -> anyhow::Result<()> {
    let root = dir.join("scale");
    let engine = Engine::open(&root, EngineOptions::default())?;
    let begun = Instant::now();
    let came = fill(&engine, total)?;
    table.row("append, encoded on the same cores", rate(total, begun.elapsed()), None);
    settle(&engine)?;
    engine.shutdown();

    let stored = size_of(&root.join("log"))? + size_of(&root.join("index"))?;
    let share = Figure::Share(stored as f64 / came as f64);
    table.row("stored, sealed and indexed, of the JSON that came", share, None);

    let begun = Instant::now();
    let engine = Engine::open(&root, EngineOptions::default())?;
    table.row(&format!("start with {total} events"), Figure::Time(begun.elapsed()), None);
    warm_and_cold(&engine, &root, table)?;
    if let Some(bytes) = resident() {
        table.row("resident memory of this process after that", Figure::Bytes(bytes), None);
    }
    engine.shutdown();
    Ok(fs::remove_dir_all(&root)?)
}

/// Appends `total` events; how many bytes they were as JSON. Those looked for are spread evenly.
fn fill(engine: &Engine, total: usize) -> anyhow::Result<u64> {
    let every = (total / (SCATTERED * SUBJECTS)).max(1);
    let mut tickets = std::collections::VecDeque::new();
    let mut came = 0;
    for first in (0..total).step_by(BATCH) {
        let mut batch = Encoded::default();
        for number in first..first + BATCH {
            let line = events::line("scale", number);
            came += line.len() as u64 + 1;
            if number % every == 0 {
                let subject = format!("sought/{}", number / every % SUBJECTS);
                let id = format!("sought-{number}");
                batch.push(&Event::new(&*id, "/bench", "sought").with_subject(subject));
            } else {
                events::encode(&line, &mut batch)?;
            }
        }
        if tickets.len() == 4
            && let Some(ticket) = tickets.pop_front()
        {
            let ticket: annal_engine::Ticket = ticket;
            ticket.wait()?;
        }
        tickets.push_back(engine.append(Append::of(batch))?);
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    Ok(came)
}

/// Waits until nothing is left to seal.
fn settle(engine: &Engine) -> anyhow::Result<()> {
    let begun = Instant::now();
    while engine.view().log().stats().unsealed_segments > 1 {
        ensure!(begun.elapsed() < SETTLE_MAX, "segments are not sealed in {SETTLE_MAX:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The first reads with the page cache dropped (where that is allowed), then the same again.
fn warm_and_cold(engine: &Engine, root: &Path, table: &mut Table) -> anyhow::Result<()> {
    let half = SUBJECTS / 2;
    let cold: Vec<Duration> = (0..half)
        .map(|subject| {
            drop_page_cache(root)?;
            find(engine, subject)
        })
        .collect::<anyhow::Result<_>>()?;
    table.row("one subject's 100 events, page cache dropped, p50", median(cold), None);
    let first = (half..SUBJECTS).map(|subject| find(engine, subject));
    first.collect::<anyhow::Result<Vec<_>>>()?;
    let warm = (half..SUBJECTS).map(|subject| find(engine, subject));
    table.row("the same, warm, p50", median(warm.collect::<anyhow::Result<_>>()?), None);
    Ok(())
}

fn find(engine: &Engine, subject: usize) -> anyhow::Result<Duration> {
    let subjects = vec![Pattern::Exact(format!("sought/{subject}"))];
    let interest = Interest::of(Query::one(Selector { subjects, ..Selector::default() }));
    let begun = Instant::now();
    let page =
        engine.view().read(&ReadSpec { interest, limit: 2 * SCATTERED, ..ReadSpec::default() })?;
    let took = begun.elapsed();
    ensure!(page.events.len() >= SCATTERED, "found {} of {SCATTERED}", page.events.len());
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Figure {
    times.sort_unstable();
    Figure::Time(times[times.len() / 2])
}

/// Takes the files out of the page cache, with the tool that every Linux has for it.
fn drop_page_cache(root: &Path) -> anyhow::Result<()> {
    for dir in ["log", "index"] {
        for entry in fs::read_dir(root.join(dir))? {
            let path = entry?.path();
            let mut file = std::ffi::OsString::from("if=");
            file.push(&path);
            let done = Command::new("dd")
                .arg(file)
                .args(["iflag=nocache", "count=0", "status=none"])
                .status()
                .context("cold reads need `dd` of the coreutils")?;
            ensure!(done.success(), "dd could not drop {}", path.display());
        }
    }
    Ok(())
}

pub(super) fn size_of(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += File::open(entry?.path())?.metadata()?.len();
    }
    Ok(bytes)
}

/// Resident memory in bytes, where the system tells.
pub(super) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
