//! The few pieces of JSON that are written by hand.

/// Appends a JSON string literal.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    annal_event::json::write_string(out, text);
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a position as it stands in JSON: a decimal string.
pub(crate) fn push_position(out: &mut Vec<u8>, position: annal_event::Position) {
    out.push(b'"');
    push_number(out, position.0);
    out.push(b'"');
}
