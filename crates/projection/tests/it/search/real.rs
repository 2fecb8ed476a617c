//! Real documents and events: counts must be what a plain look at the data says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use annal_event::{Position, Timestamp};
use annal_projection::search::{FacetValue, Interval, Scope, SearchQuery};
use serde_json::Value;

use super::world::{Doc, World, name};

/// Where shared data lies, if it is there. In continuous integration it must be.
fn shared(name: &str) -> Option<Vec<Value>> {
    let dir = std::env::var_os("ANNAL_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let path = dir.join("data").join(name);
    if !path.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", path.display());
        println!("skipped: {} is missing", path.display());
        return None;
    }
    let file = std::fs::File::open(path).expect("the file");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("its text");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

fn time(event: &Value) -> Timestamp {
    event["time"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What the commits add up to, and how to put it into the index one commit at a time.
fn advisories(events: &[Value]) -> (World, BTreeMap<String, Value>) {
    let world = World::of(&[]);
    let mut state: BTreeMap<String, Value> = BTreeMap::new();
    for (chunk, first) in events.chunks(100).zip((0..).step_by(100)) {
        let mut changed: BTreeMap<String, Doc> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for (event, position) in chunk.iter().zip(first + 1..) {
            let data = &event["data"];
            let key = format!("advisory/{}", data["resource_id"].as_str().expect("an id"));
            if data["deleted"] == Value::Bool(true) {
                state.remove(&key);
                changed.remove(&key);
                gone.insert(key);
                continue;
            }
            let document = state.entry(key.clone()).or_default();
            if !data["resource_data"].is_null() {
                *document = data["resource_data"].clone();
            }
            if !data["patch"].is_null() {
                merge(document, &data["patch"]);
            }
            let mut doc = Doc::resource(&key, position, &document.to_string());
            doc.time = time(event);
            gone.remove(&key);
            changed.insert(key, doc);
        }
        let removed = gone.iter().map(|key| {
            annal_projection::search::Change::Remove(annal_projection::search::Key::Resource(
                key.as_str().into(),
            ))
        });
        let changes: Vec<_> = removed.chain(changed.values().map(Doc::put)).collect();
        world.search.apply(changes, Position(first + chunk.len() as u64)).expect("applied");
        world.search.commit().expect("committed");
    }
    (world, state)
}

fn tokens(text: &str) -> Vec<String> {
    let split = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    split.map(str::to_lowercase).collect()
}

fn any_string(value: &Value, holds: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text),
        Value::Array(elements) => elements.iter().any(|value| any_string(value, holds)),
        Value::Object(members) => members.values().any(|value| any_string(value, holds)),
        _ => false,
    }
}

/// Whether words follow each other in any string.
fn says(value: &Value, phrase: &str) -> bool {
    let words = tokens(phrase);
    any_string(value, &|text| tokens(text).windows(words.len()).any(|window| window == words))
}

#[test]
fn advisories_are_found_as_a_plain_look_finds_them() {
    let Some(events) = shared("advisories.ndjson.gz") else { return };
    let (world, state) = advisories(&events);
    assert!(state.len() > 500, "{} advisories", state.len());
    assert_eq!(world.search.stats().documents, state.len() as u64);
    let check = |text: &str, holds: &dyn Fn(&Value) -> bool| {
        let expected: BTreeSet<&String> =
            state.iter().filter(|(_, document)| holds(document)).map(|(key, _)| key).collect();
        let found = world.keys(text, Scope::Resources);
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected, "{text}");
        expected.len()
    };
    let mut hits = 0;
    // Every word of some titles.
    for document in state.values().step_by(40) {
        for word in tokens(document["title"].as_str().unwrap_or_default()) {
            hits += check(&word, &|document| says(document, &word));
            hits += check(&format!("title:{word}"), &|document| says(&document["title"], &word));
        }
    }
    assert!(hits > 5_000, "{hits}");
    for phrase in ["use after free", "memory corruption", "out of bounds", "data race"] {
        let hits = check(&format!("\"{phrase}\""), &|document| says(document, phrase));
        assert!(hits > 10, "{phrase}: {hits}");
        check(&format!("title:\"{phrase}\""), &|document| says(&document["title"], phrase));
        check(&format!("description:\"{phrase}\""), &|document| {
            says(&document["description"], phrase)
        });
    }
    let package = |document: &Value, name: &str| says(&document["package"], name);
    let category = |document: &Value| says(&document["categories"], "memory-corruption");
    assert!(check("package:tokio", &|document| package(document, "tokio")) > 3);
    assert!(check("categories:memory-corruption", &category) > 100);
    check("categories:memory-corruption AND package:tokio", &|document| {
        category(document) && package(document, "tokio")
    });
    check("overflow AND NOT categories:memory-corruption", &|document| {
        says(document, "overflow") && !category(document)
    });
    check("(double OR uninitialized) AND drop", &|document| {
        (says(document, "double") || says(document, "uninitialized")) && says(document, "drop")
    });
    let date = |document: &Value| document["date"].as_str().unwrap_or_default().to_owned();
    let year =
        check("date:[2021-01-01 TO 2021-12-31]", &|document| date(document).starts_with("2021-"));
    assert!(year > 50, "{year} in 2021");
    check("date:<2019", &|document| !date(document).is_empty() && date(document).as_str() < "2019");
    // Long ones are cut where they are counted, see `FacetValue::Text`.
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for document in state.values() {
        let categories: BTreeSet<&str> = document["categories"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        categories
            .into_iter()
            .for_each(|category| *counts.entry(category.into()).or_default() += 1);
    }
    let facets = ["categories"];
    let query = SearchQuery { facets: &facets, facet_values: 100, ..SearchQuery::new("*") };
    let counted: BTreeMap<String, u64> = world.ask(&query).facets[0]
        .values
        .iter()
        .map(|one| match &one.value {
            FacetValue::Text(text) => (text.clone(), one.count),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counted, counts);
}

#[test]
fn commits_are_found_as_a_plain_look_finds_them() {
    let Some(events) = shared("commits.ndjson.gz") else { return };
    let docs: Vec<Doc> = (1..)
        .zip(&events)
        .map(|(position, event)| {
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            let content = event["data"].to_string();
            let mut doc = Doc::event(position, text("type"), text("subject"), &content);
            doc.source = Some(text("source").to_owned());
            doc.time = time(event);
            doc
        })
        .collect();
    let world = World::of(&[]);
    for docs in docs.chunks(5_000) {
        world.put(docs);
    }
    let check = |text: &str, holds: &dyn Fn(&Value) -> bool| {
        let expected = events.iter().filter(|event| holds(event)).count();
        let query = SearchQuery { scope: Scope::Events, limit: 3, ..SearchQuery::new(text) };
        let found = world.ask(&query);
        assert_eq!(found.count, expected as u64, "{text}");
        for hit in &found.hits {
            let event = &events[hit.position.get() as usize - 1];
            assert!(holds(event), "{text}: {}", name(&hit.key));
        }
        expected
    };
    for word in ["gofmt", "fix", "jetstream", "clippy", "merge", "the"] {
        assert!(check(word, &|event| says(&event["data"], word)) > 0, "{word}");
    }
    assert!(check("\"race condition\"", &|event| says(&event["data"], "race condition")) > 3);
    check("message:\"pull request\" AND NOT files:[1 TO 2]", &|event| {
        let files = event["data"]["files"].as_u64();
        says(&event["data"]["message"], "pull request")
            && !files.is_some_and(|files| (1..=2).contains(&files))
    });
    check("insertions:>1000 AND deletions:0", &|event| {
        event["data"]["insertions"].as_u64() > Some(1_000)
            && event["data"]["deletions"].as_u64() == Some(0)
    });
    check("subject:tokio-rs/axum/*", &|event| {
        event["subject"].as_str().is_some_and(|subject| subject.starts_with("tokio-rs/axum/"))
    });
    let facets = ["source"];
    let found = world.ask(&SearchQuery {
        scope: Scope::Events,
        facets: &facets,
        histogram: Some(Interval::Year),
        ..SearchQuery::new("*")
    });
    let sources: BTreeSet<&str> =
        events.iter().filter_map(|event| event["source"].as_str()).collect();
    assert_eq!(found.facets[0].values.len(), sources.len());
    assert_eq!(found.facets[0].values.iter().map(|one| one.count).sum::<u64>(), found.count);
    assert_eq!(found.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), found.count);
    assert_eq!(found.count, events.len() as u64);
    let years =
        found.histogram.iter().filter(|bucket| bucket.start.to_string().starts_with("2020-01-01"));
    let expected =
        events.iter().filter(|event| time(event).to_string().starts_with("2020-")).count();
    assert_eq!(years.map(|bucket| bucket.count).sum::<u64>(), expected as u64);
}
