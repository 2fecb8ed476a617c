//! What one asks for: an OR of selectors that an index can answer.

use crate::{Event, Keys};

/// One text or everything that starts with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// Everything that begins with this.
    Prefix(String),
    /// This subject and everything under it: `a` and `a/…`.
    Tree(String),
}

impl Pattern {
    /// Whether a text fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(exact) => text == exact,
            Pattern::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Pattern::Tree(root) => text
                .strip_prefix(root.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// `a/*` is the tree under `a`, anything else is exact (API.md §2).
    pub fn subject(text: &str) -> Pattern {
        match text.strip_suffix("/*") {
            Some(root) => Pattern::Tree(root.to_owned()),
            None => Pattern::Exact(text.to_owned()),
        }
    }
}

/// Events that satisfy every given group. An empty group asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Any of these subjects.
    pub subjects: Vec<Pattern>,
    /// Any of these types.
    pub types: Vec<Pattern>,
    /// Any of these sources.
    pub sources: Vec<String>,
    /// Any of these topics.
    pub topics: Vec<String>,
    /// All of these tags.
    pub tags: Vec<String>,
}

impl Selector {
    /// Whether it asks for nothing, so that every event matches.
    pub fn is_all(&self) -> bool {
        self.subjects.is_empty()
            && self.types.is_empty()
            && self.sources.is_empty()
            && self.topics.is_empty()
            && self.tags.is_empty()
    }

    /// Whether an event satisfies it.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.matches_keys(&event.keys())
    }

    /// Whether an event with these keys satisfies it.
    pub fn matches_keys(&self, keys: &Keys<'_>) -> bool {
        let any = |patterns: &[Pattern], text: Option<&str>| {
            patterns.is_empty() || text.is_some_and(|text| patterns.iter().any(|p| p.matches(text)))
        };
        let one_of = |list: &[String], text: Option<&str>| {
            list.is_empty() || text.is_some_and(|text| list.iter().any(|item| item == text))
        };
        any(&self.types, Some(keys.ty))
            && any(&self.subjects, keys.subject)
            && one_of(&self.sources, Some(keys.source))
            && one_of(&self.topics, keys.topic)
            && self.tags.iter().all(|tag| keys.tags().any(|have| have == tag))
    }
}

/// An OR of selectors; without any, every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// One of these must match.
    pub any: Vec<Selector>,
}

impl Query {
    /// Every event.
    pub fn all() -> Query {
        Query::default()
    }

    /// Events that match one selector.
    pub fn one(selector: Selector) -> Query {
        Query { any: vec![selector] }
    }

    /// Whether every event matches.
    pub fn is_all(&self) -> bool {
        self.any.is_empty() || self.any.iter().any(Selector::is_all)
    }

    /// Whether an event matches.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.is_all() || self.matches_keys(&event.keys())
    }

    /// Whether an event with these keys matches.
    pub fn matches_keys(&self, keys: &Keys<'_>) -> bool {
        self.any.is_empty() || self.any.iter().any(|selector| selector.matches_keys(keys))
    }
}
