//! What is sent: events in one of the formats.

use annal_engine::ReadError;
use annal_event::{ConsumerSpec, Format, StoredEvent};
use http::HeaderValue;

use crate::{
    json_text::push_string,
    read::encode::{push_json, push_json_list, push_payloads},
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

/// `{"consumerId":…,"events":[…]}`
fn push_batch(out: &mut Vec<u8>, id: &str, events: &[StoredEvent]) -> Result<(), ReadError> {
    out.extend_from_slice(b"{\"consumerId\":");
    push_string(out, id);
    out.extend_from_slice(b",\"events\":[");
    push_payloads(out, events)?;
    out.extend_from_slice(b"]}");
    Ok(())
}
