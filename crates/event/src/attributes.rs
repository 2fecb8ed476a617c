//! Single attributes of an event, found by name: what filters read.
//!
//! The same names give the same values whether they are read from an [`Event`], from its record
//! ([`proto::Record`](crate::proto::Record)) or from a [`StoredEvent`], which knows `position` and
//! `recordedtime` besides. Nothing here allocates.

use std::fmt::{self, Write};

use crate::{Event, EventError, StoredEvent, Value, proto};

/// Something that has the attributes of an event.
pub trait Attributes {
    /// The attribute of this name, in lower case; `None` if the event does not have it. Fails only
    /// where a stored record does not decode.
    fn attribute(&self, name: &str) -> Result<Option<Attribute<'_>>, EventError>;
}

/// The value of one attribute. URIs and times are text, as in any format without types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// true or false.
    Boolean(bool),
    /// A signed 32-bit number.
    Integer(i32),
    /// Text as it came.
    Text(&'a str),
    /// Text made from something else, such as a time that is stored as an instant.
    Short(ShortText),
    /// Any bytes; base64 as text.
    Bytes(&'a [u8]),
}

const SHORT_BYTES_MAX: usize = 30;

/// A few ASCII characters (a time, a number), kept without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    length: u8,
    bytes: [u8; SHORT_BYTES_MAX],
}

impl ShortText {
    /// Copies a text that is short enough: up to 30 bytes.
    pub(crate) fn of(text: &str) -> Option<ShortText> {
        let mut short = ShortText::default();
        short.write_str(text).ok()?;
        Some(short)
    }

    /// What `value` displays as; empty if that is too long.
    fn displayed(value: impl fmt::Display) -> ShortText {
        let mut short = ShortText::default();
        match write!(short, "{value}") {
            Ok(()) => short,
            Err(fmt::Error) => ShortText::default(),
        }
    }

    /// A number in base 10.
    pub(crate) fn integer(number: i32) -> ShortText {
        ShortText::of(itoa::Buffer::new().format(number)).unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.length)];
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for ShortText {
    fn default() -> ShortText {
        ShortText { length: 0, bytes: [0; SHORT_BYTES_MAX] }
    }
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let from = usize::from(self.length);
        let room = self.bytes.get_mut(from..from + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len() as u8;
        Ok(())
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Attributes for Event<'_> {
    fn attribute(&self, name: &str) -> Result<Option<Attribute<'_>>, EventError> {
        let optional = match name {
            "id" => Some(&self.id),
            "source" => Some(&self.source),
            "type" => Some(&self.ty),
            "specversion" => return Ok(Some(Attribute::Text("1.0"))),
            "subject" => self.subject.as_ref(),
            "time" => self.time.as_ref(),
            "datacontenttype" => self.datacontenttype.as_ref(),
            "dataschema" => self.dataschema.as_ref(),
            _ => return Ok(self.extension(name).map(Attribute::of)),
        };
        Ok(optional.map(|text| Attribute::Text(text)))
    }
}

impl<'a> Attribute<'a> {
    fn of(value: &'a Value<'_>) -> Attribute<'a> {
        match value {
            Value::Boolean(value) => Attribute::Boolean(*value),
            Value::Integer(value) => Attribute::Integer(*value),
            Value::Bytes(bytes) => Attribute::Bytes(bytes),
            Value::String(text)
            | Value::Uri(text)
            | Value::UriRef(text)
            | Value::Timestamp(text) => Attribute::Text(text),
        }
    }
}

/// With `position` and `recordedtime`, as the event is served.
impl Attributes for StoredEvent {
    fn attribute(&self, name: &str) -> Result<Option<Attribute<'_>>, EventError> {
        match name {
            "position" => Ok(Some(Attribute::Short(ShortText::displayed(self.position())))),
            "recordedtime" => Ok(Some(Attribute::Short(ShortText::displayed(self.recorded())))),
            _ => proto::attribute(self.record(), name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn short_texts_hold_every_number_and_time() {
        for number in [0, 7, -1, i32::MIN, i32::MAX] {
            assert_eq!(ShortText::integer(number).as_str(), number.to_string());
        }
        for time in [Timestamp(0), Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            assert_eq!(ShortText::displayed(time).as_str(), time.to_string());
        }
        assert_eq!(ShortText::of(&"a".repeat(31)), None);
    }
}
