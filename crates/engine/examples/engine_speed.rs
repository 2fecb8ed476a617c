//! How fast the engine appends and reads: `engine_speed DIR [EVENTS]`. DIR is emptied first.

use std::{path::Path, sync::Arc, thread, time::Instant};

use annal_engine::{Append, Engine, EngineOptions, ReadSpec};
use annal_event::{Encoded, Event};

fn event(n: usize) -> (String, String, String) {
    let id = format!("{:016x}{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n);
    let subject = format!("tenant-{}/orders/{}", n % 50, n % 10_000);
    let data = format!(
        "{{\"message\":\"order {n} was placed and waits to be packed\",\"files\":{},\"insertions\":{},\"deletions\":{},\"note\":\"abcdefghijklmnopqrstuvwxyz 0123456789\"}}",
        n % 7,
        n % 131,
        n % 31
    );
    (id, subject, data)
}

fn encode(from: usize, count: usize) -> Encoded {
    let mut events = Encoded::default();
    for n in from..from + count {
        let (id, subject, data) = event(n);
        let event = Event::new(&*id, "https://example.com/shop", "order.placed")
            .with_subject(&*subject)
            .with_time("2026-01-15T10:30:00Z")
            .with_content_type("application/json")
            .with_json(&*data);
        events.push(&event);
    }
    events
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("a directory");
    let total: usize = arguments.next().map_or(1_000_000, |text| text.parse().expect("a number"));
    let _ = std::fs::remove_dir_all(&dir);
    let engine = Engine::open(Path::new(&dir), EngineOptions::default()).expect("opens");
    let batches: Vec<Encoded> = (0..total / 1000).map(|n| encode(n * 1000, 1000)).collect();
    let begun = Instant::now();
    let mut tickets = std::collections::VecDeque::new();
    for events in batches {
        if tickets.len() >= 8 {
            let ticket: annal_engine::Ticket = tickets.pop_front().expect("some");
            ticket.wait().expect("appended");
        }
        let append = Append { events, preconditions: Vec::new() };
        tickets.push_back(engine.append(append).expect("room"));
    }
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().expect("appended")));
    report("batches of 1,000", total, begun);
    threads_cpu();

    let singles = total / 10;
    let engine = Arc::new(engine);
    let begun = Instant::now();
    let threads: Vec<_> = (0..128)
        .map(|thread| {
            let engine = Arc::clone(&engine);
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(move || {
                    for n in 0..singles / 128 {
                        let events = encode(100_000_000 + thread * 1_000_000 + n, 1);
                        let append = Append { events, preconditions: Vec::new() };
                        engine.append(append).expect("room").wait().expect("appended");
                    }
                })
                .expect("thread")
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("fine"));
    report("singles, 128 callers", singles, begun);

    let mut micros: Vec<u128> = (0..2000)
        .map(|n| {
            let events = encode(900_000_000 + n, 1);
            let begun = Instant::now();
            engine
                .append(Append { events, preconditions: Vec::new() })
                .expect("room")
                .wait()
                .expect("ok");
            begun.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    println!("lone append: p50 {} us, p99 {} us", micros[1000], micros[1980]);
    let stats = engine.stats();
    println!(
        "groups {}, events/group {:.1}",
        stats.groups,
        stats.group_events as f64 / stats.groups as f64
    );

    let begun = Instant::now();
    let spec = ReadSpec { limit: usize::MAX - 1, ..ReadSpec::default() };
    let mut cursor = engine.view().cursor(&spec).expect("cursor");
    let (mut events, mut read) = (Vec::new(), 0);
    loop {
        let more = cursor.next(10_000, 1 << 20, &mut events).expect("read");
        read += events.len();
        events.clear();
        if !more {
            break;
        }
    }
    report("replay", read, begun);
    println!("{:?}", engine.view().index().stats());
    println!("{:?}", engine.view().log().stats());
    engine.shutdown();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
    {
        println!("{line}");
    }
    let begun = Instant::now();
    let engine = Engine::open(Path::new(&dir), EngineOptions::default()).expect("opens");
    println!("start: {} ms", begun.elapsed().as_millis());
    engine.shutdown();
}

fn threads_cpu() {
    for task in std::fs::read_dir("/proc/self/task").expect("tasks").flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        println!("  {} user {}0 ms sys {}0 ms", name, fields[11], fields[12]);
    }
}

fn report(what: &str, events: usize, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {events} in {seconds:.2} s, {:.0} events/s", events as f64 / seconds);
}
