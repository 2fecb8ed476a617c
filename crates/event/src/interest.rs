//! What a reader or subscriber wants to see.

use std::sync::Arc;

use crate::{Filter, Query, SYSTEM_SOURCE, Selector, StoredEvent, Timestamp, proto};

/// Which events somebody wants: those that satisfy the query and, if there are filters, any of
/// them, recorded within the times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// What an index can answer.
    pub query: Query,
    /// What has to be asked of each event.
    pub filters: Vec<Arc<Filter>>,
    /// Only events recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Only events recorded at or before this time.
    pub until: Option<Timestamp>,
    /// Whether events that the store itself appended are wanted too.
    pub system: bool,
}

impl Interest {
    /// Every event of others.
    pub fn all() -> Interest {
        Interest::default()
    }

    /// Events of others that satisfy a query.
    pub fn of(query: Query) -> Interest {
        Interest { query, ..Interest::default() }
    }

    /// A query that every wanted event satisfies, narrower than [`Interest::query`] where the
    /// filters allow: what it finds still has to be [wanted](Interest::wants).
    pub fn narrowed(&self) -> Query {
        if self.filters.is_empty() {
            return self.query.clone();
        }
        let hints: Vec<&Query> = self.filters.iter().map(|filter| filter.selector_hint()).collect();
        if hints.iter().any(|hint| hint.is_all()) {
            return self.query.clone();
        }
        let any = hints.into_iter().flat_map(|hint| hint.any.iter().cloned()).collect();
        self.query.narrowed_by(Query { any })
    }

    /// Whether an event is wanted. One that does not decode is: whoever reads it will say so.
    pub fn wants(&self, stored: &StoredEvent) -> bool {
        match proto::keys(stored.record()) {
            Ok(keys) => {
                (self.system || keys.source != SYSTEM_SOURCE)
                    && self.query.matches_keys(&keys)
                    && self.passes(stored)
            }
            Err(_) => true,
        }
    }

    /// Whether an event that the query has found is of the times, and one of the filters lets it
    /// through.
    pub fn passes(&self, stored: &StoredEvent) -> bool {
        let recorded = stored.recorded();
        if self.since.is_some_and(|since| recorded < since)
            || self.until.is_some_and(|until| recorded > until)
        {
            return false;
        }
        let lets_through = |filter: &Arc<Filter>| filter.matches(stored).unwrap_or(true);
        self.filters.is_empty() || self.filters.iter().any(lets_through)
    }
}

impl Query {
    /// A query that everything satisfies which satisfies both, as narrow as selectors can say.
    pub fn narrowed_by(&self, other: Query) -> Query {
        if self.is_all() {
            return other;
        }
        let mut any = Vec::with_capacity(self.any.len() * other.any.len());
        for mine in &self.any {
            any.extend(other.any.iter().map(|its| mine.narrowed_by(its)));
        }
        Query { any }
    }
}

impl Selector {
    /// Asks what the other asks wherever it asks nothing itself.
    fn narrowed_by(&self, other: &Selector) -> Selector {
        fn or<T: Clone>(mine: &[T], its: &[T]) -> Vec<T> {
            if mine.is_empty() { its.to_vec() } else { mine.to_vec() }
        }
        Selector {
            subjects: or(&self.subjects, &other.subjects),
            types: or(&self.types, &other.types),
            sources: or(&self.sources, &other.sources),
            topics: or(&self.topics, &other.topics),
            tags: or(&self.tags, &other.tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoded, Event, Pattern, Position, Timestamp};

    fn interest(query: Query, filters: &[&str]) -> Interest {
        let filters = filters.iter().map(|text| Arc::new(Filter::expression(text).expect("CESQL")));
        Interest { filters: filters.collect(), ..Interest::of(query) }
    }

    fn subject(text: &str) -> Query {
        Query::one(Selector { subjects: vec![Pattern::subject(text)], ..Selector::default() })
    }

    #[test]
    fn the_query_and_any_filter() {
        let mut events = Encoded::default();
        for (ty, of) in [("a", "x/1"), ("b", "x/2"), ("c", "x/3"), ("a", "y")] {
            events.push(&Event::new(format!("{ty}-{of}"), "/s", ty).with_subject(of));
        }
        events.push(&Event::new("own", SYSTEM_SOURCE, "a").with_subject("x/4"));
        let (batch, _) = events.commit(Position::FIRST, Timestamp::default());
        let batch = Arc::new(batch);
        let wanted = |interest: &Interest| -> Vec<usize> {
            (0..5).filter(|at| interest.wants(&StoredEvent::new(Arc::clone(&batch), *at))).collect()
        };
        assert_eq!(wanted(&Interest::all()), [0, 1, 2, 3]);
        assert_eq!(wanted(&Interest { system: true, ..Interest::all() }), [0, 1, 2, 3, 4]);
        let some = interest(subject("x/*"), &["type = 'a'", "type = 'b'"]);
        assert_eq!(wanted(&some), [0, 1]);
        assert_eq!(wanted(&interest(Query::all(), &["position >= 3"])), [2, 3]);
    }

    #[test]
    fn the_index_is_asked_for_no_more_than_it_must() {
        let some = interest(subject("x/*"), &["type = 'a'", "type = 'b'"]).narrowed();
        let asked = |ty: &str| Selector {
            subjects: vec![Pattern::subject("x/*")],
            types: vec![Pattern::Exact(ty.to_owned())],
            ..Selector::default()
        };
        assert_eq!(some, Query { any: vec![asked("a"), asked("b")] });
        let wide = interest(subject("x/*"), &["type = 'a'", "LENGTH(id) > 3"]).narrowed();
        assert_eq!(wide, subject("x/*"));
        assert_eq!(interest(Query::all(), &["TRUE"]).narrowed(), Query::all());
        // What both ask for stays as the query has it.
        assert_eq!(interest(subject("x/*"), &["subject = 'x/1'"]).narrowed(), subject("x/*"));
    }
}
