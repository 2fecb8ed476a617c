//! Documents: folded from commits, read over HTTP, read as they were.

use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

use annal_engine::{Append, Engine, EngineOptions, Past, Ticket};
use annal_event::{Encoded, Position, ResourceKey};
use anyhow::{Context, ensure};

use super::{
    Scale, disk, events,
    http::{Running, bare},
    load::{post, send_all},
    table::{Figure, Table, rate},
};

const BATCH: usize = 1_000;
const IN_FLIGHT: usize = 4;
const CONNECTIONS: usize = 64;

/// Documents, each of which is changed as often as there are commits for.
const DOCUMENTS: usize = 20_000;

/// Changes of the one document that is read as it was.
const CHANGES: usize = 10_000;

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let root = dir.join("resources");
    let running = Running::start(&root)?;
    let engine = &running.engine;
    let total = scale.events / 4;
    let plain = append_all(engine, total, |n| events::line("plain", n))?;
    let folded = append_all(engine, total, |n| commit(n, n % DOCUMENTS, n < DOCUMENTS))?;
    let baseline = Some((plain, "plain events of 350 bytes"));
    table.row("JSON commits, batches of 1,000, from JSON text", folded, baseline);

    let documents = DOCUMENTS.min(total);
    let gets: Vec<_> = (0..scale.singles).map(|n| get(n * 7_919 % documents)).collect();
    let size = document(engine, "issue/1")?.len();
    let answer: &'static [u8] = vec![b' '; size].leak();
    let floor = send_all(bare(false, answer)?.address, CONNECTIONS, gets.clone())?;
    let ours = send_all(running.address, CONNECTIONS, gets).context("GET /resources/{id}")?;
    let baseline = Some((rate(scale.singles, floor), "bare handler"));
    table.row("GET /resources/{id}, 64 connections", rate(scale.singles, ours), baseline);

    let puts: Vec<_> = (0..scale.singles / 4).map(put).collect();
    let floor = send_all(bare(false, answer)?.address, CONNECTIONS, puts.clone())?;
    let ours = send_all(running.address, CONNECTIONS, puts).context("PUT /resources/{id}")?;
    let baseline = Some((rate(scale.singles / 4, floor), "bare handler"));
    table.row("PUT /resources/{id}, 64 connections", rate(scale.singles / 4, ours), baseline);

    append_all(engine, CHANGES, |n| commit(total + n, DOCUMENTS, n == 0))?;
    let mut took = past(engine, scale.lone)?;
    let median = disk::median(&mut took);
    let slow = took[took.len() * 99 / 100];
    table.row("?at= of a document with 10,000 changes, p50", Figure::Time(median), None);
    table.row("?at= of a document with 10,000 changes, p99", Figure::Time(slow), None);
    running.stop()?;

    let start = Instant::now();
    let engine = Engine::open(&root, EngineOptions::default())?;
    table.row("start, rows in place", Figure::Time(start.elapsed()), None);
    engine.shutdown();
    std::fs::remove_file(root.join("data.redb"))?;
    let start = Instant::now();
    let engine = Engine::open(&root, EngineOptions::default())?;
    let commits = total + CHANGES + scale.singles / 4;
    table.row("rows built anew, commits", rate(commits, start.elapsed()), None);
    engine.shutdown();
    Ok(std::fs::remove_dir_all(&root)?)
}

/// The first commit to a document sets it, the later ones change two members.
fn commit(number: usize, document: usize, first: bool) -> String {
    let (status, weight) = (if number.is_multiple_of(3) { "done" } else { "open" }, number % 100);
    let data = if first {
        format!(
            r#""resource_data":{{"title":"Number {document}","status":"{status}","weight":{weight},"body":"{}"}}"#,
            "what there is to say about it, in a sentence or two; ".repeat(3)
        )
    } else {
        format!(
            r#""patch":{{"status":"{status}","weight":{weight},"note":"changed for the {number}. time"}}"#
        )
    };
    format!(
        r#"{{"specversion":"1.0","id":"c-{number}","source":"/bench/app","type":"json.commit","subject":"issue/{document}","time":"2026-01-15T10:30:00.123Z","datacontenttype":"application/json","data":{{"schema":"http://localhost/schemas/Issue","resource_id":"{document}","actor":"u-{weight}",{data}}}}}"#
    )
}

fn append_all(
    engine: &Engine,
    total: usize,
    line: impl Fn(usize) -> String,
) -> anyhow::Result<Figure> {
    let mut batches: VecDeque<Vec<String>> = (0..total)
        .step_by(BATCH)
        .map(|first| (first..(first + BATCH).min(total)).map(&line).collect())
        .collect();
    let start = Instant::now();
    let mut in_flight: VecDeque<Ticket> = VecDeque::new();
    while let Some(batch) = batches.pop_front() {
        let mut encoded = Encoded::default();
        batch.iter().try_for_each(|text| events::encode(text, &mut encoded))?;
        if in_flight.len() == IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.wait()?;
        }
        in_flight.push_back(engine.append(Append::of(encoded))?);
    }
    for ticket in in_flight {
        ticket.wait()?;
    }
    Ok(rate(total, start.elapsed()))
}

fn document(engine: &Engine, name: &str) -> anyhow::Result<String> {
    let key = ResourceKey::from_text(name).context("a key")?;
    match engine.view().resource_at(&key, engine.head())? {
        Past::Document { text, .. } => Ok(text),
        other => anyhow::bail!("{name} is {other:?}"),
    }
}

fn get(document: usize) -> Vec<u8> {
    format!("GET /resources/issue/{document} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

fn put(document: usize) -> Vec<u8> {
    let body = format!(r#"{{"title":"Number {document}","status":"open","weight":1}}"#);
    let request = post(&format!("/resources/note/{document}"), "application/json", body.as_bytes());
    [b"PUT".as_slice(), &request[b"POST".len()..]].concat()
}

/// How long it takes to read the document with many changes as it was, anywhere in its past.
fn past(engine: &Engine, times: usize) -> anyhow::Result<Vec<Duration>> {
    let name = format!("issue/{DOCUMENTS}");
    let key = ResourceKey::from_text(&name).context("a key")?;
    let head = engine.head().get();
    let first = head - CHANGES as u64 + 1;
    (0..times)
        .map(|n| {
            let at = Position(first + (n as u64 * 7_919) % CHANGES as u64);
            let start = Instant::now();
            let past = engine.view().resource_at(&key, at)?;
            let took = start.elapsed();
            let found = matches!(past, Past::Document { revision, .. } if revision == at);
            ensure!(found, "{name} at {at} is {past:?}");
            Ok(took)
        })
        .collect()
}
