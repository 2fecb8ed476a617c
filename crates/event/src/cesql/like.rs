//! Patterns of `LIKE` (CESQL §3.4.3): `%` is any text, `_` one character, `\%` and `\_` stand for
//! themselves, and so does every other character, `\` too.
//!
//! A pattern is cut at its `%`. The first part must begin the text and the last one end it; those
//! between are found one after the other, each at the first place, so that nothing is ever tried
//! twice. Parts without `_` are searched in linear time. Parts with `_` may take the length of the
//! text times their own, which is taken from the work an evaluation may do.

use memchr::memmem;

use super::{Failure, value::Work};

/// A pattern, taken apart once.
#[derive(Debug)]
pub(super) struct Like {
    head: Part,
    /// What stands between two `%`.
    middle: Vec<Part>,
    /// What follows the last `%`, if there is one.
    tail: Option<Part>,
}

/// A part of a pattern without `%`.
#[derive(Debug)]
enum Part {
    Text(Box<str>),
    /// With `_`, here `None`.
    Characters(Box<[Option<char>]>),
}

impl Like {
    pub(super) fn new(pattern: &str) -> Like {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '%' => parts.push(Part::new(&std::mem::take(&mut part))),
                '_' => part.push(None),
                '\\' => {
                    let escaped = characters.next_if(|next| matches!(next, '%' | '_'));
                    part.push(Some(escaped.unwrap_or('\\')));
                }
                _ => part.push(Some(character)),
            }
        }
        let last = Part::new(&part);
        if parts.is_empty() {
            return Like { head: last, middle: Vec::new(), tail: None };
        }
        let head = parts.remove(0);
        parts.retain(|part| !part.is_empty());
        Like { head, middle: parts, tail: Some(last) }
    }

    /// What every matching text begins with.
    pub(super) fn prefix(&self) -> String {
        match &self.head {
            Part::Text(text) => text.to_string(),
            Part::Characters(characters) => characters.iter().map_while(|c| *c).collect(),
        }
    }

    /// The one text that matches, if there is only one.
    pub(super) fn only(&self) -> Option<&str> {
        match (&self.head, &self.tail) {
            (Part::Text(text), None) => Some(text),
            _ => None,
        }
    }

    pub(super) fn matches<'e>(&self, text: &str, work: &mut Work) -> Result<bool, Failure<'e>> {
        work.take(text.len())?;
        let Some(rest) = self.head.strip_from_start(text) else { return Ok(false) };
        let Some(tail) = &self.tail else { return Ok(rest.is_empty()) };
        let Some(mut rest) = tail.strip_from_end(rest) else { return Ok(false) };
        for part in &self.middle {
            match part.strip_first(rest, work)? {
                Some(after) => rest = after,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Part {
    fn new(characters: &[Option<char>]) -> Part {
        let text: Option<String> = characters.iter().copied().collect();
        match text {
            Some(text) => Part::Text(text.into()),
            None => Part::Characters(characters.into()),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Part::Text(text) if text.is_empty())
    }

    fn strip_from_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Part::Text(prefix) => text.strip_prefix(&**prefix),
            Part::Characters(wanted) => {
                let mut rest = text.chars();
                wanted.iter().all(|want| fits(*want, rest.next())).then_some(rest.as_str())
            }
        }
    }

    fn strip_from_end<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Part::Text(suffix) => text.strip_suffix(&**suffix),
            Part::Characters(wanted) => {
                let mut rest = text.chars();
                wanted
                    .iter()
                    .rev()
                    .all(|want| fits(*want, rest.next_back()))
                    .then_some(rest.as_str())
            }
        }
    }

    /// What follows the first place where it stands.
    fn strip_first<'t, 'e>(
        &self,
        text: &'t str,
        work: &mut Work,
    ) -> Result<Option<&'t str>, Failure<'e>> {
        let wanted = match self {
            Part::Text(part) => {
                let found = memmem::find(text.as_bytes(), part.as_bytes());
                return Ok(found.map(|at| &text[at + part.len()..]));
            }
            Part::Characters(wanted) => wanted,
        };
        let mut starts = text.chars();
        loop {
            let mut rest = starts.clone();
            let fitting = wanted.iter().take_while(|want| fits(**want, rest.next())).count();
            work.take(fitting + 1)?;
            if fitting == wanted.len() {
                return Ok(Some(rest.as_str()));
            }
            if starts.next().is_none() {
                return Ok(None);
            }
        }
    }
}

fn fits(want: Option<char>, have: Option<char>) -> bool {
    match (want, have) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(want), Some(have)) => want == have,
    }
}
