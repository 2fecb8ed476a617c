//! Resources survive restarts, missing files, and deletions by subject.

use std::path::{Path, PathBuf};

use annal_engine::{Engine, EngineOptions, Lookup, Past, ReadSpec};
use annal_event::{
    ConsumerEvent, ConsumerSpec, Deletion, Event, Format, Interest, Ordering, Pattern, Position,
    Query, ResourceKey, Retry, SchemaEvent, Selector,
};

use crate::{append, put};

/// Changes enough for a state in between to be kept.
const CHANGES: u64 = 600;

/// Consumers enough to fill pages of their own.
const CONSUMERS: usize = 40;

fn commit(n: u64, subject: &str, change: &str) -> Event<'static> {
    Event::new(format!("{subject}-{n}"), "/app", "json.commit")
        .with_subject(subject.to_owned())
        .with_json(format!("{{\"resource_id\":\"1\",{change}}}"))
}

fn text(engine: &Engine, name: &str) -> Option<String> {
    match engine.view().resource(name).expect("readable") {
        Lookup::One(resource) => resource.document.text().map(str::to_owned),
        _ => None,
    }
}

fn issue() -> ResourceKey<'static> {
    ResourceKey::from_text("issue/1").expect("a key")
}

fn past(engine: &Engine, at: u64) -> Past {
    engine.view().resource_at(&issue(), Position(at)).expect("readable")
}

fn append_all(engine: &Engine) {
    let mut events = vec![commit(0, "issue/1", "\"resource_data\":{\"kept\":true}")];
    events.extend(
        (1..CHANGES).map(|n| commit(n, "issue/1", &format!("\"patch\":{{\"n\":{n},\"m{n}\":0}}"))),
    );
    put(engine, &events);
    put(engine, &[commit(0, "note/1", "\"resource_data\":[1]")]);
    put(engine, &[commit(1, "note/1", "\"deleted\":true")]);
    let schema =
        SchemaEvent::Put { name: "User".into(), schema: r#"{"x-unique":["mail"]}"#.into() };
    put(engine, &[schema.to_event("s".to_owned())]);
    put(engine, &[commit(0, "user/1", "\"resource_data\":{\"mail\":\"a\"}")]);
}

fn check(engine: &Engine) {
    let document = text(engine, "issue/1").expect("a document");
    assert!(document.starts_with("{\"kept\":true,\"n\":599,"), "{document}");
    assert_eq!(text(engine, "note/1"), None);
    for at in [1, 2, 255, 256, 257, 300, 512, 513, 599, 600] {
        let Past::Document { revision, text, .. } = past(engine, at) else { panic!("at {at}") };
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let n = document.get("n").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let members = document.as_object().map_or(0, serde_json::Map::len) as u64;
        assert_eq!((revision.0, n), (at, at - 1));
        assert_eq!(members, if at == 1 { 1 } else { at + 1 });
    }
    assert_eq!(past(engine, 0), Past::Unmade);
    assert!(engine.view().resources().schema("user", engine.head()).is_some());
    let other = Event::new("other", "/app", "json.commit")
        .with_subject("user/2")
        .with_json("{\"resource_id\":\"2\",\"resource_data\":{\"mail\":\"a\"}}");
    let refused = engine.append(append(&[other], vec![])).expect("room").wait();
    assert!(refused.is_err(), "the value is still taken");
}

#[test]
fn resources_come_back_whatever_is_missing() {
    // INV-4
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    append_all(&engine);
    check(&engine);
    engine.shutdown();
    for missing in [&[][..], &["data.redb"], &["index"], &["data.redb", "index"]] {
        for name in missing {
            let path = dir.path().join(name);
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
            removed.expect("removed");
        }
        let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
        check(&engine);
        engine.shutdown();
    }
}

/// Flips a bit in every page of a file. Whatever is hit: noticed while opening, or when it is read; then
/// the next start mends it.
fn damage_each_page(dir: &Path, path: &Path, options: &EngineOptions) {
    let index = std::fs::read_dir(dir.join("index")).expect("the index");
    let paths = index.map(|entry| entry.expect("listed").path()).chain([dir.join("data.redb")]);
    let whole: Vec<(PathBuf, Vec<u8>)> = paths
        .map(|path| std::fs::read(&path).map(|bytes| (path, bytes)))
        .collect::<Result<_, _>>()
        .expect("readable");
    let open = || Engine::open(dir, options.clone()).expect("opens");
    let size = std::fs::metadata(path).expect("the file").len() as usize;
    for at in (100..size).step_by(4_096) {
        std::fs::remove_dir_all(dir.join("index")).expect("removed");
        std::fs::create_dir(dir.join("index")).expect("made");
        for (other, bytes) in &whole {
            let mut bytes = bytes.clone();
            if other == path {
                bytes[at] ^= 0x10;
            }
            std::fs::write(other, bytes).expect("written");
        }
        let engine = open();
        let read = || {
            engine.view().resource("issue/1")?;
            engine.view().resource_at(&issue(), Position(300))?;
            engine.view().consumers().list(engine.head(), 1_000)?;
            engine.view().read(&ReadSpec { limit: 1_000, ..of_subject("issue/1") }).map(drop)
        };
        match read() {
            Ok(()) => check(&engine),
            Err(error) => {
                assert!(error.is_mended_by_restart(), "{error}");
                let begun = std::time::Instant::now();
                while engine.health().is_ok() {
                    assert!(begun.elapsed().as_secs() < 10, "damage at {at} goes unnoticed");
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                engine.shutdown();
                let engine = open();
                read_all(&engine);
                engine.shutdown();
                continue;
            }
        }
        read_all(&engine);
        engine.shutdown();
    }
}

fn of_subject(subject: &str) -> ReadSpec {
    let subjects = vec![Pattern::subject(subject)];
    let interest = Interest::of(Query::one(Selector { subjects, ..Selector::default() }));
    ReadSpec { interest, ..ReadSpec::default() }
}

fn read_all(engine: &Engine) {
    check(engine);
    let spec = ReadSpec { limit: 1_000, ..of_subject("issue/1") };
    assert_eq!(engine.view().read(&spec).expect("readable").events.len() as u64, CHANGES);
    let consumers = engine.view().consumers().list(engine.head(), 1_000).expect("readable");
    assert_eq!(consumers.len(), CONSUMERS);
}

#[test]
fn what_is_damaged_is_folded_again() {
    // INV-4
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = EngineOptions::default();
    options.index.table_events = 512;
    let engine = Engine::open(dir.path(), options.clone()).expect("opens");
    append_all(&engine);
    let spec = |number: usize| ConsumerSpec {
        id: format!("c{number}"),
        callback: format!("https://example.com/{}", "x".repeat(1_000)),
        durable: true,
        topics: Vec::new(),
        filter: None,
        from: Position::ZERO,
        format: Format::Batch,
        batch_size: 1,
        ordering: Ordering::Subject,
        retry: Retry::default(),
        headers: Vec::new(),
    };
    for number in 0..CONSUMERS {
        let about = ConsumerEvent::Registered(Box::new(spec(number)));
        put(&engine, &[about.to_event(format!("c{number}"))]);
    }
    read_all(&engine);
    let begun = std::time::Instant::now();
    while engine.view().index().stats().runs == 0 {
        assert!(begun.elapsed().as_secs() < 10, "no run is written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    engine.shutdown();
    damage_each_page(dir.path(), &dir.path().join("data.redb"), &options);
    let runs = std::fs::read_dir(dir.path().join("index")).expect("the index");
    let runs: Vec<_> = runs.map(|entry| entry.expect("listed").path()).collect();
    assert!(runs.len() > 1, "a manifest and runs: {runs:?}");
    for run in runs {
        damage_each_page(dir.path(), &run, &options);
    }
}

#[test]
fn a_resource_loses_the_commits_that_are_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    let on = |n: u64, subject: &str, change: &str| {
        let mut event = commit(n, subject, change);
        event.ty = "json.commit".into();
        event
    };
    put(&engine, &[on(0, "issue/a", "\"resource_data\":{\"a\":1}")]);
    put(&engine, &[on(1, "issue/b", "\"patch\":{\"b\":2}")]);
    put(&engine, &[on(2, "issue/a/x", "\"patch\":{\"a\":3}")]);
    assert_eq!(text(&engine, "issue/1").as_deref(), Some("{\"a\":3,\"b\":2}"));
    let deletion = Deletion {
        subject: "issue/a/x".to_owned(),
        recursive: false,
        ty: None,
        from: Position::ZERO,
    };
    put(&engine, &[deletion.to_event("d1".to_owned())]);
    assert_eq!(text(&engine, "issue/1").as_deref(), Some("{\"a\":1,\"b\":2}"));
    let whole = Deletion { subject: "issue".to_owned(), recursive: true, ..deletion };
    put(&engine, &[whole.to_event("d2".to_owned())]);
    for _ in 0..2 {
        assert!(matches!(engine.view().resource("issue/1"), Ok(Lookup::Nothing)));
        engine.shutdown();
        let _ = std::fs::remove_file(dir.path().join("data.redb"));
        engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    }
    engine.shutdown();
}

#[test]
fn what_was_deleted_stays_deleted_when_rows_are_folded_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    let gone: Vec<String> = (0..9).map(|n| format!("person/{n}")).collect();
    for (n, subject) in gone.iter().enumerate() {
        let data = format!("{{\"resource_id\":\"{n}\",\"resource_data\":{{\"ssn\":123}}}}");
        let event = Event::new(format!("p{n}"), "/app", "json.commit")
            .with_subject(subject.clone())
            .with_json(data);
        put(&engine, &[event]);
        let deletion =
            Deletion { subject: subject.clone(), recursive: false, ty: None, from: Position::ZERO };
        put(&engine, &[deletion.to_event(format!("d{n}"))]);
    }
    for missing in [None, Some("data.redb"), None] {
        for subject in &gone {
            assert!(matches!(engine.view().resource(subject), Ok(Lookup::Nothing)), "{subject}");
        }
        engine.shutdown();
        if let Some(missing) = missing {
            std::fs::remove_file(dir.path().join(missing)).expect("removed");
        }
        engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    }
    engine.shutdown();
}
