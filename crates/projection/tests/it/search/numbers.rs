//! Numbers at the edges of what columns hold, compared with looking at every one.

use std::{cmp::Ordering, collections::BTreeSet};

use annal_projection::search::Scope;

use super::world::{Doc, World};

const SIGNED: [&str; 14] = [
    "-9223372036854775808",
    "-9223372036854775807",
    "-9007199254740993",
    "-9007199254740992",
    "-5",
    "-1",
    "0",
    "1",
    "5",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775805",
    "9223372036854775806",
];
const UNSIGNED: [&str; 7] = [
    "0",
    "5",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551614",
    "18446744073709551615",
];
const FLOATS: [&str; 14] = [
    "-1.7976931348623157e308",
    "-1e300",
    "-2.5",
    "-5e-324",
    "-0.0",
    "0.0",
    "5e-324",
    "0.1",
    "0.30000000000000004",
    "2.5",
    "5.0",
    "9007199254740993.0",
    "1e19",
    "1e300",
];
/// What is asked for besides.
const BOUNDS: [&str; 9] = [
    "-1e30",
    "-9223372036854775809",
    "-4.5",
    "4.5",
    "9223372036854775808.0",
    "18446744073709551616",
    "1.8446744073709552e19",
    "1e30",
    "1.7976931348623157e308",
];

/// A number as its text says it.
#[derive(Clone, Copy, Debug)]
enum Exact {
    Integer(i128),
    Float(f64),
}

impl Exact {
    fn of(text: &str) -> Exact {
        match text.parse() {
            Ok(integer) => Exact::Integer(integer),
            // As documents are read.
            Err(_) => Exact::Float(serde_json::from_str(text).expect("a number")),
        }
    }

    fn float(self) -> f64 {
        match self {
            Exact::Integer(value) => value as f64,
            Exact::Float(value) => value,
        }
    }

    fn cmp(self, other: Exact) -> Ordering {
        match (self, other) {
            (Exact::Integer(one), Exact::Integer(other)) => one.cmp(&other),
            (Exact::Integer(one), Exact::Float(other)) => {
                let whole = (other.floor() as i128).cmp(&one).reverse();
                let fraction = if other > other.floor() { Ordering::Less } else { Ordering::Equal };
                whole.then(fraction)
            }
            (Exact::Float(_), Exact::Integer(_)) => other.cmp(self).reverse(),
            (Exact::Float(one), Exact::Float(other)) => one.partial_cmp(&other).expect("numbers"),
        }
    }
}

/// A bound, and the orders of a number to it that are within.
type Bound = (Exact, &'static [Ordering]);

const ABOVE: [&[Ordering]; 2] = [&[Ordering::Greater, Ordering::Equal], &[Ordering::Greater]];
const BELOW: [&[Ordering]; 2] = [&[Ordering::Less, Ordering::Equal], &[Ordering::Less]];

fn questions() -> Vec<(String, Vec<Bound>)> {
    let texts: BTreeSet<&str> =
        SIGNED.iter().chain(&UNSIGNED).chain(&FLOATS).chain(&BOUNDS).copied().collect();
    let mut questions = Vec::new();
    for (n, one) in texts.iter().enumerate() {
        let exact = Exact::of(one);
        questions.push((format!("n:{one}"), vec![(exact, &[Ordering::Equal] as &[_])]));
        for (sign, within) in [(">=", ABOVE[0]), (">", ABOVE[1]), ("<=", BELOW[0]), ("<", BELOW[1])]
        {
            questions.push((format!("n:{sign}{one}"), vec![(exact, within)]));
        }
        for (m, other) in texts.iter().enumerate() {
            let (open, close) = ((n + m) % 2, (n + m) / 2 % 2);
            let text = format!("n:{}{one} TO {other}{}", ["[", "{"][open], ["]", "}"][close]);
            let bounds = vec![(exact, ABOVE[open]), (Exact::of(other), BELOW[close])];
            questions.push((text, bounds));
        }
    }
    questions
}

fn compare(segments: &[&[&str]], integers: bool) {
    let world = World::of(&[]);
    let mut position = 0;
    let mut stored = Vec::new();
    for segment in segments {
        let mut docs = Vec::new();
        for text in *segment {
            position += 1;
            let key = format!("n/{position}");
            docs.push(Doc::resource(&key, position, &format!("{{\"n\":{text}}}")));
            stored.push((key, Exact::of(text)));
        }
        world.put(&docs);
    }
    for (question, bounds) in questions() {
        let found = world.keys(&question, Scope::Resources);
        for (key, number) in &stored {
            let exactly = bounds.iter().all(|(bound, within)| within.contains(&number.cmp(*bound)));
            let as_floats = bounds.iter().all(|(bound, within)| {
                let floats = (Exact::Float(number.float()), Exact::Float(bound.float()));
                within.contains(&floats.0.cmp(floats.1))
            });
            let found = found.contains(key);
            // Only where columns round may the two differ, and either be the answer.
            if integers || exactly == as_floats {
                assert_eq!(found, exactly, "{question} of {number:?} in {segments:?}");
            }
        }
    }
}

#[test]
fn integers_are_compared_exactly() {
    compare(&[&SIGNED], true);
    compare(&[&UNSIGNED], true);
    compare(&[&SIGNED, &UNSIGNED], true);
}

#[test]
fn floats_are_compared_as_what_they_are() {
    compare(&[&FLOATS], false);
}

#[test]
fn mixed_numbers_are_compared_as_floats_at_worst() {
    compare(&[&SIGNED, &UNSIGNED, &FLOATS], false);
    let all: Vec<&str> = SIGNED.iter().chain(&UNSIGNED).chain(&FLOATS).copied().collect();
    compare(&[&all], false);
}

#[test]
fn names_may_have_backslashes() {
    let world = World::of(&[Doc::resource("n/1", 1, r#"{"a\\b.c":7,"d\\e":"2021-03-04"}"#)]);
    for text in [r"a\\b.c:7", r"a\\b.c:[6 TO 8]", r"d\\e:[2021-03-01 TO 2021-03-31]"] {
        assert_eq!(world.keys(text, Scope::Resources), ["n/1"], "{text}");
    }
}
