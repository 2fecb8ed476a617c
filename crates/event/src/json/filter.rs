//! Filters in the forms of API.md §6: the text of a CESQL expression, or a list of filter dialects
//! (CloudEvents Subscriptions API §3.2.4.1), all of which must hold.
//!
//! A dialect, an attribute or a member that is not known is refused by name: a misspelt filter must
//! not let everything through, or nothing.

use std::borrow::Cow;

use super::read::{duplicate, not_json, pointer, utf8};
use super::scan::Cursor;
use super::write::write_string;
use crate::{
    EventError, EventErrorKind, Filter,
    cesql::{self, Builder, EXPRESSION_BYTES_MAX, Excess, Test},
    filter::Source,
};

/// How long a filter may be, in bytes of JSON.
const FILTER_BYTES_MAX: usize = EXPRESSION_BYTES_MAX;
/// How deep `all`, `any` and `not` may nest.
const DEPTH_MAX: usize = 100;

/// Reads a filter: a JSON string with a CESQL expression, or an array of dialects.
///
/// An error within an expression has a [`position`](EventError::position); one within a list a
/// [`pointer`](EventError::pointer).
pub fn parse_filter(text: &[u8]) -> Result<Filter, EventError> {
    let text = utf8(text)?;
    if text.len() > FILTER_BYTES_MAX {
        let detail = format!(
            "a filter takes at most {FILTER_BYTES_MAX} bytes, and this {}; shorten it",
            text.len()
        );
        return Err(wrong("", detail));
    }
    let mut cursor = Cursor::new(text);
    match cursor.peek() {
        b'"' => {
            let text = cursor.string().map_err(not_json)?;
            cursor.end().map_err(not_json)?;
            Filter::expression(&text)
        }
        b'[' => {
            let mut reader = Reader { cursor, builder: Builder::default(), json: Vec::new() };
            reader.list(Join::All, 0)?;
            reader.cursor.end().map_err(not_json)?;
            let json = String::from_utf8_lossy(&reader.json);
            Ok(Filter::new(Source::Dialects(json.into()), reader.builder))
        }
        _ => Err(wrong("", "a filter is a CESQL expression or an array of filter dialects")),
    }
}

/// Appends a filter in the form it was read in, without white space.
pub fn write_filter(out: &mut Vec<u8>, filter: &Filter) {
    match filter.source() {
        Source::Expression(text) => write_string(out, text),
        Source::Dialects(json) => out.extend_from_slice(json.as_bytes()),
    }
}

fn wrong(
    pointer: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> EventError {
    EventError::new(EventErrorKind::Filter, pointer, detail)
}

fn excess(excess: Excess) -> EventError {
    wrong("", excess.detail())
}

/// How the filters of a list belong together.
#[derive(Clone, Copy, PartialEq)]
enum Join {
    All,
    Any,
}

/// Reads dialects into a program, and writes them again on the way. It recurses as deep as
/// [`DEPTH_MAX`] at most.
struct Reader<'a> {
    cursor: Cursor<'a>,
    builder: Builder,
    json: Vec<u8>,
}

impl Reader<'_> {
    /// An array of dialects. Only the outermost may be empty: then every event matches.
    fn list(&mut self, join: Join, depth: usize) -> Result<(), EventError> {
        if !self.cursor.take(b'[') {
            return Err(wrong("", "this is an array of filters; put them in brackets"));
        }
        let mut marks = Vec::new();
        let mut count = 0;
        self.json.push(b'[');
        while self.cursor.item(count == 0).map_err(not_json)? {
            if count > 0 {
                self.json.push(b',');
                marks.push(match join {
                    Join::All => self.builder.and_then().map_err(excess)?,
                    Join::Any => self.builder.or_else().map_err(excess)?,
                });
            }
            let parent = format!("/{count}");
            self.dialect(depth).map_err(|error| error.under(&parent))?;
            count += 1;
        }
        self.json.push(b']');
        if count == 0 {
            if depth > 0 {
                return Err(wrong("", "an array of no filters; name at least one"));
            }
            return self.builder.boolean(true).map_err(excess);
        }
        for mark in marks.into_iter().rev() {
            match join {
                Join::All => self.builder.and(mark).map_err(excess)?,
                Join::Any => self.builder.or(mark).map_err(excess)?,
            }
        }
        Ok(())
    }

    /// An object with one member, named after the dialect.
    fn dialect(&mut self, depth: usize) -> Result<(), EventError> {
        if depth == DEPTH_MAX {
            let detail = format!("filters nest deeper than {DEPTH_MAX} levels; flatten them");
            return Err(wrong("", detail));
        }
        let one = "a filter is an object with one member, named after its dialect: exact, prefix, \
                   suffix, all, any, not or sql";
        if !self.cursor.take(b'{') {
            return Err(wrong("", one));
        }
        let Some(name) = self.cursor.member(true).map_err(not_json)? else {
            return Err(wrong("", one));
        };
        self.json.push(b'{');
        write_string(&mut self.json, &name);
        self.json.push(b':');
        self.content(&name, depth).map_err(|error| error.under(&pointer(&name)))?;
        self.json.push(b'}');
        match self.cursor.member(false).map_err(not_json)? {
            None => Ok(()),
            Some(second) if second == name => {
                Err(duplicate(&name).with_kind(EventErrorKind::Filter))
            }
            Some(second) => {
                let detail = format!(
                    "{second:?} stands beside {name:?}, and a filter is of one dialect; make two \
                     of it"
                );
                Err(wrong(pointer(&second), detail))
            }
        }
    }

    fn content(&mut self, name: &str, depth: usize) -> Result<(), EventError> {
        match name {
            "exact" => self.tests(Test::Exact),
            "prefix" => self.tests(Test::Prefix),
            "suffix" => self.tests(Test::Suffix),
            "all" => self.list(Join::All, depth + 1),
            "any" => self.list(Join::Any, depth + 1),
            "not" => {
                self.dialect(depth + 1)?;
                self.builder.not().map_err(excess)
            }
            "sql" => self.sql(),
            _ => {
                let detail = format!(
                    "the filter dialect {name:?} is unknown; use exact, prefix, suffix, all, any, \
                     not or sql"
                );
                Err(wrong("", detail))
            }
        }
    }

    /// Attributes with the texts they are compared with; all must fit.
    fn tests(&mut self, test: Test) -> Result<(), EventError> {
        if !self.cursor.take(b'{') {
            return Err(wrong("", "this is an object of attributes, as {\"type\":\"…\"}"));
        }
        let mut names: Vec<Cow<'_, str>> = Vec::new();
        let mut marks = Vec::new();
        self.json.push(b'{');
        while let Some(name) = self.cursor.member(names.is_empty()).map_err(not_json)? {
            if names.contains(&name) {
                return Err(duplicate(&name).with_kind(EventErrorKind::Filter));
            }
            if !names.is_empty() {
                self.json.push(b',');
                marks.push(self.builder.and_then().map_err(excess)?);
            }
            let text = self.tested(&name).map_err(|error| error.under(&pointer(&name)))?;
            write_string(&mut self.json, &name);
            self.json.push(b':');
            write_string(&mut self.json, &text);
            self.builder.test(&name, test, text).map_err(excess)?;
            names.push(name);
        }
        self.json.push(b'}');
        if names.is_empty() {
            return Err(wrong("", "no attribute is named; name at least one"));
        }
        marks.into_iter().rev().try_for_each(|mark| self.builder.and(mark)).map_err(excess)
    }

    /// What the attribute of this name is compared with.
    fn tested(&mut self, name: &str) -> Result<String, EventError> {
        let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || !name.bytes().all(right) {
            let detail =
                format!("{name:?} is no attribute name; it has lower-case letters and digits only");
            return Err(wrong("", detail));
        }
        if self.cursor.peek() != b'"' {
            return Err(wrong("", "an attribute is compared with a text; send a JSON string"));
        }
        let text = self.cursor.string().map_err(not_json)?;
        if text.is_empty() {
            return Err(wrong("", "the text is empty, and no attribute is; send one with content"));
        }
        Ok(text.into_owned())
    }

    fn sql(&mut self) -> Result<(), EventError> {
        if self.cursor.peek() != b'"' {
            return Err(wrong("", "sql is a CESQL expression; send a JSON string"));
        }
        let text = self.cursor.string().map_err(not_json)?;
        write_string(&mut self.json, &text);
        let mark = self.builder.settled().map_err(excess)?;
        cesql::parse_into(&text, &mut self.builder)?;
        self.builder.settle(mark).map_err(excess)
    }
}
