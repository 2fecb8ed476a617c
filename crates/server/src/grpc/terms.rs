//! What requests ask for, in the engine's terms. A form in which something is missing is refused: a
//! condition must not hold by accident.

use std::sync::Arc;

use annal_event::{
    Comparison, EventError, EventErrorKind, Filter, Interest, Pattern, Position, Precondition,
    Query, Selector, SubjectCheck, Timestamp, json,
};

use super::generated::annal_v1::{self as wire, filter, precondition, subject_is};
use crate::{
    params::invalid,
    problem::{Code, Problem},
};

/// Filters of one request; any of them lets an event through.
const FILTERS_MAX: usize = 64;

/// Preconditions of one append.
const PRECONDITIONS_MAX: usize = 10_000;

pub(super) fn interest(asked: Option<wire::Interest>) -> Result<Interest, Problem> {
    let asked = asked.unwrap_or_default();
    let exact = asked.types.into_iter().map(Pattern::Exact);
    let selector = Selector {
        subjects: asked.subjects.iter().map(|subject| Pattern::subject(subject)).collect(),
        types: exact.chain(asked.type_prefixes.into_iter().map(Pattern::Prefix)).collect(),
        sources: asked.sources,
        topics: asked.topics,
        tags: asked.tags,
    };
    let query = if selector.is_all() { Query::all() } else { Query::one(selector) };
    if asked.filters.len() > FILTERS_MAX {
        let detail = format!("a request has at most {FILTERS_MAX} filters");
        return Err(invalid("filters", detail));
    }
    let filters = asked.filters.into_iter().enumerate().map(|(place, filter)| {
        self::filter(filter)
            .map(Arc::new)
            .map_err(|error| Problem::from(error).with_number("filter", place as u64))
    });
    let filters = filters.collect::<Result<_, _>>()?;
    Ok(Interest { filters, system: asked.system, ..Interest::of(query) })
}

fn filter(asked: wire::Filter) -> Result<Filter, EventError> {
    match asked.form {
        Some(filter::Form::Expression(text)) => Filter::expression(&text),
        Some(filter::Form::Dialects(text)) => {
            if !text.trim_start().starts_with('[') {
                let detail = "dialects is a JSON array of filter dialects";
                return Err(EventError::new(EventErrorKind::Filter, "", detail));
            }
            json::parse_filter(text.as_bytes())
        }
        None => {
            let detail = "a filter has an expression or dialects; leave it out for everything";
            Err(EventError::new(EventErrorKind::Filter, "", detail))
        }
    }
}

pub(super) fn preconditions(asked: Vec<wire::Precondition>) -> Result<Vec<Precondition>, Problem> {
    if asked.len() > PRECONDITIONS_MAX {
        let detail = format!("an append has at most {PRECONDITIONS_MAX} preconditions");
        return Err(Problem::new(Code::InvalidPrecondition, detail));
    }
    let at = |(place, asked)| {
        precondition(asked).map_err(|problem| problem.with_number("precondition", place as u64))
    };
    asked.into_iter().enumerate().map(at).collect()
}

fn wrong(detail: &'static str) -> Problem {
    Problem::new(Code::InvalidPrecondition, detail)
}

fn precondition(asked: wire::Precondition) -> Result<Precondition, Problem> {
    use precondition::Condition;
    let condition = asked.condition.ok_or_else(|| {
        wrong("a precondition has one of subject, absent, present, count, resource, head")
    })?;
    Ok(match condition {
        Condition::Subject(asked) => subject(asked)?,
        Condition::Absent(wire::Absent { query: asked, after }) => {
            Precondition::Absent { query: query(asked)?, after: Position(after) }
        }
        Condition::Present(asked) => Precondition::Present { query: query(Some(asked))? },
        Condition::Count(asked) => {
            let op = comparison(asked.op())?;
            Precondition::Count { query: query(asked.query)?, op, n: asked.n }
        }
        Condition::Resource(wire::ResourceAt { resource, revision }) => {
            Precondition::Resource { id: resource, revision: revision.map(Position) }
        }
        Condition::Head(position) => Precondition::Head { position: Position(position) },
    })
}

fn subject(asked: wire::SubjectIs) -> Result<Precondition, Problem> {
    use subject_is::Is;
    let wire::SubjectIs { subject, recursive, is } = asked;
    if subject.is_empty() {
        return Err(wrong("subject is empty; name the subject that is meant"));
    }
    let is = match is {
        Some(Is::None(())) => SubjectCheck::None,
        Some(Is::Exists(())) => SubjectCheck::Exists,
        Some(Is::Version(version)) => SubjectCheck::Version(version),
        Some(Is::LastPosition(position)) => SubjectCheck::LastPosition(Position(position)),
        Some(Is::LastEvent(wire::LastEvent { id, source })) => {
            SubjectCheck::LastEvent { id, source }
        }
        None => {
            return Err(wrong("is is one of none, exists, version, last_position, last_event"));
        }
    };
    Ok(Precondition::Subject { subject, recursive, is })
}

fn query(asked: Option<wire::Query>) -> Result<Query, Problem> {
    let any = asked.map(|query| query.any).unwrap_or_default();
    if any.is_empty() {
        let detail = "a query has at least one selector; an empty one matches everything";
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let selector = |asked: wire::Selector| Selector {
        types: asked.types.into_iter().map(Pattern::Exact).collect(),
        subjects: asked.subjects.iter().map(|subject| Pattern::subject(subject)).collect(),
        tags: asked.tags,
        ..Selector::default()
    };
    Ok(Query { any: any.into_iter().map(selector).collect() })
}

fn comparison(op: wire::Comparison) -> Result<Comparison, Problem> {
    match op {
        wire::Comparison::Less => Ok(Comparison::Less),
        wire::Comparison::LessOrEqual => Ok(Comparison::LessOrEqual),
        wire::Comparison::Equal => Ok(Comparison::Equal),
        wire::Comparison::GreaterOrEqual => Ok(Comparison::GreaterOrEqual),
        wire::Comparison::Greater => Ok(Comparison::Greater),
        wire::Comparison::Unspecified => Err(wrong("op is not given; say how to compare with n")),
    }
}

/// An instant to the microsecond.
pub(super) fn time(name: &str, asked: prost_types::Timestamp) -> Result<Timestamp, Problem> {
    let whole = asked.seconds.checked_mul(1_000_000);
    let fraction =
        (0..1_000_000_000).contains(&asked.nanos).then(|| i64::from(asked.nanos / 1_000));
    let micros = whole.zip(fraction).and_then(|(whole, fraction)| whole.checked_add(fraction));
    micros.map(Timestamp).ok_or_else(|| invalid(name, "the time is out of range"))
}

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    }
}
