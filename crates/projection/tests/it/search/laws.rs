//! The laws of every projection, held by answers: the same log answers alike, however it was cut
//! into batches and commits and wherever it was resumed.

use std::collections::BTreeMap;

use annal_event::Position;
use annal_projection::search::{
    Change, Facet, FacetCount, Interval, Key, Scope, Search, SearchQuery, Sort,
};

use super::world::{Doc, World, name, open};
use crate::world::Dice;

/// A step of the log: a document put, or a key removed, at its position.
#[derive(Clone, Debug)]
enum Step {
    Put(Doc),
    Remove(String, Position),
}

impl Step {
    fn change(&self) -> Change<'_> {
        match self {
            Step::Put(doc) => doc.put(),
            Step::Remove(key, _) => Change::Remove(Key::Resource(key.as_str().into())),
        }
    }

    fn position(&self) -> Position {
        match self {
            Step::Put(doc) => doc.position,
            Step::Remove(_, position) => *position,
        }
    }
}

fn log(dice: &mut Dice, steps: u64) -> Vec<Step> {
    let words = ["red", "green", "blue", "dark", "light", "pale"];
    let mut log = Vec::new();
    for position in 1..=steps {
        let some: Vec<&str> =
            (0..1 + dice.below(5)).map(|_| words[dice.below(6) as usize]).collect();
        let content = format!(r#"{{"t":"{}","n":{}}}"#, some.join(" "), dice.below(20));
        let key = format!("n/{}", dice.below(60));
        let mut doc = match dice.below(10) {
            0 => {
                log.push(Step::Remove(key, Position(position)));
                continue;
            }
            1..=5 => Doc::resource(&key, position, &content),
            _ => Doc::event(position, "made", &key, &content),
        };
        doc.time.0 = (dice.below(1_000) * 86_400_000_000) as i64;
        log.push(Step::Put(doc));
    }
    log
}

fn apply(search: &Search, steps: &[Step]) {
    let Some(last) = steps.last() else { return };
    search.apply(steps.iter().map(Step::change), last.position()).expect("applied");
}

type Answers = Vec<(u64, Vec<String>, Vec<(String, Vec<FacetCount>)>, Vec<(i64, u64)>)>;

/// Everything that follows from the documents alone.
fn answers(search: &Search) -> Answers {
    let texts = ["*", "red", "\"red green\"", "t:(dark AND pale)", "NOT blue", "n:[5 TO 9]", "li*"];
    let mut answers = Vec::new();
    for text in texts {
        for sort in ["_position", "-n", "t", "-_time"] {
            let query = SearchQuery {
                scope: Scope::All,
                sort: Sort::parse(sort),
                limit: 1_000,
                facets: &["t", "n", "subject"],
                facet_values: 7,
                histogram: Some(Interval::Month),
                ..SearchQuery::new(text)
            };
            let found = search.query(&query).expect("an answer");
            let facet =
                |facet: Facet| (format!("{} {}", facet.path, facet.other_count), facet.values);
            answers.push((
                found.count,
                found.hits.iter().map(|hit| name(&hit.key)).collect(),
                found.facets.into_iter().map(facet).collect(),
                found.histogram.iter().map(|bucket| (bucket.start.0, bucket.count)).collect(),
            ));
        }
    }
    answers
}

fn rebuilt(log: &[Step]) -> Answers {
    let world = World::of(&[]);
    apply(&world.search, log);
    world.search.commit().expect("committed");
    answers(&world.search)
}

#[test]
fn rebuild_equals_incremental() {
    let log = log(&mut Dice(1), 600);
    let world = World::of(&[]);
    for step in log.chunks(7) {
        apply(&world.search, step);
        world.search.commit().expect("committed");
    }
    assert_eq!(answers(&world.search), rebuilt(&log));
    // What is left when only the last change of each key is applied, as a rebuild may.
    let mut last: BTreeMap<Key<'static>, Step> = BTreeMap::new();
    for step in &log {
        match step {
            Step::Put(doc) => last.insert(doc.key.clone(), step.clone()),
            Step::Remove(key, _) => last.remove(&Key::Resource(key.clone().into())),
        };
    }
    let mut coalesced: Vec<Step> = last.into_values().collect();
    coalesced.sort_by_key(Step::position);
    assert_eq!(rebuilt(&coalesced), rebuilt(&log));
}

#[test]
fn resumes_at_any_cut() {
    let log = log(&mut Dice(2), 120);
    let whole = rebuilt(&log);
    for cut in (0..=log.len()).step_by(13) {
        let dir = tempfile::tempdir().expect("a directory");
        let search = open(&dir);
        apply(&search, &log[..cut]);
        search.commit().expect("committed");
        let folded = search.folded();
        assert_eq!(folded, Position(cut as u64));
        // What was applied and not committed is not there after a restart.
        apply(&search, &log[cut..(cut + 20).min(log.len())]);
        drop(search);
        let search = open(&dir);
        assert_eq!(search.folded(), folded);
        assert_eq!(search.applied(), folded);
        assert!(search.highest().expect("the highest") <= folded);
        apply(&search, &log[cut..]);
        search.commit().expect("committed");
        assert_eq!(answers(&search), whole, "resumed after {cut}");
    }
}

#[test]
fn batch_size_does_not_matter() {
    let log = log(&mut Dice(3), 400);
    let whole = rebuilt(&log);
    for (batch, commit) in [(1, 50), (3, 1), (200, 1)] {
        let world = World::of(&[]);
        for (index, steps) in log.chunks(batch).enumerate() {
            apply(&world.search, steps);
            if index % commit == 0 {
                world.search.commit().expect("committed");
            }
        }
        world.search.commit().expect("committed");
        assert_eq!(answers(&world.search), whole, "batches of {batch}");
    }
}

#[test]
fn applying_again_changes_nothing() {
    let log = log(&mut Dice(4), 200);
    let world = World::of(&[]);
    apply(&world.search, &log);
    world.search.commit().expect("committed");
    let once = answers(&world.search);
    apply(&world.search, &log[150..]);
    apply(&world.search, &log[150..]);
    world.search.commit().expect("committed");
    assert_eq!(answers(&world.search), once);
}

/// Without deletions scores are alike too, so the best come in the same order.
#[test]
fn the_order_of_the_best_does_not_depend_on_commits() {
    let mut dice = Dice(5);
    let log: Vec<Step> = log(&mut dice, 600)
        .into_iter()
        .filter(|step| matches!(step, Step::Put(doc) if matches!(doc.key, Key::Event(_))))
        .collect();
    let best = |search: &Search, text: &str, limit: usize| -> Vec<String> {
        let query = SearchQuery { scope: Scope::Events, limit, ..SearchQuery::new(text) };
        search.query(&query).expect("an answer").hits.iter().map(|hit| name(&hit.key)).collect()
    };
    let at_once = World::of(&[]);
    apply(&at_once.search, &log);
    at_once.search.commit().expect("committed");
    let in_steps = World::of(&[]);
    for steps in log.chunks(11) {
        apply(&in_steps.search, steps);
        in_steps.search.commit().expect("committed");
    }
    assert!(in_steps.search.stats().segments < 20, "segments are merged");
    for text in
        ["red", "red green", "dark AND pale", "\"red green\" OR blue", "t:light", "pale -red"]
    {
        for limit in [3, 1_000] {
            let (one, many) =
                (best(&at_once.search, text, limit), best(&in_steps.search, text, limit));
            assert_eq!(one, many, "{text}");
            assert!(one.len() >= 3, "{text}");
        }
    }
}
