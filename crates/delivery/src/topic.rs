//! What an event is about, as hashes: the meeting point of events and those who wait for them.
//!
//! A query is broken down to one attribute that every event it matches must carry; an event to all
//! that it carries. Hashes that collide wake somebody for nothing and do no harm.

use std::hash::{DefaultHasher, Hash, Hasher};

use annal_event::{Keys, Pattern, Query, Selector};

/// One attribute with its value.
pub(crate) type Topic = u64;

#[derive(Clone, Copy, Hash)]
enum Kind {
    Subject,
    /// A subject, or anything above it.
    Tree,
    Type,
    Source,
    Topic,
    Tag,
}

fn topic(kind: Kind, text: &str) -> Topic {
    let mut hasher = DefaultHasher::new();
    (kind, text).hash(&mut hasher);
    hasher.finish()
}

/// What at least one must be carried of by every event that matches; `None`: nothing can be said.
pub(crate) fn of_query(query: &Query) -> Option<Box<[Topic]>> {
    if query.is_all() {
        return None;
    }
    let mut topics = Vec::new();
    for selector in &query.any {
        topics.append(&mut of_selector(selector)?);
    }
    topics.sort_unstable();
    topics.dedup();
    Some(topics.into())
}

/// The attribute that is likely to be rarest.
fn of_selector(selector: &Selector) -> Option<Vec<Topic>> {
    let texts = |kind, list: &[String]| -> Option<Vec<Topic>> {
        (!list.is_empty()).then(|| list.iter().map(|text| topic(kind, text)).collect())
    };
    let subject = |pattern: &Pattern| match pattern {
        Pattern::Exact(text) => Some(topic(Kind::Subject, text)),
        Pattern::Tree(root) => Some(topic(Kind::Tree, root)),
        Pattern::Prefix(_) => None,
    };
    let ty = |pattern: &Pattern| match pattern {
        Pattern::Exact(text) => Some(topic(Kind::Type, text)),
        Pattern::Tree(_) | Pattern::Prefix(_) => None,
    };
    let all = |topics: Option<Vec<Topic>>| topics.filter(|topics| !topics.is_empty());
    all(selector.subjects.iter().map(subject).collect())
        // All of them must be there, so that any one will do.
        .or_else(|| selector.tags.first().map(|tag| vec![topic(Kind::Tag, tag)]))
        .or_else(|| texts(Kind::Topic, &selector.topics))
        .or_else(|| all(selector.types.iter().map(ty).collect()))
        .or_else(|| texts(Kind::Source, &selector.sources))
}

/// Gives everything that an event carries to `each`.
pub(crate) fn of_keys(keys: &Keys<'_>, mut each: impl FnMut(Topic)) {
    each(topic(Kind::Type, keys.ty));
    each(topic(Kind::Source, keys.source));
    if let Some(subject) = keys.subject {
        each(topic(Kind::Subject, subject));
        each(topic(Kind::Tree, subject));
        for (slash, _) in subject.match_indices('/') {
            each(topic(Kind::Tree, &subject[..slash]));
        }
    }
    if let Some(name) = keys.topic {
        each(topic(Kind::Topic, name));
    }
    for tag in keys.tags() {
        each(topic(Kind::Tag, tag));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        select(vec!["a", "a/b", "a/b/c", "ab", "b", "a/", ""]).prop_map(str::to_owned)
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        (0..3, text()).prop_map(|(kind, text)| match kind {
            0 => Pattern::Exact(text),
            1 => Pattern::Tree(text),
            _ => Pattern::Prefix(text),
        })
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let few = || vec(text(), 0..3);
        (vec(pattern(), 0..3), vec(pattern(), 0..3), few(), few(), few()).prop_map(
            |(subjects, types, sources, topics, tags)| Selector {
                subjects,
                types,
                sources,
                topics,
                tags,
            },
        )
    }

    proptest! {
        /// INV-5: whoever wants an event is told of it.
        #[test]
        fn what_matches_meets(
            any in vec(selector(), 0..3),
            (ty, source) in (text(), text()),
            subject in proptest::option::of(text()),
            topic in proptest::option::of(text()),
            tags in vec(text(), 0..3),
        ) {
            let tags = tags.join(" ");
            let keys = Keys {
                id: "1",
                source: &source,
                ty: &ty,
                subject: subject.as_deref(),
                topic: topic.as_deref(),
                tags: Some(&tags),
            };
            let query = Query { any };
            if query.matches_keys(&keys) && let Some(waited) = of_query(&query) {
                let mut carried = Vec::new();
                of_keys(&keys, |topic| carried.push(topic));
                prop_assert!(carried.iter().any(|topic| waited.contains(topic)), "{query:?}");
            }
        }
    }
}
