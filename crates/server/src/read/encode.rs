//! Events as they go out: JSON, protobuf, with position and recorded time.

use annal_engine::ReadError;
use annal_event::{Data, Event, StoredEvent, base64, json, proto};

use crate::json_text::push_string;

/// Decodes a record; damage is named by its position.
pub(crate) fn decode(stored: &StoredEvent) -> Result<Event<'_>, ReadError> {
    stored.event().map_err(|source| ReadError::Record { position: stored.position(), source })
}

/// Appends an event as one line of JSON.
pub(crate) fn push_json(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    json::write_event(out, &decode(stored)?, Some((stored.position(), stored.recorded())));
    Ok(())
}

/// As [`push_json`], for a line of a stream.
pub(crate) fn push_json_line(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    json::write_event_sse(out, &decode(stored)?, Some((stored.position(), stored.recorded())));
    Ok(())
}

/// Appends events with commas between them.
pub(crate) fn push_json_list(out: &mut Vec<u8>, events: &[StoredEvent]) -> Result<(), ReadError> {
    for (place, stored) in events.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_json(out, stored)?;
    }
    Ok(())
}

/// Appends events as their topics and consumers see them, with commas between them:
/// `{"id","timestamp","type","payload"}`.
pub(crate) fn push_payloads(out: &mut Vec<u8>, events: &[StoredEvent]) -> Result<(), ReadError> {
    for (place, stored) in events.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let event = decode(stored)?;
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
    Ok(())
}

/// JSON as it came, text as a string, nothing as `null`; bytes in base64, and a member that says so.
fn push_payload(out: &mut Vec<u8>, data: &Data<'_>) {
    match data {
        Data::None => out.extend_from_slice(b"null"),
        Data::Json(text) => out.extend_from_slice(text.as_bytes()),
        Data::Text(text) => push_string(out, text),
        Data::Bytes(bytes) | Data::Proto(_, bytes) => {
            out.push(b'"');
            base64::encode(bytes, out);
            out.extend_from_slice(b"\",\"payload_encoding\":\"base64\"");
        }
    }
}

/// Appends an item of a protobuf batch.
pub(crate) fn push_proto_item(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    let place = Some((stored.position(), stored.recorded()));
    proto::write_batch_item(out, &decode(stored)?, place);
    Ok(())
}

/// Appends one protobuf event.
pub(crate) fn push_proto(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    proto::write_event(out, &decode(stored)?, Some((stored.position(), stored.recorded())));
    Ok(())
}
