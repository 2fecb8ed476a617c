//! Events on their way out: records as they are stored, with their place, in one piece of memory.

use annal_engine::ReadError;
use annal_event::{StoredEvent, proto};
use bytes::Bytes;

/// Bytes that the place of an event takes, about.
const PLACE_BYTES: usize = 80;

/// Each event as a `CloudEvent` message.
pub(super) fn events(stored: &[StoredEvent]) -> Result<Vec<Bytes>, ReadError> {
    let records: usize = stored.iter().map(|stored| stored.record().len() + PLACE_BYTES).sum();
    let mut all = Vec::with_capacity(records);
    let mut ends = Vec::with_capacity(stored.len());
    for stored in stored {
        push(&mut all, stored)?;
        ends.push(all.len());
    }
    let mut all = Bytes::from(all);
    let mut start = 0;
    let cut = |end: usize| {
        let event = all.split_to(end - start);
        start = end;
        event
    };
    Ok(ends.into_iter().map(cut).collect())
}

/// One event.
pub(super) fn event(stored: &StoredEvent) -> Result<Bytes, ReadError> {
    let mut out = Vec::with_capacity(stored.record().len() + PLACE_BYTES);
    push(&mut out, stored)?;
    Ok(out.into())
}

fn push(out: &mut Vec<u8>, stored: &StoredEvent) -> Result<(), ReadError> {
    let position = stored.position();
    proto::write_record(out, stored.record(), position, stored.recorded())
        .map_err(|source| ReadError::Record { position, source })
}
