//! A cursor over JSON text (RFC 8259) that checks every byte it passes and copies nothing.
//!
//! Values are skipped without recursion and may nest [`DEPTH_MAX`] levels: readers written in other
//! languages overflow their stacks on more. Surrogates that stand alone are syntax that RFC 8259
//! allows: they may stand in data, which is kept as text, but in no string that is decoded.

use std::borrow::Cow;

/// How deep JSON data may nest.
pub(crate) const DEPTH_MAX: u32 = 100;

/// Text that is not JSON, or not the JSON that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Which brackets are open: one bit a level, 1 for an object.
#[derive(Default)]
struct Open {
    bits: u128,
    depth: u32,
}

impl Open {
    fn push(&mut self, object: bool) -> bool {
        self.bits = self.bits << 1 | u128::from(object);
        self.depth += 1;
        self.depth <= DEPTH_MAX
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    /// Passes white space and looks at the next byte; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    /// Passes white space and, if it comes next, this byte.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(found);
        found
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        if self.at < self.text.len() { self.fault("nothing may follow") } else { Ok(()) }
    }

    /// After `{` or a member: the name of the next member, or `None` at `}`.
    #[inline]
    pub(super) fn member(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Fault> {
        if !self.another_member(first)? {
            return Ok(None);
        }
        let name = self.string()?;
        self.colon()?;
        Ok(Some(name))
    }

    /// As [`member`](Cursor::member), the name as [`raw_string`](Cursor::raw_string) gives it.
    #[inline]
    pub(super) fn raw_member(&mut self, first: bool) -> Result<Option<(&'a str, bool)>, Fault> {
        if !self.another_member(first)? {
            return Ok(None);
        }
        let name = self.raw_string()?;
        self.colon()?;
        Ok(Some(name))
    }

    #[inline]
    fn another_member(&mut self, first: bool) -> Result<bool, Fault> {
        if self.take(b'}') {
            return Ok(false);
        }
        if first || self.take(b',') { Ok(true) } else { self.fault("expected , or }") }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Fault> {
        if self.take(b':') { Ok(()) } else { self.fault("expected :") }
    }

    /// After `[` or an item: whether another item follows; passes `]` if not.
    pub(super) fn item(&mut self, first: bool) -> Result<bool, Fault> {
        if self.take(b']') {
            return Ok(false);
        }
        if !first && !self.take(b',') {
            return self.fault("expected , or ]");
        }
        Ok(true)
    }

    /// A string, decoded.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.open_string()?;
        let end = next_special(self.text.as_bytes(), start);
        self.at = end;
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.decode(start).map(Cow::Owned)
    }

    /// The rest of a string that has escapes (or ends wrongly), from the first special byte on.
    #[cold]
    fn decode(&mut self, start: usize) -> Result<String, Fault> {
        let mut decoded = String::from(&self.text[start..self.at]);
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(decoded);
                }
                Some(b'\\') => decoded.push(self.escape()?),
                Some(_) => return self.fault("a control character must be escaped"),
                None => return self.fault("a string does not end"),
            }
            let from = self.at;
            self.at = next_special(self.text.as_bytes(), from);
            decoded.push_str(&self.text[from..self.at]);
        }
    }

    /// One escape, decoded; two where they are a surrogate pair.
    fn escape(&mut self) -> Result<char, Fault> {
        match char::from_u32(self.escape_point()?) {
            Some(character) => Ok(character),
            None => self.fault("a surrogate stands alone"),
        }
    }

    /// As [`escape`](Cursor::escape); a surrogate that stands alone is a code point too.
    fn escape_point(&mut self) -> Result<u32, Fault> {
        let Some(unit) = self.escape_unit()? else {
            let Some(byte) = self.text.as_bytes().get(self.at - 1) else {
                return self.fault("a string does not end");
            };
            return Ok(match byte {
                b'b' => 0x08,
                b'f' => 0x0C,
                b'n' => 0x0A,
                b'r' => 0x0D,
                b't' => 0x09,
                other => u32::from(*other),
            });
        };
        let after = self.at;
        let high = (0xD800..0xDC00).contains(&unit);
        if high
            && self.text.as_bytes()[after..].starts_with(b"\\u")
            && let Some(low @ 0xDC00..0xE000) = self.escape_unit()?
        {
            return Ok(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
        }
        self.at = after;
        Ok(unit)
    }

    /// In text that stood between quotes and has been checked: the next code point that it means.
    pub(super) fn point(&mut self) -> Option<u32> {
        if self.text.as_bytes().get(self.at) == Some(&b'\\') {
            return self.escape_point().ok();
        }
        let character = self.text.get(self.at..)?.chars().next()?;
        self.at += character.len_utf8();
        Some(u32::from(character))
    }

    /// Passes one escape, whose `\` comes next; gives the code unit if it is `\uXXXX`.
    fn escape_unit(&mut self) -> Result<Option<u32>, Fault> {
        let bytes = &self.text.as_bytes()[self.at..];
        match bytes.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(None)
            }
            Some(b'u') => {
                let digits = bytes.get(2..6).unwrap_or_default();
                let unit = digits.iter().try_fold(0, |unit, digit| {
                    char::from(*digit).to_digit(16).map(|value| unit << 4 | value)
                });
                match unit {
                    Some(unit) if digits.len() == 4 => {
                        self.at += 6;
                        Ok(Some(unit))
                    }
                    _ => self.fault("\\u needs four hexadecimal digits"),
                }
            }
            _ => self.fault("an escape is unknown"),
        }
    }

    /// Passes the opening quote.
    #[inline]
    fn open_string(&mut self) -> Result<usize, Fault> {
        if self.take(b'"') { Ok(self.at) } else { self.fault("expected a string") }
    }

    /// A string as it stands between its quotes, and whether it has escapes.
    #[inline]
    pub(super) fn raw_string(&mut self) -> Result<(&'a str, bool), Fault> {
        let start = self.open_string()?;
        let (mut from, mut escaped) = (start, false);
        loop {
            self.at = next_special(self.text.as_bytes(), from);
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((&self.text[start..self.at - 1], escaped));
                }
                Some(b'\\') => self.escape_unit().map(drop)?,
                Some(_) => return self.fault("a control character must be escaped"),
                None => return self.fault("a string does not end"),
            }
            (from, escaped) = (self.at, true);
        }
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.raw_string().map(drop)
    }

    /// The exact text of the next value, whatever it is.
    pub(super) fn value(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        let mut open = Open::default();
        loop {
            let opened = self.scalar_or_open(&mut open)?;
            if opened {
                continue;
            }
            if !self.close(&mut open)? {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Passes a scalar or an empty container (false), or an opening bracket up to its first value
    /// (true).
    #[inline]
    fn scalar_or_open(&mut self, open: &mut Open) -> Result<bool, Fault> {
        match self.peek() {
            b'"' => self.skip_string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            b'{' => {
                self.at += 1;
                if self.take(b'}') {
                    return Ok(false);
                }
                self.deeper(open, true)?;
                self.skip_name()?;
                return Ok(true);
            }
            b'[' => {
                self.at += 1;
                if self.take(b']') {
                    return Ok(false);
                }
                self.deeper(open, false)?;
                return Ok(true);
            }
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return self.fault("expected a value"),
        }
        Ok(false)
    }

    pub(super) fn too_deep<T>(&self) -> Result<T, Fault> {
        self.fault("it nests deeper than 100 levels")
    }

    fn deeper(&self, open: &mut Open, object: bool) -> Result<(), Fault> {
        if open.push(object) { Ok(()) } else { self.too_deep() }
    }

    /// After a value: passes closing brackets, then a comma if one is due. False when all is closed.
    #[inline]
    fn close(&mut self, open: &mut Open) -> Result<bool, Fault> {
        while open.depth > 0 {
            let object = open.in_object();
            if self.take(b',') {
                if object {
                    self.skip_name()?;
                }
                return Ok(true);
            }
            if !self.take(if object { b'}' } else { b']' }) {
                return self.fault(if object { "expected , or }" } else { "expected , or ]" });
            }
            open.pop();
        }
        Ok(false)
    }

    fn skip_name(&mut self) -> Result<(), Fault> {
        self.skip_string()?;
        self.colon()
    }

    pub(super) fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            self.fault("expected a value")
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let bytes = self.text.as_bytes();
        let next = |at: usize| bytes.get(at).copied().unwrap_or_default();
        self.at += usize::from(next(self.at) == b'-');
        if next(self.at) == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if next(self.at) == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(next(self.at), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(next(self.at), b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let count =
            self.text.as_bytes()[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { self.fault("expected a digit") }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Where the next `"`, `\` or control character stands, or the end; eight bytes at a time.
#[inline]
pub(super) fn next_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // A borrow can only spoil bytes above a true hit, and the lowest hit is what counts.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if hits & HIGHS != 0 {
            return at + ((hits & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    at
}
