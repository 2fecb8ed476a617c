//! The CloudEvents SQL expression language, CESQL 1.0.0: expressions over the attributes of one
//! event, compiled once and evaluated many times.
//!
//! An evaluation always has a value, and beside it a failure if something went wrong: an attribute
//! was missing, a cast impossible, a number too large. The first failure ends it ("fail fast mode").
//! An expression that holds for an event is one that evaluates to the Boolean true without failure.
//!
//! Where the published test kit and the prose of the specification contradict each other, the test
//! kit is followed: an operator whose operand failed has the zero value of its type; NOT does not
//! cast an Integer; attribute names may be written in upper case. Where both are silent the published
//! grammar decides: AND, OR and XOR stand on one level and group to the right.
//!
//! Nothing here recurses over input. The size of an expression is bounded, and so is the work that
//! one evaluation may do, whatever stands in the event.

mod build;
mod facts;
mod function;
mod like;
mod parse;
mod program;
mod run;
mod token;
mod value;

use std::{
    fmt,
    hash::{Hash, Hasher},
};

pub(crate) use build::{Builder, Excess};
pub(crate) use facts::Facts;
pub(crate) use program::{Program, Test};
pub use value::{Text, Type, Value};

use crate::{Attributes, EventError, EventErrorKind};

/// How long an expression may be, in bytes of UTF-8.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// How deep brackets, NOT and `-` may nest.
pub const DEPTH_MAX: usize = 1_000;

/// A compiled expression. Two are equal if they were written alike.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    program: Program,
}

impl Expression {
    /// Compiles an expression. An error has a [`position`](EventError::position).
    pub fn compile(text: &str) -> Result<Expression, EventError> {
        let mut builder = Builder::default();
        parse_into(text, &mut builder)?;
        let (program, _) = builder.finish();
        Ok(Expression { text: text.into(), program })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates it on an event. Fails only if that is a stored record which does not decode.
    pub fn evaluate<'a, A: Attributes + ?Sized>(
        &'a self,
        event: &'a A,
    ) -> Result<Evaluation<'a>, EventError> {
        self.program.run(event)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Reads an expression as one operand of a program.
pub(crate) fn parse_into(text: &str, builder: &mut Builder) -> Result<(), EventError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let end = text.floor_char_boundary(EXPRESSION_BYTES_MAX);
        let detail = format!(
            "an expression takes at most {EXPRESSION_BYTES_MAX} bytes, and this {}; shorten it",
            text.len()
        );
        return Err(invalid(text, end, detail));
    }
    parse::parse(text, builder).map_err(|fault| invalid(text, fault.at, fault.detail))
}

fn invalid(text: &str, at: usize, detail: impl Into<std::borrow::Cow<'static, str>>) -> EventError {
    let position = text.get(..at).map_or(0, |before| before.chars().count());
    EventError::new(EventErrorKind::Filter, "", detail).at_position(position)
}

/// What an expression has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation<'a> {
    /// The value, also beside a failure.
    pub value: Value<'a>,
    /// What went wrong first.
    pub failure: Option<Failure<'a>>,
}

impl Evaluation<'_> {
    /// Whether it is the Boolean true, and nothing went wrong.
    pub fn holds(&self) -> bool {
        self.failure.is_none() && self.value == Value::Boolean(true)
    }
}

/// What can go wrong in an evaluation (CESQL §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure<'a> {
    /// A mathematical error: a division by 0, a result that is no 32-bit integer.
    #[error("{0}")]
    Math(&'static str),
    /// A value that is none of the type it is cast to.
    #[error("a value of type {from} is no {to}")]
    Cast {
        /// The type of the value.
        from: Type,
        /// The type it should be of.
        to: Type,
    },
    /// The event does not have an attribute.
    #[error("the event has no attribute {0}; ask for it with EXISTS {0} before")]
    MissingAttribute(&'a str),
    /// There is no such function.
    #[error("there is no function {name} of {arguments} arguments")]
    MissingFunction {
        /// Its name, in upper case.
        name: &'a str,
        /// How many arguments it is given.
        arguments: u32,
    },
    /// A function cannot do with its arguments.
    #[error("{0}")]
    Function(&'static str),
    /// The evaluation would have to look at, or to make, more text than it may.
    #[error("the evaluation takes too much work; simplify the expression")]
    TooMuchWork,
}

impl Failure<'_> {
    const OVERFLOW: Failure<'static> = Failure::Math("a result is no 32-bit integer");
}
