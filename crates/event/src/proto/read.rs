//! Reading `CloudEvent` messages, stored and sent.

use std::borrow::Cow;

use super::wire::{Field, Malformed, Reader};
use super::{DATA_KIND, KIND_JSON, KIND_TEXT, number};
use crate::{
    Data, Event, EventError, EventErrorKind, Keys, Limits, Value, json, media_type,
    rfc3339::Instant, validate,
};

/// A `CloudEvent` message taken apart, before anything is made of its data.
struct Message<'a> {
    id: Option<&'a str>,
    source: Option<&'a str>,
    spec_version: Option<&'a str>,
    ty: Option<&'a str>,
    event: Event<'a>,
    /// Name of an attribute without a value.
    unset: Option<&'a [u8]>,
    data: RawData<'a>,
    kind: u64,
}

/// Content of the `data` oneof.
#[derive(Clone, Copy)]
enum RawData<'a> {
    None,
    Binary(&'a [u8]),
    Text(&'a str),
    Proto(&'a str, &'a [u8]),
}

/// Reads a stored record. Allocates for the extensions, and for a time kept as an instant.
pub fn decode_record(record: &[u8]) -> Result<Event<'_>, EventError> {
    let message = take_apart(record).map_err(damaged)?;
    let (Some(id), Some(source), Some(ty)) = (message.id, message.source, message.ty) else {
        return Err(damaged(Malformed("a required attribute is missing")));
    };
    let mut event = message.event;
    (event.id, event.source, event.ty) = (id.into(), source.into(), ty.into());
    event.data = match message.data {
        RawData::None => Data::None,
        RawData::Binary(bytes) => Data::Bytes(bytes.into()),
        RawData::Proto(url, bytes) => Data::Proto(url.into(), bytes.into()),
        RawData::Text(text) if text_is_json(&event, message.kind) => Data::Json(text.into()),
        RawData::Text(text) => Data::Text(text.into()),
    };
    Ok(event)
}

fn text_is_json(event: &Event<'_>, kind: u64) -> bool {
    match u8::try_from(kind) {
        Ok(KIND_JSON) => true,
        Ok(KIND_TEXT) => false,
        _ => event.datacontenttype.as_deref().is_none_or(media_type::is_json),
    }
}

/// Reads one event as it came over the wire. Nothing of it is trusted; the caller still has to
/// [`validate`](Event::validate) it.
pub fn parse_event(message: &[u8]) -> Result<Event<'_>, EventError> {
    let message = take_apart(message).map_err(malformed)?;
    let spec_version = message.spec_version.ok_or_else(|| validate::missing("specversion"))?;
    validate::specversion(spec_version)?;
    if let Some(name) = message.unset {
        return Err(validate::unset(&String::from_utf8_lossy(name)));
    }
    let mut event = message.event;
    event.id = message.id.ok_or_else(|| validate::missing("id"))?.into();
    event.source = message.source.ok_or_else(|| validate::missing("source"))?.into();
    event.ty = message.ty.ok_or_else(|| validate::missing("type"))?.into();
    event.extensions.retain(|(name, _)| !validate::is_set_by_store(name));
    event.data = match message.data {
        RawData::None => Data::None,
        RawData::Proto(url, bytes) => Data::Proto(url.into(), bytes.into()),
        RawData::Binary(bytes) => {
            media_type::data_of_bytes(bytes.into(), event.datacontenttype.as_deref())
        }
        RawData::Text(text) => {
            let json_expected = event.datacontenttype.as_deref().is_none_or(media_type::is_json);
            let is_json = json_expected && json::is_json(text);
            if is_json { Data::Json(text.into()) } else { Data::Text(text.into()) }
        }
    };
    Ok(event)
}

/// Reads a `CloudEventBatch` as it came over the wire, at most `limits.batch_events_max` events.
/// An error carries the index of its event.
pub fn parse_batch<'a>(message: &'a [u8], limits: &Limits) -> Result<Vec<Event<'a>>, EventError> {
    let mut events = Vec::new();
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next().map_err(malformed)? {
        if number != number::BATCH_EVENTS {
            continue;
        }
        if events.len() == limits.batch_events_max {
            return Err(validate::too_many(limits));
        }
        let index = events.len();
        let event = field.bytes().map_err(malformed).and_then(parse_event);
        events.push(event.map_err(|error| error.at_index(index))?);
    }
    Ok(events)
}

/// Reads of a stored record only what an index needs.
pub fn keys(record: &[u8]) -> Result<Keys<'_>, EventError> {
    read_keys(record).map_err(damaged)
}

fn read_keys(record: &[u8]) -> Result<Keys<'_>, Malformed> {
    let mut keys = Keys::default();
    let mut reader = Reader::new(record);
    while let Some((number, field)) = reader.next()? {
        match number {
            number::ID => keys.id = field.text()?,
            number::SOURCE => keys.source = field.text()?,
            number::TYPE => keys.ty = field.text()?,
            number::ATTRIBUTES => {
                let (name, value) = entry(field.bytes()?)?;
                let key = match name {
                    b"subject" => &mut keys.subject,
                    b"topic" => &mut keys.topic,
                    b"tags" => &mut keys.tags,
                    _ => continue,
                };
                *key = text_member(value)?;
            }
            _ => {}
        }
    }
    if keys.id.is_empty() || keys.source.is_empty() || keys.ty.is_empty() {
        return Err(Malformed("a required attribute is missing"));
    }
    Ok(keys)
}

/// The `ce_string` of an attribute value, if that is what it is.
fn text_member(value: &[u8]) -> Result<Option<&str>, Malformed> {
    let mut text = None;
    let mut reader = Reader::new(value);
    while let Some((number, field)) = reader.next()? {
        text = if number == number::CE_STRING { Some(field.text()?) } else { None };
    }
    Ok(text)
}

pub(super) fn damaged(Malformed(what): Malformed) -> EventError {
    let detail = format!("a stored record does not decode: {what}; run annal verify");
    EventError::new(EventErrorKind::Damaged, "", detail)
}

fn malformed(Malformed(what): Malformed) -> EventError {
    let detail = format!("not a CloudEvents protobuf message: {what}; see cloudevents.proto");
    EventError::new(EventErrorKind::Syntax, "", detail)
}

#[inline]
fn take_apart(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut message = Message {
        id: None,
        source: None,
        spec_version: None,
        ty: None,
        event: Event::new("", "", ""),
        unset: None,
        data: RawData::None,
        kind: 0,
    };
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            number::ID => message.id = Some(field.text()?),
            number::SOURCE => message.source = Some(field.text()?),
            number::SPEC_VERSION => message.spec_version = Some(field.text()?),
            number::TYPE => message.ty = Some(field.text()?),
            number::ATTRIBUTES => {
                let (name, value) = entry(field.bytes()?)?;
                match attribute_value(value)? {
                    Some(value) => set_attribute(&mut message.event, name, value)?,
                    None => message.unset = Some(name),
                }
            }
            number::BINARY_DATA => message.data = RawData::Binary(field.bytes()?),
            number::TEXT_DATA => message.data = RawData::Text(field.text()?),
            number::PROTO_DATA => message.data = any(field.bytes()?)?,
            DATA_KIND => message.kind = field.varint()?,
            _ => {}
        }
    }
    last_one_wins(&mut message.event.extensions);
    Ok(message)
}

/// Sorts by name; of several entries of one name the last stays, as in any protobuf map.
fn last_one_wins(extensions: &mut Vec<(Cow<'_, str>, Value<'_>)>) {
    if extensions.is_sorted_by(|left, right| left.0 < right.0) {
        return;
    }
    extensions.reverse();
    extensions.sort_by(|left, right| left.0.cmp(&right.0));
    extensions.dedup_by(|later, kept| later.0 == kept.0);
}

/// Name and value message of one entry of the attributes map.
#[inline]
pub(super) fn entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

#[inline]
fn set_attribute<'a>(
    event: &mut Event<'a>,
    name: &'a [u8],
    value: Value<'a>,
) -> Result<(), Malformed> {
    let core = match name {
        b"subject" => &mut event.subject,
        b"time" => &mut event.time,
        b"datacontenttype" => &mut event.datacontenttype,
        b"dataschema" => &mut event.dataschema,
        _ => {
            let name = std::str::from_utf8(name)
                .map_err(|_| Malformed("an attribute name is not UTF-8"))?;
            event.extensions.push((name.into(), value));
            return Ok(());
        }
    };
    *core = match value {
        Value::String(text) | Value::Uri(text) | Value::UriRef(text) | Value::Timestamp(text) => {
            Some(text)
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Bytes(_) => {
            return Err(Malformed("an attribute has another type than CloudEvents gives it"));
        }
    };
    Ok(())
}

#[inline]
fn attribute_value(bytes: &[u8]) -> Result<Option<Value<'_>>, Malformed> {
    let mut value = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        value = Some(match number {
            number::CE_BOOLEAN => Value::Boolean(field.varint()? != 0),
            // int32 on the wire is a 64-bit varint of which the low half counts.
            number::CE_INTEGER => Value::Integer(field.varint()? as i32),
            number::CE_STRING => Value::String(field.text()?.into()),
            number::CE_BYTES => Value::Bytes(field.bytes()?.into()),
            number::CE_URI => Value::Uri(field.text()?.into()),
            number::CE_URI_REF => Value::UriRef(field.text()?.into()),
            number::CE_TIMESTAMP => Value::Timestamp(timestamp(field)?.text().into()),
            _ => continue,
        });
    }
    Ok(value)
}

pub(super) fn timestamp(field: Field<'_>) -> Result<Instant, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(field.bytes()?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => seconds = field.varint()? as i64,
            2 => nanos = i64::from(field.varint()? as i32),
            _ => {}
        }
    }
    Instant::new(seconds, nanos).ok_or(Malformed("a timestamp is out of range"))
}

fn any(bytes: &[u8]) -> Result<RawData<'_>, Malformed> {
    let (mut url, mut value): (&str, &[u8]) = ("", &[]);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => url = field.text()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok(RawData::Proto(url, value))
}
