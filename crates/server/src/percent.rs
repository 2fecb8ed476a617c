//! Percent-encoding (RFC 3986 §2.1), and that of forms, where `+` is a space.

use std::borrow::Cow;

/// Decodes; `None` if what comes out is not UTF-8 or a `%` is not followed by two hex digits.
pub(crate) fn decode(text: &[u8], form: bool) -> Option<Cow<'_, str>> {
    let special = |byte: &u8| *byte == b'%' || (form && *byte == b'+');
    if !text.iter().any(special) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => out.push(hex(*rest.next()?)? << 4 | hex(*rest.next()?)?),
            b'+' if form => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Encodes everything but unreserved characters.
pub(crate) fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
