//! Values of the language, their casts, and the work that making and reading them takes.

use std::{
    fmt,
    ops::{Deref, Range},
};

use super::Failure;
use crate::{Attribute, ShortText, base64};

/// What an expression, or a part of one, evaluates to (CESQL §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// true or false.
    Boolean(bool),
    /// A signed 32-bit number.
    Integer(i32),
    /// Unicode text.
    Text(Text<'a>),
}

/// The types of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// true or false; its zero value is false.
    Boolean,
    /// A signed 32-bit number; its zero value is 0.
    Integer,
    /// Text; its zero value is empty.
    Text,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Boolean => "Boolean",
            Type::Integer => "Integer",
            Type::Text => "String",
        })
    }
}

impl Type {
    pub(super) fn zero<'a>(self) -> Value<'a> {
        match self {
            Type::Boolean => Value::Boolean(false),
            Type::Integer => Value::Integer(0),
            Type::Text => Value::Text(Text::borrowed("")),
        }
    }
}

/// Text of an event or an expression where it stands, or a text that was made.
#[derive(Clone)]
pub struct Text<'a>(Kind<'a>);

#[derive(Clone)]
enum Kind<'a> {
    Borrowed(&'a str),
    Owned(String),
    Short(ShortText),
}

impl<'a> Text<'a> {
    pub(super) fn borrowed(text: &'a str) -> Text<'a> {
        Text(Kind::Borrowed(text))
    }

    pub(super) fn owned(text: String) -> Text<'a> {
        Text(Kind::Owned(text))
    }

    pub(super) fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Borrowed(text) => text,
            Kind::Owned(text) => text,
            Kind::Short(text) => text.as_str(),
        }
    }

    /// A part of it. The range lies within the text, between characters.
    pub(super) fn slice(self, range: Range<usize>) -> Text<'a> {
        Text(match self.0 {
            Kind::Borrowed(text) => Kind::Borrowed(&text[range]),
            Kind::Owned(mut text) => {
                text.truncate(range.end);
                text.drain(..range.start);
                Kind::Owned(text)
            }
            Kind::Short(text) => {
                let part = &text.as_str()[range];
                Kind::Short(ShortText::of(part).unwrap_or_default())
            }
        })
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Text<'_>) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl<'a> Value<'a> {
    /// Its type.
    pub fn ty(&self) -> Type {
        match self {
            Value::Boolean(_) => Type::Boolean,
            Value::Integer(_) => Type::Integer,
            Value::Text(_) => Type::Text,
        }
    }

    /// What an attribute is in an expression (§3.2).
    pub(super) fn of(attribute: Attribute<'a>, work: &mut Work) -> Result<Value<'a>, Failure<'a>> {
        Ok(match attribute {
            Attribute::Boolean(value) => Value::Boolean(value),
            Attribute::Integer(value) => Value::Integer(value),
            Attribute::Text(text) => Value::Text(Text::borrowed(text)),
            Attribute::Short(text) => Value::Text(Text(Kind::Short(text))),
            Attribute::Bytes(bytes) => Value::Text(Text::owned(base64_text(bytes, work)?)),
        })
    }

    /// Cast to Boolean (§3.7).
    pub(super) fn boolean<'e>(&self) -> Result<bool, Failure<'e>> {
        match self {
            Value::Boolean(value) => Ok(*value),
            Value::Integer(value) => Ok(*value != 0),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Value::Text(_) => Err(Failure::Cast { from: Type::Text, to: Type::Boolean }),
        }
    }

    /// Cast to Integer (§3.7).
    pub(super) fn integer<'e>(&self, work: &mut Work) -> Result<i32, Failure<'e>> {
        match self {
            Value::Boolean(value) => Ok(i32::from(*value)),
            Value::Integer(value) => Ok(*value),
            Value::Text(text) => {
                // There may be any number of zeros in front.
                work.take(text.len())?;
                text.parse().map_err(|_| Failure::Cast { from: Type::Text, to: Type::Integer })
            }
        }
    }

    /// Cast to String (§3.7).
    pub(super) fn text(self) -> Text<'a> {
        match self {
            Value::Text(text) => text,
            Value::Boolean(true) => Text::borrowed("true"),
            Value::Boolean(false) => Text::borrowed("false"),
            Value::Integer(value) => Text(Kind::Short(ShortText::integer(value))),
        }
    }

    /// Whether it equals another after being cast to the type of that one, as `=` has it.
    pub(super) fn equals<'e>(
        self,
        other: &Value<'_>,
        work: &mut Work,
    ) -> Result<bool, Failure<'e>> {
        match other {
            Value::Boolean(other) => Ok(self.boolean()? == *other),
            Value::Integer(other) => Ok(self.integer(work)? == *other),
            Value::Text(other) => same_text(&self.text(), other, work),
        }
    }
}

pub(super) fn same_text<'e>(left: &str, right: &str, work: &mut Work) -> Result<bool, Failure<'e>> {
    if left.len() != right.len() {
        return Ok(false);
    }
    work.take(left.len())?;
    Ok(left == right)
}

fn base64_text<'e>(bytes: &[u8], work: &mut Work) -> Result<String, Failure<'e>> {
    work.take(bytes.len() / 3 * 4 + 4)?;
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    Ok(String::from_utf8(text).unwrap_or_default())
}

/// What is left of the work that one evaluation may do, in bytes looked at or made. It bounds time
/// and memory of an evaluation, whatever the expression and the event.
pub(super) struct Work {
    left: usize,
}

impl Work {
    pub(super) fn new(bytes: usize) -> Work {
        Work { left: bytes }
    }

    #[inline]
    pub(super) fn take<'e>(&mut self, bytes: usize) -> Result<(), Failure<'e>> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Failure::TooMuchWork),
        }
    }
}
