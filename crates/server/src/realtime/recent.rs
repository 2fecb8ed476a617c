//! Messages as they go out, encoded once for all clients: those that are for everybody go to
//! clients that otherwise see nothing in common.

use annal_engine::ReadError;
use annal_event::{Data, Event, Position, REALTIME_MESSAGE, StoredEvent, json};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    json_text::{push_number, push_string},
    read::encode::decode,
    stream::message::{self, push_id},
};

/// Messages kept, and the longest that is.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// The newest messages, encoded.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: [Mutex<(Position, Bytes)>; KEPT_MAX],
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { kept: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Recent {
    /// Appends messages as they go out.
    pub(crate) fn push(&self, out: &mut Vec<u8>, events: &[StoredEvent]) -> Result<(), ReadError> {
        for stored in events {
            let position = stored.position();
            let mut kept = self.kept[position.get() as usize % KEPT_MAX].lock();
            if kept.0 == position {
                out.extend_from_slice(&kept.1);
                continue;
            }
            let start = out.len();
            push_message(out, position, &decode(stored)?);
            // An older one is for somebody who lags and of no use to others.
            if position > kept.0 && out.len() - start <= KEPT_BYTES_MAX {
                *kept = (position, Bytes::copy_from_slice(&out[start..]));
            }
        }
        Ok(())
    }
}

fn push_message(out: &mut Vec<u8>, position: Position, event: &Event<'_>) {
    if event.ty != REALTIME_MESSAGE && message::is_line(&event.ty) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.ty.as_bytes());
        out.push(b'\n');
    }
    push_id(out, position);
    out.extend_from_slice(b"data: {\"_sequence\":");
    push_number(out, position.get());
    out.extend_from_slice(b",\"type\":");
    push_string(out, &event.ty);
    out.extend_from_slice(b",\"messageId\":");
    push_string(out, &event.id);
    if let Some(time) = &event.time {
        out.extend_from_slice(b",\"timestamp\":");
        push_string(out, time);
    }
    out.extend_from_slice(b",\"data\":");
    match &event.data {
        Data::Json(text) => json::write_json_sse(out, text),
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}\n\n");
}
