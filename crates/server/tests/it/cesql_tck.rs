//! The test kit of CESQL as `filter=` over live streams.

use std::fs;

use crate::{
    cesql_cases::{Case, cases},
    fixture::Served,
    shared::vectors,
    sse::EventSource,
};

/// A server whose log holds the events of cases that do not stand in each other's way: two with the
/// same identity and other content cannot be in one log.
struct World {
    served: Served,
    events: Vec<String>,
}

impl World {
    /// The position of an event; `None` if the log has another of that identity.
    fn place(&mut self, event: &str) -> Option<u64> {
        let request =
            format!("POST /events\ncontent-type: application/cloudevents+json\n\n{event}");
        let answer = self.served.send(&request);
        // Also one that differs in its time alone, which is no other identity.
        let known = self.events.iter().any(|have| have == event);
        if answer.status == 409 || answer.status == 200 && !known {
            return None;
        }
        self.events.push(event.to_owned());
        let position = answer.json()["position"].as_str().and_then(|text| text.parse().ok());
        Some(position.unwrap_or_else(|| panic!("{event}: {}", answer.text())))
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What comes first after the cursor before the event: the event, or the one at the end of the log,
/// which passes another filter.
fn check(world: &World, case: &Case, position: u64) -> Result<(), String> {
    let filter = encoded(&case.expression);
    if case.error.as_deref() == Some("parse") {
        let refused = world.served.send(&format!("GET /events/stream?filter={filter}"));
        let code = if refused.status == 400 { refused.code() } else { String::new() };
        return if code == "invalid-filter" { Ok(()) } else { Err(refused.text()) };
    }
    let last = encoded("type = 'the-last-one'");
    let before = position - 1;
    let path = format!("/events/stream?from={before}&filter={filter}&filter={last}");
    let first = EventSource::open(&world.served, &path, "").message();
    assert_eq!(first.name, "delta");
    let passed = first.id == position.to_string();
    if passed == case.passes() { Ok(()) } else { Err(format!("first came {}", first.id)) }
}

#[test]
fn every_case() {
    let Some(directory) = vectors("cesql_tck") else { return };
    let (mut worlds, mut placed): (Vec<World>, Vec<(Case, usize, u64)>) = Default::default();
    for entry in fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for case in cases(&fs::read_to_string(&path).expect("a file")) {
            let event = case.event_json();
            let found = worlds.iter_mut().enumerate();
            let found = found.filter_map(|(at, world)| Some((at, world.place(&event)?))).next();
            let (world, position) = found.unwrap_or_else(|| {
                let mut world = World { served: Served::new(), events: Vec::new() };
                let position = world.place(&event).expect("an empty log has room");
                worlds.push(world);
                (worlds.len() - 1, position)
            });
            placed.push((case, world, position));
        }
    }
    let last =
        "{\"specversion\":\"1.0\",\"id\":\"last\",\"source\":\"/last\",\"type\":\"the-last-one\"}";
    for world in &mut worlds {
        world.place(last).expect("no case has such an event");
    }
    let mut failed = Vec::new();
    for (case, world, position) in &placed {
        if let Err(why) = check(&worlds[*world], case, *position) {
            failed.push(format!("{}: {}: {why}", case.name, case.expression));
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(placed.len(), 275);
    let passing = placed.iter().filter(|(case, ..)| case.passes()).count();
    assert!(passing > 50, "only {passing} pass: is anything matched at all?");
}
