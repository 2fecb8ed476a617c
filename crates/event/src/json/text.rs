//! A JSON string as it was written: its literal is kept, and read only where somebody asks.
//!
//! Keeping the literal makes a document exact, escapes included, and lets it carry surrogates that
//! stand alone, which RFC 8259 allows and no Rust string can hold. Two texts are the same if they
//! mean the same code points, however they are escaped.

use std::{borrow::Cow, fmt};

use super::scan::{Cursor, Fault, next_special};

/// The text of a string or of a member name.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// What stands between the quotes; checked.
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Of what a cursor found between quotes.
    pub(super) fn of((raw, escaped): (&'a str, bool)) -> Text<'a> {
        Text { raw, escaped }
    }

    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Text<'a>, Fault> {
        cursor.raw_string().map(Text::of)
    }

    /// What stands between the quotes, escapes as they were written.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// What it means; `None` if a surrogate stands alone in it.
    pub fn decode(&self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        self.points().map(char::from_u32).collect::<Option<String>>().map(Cow::Owned)
    }

    /// Whether it means this.
    pub fn is(&self, text: &str) -> bool {
        if !self.escaped {
            return self.raw == text;
        }
        self.points().eq(text.chars().map(u32::from))
    }

    /// What it means as bytes, the same for all ways to escape it: UTF-8, in which a surrogate that
    /// stands alone takes the three bytes that UTF-8 would give it.
    pub(super) fn key(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw.as_bytes());
        }
        let mut key = Vec::with_capacity(self.raw.len());
        for point in self.points() {
            match char::from_u32(point) {
                Some(character) => {
                    key.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => key.extend_from_slice(&[
                    0xE0 | (point >> 12) as u8,
                    0x80 | (point >> 6 & 0x3F) as u8,
                    0x80 | (point & 0x3F) as u8,
                ]),
            }
        }
        Cow::Owned(key)
    }

    /// The code points that it means. Only as many are read as the caller wants: comparing two long
    /// texts that differ early must be cheap.
    fn points(&self) -> impl Iterator<Item = u32> {
        let mut cursor = Cursor::new(self.raw);
        std::iter::from_fn(move || cursor.point())
    }

    /// A text that needs no escape; `None` if it needs one.
    pub(super) fn plain(text: &'a str) -> Option<Text<'a>> {
        let plain = next_special(text.as_bytes(), 0) == text.len();
        plain.then_some(Text { raw: text, escaped: false })
    }
}

impl PartialEq for Text<'_> {
    #[inline]
    fn eq(&self, other: &Text<'_>) -> bool {
        self.raw == other.raw
            || ((self.escaped || other.escaped) && self.points().eq(other.points()))
    }
}

impl Eq for Text<'_> {}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.raw)
    }
}
