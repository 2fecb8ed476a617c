//! Messages of a stream other than events themselves.

use annal_event::Position;

use super::{cursor::Reset, snapshot::Truncated};
use crate::json_text::{push_number, push_position};

/// Nothing was sent for a while. No blank line after it: some clients dispatch an empty message
/// on one.
pub(crate) const HEARTBEAT: &[u8] = b":hb\n";

/// Reconnection times are spread over this, in milliseconds, so that clients do not all come back
/// at once.
const RETRY_MS_MIN: u64 = 2_000;
const RETRY_MS_SPREAD: u64 = 3_001;

/// Names that say something about the stream itself, the last two those of an `EventSource`.
const OWN_NAMES: [&str; 8] =
    ["snapshot", "ready", "truncated", "reset", "checkpoint", "busy", "open", "error"];

/// What the message of an event of this type is called under `names=type`: `delta` where the type is
/// a name of the stream's own, so that no producer speaks for the server, or is no line.
pub(super) fn name_by_type(ty: &str) -> &str {
    if OWN_NAMES.contains(&ty) || !is_line(ty) { "delta" } else { ty }
}

/// Whether no client takes a name for more than one line: some end lines where Unicode does (TR 13).
pub(crate) fn is_line(name: &str) -> bool {
    !name.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// `retry:` as a line of its own, part of whatever message comes next.
pub(crate) fn retry(random: u64) -> Vec<u8> {
    let mut out = b"retry: ".to_vec();
    push_number(&mut out, RETRY_MS_MIN + random % RETRY_MS_SPREAD);
    out.push(b'\n');
    out
}

/// The newest events only; so many older ones match too.
pub(super) fn push_truncated(out: &mut Vec<u8>, truncated: &Truncated) {
    out.extend_from_slice(b"event: truncated\ndata: {\"omitted\":");
    push_number(out, truncated.omitted);
    out.extend_from_slice(b",\"first\":");
    push_position(out, truncated.first);
    out.extend_from_slice(b"}\n\n");
}

/// A cursor that cannot be taken up. With `id`, the client's cursor becomes the head: nothing that
/// follows would set it.
pub(crate) fn push_reset(out: &mut Vec<u8>, reset: &Reset, head: Position, id: bool) {
    out.extend_from_slice(b"event: reset\ndata: {\"reason\":\"");
    out.extend_from_slice(reset.reason.as_bytes());
    out.extend_from_slice(b"\",\"requested\":");
    push_position(out, reset.requested);
    out.extend_from_slice(b",\"earliest\":");
    push_position(out, reset.earliest);
    out.extend_from_slice(b",\"head\":");
    push_position(out, head);
    out.extend_from_slice(b"}\n");
    if id {
        push_id(out, head);
    }
    out.push(b'\n');
}

/// All resources have been told as of a position; what follows are the changes after it.
pub(super) fn push_ready(out: &mut Vec<u8>, position: Position) {
    out.extend_from_slice(b"event: ready\ndata: {\"position\":");
    push_position(out, position);
    out.extend_from_slice(b"}\n");
    push_id(out, position);
    out.push(b'\n');
}

/// Everything up to here has been looked at and did not match.
pub(super) fn push_checkpoint(out: &mut Vec<u8>, position: Position) {
    out.extend_from_slice(b"event: checkpoint\ndata: {\"position\":");
    push_position(out, position);
    out.extend_from_slice(b"}\n");
    push_id(out, position);
    out.push(b'\n');
}

pub(crate) fn push_id(out: &mut Vec<u8>, position: Position) {
    out.extend_from_slice(b"id: ");
    push_number(out, position.0);
    out.push(b'\n');
}

/// Too many streams, or not ready yet: come back later.
pub(super) fn busy(random: u64, reason: &str, streams: usize) -> Vec<u8> {
    let mut out = retry(random);
    out.extend_from_slice(b"event: busy\ndata: {\"reason\":\"");
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\",\"streams\":");
    push_number(&mut out, streams as u64);
    out.extend_from_slice(b"}\n\n");
    out
}
