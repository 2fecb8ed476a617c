//! Which events a command is about: one declaration for the engine and for the wire.

use std::{str::FromStr, sync::Arc};

use annal_engine::ReadSpec;
use annal_event::{Filter, Interest, Pattern, Position, Query, Selector, Timestamp};
use clap::Args;

/// Events that satisfy everything given.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Events of this subject
    #[arg(long)]
    pub subject: Option<String>,
    /// … and of all subjects under it
    #[arg(long, requires = "subject")]
    pub recursive: bool,
    /// Events of this type
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "type_prefix")]
    pub ty: Option<String>,
    /// Events of types that begin with this
    #[arg(long, value_name = "PREFIX")]
    pub type_prefix: Option<String>,
    /// Events of this source
    #[arg(long, value_name = "URI")]
    pub source: Option<String>,
    /// Events of this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Events with this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Events for which this CloudEvents SQL expression is true; may be given several times, then
    /// for which any is
    #[arg(long, value_name = "CESQL", value_parser = filter)]
    pub filter: Vec<Arc<Filter>>,
    /// Events recorded at or after this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Events recorded at or before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Events after this position
    #[arg(long, value_name = "POSITION")]
    pub after: Option<Position>,
    /// Events before this position
    #[arg(long, value_name = "POSITION")]
    pub before: Option<Position>,
}

impl Filters {
    /// As the engine takes it.
    pub fn read_spec(&self) -> ReadSpec {
        ReadSpec {
            interest: self.interest(),
            after: self.after,
            before: self.before,
            ..ReadSpec::default()
        }
    }

    fn interest(&self) -> Interest {
        Interest {
            filters: self.filter.clone(),
            since: self.since,
            until: self.until,
            ..Interest::of(self.query())
        }
    }

    fn query(&self) -> Query {
        let subject = self.subject.clone().map(|subject| match self.recursive {
            true => Pattern::Tree(subject),
            false => Pattern::Exact(subject),
        });
        let ty = self.ty.clone().map(Pattern::Exact);
        let prefix = self.type_prefix.clone().map(Pattern::Prefix);
        let selector = Selector {
            subjects: subject.into_iter().collect(),
            types: ty.or(prefix).into_iter().collect(),
            sources: self.source.iter().cloned().collect(),
            topics: self.topic.iter().cloned().collect(),
            tags: self.tag.iter().cloned().collect(),
        };
        if selector.is_all() { Query::all() } else { Query::one(selector) }
    }

    /// As the wire takes it: query parameters of `GET /events` (API.md §3).
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                parameters.push((name, value));
            }
        };
        add("subject", self.subject.clone());
        add("recursive", self.recursive.then(|| "true".to_owned()));
        add("type", self.ty.clone());
        add("type_prefix", self.type_prefix.clone());
        add("source", self.source.clone());
        add("topic", self.topic.clone());
        add("tag", self.tag.clone());
        self.filter.iter().for_each(|filter| add("filter", Some(filter.to_string())));
        add("since", self.since.map(|time| time.to_string()));
        add("until", self.until.map(|time| time.to_string()));
        add("after", self.after.map(|position| position.to_string()));
        add("before", self.before.map(|position| position.to_string()));
        parameters
    }
}

fn filter(text: &str) -> Result<Arc<Filter>, String> {
    Filter::expression(text).map(Arc::new).map_err(|error| error.to_string())
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Before the first event.
    Earliest,
    /// At the head.
    Latest,
    /// After this position.
    After(Position),
    /// With the first event recorded at or after this time.
    Since(Timestamp),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "earliest" => return Ok(From::Earliest),
            "latest" => return Ok(From::Latest),
            _ => {}
        }
        let position = text.parse().map(From::After);
        position
            .or_else(|_| text.parse().map(From::Since))
            .map_err(|_| format!("`{text}` is none of earliest, latest, a position, a time"))
    }
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            From::Earliest => f.write_str("earliest"),
            From::Latest => f.write_str("latest"),
            From::After(position) => position.fmt(f),
            From::Since(time) => time.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Filters, From};

    #[test]
    fn beginnings_read_as_they_are_written() {
        for text in ["earliest", "latest", "42", "2026-01-15T10:30:00.000000Z"] {
            assert_eq!(text.parse::<From>().map(|from| from.to_string()), Ok(text.to_owned()));
        }
        assert!("yesterday".parse::<From>().is_err());
    }

    #[test]
    fn no_filter_asks_for_everything() {
        assert!(Filters::default().read_spec().interest.narrowed().is_all());
        assert!(Filters::default().parameters().is_empty());
    }
}
