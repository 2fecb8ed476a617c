//! Finding one attribute in a stored record without decoding the others.

use super::number;
use super::read::{damaged, entry, timestamp};
use super::wire::{Malformed, Reader};
use crate::{Attribute, Attributes, EventError};

/// A stored record whose attributes are read one at a time, where they stand.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a>(pub &'a [u8]);

impl Attributes for Record<'_> {
    fn attribute(&self, name: &str) -> Result<Option<Attribute<'_>>, EventError> {
        attribute(self.0, name)
    }
}

/// The attribute of this name in a stored record, with its type; `None` if it is not there.
///
/// Reads no further than to what is asked for, and allocates nothing. A record has each name once.
pub fn attribute<'a>(record: &'a [u8], name: &str) -> Result<Option<Attribute<'a>>, EventError> {
    let found = match name {
        "id" => text_field(record, number::ID),
        "source" => text_field(record, number::SOURCE),
        "specversion" => text_field(record, number::SPEC_VERSION),
        "type" => text_field(record, number::TYPE),
        _ => map_entry(record, name.as_bytes()),
    };
    found.map_err(damaged)
}

fn text_field(record: &[u8], wanted: u32) -> Result<Option<Attribute<'_>>, Malformed> {
    let mut reader = Reader::new(record);
    while let Some((number, field)) = reader.next()? {
        if number == wanted {
            return Ok(Some(Attribute::Text(field.text()?)));
        }
    }
    Ok(None)
}

fn map_entry<'a>(record: &'a [u8], wanted: &[u8]) -> Result<Option<Attribute<'a>>, Malformed> {
    let mut reader = Reader::new(record);
    while let Some((number, field)) = reader.next()? {
        if number != number::ATTRIBUTES {
            continue;
        }
        let bytes = field.bytes()?;
        // The name comes first, so that most entries need not be read any further.
        let first = Reader::new(bytes).next()?;
        if first.is_some_and(|(number, name)| number == 1 && name.bytes() != Ok(wanted)) {
            continue;
        }
        let (name, value) = entry(bytes)?;
        if name == wanted {
            return typed(value);
        }
    }
    Ok(None)
}

/// The member of a `CloudEventAttributeValue` that is set; the last one, should there be several.
fn typed(value: &[u8]) -> Result<Option<Attribute<'_>>, Malformed> {
    let mut found = None;
    let mut reader = Reader::new(value);
    while let Some((number, field)) = reader.next()? {
        found = Some(match number {
            number::CE_BOOLEAN => Attribute::Boolean(field.varint()? != 0),
            // int32 on the wire is a 64-bit varint of which the low half counts.
            number::CE_INTEGER => Attribute::Integer(field.varint()? as i32),
            number::CE_STRING | number::CE_URI | number::CE_URI_REF => {
                Attribute::Text(field.text()?)
            }
            number::CE_BYTES => Attribute::Bytes(field.bytes()?),
            number::CE_TIMESTAMP => Attribute::Short(timestamp(field)?.short()),
            _ => continue,
        });
    }
    Ok(found)
}
