//! Live streams one by one: what an idle client takes, how long an event is under way to many, what
//! an audience costs that it does not concern, how soon a client is back, and what readers far
//! behind cost a writer.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream as Blocking},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use annal_engine::{Append, Engine, Rank, stand_back};
use annal_event::{Encoded, Event};
use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Scale, events,
    http::Running,
    load::connect,
    scale::resident,
    sse::{Bare, MARK},
    table::{Figure, Table},
};
use crate::open_files;

/// Time for what has begun to come to rest.
const SETTLE: Duration = Duration::from_millis(1_000);

/// Appends under way at a time where their cost is measured.
const IN_FLIGHT: usize = 64;

/// How long each of these is measured.
const PACED_FOR: Duration = Duration::from_secs(10);
const WRITE_FOR: Duration = Duration::from_secs(3);

/// Descriptors that are not clients.
const OTHER_FILES: usize = 200;

/// Rounds with and without readers far behind.
const ROUNDS: usize = 9;

/// Readers far behind.
const BEHIND: usize = 100;

/// Times a client comes back.
const RESUMES: usize = 50;

/// Measures and adds rows.
pub(super) fn measure(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    // Every client takes two descriptors here, one at each end.
    let idle_max = open_files::raise().saturating_sub(OTHER_FILES) / 2;
    let scale = Scale { idle: scale.idle.min(idle_max), ..scale };
    idle(&dir.join("idle"), scale.idle, table)?;
    for (clients, per_second) in scale.paced {
        paced(&dir.join("paced"), clients, per_second, table)?;
    }
    subjects(&dir.join("subjects"), scale, table)?;
    behind(&dir.join("behind"), scale.events, table)
}

fn request(query: &str) -> Vec<u8> {
    let head = "host: localhost\r\naccept: text/event-stream";
    format!("GET /events/stream?{query} HTTP/1.1\r\n{head}\r\n\r\n").into_bytes()
}

/// Opens a stream and reads until its first bytes are there.
fn open(address: SocketAddr, query: &str) -> anyhow::Result<Blocking> {
    let mut stream = Blocking::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(&request(query))?;
    let (mut got, mut piece) = (Vec::new(), [0; 4_096]);
    while body(&got).is_none_or(<[u8]>::is_empty) {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "the server closed the connection");
        got.extend_from_slice(&piece[..read]);
    }
    ensure!(got.starts_with(b"HTTP/1.1 200"), "refused: {}", String::from_utf8_lossy(&got));
    Ok(stream)
}

fn body(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    answer.get(end + 4..)
}

/// The clients are sockets and nothing else, so what grows is the server.
fn idle(dir: &Path, clients: usize, table: &mut Table) -> anyhow::Result<()> {
    let running = Running::start(dir)?;
    running.engine.append(Append::of(events::batch("idle", 0, 100)?))?.wait()?;
    drop(open(running.address, "snapshot=none")?);
    let resident = || resident().context("this system does not tell the size of a process");
    let before = resident()?;
    let open: Vec<_> = (0..clients)
        .map(|_| open(running.address, "snapshot=none"))
        .collect::<anyhow::Result<_>>()?;
    thread::sleep(SETTLE);
    let each = resident()?.saturating_sub(before) / clients as u64;
    table.row(&format!("{clients} idle streams, resident, each"), Figure::Bytes(each), None);
    drop(open);
    running.stop()?;
    Ok(fs::remove_dir_all(dir)?)
}

/// So many events a second to all clients; how long each is under way.
fn paced(dir: &Path, clients: usize, per_second: u32, table: &mut Table) -> anyhow::Result<()> {
    let bare = Bare::start(clients)?;
    let floor = under_way(bare.address, clients, per_second, |_| bare.push_one())?;
    drop(bare);
    let running = Running::start(dir)?;
    let ours = under_way(running.address, clients, per_second, |number| {
        let events = events::batch("paced", number, 1)?;
        running.engine.append(Append::of(events))?.wait()?;
        Ok(())
    })?;
    running.stop()?;
    for (name, of_all) in [("p50", 50), ("p99", 99)] {
        let what = format!("{per_second} events/s to {clients} streams, {name}");
        let figure =
            |paced: &Paced| Figure::Time(paced.times[(paced.times.len() - 1) * of_all / 100]);
        table.row(&what, figure(&ours), Some((figure(&floor), "bare broadcast")));
    }
    let what = format!("{per_second} events/s to {clients} streams, processor time a delivery");
    let baseline = Some((Figure::Time(floor.each), "bare broadcast"));
    table.row(&what, Figure::Time(ours.each), baseline);
    Ok(fs::remove_dir_all(dir)?)
}

/// What it was like for many clients.
struct Paced {
    /// From before each push until each client had it, sorted.
    times: Vec<Duration>,
    /// Processor time of a delivery, the client's share included.
    each: Duration,
}

fn under_way(
    address: SocketAddr,
    clients: usize,
    per_second: u32,
    mut push: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Paced> {
    let every = Duration::from_secs(1) / per_second;
    let count = (PACED_FOR.as_secs() as u32 * per_second) as usize;
    let pushed: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (ready, go) = std::sync::mpsc::channel();
    let readers = {
        let pushed = Arc::clone(&pushed);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(read_all(address, clients, count, &pushed, &ready))
        })
    };
    go.recv().context("the clients could not connect")?;
    thread::sleep(SETTLE);
    let (begun, before) = (Instant::now(), processor_time()?);
    for number in 0..count {
        let due = begun + every * number as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Ok(mut pushed) = pushed.lock() {
            pushed.push(Instant::now());
        }
        push(number)?;
    }
    let read = readers.join().map_err(|_| anyhow::anyhow!("the clients panicked"))?;
    let (mut times, after) = read?;
    times.sort_unstable();
    Ok(Paced { each: (after - before) / times.len() as u32, times })
}

/// How long each message was under way, and the processor time of this process at the end: that of a
/// thread cannot be read any more when it has ended.
async fn read_all(
    address: SocketAddr,
    clients: usize,
    count: usize,
    pushed: &Arc<Mutex<Vec<Instant>>>,
    ready: &std::sync::mpsc::Sender<()>,
) -> anyhow::Result<(Vec<Duration>, Duration)> {
    let mut open = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut stream = connect(address).await?;
        stream.write_all(&request("snapshot=none")).await?;
        open.push(stream);
    }
    ready.send(())?;
    let mut reading = Vec::with_capacity(clients);
    for mut stream in open {
        let pushed = Arc::clone(pushed);
        reading.push(tokio::spawn(async move {
            let (mut times, mut kept, mut piece) = (Vec::new(), Vec::new(), vec![0; 16 * 1024]);
            while times.len() < count {
                let read = stream.read(&mut piece).await?;
                ensure!(read > 0, "a stream ended early");
                let now = Instant::now();
                kept.extend_from_slice(&piece[..read]);
                let mut from = 0;
                while let Some(at) = find(&kept[from..], MARK) {
                    from += at + MARK.len();
                    let sent =
                        pushed.lock().ok().and_then(|pushed| pushed.get(times.len()).copied());
                    times.push(now.duration_since(sent.context("a message nobody has sent")?));
                }
                kept.drain(..from.max(kept.len().saturating_sub(MARK.len() - 1)));
            }
            Ok(times)
        }));
    }
    let mut times = Vec::with_capacity(clients * count);
    for client in reading {
        times.append(&mut client.await??);
    }
    Ok((times, processor_time()?))
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Events to one client, alone and among many that each wait for something else.
fn subjects(dir: &Path, scale: Scale, table: &mut Table) -> anyhow::Result<()> {
    let running = Running::start(dir)?;
    let own = |client: usize| open(running.address, &format!("snapshot=none&subject=own/{client}"));
    let (mut sent, mut floor, mut ours) = (0, Duration::MAX, Duration::MAX);
    let first = own(0)?;
    let drained = discard(first.try_clone()?, &Arc::default());
    // The best of three each, since others use the machine too.
    for _ in 0..3 {
        floor = floor.min(cost(&running.engine, scale.lone, &mut sent)?);
    }
    let others: Vec<_> = (1..scale.idle).map(own).collect::<anyhow::Result<_>>()?;
    thread::sleep(SETTLE);
    for _ in 0..3 {
        ours = ours.min(cost(&running.engine, scale.lone, &mut sent)?);
    }
    let what = format!("an event to one of {} streams, processor time", scale.idle);
    table.row(&what, Figure::Time(ours), Some((Figure::Time(floor), "with that one alone")));
    drop((first, others));
    running.stop()?;
    drop(drained);
    Ok(fs::remove_dir_all(dir)?)
}

/// Processor time of this process for an event, the client that reads it included.
fn cost(engine: &Engine, count: usize, sent: &mut usize) -> anyhow::Result<Duration> {
    let before = processor_time()?;
    let mut tickets = std::collections::VecDeque::with_capacity(IN_FLIGHT);
    for _ in 0..count {
        let mut events = Encoded::default();
        *sent += 1;
        events.push(&Event::new(format!("own-{sent}"), "/bench", "own").with_subject("own/0"));
        if tickets.len() == IN_FLIGHT
            && let Some(ticket) = tickets.pop_front()
        {
            annal_engine::Ticket::wait(ticket)?;
        }
        tickets.push_back(engine.append(Append::of(events))?);
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    thread::sleep(Duration::from_millis(200));
    Ok((processor_time()? - before) / count as u32)
}

/// Of all threads of this process, as the scheduler counts it.
pub(super) fn processor_time() -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let ran: u64 = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        total += Duration::from_nanos(ran);
    }
    ensure!(total > Duration::ZERO, "this system does not tell the time of threads");
    Ok(total)
}

/// Reads a stream to its end and keeps nothing but their number, on a thread that takes no processor
/// from others: what is measured is the server, and its clients are elsewhere.
fn discard(mut stream: Blocking, bytes: &Arc<AtomicU64>) -> thread::JoinHandle<()> {
    let bytes = Arc::clone(bytes);
    thread::spawn(move || {
        if let Err(error) = stand_back(Rank::Last) {
            eprintln!("clients run at the priority of everything else: {error}");
        }
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            bytes.fetch_add(read as u64, Relaxed);
        }
    })
}

/// A long log: how soon a client is back, and what many that catch up cost who writes.
fn behind(dir: &Path, total: usize, table: &mut Table) -> anyhow::Result<()> {
    let running = Running::start(dir)?;
    for first in (0..total).step_by(1_000) {
        running.engine.append(Append::of(events::batch("old", first, 1_000)?))?.wait()?;
    }
    let head = running.engine.head().get();
    for (what, from) in [("the beginning", 0), ("10 events ago", head - 10)] {
        let mut times = Vec::with_capacity(RESUMES);
        for _ in 0..RESUMES {
            let begun = Instant::now();
            open(running.address, &format!("lastEventId={from}"))?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let what = format!("back from {what} of {total}: first bytes, slowest of {RESUMES}");
        table.row(&what, Figure::Time(times[RESUMES - 1]), None);
    }
    let (mut first, mut rounds) = (total, Vec::new());
    for round in 0..ROUNDS {
        let (alone, (beside, read)) = if round % 2 == 0 {
            (written(&running.engine, &mut first)?, written_beside(&running, &mut first)?)
        } else {
            let beside = written_beside(&running, &mut first)?;
            (written(&running.engine, &mut first)?, beside)
        };
        rounds.push((beside / alone, beside, alone, read));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (_, beside, alone, read) = rounds[rounds.len() / 2];
    let what =
        format!("appends beside {BEHIND} readers that begin {total} behind, median of {ROUNDS}");
    table.row(&what, Figure::Rate(beside), Some((Figure::Rate(alone), "without them")));
    table.row("what they read meanwhile, together, a second", Figure::Bytes(read as u64), None);
    running.stop()?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Events and bytes a second, written and read at the same time.
fn written_beside(running: &Running, first: &mut usize) -> anyhow::Result<(f64, f64)> {
    let bytes = Arc::default();
    let open: Vec<_> = (0..BEHIND)
        .map(|_| open(running.address, "lastEventId=0"))
        .collect::<anyhow::Result<_>>()?;
    let readers: Vec<_> = open
        .iter()
        .map(|stream| Ok(discard(stream.try_clone()?, &bytes)))
        .collect::<anyhow::Result<_>>()?;
    let (before, begun) = (bytes.load(Relaxed), Instant::now());
    let written = written(&running.engine, first)?;
    let read = (bytes.load(Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    let reading = readers.iter().filter(|reader| !reader.is_finished()).count();
    ensure!(reading == BEHIND, "only {reading} still read");
    open.iter().try_for_each(|stream| stream.shutdown(Shutdown::Both))?;
    readers.into_iter().for_each(|reader| drop(reader.join()));
    Ok((written, read))
}

/// Single events, as many in flight as a busy server has; how many a second.
fn written(engine: &Engine, first: &mut usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let (mut tickets, before) = (std::collections::VecDeque::with_capacity(IN_FLIGHT), *first);
    while begun.elapsed() < WRITE_FOR {
        if tickets.len() == IN_FLIGHT
            && let Some(ticket) = tickets.pop_front()
        {
            annal_engine::Ticket::wait(ticket)?;
        }
        tickets.push_back(engine.append(Append::of(events::batch("new", *first, 1)?))?);
        *first += 1;
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    Ok((*first - before) as f64 / begun.elapsed().as_secs_f64())
}
