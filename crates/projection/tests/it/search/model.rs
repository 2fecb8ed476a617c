//! Random documents and questions against a model that looks at every document.

use std::collections::{BTreeMap, BTreeSet};

use annal_projection::search::{FacetValue, Interval, Operator, Scope, SearchQuery, Sort};
use serde_json::{Value, json};

use super::world::{Doc, World, name};
use crate::world::Dice;

const WORDS: [&str; 12] = [
    "apple", "Berry", "cherry", "date", "elder", "fig", "grape", "honey", "iris", "jam", "kiwi",
    "lime",
];
const STATES: [&str; 4] = ["open", "in-progress", "closed", "on hold"];
const PATHS: [&str; 4] = ["title", "state", "meta.note", "tags"];

fn words(dice: &mut Dice, most: u64) -> String {
    let some: Vec<&str> =
        (0..1 + dice.below(most)).map(|_| WORDS[dice.below(12) as usize]).collect();
    some.join([" ", "-", ", "][dice.below(3) as usize])
}

fn document(dice: &mut Dice) -> Value {
    let mut document = json!({
        "title": words(dice, 6),
        "state": STATES[dice.below(4) as usize],
        "n": dice.below(8),
    });
    if dice.chance(50) {
        document["meta"] = json!({ "note": words(dice, 12), "ok": dice.chance(50) });
    }
    if dice.chance(60) {
        let tags: Vec<String> = (0..dice.below(4)).map(|_| words(dice, 2)).collect();
        document["tags"] = json!(tags);
    }
    if dice.chance(30) {
        document["n"] = json!(dice.below(8) as f64 + 0.5);
    }
    document
}

/// What is looked for, evaluated document by document.
#[derive(Clone, Debug)]
enum Model {
    Phrase(Option<&'static str>, Vec<String>),
    Number(f64, f64),
    Not(Box<Model>),
    All(Vec<Model>),
    Any(Vec<Model>),
}

fn tokens(text: &str) -> Vec<String> {
    let split = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    split.map(str::to_lowercase).collect()
}

/// All strings of a document with their paths.
fn strings<'v>(value: &'v Value, path: &str, found: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text)),
        Value::Array(elements) => elements.iter().for_each(|value| strings(value, path, found)),
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                strings(value, &path, found);
            }
        }
        _ => {}
    }
}

impl Model {
    fn holds(&self, document: &Value) -> bool {
        match self {
            Model::Phrase(path, words) => {
                let mut all = Vec::new();
                strings(document, "", &mut all);
                all.iter().filter(|(at, _)| path.is_none_or(|path| path == at)).any(|(_, text)| {
                    tokens(text).windows(words.len()).any(|window| window == words.as_slice())
                })
            }
            Model::Number(from, to) => {
                document["n"].as_f64().is_some_and(|n| *from <= n && n <= *to)
            }
            Model::Not(model) => !model.holds(document),
            Model::All(models) => models.iter().all(|model| model.holds(document)),
            Model::Any(models) => models.iter().any(|model| model.holds(document)),
        }
    }
}

/// A question as text and as a model.
fn question(dice: &mut Dice, depth: u64) -> (String, Model) {
    if depth == 0 || dice.chance(35) {
        return leaf(dice);
    }
    let members: Vec<(String, Model)> =
        (0..2 + dice.below(2)).map(|_| question(dice, depth - 1)).collect();
    let (texts, models): (Vec<String>, Vec<Model>) = members.into_iter().unzip();
    match dice.below(4) {
        0 => (format!("({})", texts.join(" AND ")), Model::All(models)),
        1 => (format!("({})", texts.join(" OR ")), Model::Any(models)),
        2 => (format!("({})", texts.join("  ")), side_by_side(models)),
        _ => {
            let model = models.into_iter().next().expect("one of two");
            (format!("(NOT {})", texts[0]), Model::Not(Box::new(model)))
        }
    }
}

/// Any of them; what is negated takes away.
fn side_by_side(models: Vec<Model>) -> Model {
    let (mut without, any): (Vec<Model>, Vec<Model>) =
        models.into_iter().partition(|model| matches!(model, Model::Not(_)));
    if !any.is_empty() {
        without.push(Model::Any(any));
    }
    Model::All(without)
}

fn leaf(dice: &mut Dice) -> (String, Model) {
    let path = dice.chance(50).then(|| PATHS[dice.below(4) as usize]);
    let field = path.map(|path| format!("{path}:")).unwrap_or_default();
    match dice.below(5) {
        0 => {
            let (from, more) = (dice.below(8), dice.below(4));
            let text = format!("n:[{from} TO {}]", from + more);
            (text, Model::Number(from as f64, (from + more) as f64))
        }
        1 => {
            let state = STATES[dice.below(4) as usize];
            (format!("state:\"{state}\""), Model::Phrase(Some("state"), tokens(state)))
        }
        2 => {
            let phrase = words(dice, 3);
            (format!("{field}\"{phrase}\""), Model::Phrase(path, tokens(&phrase)))
        }
        _ => {
            let word = WORDS[dice.below(12) as usize];
            (format!("{field}{word}"), Model::Phrase(path, tokens(word)))
        }
    }
}

/// The documents as they should be, by key.
type Stored = BTreeMap<String, (Doc, Value)>;

fn put(dice: &mut Dice, world: &World, stored: &mut Stored, position: &mut u64) {
    let mut docs = Vec::new();
    let mut removed = Vec::new();
    for _ in 0..1 + dice.below(40) {
        *position += 1;
        let key = format!("n/{}", dice.below(400));
        if dice.chance(15) {
            removed.push(key);
            continue;
        }
        let document = document(dice);
        let mut doc = Doc::resource(&key, *position, &document.to_string());
        doc.time.0 = (dice.below(40) * 15 * 86_400 * 1_000_000) as i64;
        if !removed.contains(&key) {
            stored.insert(key, (doc.clone(), document));
            docs.push(doc);
        }
    }
    let removals = removed.iter().map(|key| {
        annal_projection::search::Change::Remove(annal_projection::search::Key::Resource(
            key.as_str().into(),
        ))
    });
    let changes: Vec<_> = docs.iter().map(Doc::put).chain(removals).collect();
    world.search.apply(changes, annal_event::Position(*position)).expect("applied");
    for key in &removed {
        stored.remove(key);
    }
    if dice.chance(60) {
        world.search.commit().expect("committed");
    }
}

fn compare(dice: &mut Dice, world: &World, stored: &Stored) {
    let depth = dice.below(4);
    let (text, model) = question(dice, depth);
    let mut expected: Vec<&(Doc, Value)> =
        stored.values().filter(|(_, document)| model.holds(document)).collect();
    let names: BTreeSet<String> = expected.iter().map(|(doc, _)| name(&doc.key)).collect();
    let facets = ["state", "tags", "n", "meta.ok"];
    let query = SearchQuery { limit: 10_000, ..SearchQuery::new(&text) };
    let found = world.ask(&query);
    assert_eq!(found.count, expected.len() as u64, "{text}");
    let keys: BTreeSet<String> = found.hits.iter().map(|hit| name(&hit.key)).collect();
    assert_eq!(keys, names, "{text}");

    let broken_down = world.ask(&SearchQuery {
        facets: &facets,
        facet_values: 1_000,
        histogram: Some(Interval::Month),
        limit: 0,
        ..query.clone()
    });
    assert_eq!(broken_down.count, found.count, "{text}");
    for (facet, path) in broken_down.facets.iter().zip(facets) {
        let counts: BTreeMap<String, u64> =
            facet.values.iter().map(|one| (shown(&one.value), one.count)).collect();
        assert_eq!(counts, facet_of(&expected, path), "{text}: {path}");
        assert_eq!((facet.other_values, facet.other_count), (0, 0));
    }
    let total: u64 = broken_down.histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(total, found.count, "{text}");

    // A page of an order by a field, then by place.
    let sort = Sort { descending: dice.chance(50), ..Sort::parse("n") };
    let (offset, limit) = (dice.below(5) as usize, dice.below(20) as usize);
    let page = world.ask(&SearchQuery { sort: sort.clone(), offset, limit, ..query });
    let n = |document: &Value| (document["n"].as_f64().unwrap_or_default() * 2.0) as i64;
    expected.sort_by_key(|(doc, document)| {
        let n = if sort.descending { -n(document) } else { n(document) };
        (n, std::cmp::Reverse(doc.position))
    });
    let expected: Vec<String> =
        expected.iter().skip(offset).take(limit).map(|(doc, _)| name(&doc.key)).collect();
    let page: Vec<String> = page.hits.iter().map(|hit| name(&hit.key)).collect();
    assert_eq!(page, expected, "{text}");
}

fn shown(value: &FacetValue) -> String {
    match value {
        FacetValue::Text(text) => text.clone(),
        FacetValue::Signed(number) => number.to_string(),
        FacetValue::Unsigned(number) => number.to_string(),
        FacetValue::Float(number) => number.to_string(),
        FacetValue::Bool(flag) => flag.to_string(),
    }
}

fn facet_of(docs: &[&(Doc, Value)], path: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, document) in docs {
        let value = path.split('.').fold(document, |value, name| &value[name]);
        let values = match value {
            Value::Array(elements) => elements.iter().collect(),
            Value::Null => Vec::new(),
            value => vec![value],
        };
        let different: BTreeSet<String> = values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
                value => value.to_string(),
            })
            .collect();
        for value in different {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

#[test]
fn answers_as_the_model_does() {
    for seed in 0..6 {
        let mut dice = Dice(seed);
        let world = World::of(&[]);
        let (mut stored, mut position) = (Stored::new(), 0);
        for _ in 0..25 {
            put(&mut dice, &world, &mut stored, &mut position);
            world.search.commit().expect("committed");
            for _ in 0..12 {
                compare(&mut dice, &world, &stored);
            }
        }
        assert_eq!(world.search.stats().documents, stored.len() as u64);
    }
}

#[test]
fn all_words_side_by_side_answer_as_the_model_does() {
    let mut dice = Dice(77);
    let world = World::of(&[]);
    let (mut stored, mut position) = (Stored::new(), 0);
    for _ in 0..20 {
        put(&mut dice, &world, &mut stored, &mut position);
    }
    world.search.commit().expect("committed");
    for _ in 0..200 {
        let (texts, models): (Vec<String>, Vec<Model>) = (0..3).map(|_| leaf(&mut dice)).unzip();
        let model = Model::All(models);
        let text = texts.join(" ");
        let query =
            SearchQuery { operator: Operator::And, scope: Scope::All, ..SearchQuery::new(&text) };
        let expected = stored.values().filter(|(_, document)| model.holds(document)).count();
        assert_eq!(world.ask(&query).count, expected as u64, "{text}");
    }
}
