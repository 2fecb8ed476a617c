//! A JSON document as a tree that changes nothing it is not asked to change.
//!
//! Numbers and strings keep the text they were written with, members keep their order; where a name
//! stands twice, the last value wins, at the place of the first. A tree borrows from the text it was
//! read from. It nests [`DEPTH_MAX`] levels at most, whatever is done to it, so that walking it by
//! recursion is safe. Two documents are equal if their values are (RFC 6902 §4.6): numbers by value,
//! objects in any order.

use std::fmt;

use super::{
    number::Number,
    object::Object,
    scan::{Cursor, DEPTH_MAX, Fault},
    text::Text,
};

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, its digits as they were written.
    Number(Number<'a>),
    /// A string, its escapes as they were written.
    String(Text<'a>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// Text that is not JSON, or not the JSON that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {what}")]
pub struct JsonError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl From<Fault> for JsonError {
    fn from(fault: Fault) -> JsonError {
        JsonError { at: fault.at, what: fault.what }
    }
}

/// How large a value is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    /// As compact text.
    pub(super) bytes: usize,
    /// Levels that nest, as the scanner counts them: those with something in them.
    pub(super) depth: u32,
    /// Values, itself included.
    pub(super) values: usize,
}

impl<'a> Json<'a> {
    /// How many levels a document may nest. An array or object with nothing in it opens none.
    pub const DEPTH_MAX: u32 = DEPTH_MAX;

    /// Reads a document.
    pub fn parse(text: &'a str) -> Result<Json<'a>, JsonError> {
        let mut cursor = Cursor::new(text);
        let json = Json::read(&mut cursor)?;
        cursor.end()?;
        Ok(json)
    }

    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Json<'a>, Fault> {
        value(cursor, 0)
    }

    /// Appends the document as compact text.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.pieces(&mut |piece| out.extend_from_slice(piece.as_bytes()));
    }

    pub(crate) fn push_to(&self, out: &mut String) {
        self.pieces(&mut |piece| out.push_str(piece));
    }

    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(object) => object.get(name),
            _ => None,
        }
    }

    /// What a JSON Pointer (RFC 6901) points at; `None` also for text that is no pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Json<'a>> {
        super::pointer::find(self, pointer)
    }

    /// How many levels nest; 0 for what is neither array nor object, or has nothing in it.
    pub fn depth(&self) -> u32 {
        self.measure().depth
    }

    pub(super) fn measure(&self) -> Measure {
        let mut measure = Measure { bytes: 0, depth: 0, values: 1 };
        let mut inside = |child: &Json<'_>| {
            let child = child.measure();
            measure.bytes += child.bytes;
            measure.values += child.values;
            measure.depth = measure.depth.max(child.depth + 1);
        };
        let punctuation = match self {
            Json::Null | Json::Boolean(true) => 4,
            Json::Boolean(false) => 5,
            Json::Number(number) => number.text().len(),
            Json::String(text) => 2 + text.raw().len(),
            Json::Array(items) => {
                items.iter().for_each(inside);
                2 + items.len().saturating_sub(1)
            }
            Json::Object(object) => {
                let mut names = 0;
                for (name, value) in object.iter() {
                    names += 3 + name.raw().len();
                    inside(value);
                }
                2 + names + object.len().saturating_sub(1)
            }
        };
        measure.bytes += punctuation;
        measure
    }

    /// Gives the compact text in pieces.
    fn pieces(&self, out: &mut impl FnMut(&str)) {
        match self {
            Json::Null => out("null"),
            Json::Boolean(true) => out("true"),
            Json::Boolean(false) => out("false"),
            Json::Number(number) => out(number.text()),
            Json::String(text) => literal(*text, out),
            Json::Array(items) => {
                let mut before = "[";
                for item in items {
                    out(before);
                    item.pieces(out);
                    before = ",";
                }
                out(if items.is_empty() { "[]" } else { "]" });
            }
            Json::Object(object) => {
                let mut before = "{";
                for (name, value) in object.iter() {
                    out(before);
                    literal(name, out);
                    out(":");
                    value.pieces(out);
                    before = ",";
                }
                out(if object.is_empty() { "{}" } else { "}" });
            }
        }
    }
}

fn literal(text: Text<'_>, out: &mut impl FnMut(&str)) {
    out("\"");
    out(text.raw());
    out("\"");
}

fn value<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Result<Json<'a>, Fault> {
    match cursor.peek() {
        b'"' => Text::read(cursor).map(Json::String),
        b'{' => object(cursor, depth + 1),
        b'[' => array(cursor, depth + 1),
        _ => Ok(match cursor.value()? {
            "null" => Json::Null,
            "true" => Json::Boolean(true),
            "false" => Json::Boolean(false),
            number => Json::Number(Number::of(number)),
        }),
    }
}

fn array<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Result<Json<'a>, Fault> {
    cursor.take(b'[');
    let mut items = Vec::new();
    while cursor.item(items.is_empty())? {
        if depth > DEPTH_MAX {
            return cursor.too_deep();
        }
        items.push(value(cursor, depth)?);
    }
    Ok(Json::Array(items))
}

fn object<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Result<Json<'a>, Fault> {
    cursor.take(b'{');
    let mut object = Object::default();
    while let Some(name) = cursor.raw_member(object.is_empty())? {
        if depth > DEPTH_MAX {
            return cursor.too_deep();
        }
        object.put(Text::of(name), value(cursor, depth)?);
    }
    Ok(Json::Object(object))
}

/// Whether two values are equal, and adds to `work` what it took: values looked at, and the length
/// of numbers, of which a few digits may have to be compared with a million. Names are looked up
/// from the right to the left: whoever is compared with a large document again and again should
/// stand on the right.
pub(super) fn same_value(left: &Json<'_>, right: &Json<'_>, work: &mut u64) -> bool {
    *work += 1;
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::Boolean(left), Json::Boolean(right)) => left == right,
        (Json::Number(left), Json::Number(right)) => {
            *work += (left.text().len() + right.text().len()) as u64 / 8;
            left == right
        }
        (Json::String(left), Json::String(right)) => left == right,
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same_value(l, r, work))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && right.iter().all(|(name, value)| {
                    left.get_text(&name).is_some_and(|other| same_value(other, value, work))
                })
        }
        _ => false,
    }
}

impl Json<'_> {
    /// The same text for equal values, and no others: numbers by value, strings without needless
    /// escapes, members in order of name.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.push_canonical(&mut out);
        out
    }

    fn push_canonical(&self, out: &mut String) {
        let string = |out: &mut String, text: &Text<'_>| match text.decode() {
            Some(decoded) => push_quoted(out, &decoded),
            // With a lone surrogate it has no other way to be written.
            None => out.extend(["\"", text.raw(), "\""]),
        };
        match self {
            Json::Number(number) => out.push_str(&number.canonical()),
            Json::String(text) => string(out, text),
            Json::Array(items) => {
                out.push('[');
                for item in items {
                    item.push_canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Json::Object(members) => {
                let mut sorted: Vec<(String, String)> = members
                    .iter()
                    .map(|(name, value)| {
                        let mut key = String::new();
                        string(&mut key, &name);
                        (key, value.canonical())
                    })
                    .collect();
                sorted.sort_unstable();
                out.push('{');
                for (name, value) in sorted {
                    out.extend([name.as_str(), ":", value.as_str(), ","]);
                }
                out.push('}');
            }
            Json::Null | Json::Boolean(_) => out.push_str(&self.to_string()),
        }
    }
}

/// A JSON string with as few escapes as may be.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Json<'_>) -> bool {
        same_value(self, other, &mut 0)
    }
}

impl Eq for Json<'_> {}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.pieces(&mut |piece| result = result.and_then(|()| f.write_str(piece)));
        result
    }
}
