//! What is sent: events in one of the formats.

use annal_engine::ReadError;
use annal_event::{ConsumerSpec, Data, Event, Format, StoredEvent, base64};
use http::HeaderValue;

use crate::{
    json_text::push_string,
    read::encode::{decode, push_json, push_json_list},
};

/// A body and its media type.
pub(crate) fn of(
    spec: &ConsumerSpec,
    events: &[StoredEvent],
) -> Result<(Vec<u8>, HeaderValue), ReadError> {
    let bytes: usize = events.iter().map(|stored| stored.record().len() + 128).sum();
    let mut out = Vec::with_capacity(bytes);
    let media_type = match (spec.format, events) {
        (Format::Batch, _) => {
            push_batch(&mut out, &spec.id, events)?;
            "application/json"
        }
        (Format::CloudEvents, [one, ..]) => {
            push_json(&mut out, one)?;
            "application/cloudevents+json"
        }
        (Format::CloudEvents | Format::CloudEventsBatch, _) => {
            out.push(b'[');
            push_json_list(&mut out, events)?;
            out.push(b']');
            "application/cloudevents-batch+json"
        }
    };
    Ok((out, HeaderValue::from_static(media_type)))
}

/// `{"consumerId":…,"events":[{"id","timestamp","type","payload"}]}`
fn push_batch(out: &mut Vec<u8>, id: &str, events: &[StoredEvent]) -> Result<(), ReadError> {
    out.extend_from_slice(b"{\"consumerId\":");
    push_string(out, id);
    out.extend_from_slice(b",\"events\":[");
    for (place, stored) in events.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_event(out, &decode(stored)?, stored);
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

fn push_event(out: &mut Vec<u8>, event: &Event<'_>, stored: &StoredEvent) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, &event.id);
    out.extend_from_slice(b",\"timestamp\":");
    match &event.time {
        Some(time) => push_string(out, time),
        None => push_string(out, &stored.recorded().to_string()),
    }
    out.extend_from_slice(b",\"type\":");
    push_string(out, &event.ty);
    out.extend_from_slice(b",\"payload\":");
    push_payload(out, &event.data);
    out.push(b'}');
}

/// Data as a JSON value: JSON as it is, text as a string, bytes in base64.
fn push_payload(out: &mut Vec<u8>, data: &Data<'_>) {
    match data {
        Data::None => out.extend_from_slice(b"null"),
        Data::Json(text) => out.extend_from_slice(text.as_bytes()),
        Data::Text(text) => push_string(out, text),
        Data::Bytes(bytes) | Data::Proto(_, bytes) => {
            out.push(b'"');
            base64::encode(bytes, out);
            out.push(b'"');
        }
    }
}
