//! Looks ahead over the part of a batch that goes to a file: counts its events and measures them, so
//! that what is too much is refused while it is still coming. Keeps nothing and judges nothing else;
//! whether it is a batch at all is found when it is taken apart.

use annal_event::{EventError, EventErrorKind};
use memchr::{memchr, memchr2};

use super::proto_split::ProtoAhead;
use crate::problem::Problem;

/// Counts the events of a batch.
pub(super) enum Ahead {
    Json(JsonAhead),
    Proto(ProtoAhead),
}

impl Ahead {
    /// Takes the next bytes; refuses an event that is too large.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        match self {
            Ahead::Json(ahead) => ahead.feed(chunk).map_err(Problem::from),
            Ahead::Proto(ahead) => ahead.feed(chunk),
        }
    }

    /// Events that have begun so far.
    pub(super) fn items(&self) -> usize {
        match self {
            Ahead::Json(ahead) => ahead.items,
            Ahead::Proto(ahead) => ahead.items(),
        }
    }
}

/// Follows brackets and strings, from behind an item of an array.
pub(super) struct JsonAhead {
    item_bytes_max: usize,
    items: usize,
    /// Brackets open within the array.
    depth: u32,
    string: bool,
    escaped: bool,
    /// Bytes seen of the present item.
    bytes: usize,
}

impl JsonAhead {
    /// Goes on behind item `items` of an array.
    pub(super) fn behind(items: usize, item_bytes_max: usize) -> JsonAhead {
        JsonAhead { item_bytes_max, items, depth: 0, string: false, escaped: false, bytes: 0 }
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), EventError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.depth == 0 {
                let Some(start) = memchr(b'{', rest) else { return Ok(()) };
                rest = &rest[start + 1..];
                (self.depth, self.bytes) = (1, 1);
                self.items += 1;
            }
            let taken = self.within_item(rest);
            self.bytes += taken;
            if self.bytes > self.item_bytes_max {
                return Err(self.too_large());
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Goes to the end of the item or of the bytes; gives how far that is.
    fn within_item(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.depth > 0 {
            if self.escaped {
                self.escaped = false;
            } else if self.string {
                let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else { return bytes.len() };
                at += found;
                self.escaped = bytes[at] == b'\\';
                self.string = self.escaped;
            } else {
                match bytes[at] {
                    b'"' => self.string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
            at += 1;
        }
        at
    }

    fn too_large(&self) -> EventError {
        let detail = format!(
            "the event takes more than {} bytes; send less data, or a link to it",
            self.item_bytes_max
        );
        EventError::new(EventErrorKind::TooLarge, "", detail).at_index(self.items - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8], step: usize, max: usize) -> Result<usize, EventError> {
        let mut ahead = JsonAhead::behind(7, max);
        for chunk in text.chunks(step) {
            ahead.feed(chunk)?;
        }
        Ok(ahead.items)
    }

    #[test]
    fn any_cut_counts_the_same() {
        let text = br#" , {"a":"}]\"{"} ,{"b":[{},[]],"c":"\\"},{},{"open":["#;
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(count(text, step, 100).expect("counted"), 11, "cut every {step}");
        }
    }

    #[test]
    fn a_large_item_is_refused_where_it_becomes_too_large() {
        let text = br#",{"a":1},{"a":"0123456789"}]"#;
        for step in [1, 5, 100] {
            assert_eq!(count(text, step, 18).expect("it fits"), 9);
            let error = count(text, step, 17).expect_err("it does not fit");
            assert_eq!((error.kind(), error.index()), (EventErrorKind::TooLarge, Some(8)));
        }
    }
}
