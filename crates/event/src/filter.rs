//! Filters: which events somebody wants, as a CESQL expression or as a list of the filter dialects
//! of the CloudEvents Subscriptions API (§3.2.4).
//!
//! Both become the same kind of program. An event matches if the program comes to the Boolean true;
//! another value, or a failure, is no match. Dialects differ from expressions in that an attribute
//! which is missing is no failure there: the comparison is false, and `not` of it is true.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::{
    Attributes, EventError, Query,
    cesql::{self, Builder, Facts, Program},
};

/// A compiled filter. Two are equal if they were written alike, white space of JSON aside.
///
/// It is read from JSON by [`json::parse_filter`](crate::json::parse_filter) and written by
/// [`json::write_filter`](crate::json::write_filter).
pub struct Filter {
    source: Source,
    program: Program,
    hint: Query,
}

/// What a filter was made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The text of an expression.
    Expression(Box<str>),
    /// The JSON of a list of dialects.
    Dialects(Box<str>),
}

impl Filter {
    /// Compiles a CESQL expression. An error has a [`position`](EventError::position).
    pub fn expression(text: &str) -> Result<Filter, EventError> {
        let mut builder = Builder::default();
        cesql::parse_into(text, &mut builder)?;
        Ok(Filter::new(Source::Expression(text.into()), builder))
    }

    pub(crate) fn new(source: Source, builder: Builder) -> Filter {
        let (program, facts): (Program, Facts) = builder.finish();
        Filter { source, program, hint: facts.query() }
    }

    /// Whether an event matches. Fails only if that is a stored record which does not decode.
    pub fn matches<A: Attributes + ?Sized>(&self, event: &A) -> Result<bool, EventError> {
        Ok(self.program.run(event)?.holds())
    }

    /// A query that every matching event satisfies, for an index to narrow what is looked at; the
    /// events it finds still have to be [matched](Filter::matches).
    ///
    /// [`Query::all`] where nothing can be said. Where no event can match, a query for an empty
    /// type, which no event has.
    pub fn selector_hint(&self) -> &Query {
        &self.hint
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }
}

impl fmt::Display for Filter {
    /// The expression as it was written, or the list of dialects as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Expression(text) | Source::Dialects(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.source == other.source
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}
