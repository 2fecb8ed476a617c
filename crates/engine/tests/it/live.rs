//! What live clients lean on: all resources as of a position, and registers.

use annal_engine::{Append, Engine, EngineOptions};
use annal_event::{Encoded, Event, Position, ResourceKey};
use std::collections::BTreeMap;

fn commit(engine: &Engine, number: usize, id: &str, data: &str) {
    let mut events = Encoded::default();
    events.push(
        &Event::new(format!("c-{number}"), "/app", "json.commit")
            .with_subject(format!("issue/{id}"))
            .with_json(format!("{{\"resource_id\":\"{id}\",{data}}}")),
    );
    engine.append(Append::of(events)).expect("room").wait().expect("appended");
}

/// All resources as of a position, in parts of two.
fn all_at(engine: &Engine, at: Position) -> BTreeMap<String, (u64, String)> {
    let (mut all, mut after): (BTreeMap<_, _>, Option<ResourceKey<'static>>) = Default::default();
    loop {
        let part = engine.view().resources_at(at, after.as_ref(), 2, 1 << 20).expect("read");
        for resource in part.resources {
            let value = (resource.revision.get(), resource.text);
            assert!(all.insert(resource.key.to_string(), value).is_none(), "each once");
        }
        after = part.next;
        if after.is_none() {
            return all;
        }
    }
}

#[test]
fn all_resources_as_they_were_at_any_position() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    let mut now: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut then = vec![now.clone()];
    for number in 1..=60usize {
        let id = (number * 7 % 5).to_string();
        let key = format!("issue/{id}");
        if number % 4 == 3 && now.contains_key(&key) {
            commit(&engine, number, &id, "\"deleted\":true");
            now.remove(&key);
        } else {
            commit(&engine, number, &id, &format!("\"resource_data\":{{\"n\":{number}}}"));
            now.insert(key, (number as u64, format!("{{\"n\":{number}}}")));
        }
        then.push(now.clone());
    }
    assert!(then.iter().any(|then| then.len() > now.len()), "some are deleted at the end");
    for (at, expected) in then.iter().enumerate() {
        assert_eq!(&all_at(&engine, Position(at as u64)), expected, "as of {at}");
    }
    engine.shutdown();
}

#[test]
fn registers_outlive_the_engine() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Engine::open(dir.path(), EngineOptions::default()).expect("opens");
    let engine = open();
    engine.registers().raise("client/ann", &[7]).expect("room");
    engine.shutdown();
    let late = engine.registers().raise("client/ann", &[9]);
    assert!(late.is_err(), "the directory may be somebody else's by now");
    drop(engine);
    let engine = open();
    assert_eq!(engine.registers().get("client/ann").as_deref(), Some(&[7][..]));
    engine.shutdown();
}
