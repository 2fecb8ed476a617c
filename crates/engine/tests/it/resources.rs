//! Resources survive restarts, missing files, and deletions by subject.

use annal_engine::{Engine, EngineOptions, Lookup, Past};
use annal_event::{Deletion, Event, Position, ResourceKey, SchemaEvent};

use crate::{append, put};

/// Changes enough for a state in between to be kept.
const CHANGES: u64 = 600;

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

fn past(engine: &Engine, at: u64) -> Past {
    let key = ResourceKey::from_text("issue/1").expect("a key");
    engine.view().resource_at(&key, Position(at)).expect("readable")
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

#[test]
fn damaged_rows_are_folded_again() {
    // INV-4
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    append_all(&engine);
    engine.shutdown();
    let path = dir.path().join("data.redb");
    let whole = std::fs::read(&path).expect("the rows");
    // Whatever is hit: noticed while opening, or when it is read; then the next start mends it.
    for at in (0..whole.len()).step_by(4_096 + 512) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).expect("written");
        let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
        match engine.view().resource("issue/1") {
            Ok(_) => check(&engine),
            Err(_) => {
                let begun = std::time::Instant::now();
                while engine.health().is_ok() {
                    assert!(begun.elapsed().as_secs() < 10, "damage at {at} goes unnoticed");
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                engine.shutdown();
                let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
                check(&engine);
                engine.shutdown();
                continue;
            }
        }
        engine.shutdown();
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
