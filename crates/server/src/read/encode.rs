//! Events as they go out: JSON, protobuf, with position and recorded time.

use annal_engine::ReadError;
use annal_event::{Event, StoredEvent, json, proto};

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
