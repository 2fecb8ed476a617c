//! Cutting a JSON array of objects into its items while it is still coming in, so that a batch of
//! any size needs the memory of one item.
//!
//! Only brackets and strings are followed here; each item is checked when it is parsed. What stands
//! between items is checked at once: junk is refused at its first byte.

use memchr::memchr2;

use crate::{EventError, EventErrorKind};

/// Cuts an array that comes in pieces.
#[derive(Debug)]
pub struct ArraySplitter {
    item_bytes_max: usize,
    /// The beginning of an item whose end has not come yet.
    partial: Vec<u8>,
    state: State,
    offset: u64,
    items: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before `[`.
    Start,
    /// After `[`: an item or `]`.
    First,
    /// After a comma: an item.
    Next,
    /// After an item: a comma or `]`.
    After,
    /// In an item: how many brackets are open, and whether in a string, after a backslash.
    Item { depth: u32, string: bool, escaped: bool },
    /// After `]`.
    End,
}

impl ArraySplitter {
    /// Items of more than `item_bytes_max` bytes are refused.
    pub fn new(item_bytes_max: usize) -> ArraySplitter {
        ArraySplitter {
            item_bytes_max,
            partial: Vec::new(),
            state: State::Start,
            offset: 0,
            items: 0,
        }
    }

    /// Takes the next bytes and gives the text of every item that is now whole to `each`. An item
    /// within one chunk is not copied. After an error the splitter is of no further use.
    pub fn feed<E: From<EventError>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < chunk.len() {
            if !matches!(self.state, State::Item { .. }) {
                self.between(chunk[at], at)?;
                if !matches!(self.state, State::Item { .. }) {
                    at += 1;
                    continue;
                }
            }
            let rest = &chunk[at..];
            let end = self.end_of_item(rest);
            let taken = end.unwrap_or(rest.len());
            self.check_size(taken, at)?;
            at += taken;
            if end.is_none() {
                self.partial.extend_from_slice(rest);
                break;
            }
            self.complete(&rest[..taken], &mut each)?;
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Says whether the array was whole.
    pub fn finish(&self) -> Result<(), EventError> {
        if self.state == State::End {
            return Ok(());
        }
        Err(self.syntax(0, "the array does not end"))
    }

    /// Number of items given out.
    pub fn items(&self) -> usize {
        self.items
    }

    fn complete<E>(
        &mut self,
        end: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.state = State::After;
        self.items += 1;
        if self.partial.is_empty() {
            return each(end);
        }
        self.partial.extend_from_slice(end);
        let result = each(&self.partial);
        self.partial.clear();
        result
    }

    /// One byte that is not in an item.
    fn between(&mut self, byte: u8, at: usize) -> Result<(), EventError> {
        self.state = match (self.state, byte) {
            (state, b' ' | b'\n' | b'\r' | b'\t') => state,
            (State::Start, b'[') => State::First,
            (State::First | State::Next, b'{') => {
                State::Item { depth: 0, string: false, escaped: false }
            }
            (State::First | State::After, b']') => State::End,
            (State::After, b',') => State::Next,
            (State::Start, _) => return Err(self.syntax(at, "a batch is an array of events")),
            (State::First | State::Next, _) => {
                let error = self.syntax(at, "an item of a batch is an object");
                return Err(error.at_index(self.items));
            }
            (State::End, _) => return Err(self.syntax(at, "nothing may follow the array")),
            _ => return Err(self.syntax(at, "expected , or ]")),
        };
        Ok(())
    }

    /// Follows an item; gives the offset behind its end, or `None` if it goes on.
    fn end_of_item(&mut self, bytes: &[u8]) -> Option<usize> {
        let State::Item { mut depth, mut string, mut escaped } = self.state else { return None };
        let mut at = 0;
        while at < bytes.len() {
            if escaped {
                escaped = false;
                at += 1;
            } else if string {
                let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else { break };
                at += found;
                escaped = bytes[at] == b'\\';
                string = escaped;
                at += 1;
            } else {
                match bytes[at] {
                    b'"' => string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth <= 1 => return Some(at + 1),
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
            }
        }
        self.state = State::Item { depth, string, escaped };
        None
    }

    fn check_size(&self, more: usize, at: usize) -> Result<(), EventError> {
        let bytes = self.partial.len() + more;
        if bytes <= self.item_bytes_max {
            return Ok(());
        }
        let detail = format!(
            "the event at byte {} takes more than {} bytes; send less data, or a link to it",
            self.offset + at as u64 - self.partial.len() as u64,
            self.item_bytes_max
        );
        Err(EventError::new(EventErrorKind::TooLarge, "", detail).at_index(self.items))
    }

    fn syntax(&self, at: usize, what: &str) -> EventError {
        let detail = format!("not a batch at byte {}: {what}", self.offset + at as u64);
        EventError::new(EventErrorKind::Syntax, "", detail)
    }
}
