//! The engine without sockets: batches, singles, a lone caller, replay.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use annal_engine::{Append, Engine, EngineOptions, ReadSpec, Ticket};
use annal_event::{Encoded, Interest, TopicEvent, TopicSpec};

use super::{
    Scale, disk, events,
    table::{Figure, Table, rate},
};

const BATCH: usize = 1_000;

/// Batches that wait for their answer at a time.
const IN_FLIGHT: usize = 4;

/// Callers that each wait for their own event.
const CALLERS: usize = 128;

/// Events read at a time.
const CHUNK: usize = 1_000;

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let (append_file, read_file) = disk::append_file(dir, scale.events, BATCH)?;
    let baseline = Some((append_file, "append file + fdatasync + hash index"));

    let root = dir.join("engine");
    let engine = Engine::open(&root, EngineOptions::default())?;
    let ready = rate(scale.events, batches(&engine, "ready", scale.events, true)?);
    table.row("engine, batches of 1,000, encoded before", ready, baseline);
    let parsed = rate(scale.events, batches(&engine, "parsed", scale.events, false)?);
    table.row("engine, batches of 1,000, from JSON text", parsed, baseline);
    topics(&engine, scale.events / 4, ready, table)?;
    let singles = singles(&engine, scale.singles)?;
    table.row("engine, single events, 128 callers", singles, None);
    let (lone, raw) = lone(&engine, dir, scale.lone)?;
    let synced = Some((Figure::Time(raw), "raw fdatasync of 4 KiB, zeroed file"));
    table.row("engine, one lone append, p50", Figure::Time(lone), synced);
    let replay = replay(&engine)?;
    table.row("engine, replay", replay, Some((read_file, "lines of a file")));
    engine.shutdown();

    let start = Instant::now();
    let engine = Engine::open(&root, EngineOptions::default())?;
    let what = format!("engine, start with {} events", engine.head());
    table.row(&what, Figure::Time(start.elapsed()), None);
    engine.shutdown();
    Ok(std::fs::remove_dir_all(&root)?)
}

/// Appends `total` events in batches, several on their way at a time.
pub(super) fn batches(
    engine: &Engine,
    series: &str,
    total: usize,
    before: bool,
) -> anyhow::Result<Duration> {
    let firsts: Vec<usize> = (0..total).step_by(BATCH).collect();
    let mut encoded = VecDeque::new();
    let mut texts = VecDeque::new();
    for first in &firsts {
        if before {
            encoded.push_back(events::batch(series, *first, BATCH)?);
        } else {
            texts.push_back((*first..first + BATCH).map(|n| events::line(series, n)).collect());
        }
    }
    let start = Instant::now();
    let mut in_flight: VecDeque<Ticket> = VecDeque::new();
    for _ in &firsts {
        let batch = match encoded.pop_front() {
            Some(batch) => batch,
            None => encode_all(&texts.pop_front().unwrap_or_default())?,
        };
        if in_flight.len() == IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.wait()?;
        }
        in_flight.push_back(submit(engine, batch)?);
    }
    for ticket in in_flight {
        ticket.wait()?;
    }
    Ok(start.elapsed())
}

/// Batches of events that a schema is looked at for, beside those of no topic.
fn topics(engine: &Engine, total: usize, plain: Figure, table: &mut Table) -> anyhow::Result<()> {
    let schema = r#"{"name":"orders","schemas":[{"type":"com.example.order.placed",
        "required":["customer","amount","currency"],
        "properties":{"customer":{"type":"string","minLength":3},"amount":{"type":"number"},
        "currency":{"enum":["EUR","USD"]},"note":{"type":"string","maxLength":500}}}]}"#;
    let spec = TopicSpec::parse(schema, None)?;
    let mut made = Encoded::default();
    made.push(&TopicEvent::Created(spec).to_event(engine.new_id()));
    submit(engine, made)?.wait()?;
    let baseline = Some((plain, "the same events of no topic"));
    for (series, named) in [("held", true), ("published", false)] {
        let firsts = (0..total).step_by(BATCH);
        let batches: Result<VecDeque<Encoded>, _> = firsts
            .map(|first| events::topic_batch("orders", series, (first, BATCH), named))
            .collect();
        let what = match named {
            true => "engine, batches of 1,000, of a topic with a schema",
            false => "engine, batches of 1,000, published to it",
        };
        table.row(what, run(engine, batches?)?, baseline);
    }
    Ok(())
}

/// Submits batches, a few at a time.
fn run(engine: &Engine, batches: VecDeque<Encoded>) -> anyhow::Result<Figure> {
    let total = batches.iter().map(Encoded::len).sum();
    let start = Instant::now();
    let mut in_flight: VecDeque<Ticket> = VecDeque::new();
    for batch in batches {
        if in_flight.len() == IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.wait()?;
        }
        in_flight.push_back(submit(engine, batch)?);
    }
    for ticket in in_flight {
        ticket.wait()?;
    }
    Ok(rate(total, start.elapsed()))
}

fn encode_all(texts: &Vec<String>) -> anyhow::Result<Encoded> {
    let mut batch = Encoded::default();
    for text in texts {
        events::encode(text, &mut batch)?;
    }
    Ok(batch)
}

fn submit(engine: &Engine, events: Encoded) -> anyhow::Result<Ticket> {
    Ok(engine.append(Append::of(events))?)
}

/// As requests do it: a task parses its event, submits it, waits for the answer.
fn singles(engine: &Engine, total: usize) -> anyhow::Result<Figure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let texts: Arc<Vec<String>> = Arc::new((0..total).map(|n| events::line("one", n)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    runtime.block_on(async {
        let mut callers = Vec::with_capacity(CALLERS);
        for _ in 0..CALLERS {
            let (engine, texts, next) = (engine.clone(), Arc::clone(&texts), Arc::clone(&next));
            callers.push(tokio::spawn(async move {
                while let Some(text) = texts.get(next.fetch_add(1, Relaxed)) {
                    let mut one = Encoded::default();
                    events::encode(text, &mut one)?;
                    submit(&engine, one)?.await?;
                }
                anyhow::Ok(())
            }));
        }
        for caller in callers {
            caller.await??;
        }
        anyhow::Ok(())
    })?;
    Ok(rate(total, start.elapsed()))
}

/// Medians of an append and of a raw sync, taken in turns: disks have moods.
fn lone(engine: &Engine, dir: &Path, times: usize) -> anyhow::Result<(Duration, Duration)> {
    let mut zeroed = disk::Zeroed::new(dir, times)?;
    let (mut ours, mut raw) = (Vec::with_capacity(times), Vec::with_capacity(times));
    for number in 0..times {
        let one = events::batch("lone", number, 1)?;
        let start = Instant::now();
        submit(engine, one)?.wait()?;
        ours.push(start.elapsed());
        raw.push(zeroed.sync()?);
    }
    Ok((disk::median(&mut ours), disk::median(&mut raw)))
}

fn replay(engine: &Engine) -> anyhow::Result<Figure> {
    let start = Instant::now();
    // With the event that made the topic.
    let interest = Interest { system: true, ..Interest::all() };
    let spec = ReadSpec { interest, limit: CHUNK, ..ReadSpec::default() };
    let mut cursor = engine.view().cursor(&spec)?;
    let (mut events, mut bytes, mut seen) = (Vec::new(), 0, 0);
    loop {
        let more = cursor.next(CHUNK, 1 << 20, &mut events)?;
        seen += events.len();
        bytes += events.iter().map(|stored| stored.record().len()).sum::<usize>();
        events.clear();
        if !more {
            break;
        }
    }
    anyhow::ensure!(seen as u64 == engine.head().get() && bytes > 0, "the replay is not complete");
    Ok(rate(seen, start.elapsed()))
}
