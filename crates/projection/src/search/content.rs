//! A JSON document, flattened: every string, number and boolean with its path.
//!
//! Arrays are flattened into their elements; a path is the member names joined by `.`. What has no
//! usable path (a scalar at the root, a path that is too long, one path too many) keeps its text
//! and loses only the way by field; so an adversary cannot blow up the index with names.

use std::fmt;

use hashbrown::HashMap;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::xxh3_64;

use super::{dates, words};

/// Longer paths are not addressable, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 255;

/// Paths of one document beyond these are not addressable.
const PATHS_MAX: usize = 1_000;

/// Longer strings stand in columns (facets, sorting) as their beginning and an ellipsis, in bytes.
const SHORT_BYTES_MAX: usize = 64;

/// How much of the beginning stays, in bytes.
const SHORT_BYTES: usize = 45;

/// The member under which the instant of a date stands beside its text.
pub(super) const INSTANT: &str = "\u{2}";

/// A piece of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Text {
        whole: Span,
        /// With its mark before it; see `words`.
        marked: Span,
        /// As it stands in columns.
        short: Span,
    },
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    /// Microseconds since 1970, of a text that is a date.
    Instant(i64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    /// Empty if it cannot be addressed.
    pub(super) path: Span,
    pub(super) value: Value,
}

/// A flattened document.
#[derive(Debug, Default)]
pub(super) struct Content {
    arena: String,
    pub(super) leaves: Vec<Leaf>,
}

impl Content {
    /// Flattens JSON text.
    pub(super) fn parse(json: &str) -> Result<Content, serde_json::Error> {
        let mut content =
            Content { arena: String::with_capacity(json.len()), leaves: Vec::with_capacity(16) };
        let mut flattening = Flattening {
            content: &mut content,
            path: String::new(),
            addressable: true,
            seen: HashMap::new(),
        };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Node(&mut flattening).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(content)
    }

    pub(super) fn text(&self, span: Span) -> &str {
        self.arena.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// All strings with their paths, in the order of the document.
    pub(super) fn strings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.leaves.iter().filter_map(|leaf| match leaf.value {
            Value::Text { whole, .. } => Some((self.text(leaf.path), self.text(whole))),
            _ => None,
        })
    }

    /// All strings with their marks.
    pub(super) fn marked(&self) -> impl Iterator<Item = &str> {
        self.leaves.iter().filter_map(|leaf| match leaf.value {
            Value::Text { marked, .. } => Some(self.text(marked)),
            _ => None,
        })
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        Span { start, end: self.arena.len() as u32 }
    }
}

struct Flattening<'c> {
    content: &'c mut Content,
    path: String,
    /// Whether the path so far can be asked for.
    addressable: bool,
    /// Where paths that have leaves stand in the arena, by their hashes.
    seen: HashMap<u64, Span>,
}

impl Flattening<'_> {
    fn leaf(&mut self, value: Value) {
        let path = self.intern();
        self.content.leaves.push(Leaf { path, value });
    }

    fn text(&mut self, text: &str) {
        let path = self.intern();
        let mark = words::mark(self.content.text(path));
        let start = self.content.push(&mark).start;
        self.content.push(words::ANY_MARK);
        let whole = self.content.push(text);
        let marked = Span { start, end: whole.end };
        let short = if text.len() <= SHORT_BYTES_MAX {
            whole
        } else {
            let start = self.content.push(&text[..text.floor_char_boundary(SHORT_BYTES)]).start;
            Span { start, end: self.content.push("…").end }
        };
        self.content.leaves.push(Leaf { path, value: Value::Text { whole, marked, short } });
        if let Some(micros) = dates::instant(text) {
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
                self.path.push_str(INSTANT);
                self.leaf(Value::Instant(micros));
                self.path.truncate(length);
            }
        }
    }

    fn intern(&mut self) -> Span {
        if !self.addressable || self.path.is_empty() {
            return Span::default();
        }
        let hash = xxh3_64(self.path.as_bytes());
        if let Some(span) = self.seen.get(&hash) {
            return *span;
        }
        if self.seen.len() >= PATHS_MAX {
            return Span::default();
        }
        let span = self.content.push(&self.path);
        self.seen.insert(hash, span);
        span
    }
}

/// One value of the document, at the path that `Flattening` stands at.
struct Node<'f, 'c>(&'f mut Flattening<'c>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.0.leaf(Value::Bool(value));
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.0.leaf(Value::Unsigned(value));
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.0.leaf(Value::Signed(value));
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.0.leaf(Value::Float(value));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.0.text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Node(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (length, addressable) = (self.0.path.len(), self.0.addressable);
        while members.next_key_seed(Name(self.0))?.is_some() {
            members.next_value_seed(Node(self.0))?;
            self.0.path.truncate(length);
            self.0.addressable = addressable;
        }
        Ok(())
    }
}

/// A member's name, which becomes the end of the path.
struct Name<'f, 'c>(&'f mut Flattening<'c>);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<(), E> {
        let flattening = self.0;
        // Zero ends a path in the index.
        let fits = flattening.path.len() + 1 + name.len() <= PATH_BYTES_MAX
            && !name.contains(['\0', '\u{2}']);
        if flattening.addressable && fits {
            if !flattening.path.is_empty() {
                flattening.path.push('.');
            }
            flattening.path.push_str(name);
        } else {
            flattening.addressable = false;
        }
        Ok(())
    }
}
