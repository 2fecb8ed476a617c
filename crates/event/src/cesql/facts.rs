//! What can be said of the events for which a part of a program has an answer, in terms that an
//! index knows: types, subjects, sources.
//!
//! Every step widens rather than cuts: an event that has the answer always satisfies the facts, and
//! one that satisfies them may well not have it. Where facts would grow beyond what an index is
//! asked in one go, they are given up.

use crate::{Pattern, Query, Selector};

/// Selectors that facts may hold.
const SELECTORS_MAX: usize = 16;
/// Texts that they may hold.
const PATTERNS_MAX: usize = 1_024;
/// Pairs that are compared to intersect two groups.
const PAIRS_MAX: usize = 4_096;

/// A superset of some events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Facts {
    /// Nothing is known.
    All,
    /// Each satisfies one of these; there are none if there is no selector.
    Any(Vec<Selector>),
}

/// What is known of an operand: of the events where it is true, and of those where it is false.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) when_true: Facts,
    pub(super) when_false: Facts,
}

impl Known {
    pub(super) const NOTHING: Known = Known { when_true: Facts::All, when_false: Facts::All };

    /// An operand that is true only for these events and false for any.
    pub(super) fn if_true(when_true: Facts) -> Known {
        Known { when_true, when_false: Facts::All }
    }

    pub(super) fn constant(value: bool) -> Known {
        let known = Known { when_true: Facts::All, when_false: Facts::NONE };
        if value { known } else { known.negated() }
    }

    pub(super) fn negated(self) -> Known {
        Known { when_true: self.when_false, when_false: self.when_true }
    }

    pub(super) fn negated_if(self, negated: bool) -> Known {
        if negated { self.negated() } else { self }
    }

    pub(super) fn and(self, other: Known) -> Known {
        Known {
            when_true: self.when_true.and(other.when_true),
            when_false: self.when_false.or(other.when_false),
        }
    }

    pub(super) fn or(self, other: Known) -> Known {
        Known {
            when_true: self.when_true.or(other.when_true),
            when_false: self.when_false.and(other.when_false),
        }
    }
}

impl Facts {
    const NONE: Facts = Facts::Any(Vec::new());

    /// Events in which this attribute fits one of these patterns.
    pub(super) fn fits(attribute: &str, patterns: Vec<Pattern>) -> Facts {
        let trivial = |pattern: &Pattern| *pattern == Pattern::Prefix(String::new());
        if patterns.len() > PATTERNS_MAX || patterns.iter().any(trivial) {
            return Facts::All;
        }
        let selector = match attribute {
            "type" => Selector { types: patterns, ..Selector::default() },
            "subject" => Selector { subjects: patterns, ..Selector::default() },
            "source" => {
                let exact = patterns.into_iter().map(|pattern| match pattern {
                    Pattern::Exact(text) => Some(text),
                    Pattern::Prefix(_) | Pattern::Tree(_) => None,
                });
                let Some(sources) = exact.collect() else { return Facts::All };
                Selector { sources, ..Selector::default() }
            }
            // An index knows topics and tags only where they are text.
            _ => return Facts::All,
        };
        Facts::Any(vec![selector])
    }

    fn or(self, other: Facts) -> Facts {
        let (Facts::Any(mut into), Facts::Any(mut from)) = (self, other) else { return Facts::All };
        // In a long chain one side has all that was found so far: it is added to, not copied.
        if patterns(&from) > patterns(&into) {
            std::mem::swap(&mut into, &mut from);
        }
        for selector in from {
            let Some(selector) = merge(&mut into, selector) else { continue };
            into.push(selector);
        }
        if into.len() > SELECTORS_MAX || patterns(&into) > PATTERNS_MAX {
            return Facts::All;
        }
        Facts::Any(into)
    }

    fn and(self, other: Facts) -> Facts {
        let (left, right) = match (self, other) {
            (Facts::All, facts) | (facts, Facts::All) => return facts,
            (Facts::Any(left), Facts::Any(right)) => (left, right),
        };
        if left.len() * right.len() <= SELECTORS_MAX {
            let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
            let found: Vec<_> = pairs.filter_map(|(left, right)| both(left, right)).collect();
            if patterns(&found) <= PATTERNS_MAX {
                return Facts::Any(found);
            }
        }
        // Either alone is true of them, too.
        Facts::Any(if patterns(&left) <= patterns(&right) { left } else { right })
    }

    /// The query that all these events match. Where there are none, it asks for an empty type,
    /// which no event has.
    pub(crate) fn query(self) -> Query {
        match self {
            Facts::All => Query::all(),
            Facts::Any(any) if any.is_empty() => {
                let types = vec![Pattern::Exact(String::new())];
                Query::one(Selector { types, ..Selector::default() })
            }
            Facts::Any(any) => Query { any },
        }
    }
}

fn patterns(selectors: &[Selector]) -> usize {
    selectors.iter().map(|s| s.types.len() + s.subjects.len() + s.sources.len()).sum()
}

/// Adds to one of the selectors what differs from it in a single group; gives back what does not.
fn merge(into: &mut [Selector], from: Selector) -> Option<Selector> {
    for have in into {
        let same = (
            have.types == from.types,
            have.subjects == from.subjects,
            have.sources == from.sources,
        );
        let group = match same {
            (true, true, true) => return None,
            (false, true, true) => extend(&mut have.types, &from.types),
            (true, false, true) => extend(&mut have.subjects, &from.subjects),
            (true, true, false) => extend(&mut have.sources, &from.sources),
            _ => false,
        };
        if group {
            return None;
        }
    }
    Some(from)
}

/// An empty group asks for nothing, so that it cannot be widened.
fn extend<T: Clone + PartialEq>(into: &mut Vec<T>, from: &[T]) -> bool {
    if into.is_empty() || from.is_empty() {
        return false;
    }
    into.extend_from_slice(from);
    true
}

/// The events that satisfy both; `None` if there can be none.
fn both(left: &Selector, right: &Selector) -> Option<Selector> {
    let same = |left: &String, right: &String| (left == right).then(|| left.clone());
    Some(Selector {
        types: intersect(&left.types, &right.types, narrower)?,
        subjects: intersect(&left.subjects, &right.subjects, narrower)?,
        sources: intersect(&left.sources, &right.sources, same)?,
        ..Selector::default()
    })
}

fn intersect<T: Clone>(
    left: &[T],
    right: &[T],
    common: impl Fn(&T, &T) -> Option<T>,
) -> Option<Vec<T>> {
    if left.is_empty() || right.is_empty() || left.len() * right.len() > PAIRS_MAX {
        let left_only = right.is_empty() || !left.is_empty() && left.len() <= right.len();
        return Some(if left_only { left } else { right }.to_vec());
    }
    let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
    let found: Vec<T> = pairs.filter_map(|(left, right)| common(left, right)).collect();
    (!found.is_empty()).then_some(found)
}

/// What fits both patterns; neither is a tree.
fn narrower(left: &Pattern, right: &Pattern) -> Option<Pattern> {
    match (left, right) {
        (Pattern::Exact(text), other) | (other, Pattern::Exact(text)) => {
            other.matches(text).then(|| Pattern::Exact(text.clone()))
        }
        (Pattern::Prefix(l), Pattern::Prefix(r)) if l.starts_with(r.as_str()) => Some(left.clone()),
        (Pattern::Prefix(l), Pattern::Prefix(r)) if r.starts_with(l.as_str()) => {
            Some(right.clone())
        }
        (Pattern::Prefix(_), Pattern::Prefix(_)) => None,
        // A tree would have to be cut; leaving it whole only widens.
        (other, _) => Some(other.clone()),
    }
}
