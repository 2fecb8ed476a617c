//! Writing events as JSON, one compact line each.

use memchr::memchr2;

use super::scan::next_special;
use crate::{Data, Event, Position, Timestamp, Value, base64, media_type, rfc3339::Instant};

/// Appends an event as one compact line, without a line break at its end.
///
/// JSON data keeps its text; only if that has line breaks, the white space between its tokens goes.
/// Text under a media type that is not JSON is a string, under a JSON media type (which it is not)
/// base64, as are bytes.
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>, stored: Option<(Position, Timestamp)>) {
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    member(out, br#","id":"#, &event.id);
    member(out, br#","source":"#, &event.source);
    member(out, br#","type":"#, &event.ty);
    let optional: [(&[u8], _); 4] = [
        (br#","subject":"#, &event.subject),
        (br#","time":"#, &event.time),
        (br#","datacontenttype":"#, &event.datacontenttype),
        (br#","dataschema":"#, &event.dataschema),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            member(out, name, text);
        }
    }
    for (name, value) in &event.extensions {
        out.push(b',');
        write_string(out, name);
        out.push(b':');
        extension(out, value);
    }
    data(out, event);
    if let Some((position, recorded)) = stored {
        out.extend_from_slice(br#","position":""#);
        out.extend_from_slice(itoa::Buffer::new().format(position.0).as_bytes());
        out.extend_from_slice(br#"","recordedtime":""#);
        write_timestamp(out, recorded);
        out.push(b'"');
    }
    out.push(b'}');
}

/// As [`write_event`], with U+2028, U+2029 and U+0085 escaped, at which some SSE readers break.
pub fn write_event_sse(
    out: &mut Vec<u8>,
    event: &Event<'_>,
    stored: Option<(Position, Timestamp)>,
) {
    let start = out.len();
    write_event(out, event, stored);
    escape_line_separators(out, start);
}

/// Appends text known to be JSON as one line, as [`write_event_sse`] writes the data of an event.
pub fn write_json_sse(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    write_compact(out, json);
    escape_line_separators(out, start);
}

/// Appends a JSON string literal.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let at = next_special(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(byte) = bytes.get(at) else { break };
        escape(out, *byte);
        from = at + 1;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0C => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    write_string(out, text);
}

fn extension(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Integer(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
        }
        _ => write_string(out, &value.canonical()),
    }
}

fn data(out: &mut Vec<u8>, event: &Event<'_>) {
    match &event.data {
        Data::None => {}
        Data::Json(text) => {
            out.extend_from_slice(br#","data":"#);
            write_compact(out, text);
        }
        Data::Text(text) => {
            if event.datacontenttype.as_deref().is_some_and(media_type::is_json) {
                write_base64(out, text.as_bytes());
            } else {
                member(out, br#","data":"#, text);
            }
        }
        Data::Bytes(bytes) | Data::Proto(_, bytes) => write_base64(out, bytes),
    }
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(br#","data_base64":""#);
    base64::encode(bytes, out);
    out.push(b'"');
}

/// Appends a recorded time: RFC 3339 with six digits of fraction, as [`Timestamp`] is shown.
fn write_timestamp(out: &mut Vec<u8>, time: Timestamp) {
    let whole = Instant::of(Timestamp(time.0.div_euclid(1_000_000) * 1_000_000));
    let (length, text) = whole.bytes();
    out.extend_from_slice(&text[..length.min(19)]);
    let mut fraction = *b".000000Z";
    let mut rest = time.0.rem_euclid(1_000_000);
    for digit in fraction[1..7].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&fraction);
}

/// Appends JSON text; if it has line breaks, without any white space between tokens.
pub(super) fn write_compact(out: &mut Vec<u8>, json: &str) {
    let bytes = json.as_bytes();
    if memchr2(b'\n', b'\r', bytes).is_none() {
        out.extend_from_slice(bytes);
        return;
    }
    compact_pieces(json, |piece| out.extend_from_slice(piece.as_bytes()));
}

/// Appends text known to be JSON without any white space between tokens.
pub(crate) fn push_compact(out: &mut String, json: &str) {
    out.reserve(json.len());
    compact_pieces(json, |piece| out.push_str(piece));
}

/// Text known to be JSON in pieces without the white space between tokens.
fn compact_pieces(json: &str, mut out: impl FnMut(&str)) {
    let bytes = json.as_bytes();
    let (mut at, mut from) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out(&json[from..at]);
                let space = |b: &&u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
                at += bytes[at..].iter().take_while(space).count();
                from = at;
            }
            _ => at += 1,
        }
    }
    out(&json[from..]);
}

/// Where the string that begins at `at` ends, in text known to be JSON.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut from = at + 1;
    while let Some(offset) = bytes.get(from..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        let found = from + offset;
        if bytes[found] == b'"' {
            return found + 1;
        }
        from = found + 2;
    }
    bytes.len()
}

/// Whether two JSON texts are the same but for white space between tokens.
pub(crate) fn same_tokens(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (Tokens::new(left), Tokens::new(right));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (l, r) if l != r => return false,
            _ => {}
        }
    }
}

/// The bytes of a JSON text without the white space between tokens.
struct Tokens<'a> {
    bytes: std::slice::Iter<'a, u8>,
    in_string: bool,
    escaped: bool,
}

impl<'a> Tokens<'a> {
    fn new(json: &'a str) -> Tokens<'a> {
        Tokens { bytes: json.as_bytes().iter(), in_string: false, escaped: false }
    }
}

impl Iterator for Tokens<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.next()?;
            if self.in_string {
                self.in_string = byte != b'"' || self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
                return Some(byte);
            }
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                self.in_string = byte == b'"';
                return Some(byte);
            }
        }
    }
}

/// Escapes U+0085, U+2028 and U+2029 in the JSON text after `start`; they only stand in strings.
fn escape_line_separators(out: &mut Vec<u8>, start: usize) {
    let Some(first) = next_separator(out, start) else { return };
    let tail = out.split_off(first);
    let mut at = 0;
    while at < tail.len() {
        let (escaped, length): (&[u8], _) = match &tail[at..] {
            [0xC2, 0x85, ..] => (b"\\u0085", 2),
            [0xE2, 0x80, 0xA8, ..] => (b"\\u2028", 3),
            _ => (b"\\u2029", 3),
        };
        out.extend_from_slice(escaped);
        let from = at + length;
        at = next_separator(&tail, from).unwrap_or(tail.len());
        out.extend_from_slice(&tail[from..at]);
    }
}

/// Where the next line separator beyond ASCII stands.
fn next_separator(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        // 0xA8, 0xA9 and 0x85 also end other characters; their lead bytes are the rarer sight.
        let at = from + memchr2(0xC2, 0xE2, bytes.get(from..)?)?;
        match bytes.get(at..)? {
            [0xC2, 0x85, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] => return Some(at),
            _ => from = at + 1,
        }
    }
}
