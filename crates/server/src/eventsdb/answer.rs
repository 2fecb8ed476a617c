//! Events in the JSON of Events-DB.

use annal_engine::{Page, ReadError};
use annal_event::{StoredEvent, base64};

use super::told;
use crate::json_text::{push_number, push_string};

/// Appends `{"id":1,"source":…,"type":…,"subject":…,"time":…,"data":"<base64>"}`.
pub(super) fn push_event(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    let told = told(stored)?;
    out.extend_from_slice(b"{\"id\":");
    push_number(out, stored.position().0);
    for (name, text) in [
        ("source", &*told.event.source),
        ("type", &*told.event.ty),
        ("subject", told.subject()),
        ("time", &told.time),
    ] {
        out.push(b',');
        push_string(out, name);
        out.push(b':');
        push_string(out, text);
    }
    out.extend_from_slice(b",\"data\":\"");
    base64::encode(told.data(), out);
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// `{"events":[…],"has_more":…}`
pub(super) fn page(page: &Page) -> Result<Vec<u8>, ReadError> {
    let mut out = b"{\"events\":[".to_vec();
    for (place, stored) in page.events.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_event(&mut out, stored)?;
    }
    out.extend_from_slice(b"],\"has_more\":");
    out.extend_from_slice(if page.next.is_some() { b"true" } else { b"false" });
    out.push(b'}');
    Ok(out)
}

/// Appends an unnamed message for each event, the position its id.
pub(super) fn push_messages(out: &mut Vec<u8>, events: &[StoredEvent]) -> Result<(), ReadError> {
    for stored in events {
        out.extend_from_slice(b"id: ");
        push_number(out, stored.position().0);
        out.extend_from_slice(b"\ndata: ");
        push_event(out, stored)?;
        out.extend_from_slice(b"\n\n");
    }
    // It may wait for a slow socket.
    out.shrink_to_fit();
    Ok(())
}
