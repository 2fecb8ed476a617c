//! Writing `CloudEvent` messages, stored and sent.

use super::read::{decode_record, keys};
use super::wire::{field_bytes, put_bytes, put_header, put_varint, varint_bytes};
use super::{DATA_KIND, KIND_JSON, KIND_TEXT, number};
use crate::{
    Data, Event, EventError, Position, Timestamp, Value, media_type, rfc3339, rfc3339::Instant,
};

/// An attribute value as one member of `CloudEventAttributeValue`.
#[derive(Clone, Copy, Debug)]
enum Attribute<'a> {
    Boolean(bool),
    Integer(i32),
    /// Member number (string, URI, URI-reference, bytes) and content.
    Bytes(u32, &'a [u8]),
    Timestamp(Instant),
}

impl<'a> Attribute<'a> {
    fn text(text: &'a str) -> Attribute<'a> {
        Attribute::Bytes(number::CE_STRING, text.as_bytes())
    }

    /// A time whose text must be the same again: the instant only if it says everything.
    fn stored_time(text: &'a str) -> Attribute<'a> {
        match rfc3339::parse(text) {
            Some(parsed) if parsed.exact => Attribute::Timestamp(parsed.instant),
            _ => Attribute::text(text),
        }
    }

    /// A time for others to read: the instant wherever protobuf can say it.
    fn sent_time(text: &'a str) -> Attribute<'a> {
        let instant = rfc3339::parse(text).map(|parsed| parsed.instant);
        match instant.and_then(|i| Instant::new(i.seconds, i64::from(i.nanos))) {
            Some(instant) => Attribute::Timestamp(instant),
            None => Attribute::text(text),
        }
    }

    fn of(value: &'a Value<'_>, time: fn(&'a str) -> Attribute<'a>) -> Attribute<'a> {
        match value {
            Value::Boolean(value) => Attribute::Boolean(*value),
            Value::Integer(value) => Attribute::Integer(*value),
            Value::String(text) => Attribute::text(text),
            Value::Bytes(bytes) => Attribute::Bytes(number::CE_BYTES, bytes),
            Value::Uri(text) => Attribute::Bytes(number::CE_URI, text.as_bytes()),
            Value::UriRef(text) => Attribute::Bytes(number::CE_URI_REF, text.as_bytes()),
            Value::Timestamp(text) => time(text),
        }
    }

    /// Size of the `CloudEventAttributeValue` message.
    fn bytes(self) -> usize {
        match self {
            Attribute::Boolean(_) => 2,
            Attribute::Integer(value) => 1 + varint_bytes(i64::from(value) as u64),
            Attribute::Bytes(_, bytes) => field_bytes(bytes.len()),
            Attribute::Timestamp(instant) => field_bytes(timestamp_bytes(instant)),
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Attribute::Boolean(value) => {
                out.extend_from_slice(&[(number::CE_BOOLEAN << 3) as u8, u8::from(value)]);
            }
            Attribute::Integer(value) => {
                out.push((number::CE_INTEGER << 3) as u8);
                put_varint(out, i64::from(value) as u64);
            }
            Attribute::Bytes(number, bytes) => put_bytes(out, number, bytes),
            Attribute::Timestamp(instant) => {
                put_header(out, number::CE_TIMESTAMP, timestamp_bytes(instant));
                put_timestamp(out, instant);
            }
        }
    }
}

fn timestamp_bytes(instant: Instant) -> usize {
    let member = |value: u64| if value == 0 { 0 } else { 1 + varint_bytes(value) };
    member(instant.seconds as u64) + member(u64::from(instant.nanos))
}

fn put_timestamp(out: &mut Vec<u8>, instant: Instant) {
    for (tag, value) in [(1 << 3, instant.seconds as u64), (2 << 3, u64::from(instant.nanos))] {
        if value != 0 {
            out.push(tag);
            put_varint(out, value);
        }
    }
}

/// Gives each attribute but the four required ones to `each`, in the order they are written.
fn attributes<'e>(
    event: &'e Event<'_>,
    time: fn(&'e str) -> Attribute<'e>,
    mut each: impl FnMut(&str, Attribute<'e>),
) {
    if let Some(text) = &event.subject {
        each("subject", Attribute::text(text));
    }
    if let Some(text) = &event.time {
        each("time", time(text));
    }
    if let Some(text) = &event.datacontenttype {
        each("datacontenttype", Attribute::text(text));
    }
    if let Some(text) = &event.dataschema {
        each("dataschema", Attribute::Bytes(number::CE_URI, text.as_bytes()));
    }
    for (name, value) in &event.extensions {
        each(name, Attribute::of(value, time));
    }
}

fn entry_bytes(name: &str, attribute: Attribute<'_>) -> usize {
    field_bytes(name.len()) + field_bytes(attribute.bytes())
}

fn put_attribute(out: &mut Vec<u8>, name: &str, attribute: Attribute<'_>) {
    put_header(out, number::ATTRIBUTES, entry_bytes(name, attribute));
    put_bytes(out, 1, name.as_bytes());
    put_header(out, 2, attribute.bytes());
    attribute.put(out);
}

fn put_required(out: &mut Vec<u8>, event: &Event<'_>) {
    put_bytes(out, number::ID, event.id.as_bytes());
    put_bytes(out, number::SOURCE, event.source.as_bytes());
    put_bytes(out, number::SPEC_VERSION, b"1.0");
    put_bytes(out, number::TYPE, event.ty.as_bytes());
}

fn put_data(out: &mut Vec<u8>, data: &Data<'_>) {
    match data {
        Data::None => {}
        Data::Json(text) | Data::Text(text) => put_bytes(out, number::TEXT_DATA, text.as_bytes()),
        Data::Bytes(bytes) => put_bytes(out, number::BINARY_DATA, bytes),
        Data::Proto(url, bytes) => {
            put_header(out, number::PROTO_DATA, field_bytes(url.len()) + field_bytes(bytes.len()));
            put_bytes(out, 1, url.as_bytes());
            put_bytes(out, 2, bytes);
        }
    }
}

/// What a record must say beside its media type for `text_data` to be read as it was.
fn data_kind(event: &Event<'_>) -> Option<u8> {
    let json_expected = event.datacontenttype.as_deref().is_none_or(media_type::is_json);
    match event.data {
        Data::Json(_) if !json_expected => Some(KIND_JSON),
        Data::Text(_) if json_expected => Some(KIND_TEXT),
        _ => None,
    }
}

/// Appends the stored form of an event.
pub fn encode_record(event: &Event<'_>, out: &mut Vec<u8>) {
    put_required(out, event);
    attributes(event, Attribute::stored_time, |name, value| put_attribute(out, name, value));
    put_data(out, &event.data);
    if let Some(kind) = data_kind(event) {
        put_varint(out, u64::from(DATA_KIND << 3));
        out.push(kind);
    }
}

/// Appends a stored record as it would be if its event had another id; answers the event's source.
/// The id comes first in a record, so that the rest need not be read.
pub(crate) fn put_record_with_id<'r>(
    out: &mut Vec<u8>,
    record: &'r [u8],
    id: &str,
) -> Result<&'r str, EventError> {
    let keys = keys(record)?;
    let mut before = Vec::with_capacity(field_bytes(keys.id.len()));
    put_bytes(&mut before, number::ID, keys.id.as_bytes());
    match record.strip_prefix(before.as_slice()) {
        Some(rest) => {
            put_bytes(out, number::ID, id.as_bytes());
            out.extend_from_slice(rest);
        }
        None => {
            let mut event = decode_record(record)?;
            event.id = id.into();
            encode_record(&event, out);
        }
    }
    Ok(keys.source)
}

/// Size of the stored form, in bytes.
pub fn record_bytes(event: &Event<'_>) -> usize {
    let mut bytes = [&event.id, &event.source, &event.ty]
        .iter()
        .map(|text| field_bytes(text.len()))
        .sum::<usize>()
        + field_bytes("1.0".len());
    attributes(event, Attribute::stored_time, |name, value| {
        bytes += field_bytes(entry_bytes(name, value));
    });
    bytes += match &event.data {
        Data::None => 0,
        Data::Json(text) | Data::Text(text) => field_bytes(text.len()),
        Data::Bytes(data) => field_bytes(data.len()),
        Data::Proto(url, data) => field_bytes(field_bytes(url.len()) + field_bytes(data.len())),
    };
    bytes + data_kind(event).map_or(0, |_| varint_bytes(u64::from(DATA_KIND << 3)) + 1)
}

/// Appends one event as it goes over the wire: `time` as a protobuf timestamp wherever it can be
/// one, `position` and `recordedtime` among the attributes if the event is stored.
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>, stored: Option<(Position, Timestamp)>) {
    put_required(out, event);
    attributes(event, Attribute::sent_time, |name, value| put_attribute(out, name, value));
    if let Some((position, recorded)) = stored {
        put_place(out, position, recorded);
    }
    put_data(out, &event.data);
}

/// Appends the attributes that the store adds to what it serves.
pub(super) fn put_place(out: &mut Vec<u8>, position: Position, recorded: Timestamp) {
    let mut digits = itoa::Buffer::new();
    put_attribute(out, "position", Attribute::text(digits.format(position.0)));
    put_attribute(out, "recordedtime", Attribute::Timestamp(Instant::of(recorded)));
}

/// Appends one item of a `CloudEventBatch`; the items one after the other are the batch.
pub fn write_batch_item(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    stored: Option<(Position, Timestamp)>,
) {
    let mut item = Vec::with_capacity(512);
    write_event(&mut item, event, stored);
    put_bytes(out, number::BATCH_EVENTS, &item);
}
