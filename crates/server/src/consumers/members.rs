//! The members of a JSON object, each taken by name; what nobody took is refused by name.

use std::borrow::Cow;

use annal_event::json::{Json, Object};

use crate::problem::{Code, Problem};

/// What is left of an object.
pub(super) struct Members<'j, 'a> {
    object: &'j Object<'a>,
    /// JSON Pointer of the object.
    at: &'static str,
    known: Vec<&'static str>,
}

/// A member that cannot be used, by its JSON Pointer.
pub(super) fn wrong(pointer: impl AsRef<str>, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(Code::InvalidConsumer, detail).with_text("pointer", pointer.as_ref())
}

impl<'j, 'a> Members<'j, 'a> {
    pub(super) fn of(json: &'j Json<'a>, at: &'static str) -> Result<Members<'j, 'a>, Problem> {
        match json {
            Json::Object(object) => Ok(Members { object, at, known: Vec::new() }),
            _ => Err(wrong(at, "this is a JSON object")),
        }
    }

    pub(super) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    /// A member, unless it is missing or `null`.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'j Json<'a>> {
        self.known.push(name);
        self.object.get(name).filter(|json| !matches!(json, Json::Null))
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some(json) = self.take(name) else { return Ok(None) };
        let text = text(json).ok_or_else(|| wrong(self.pointer(name), "this is a string"))?;
        Ok(Some(text))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        from: u64,
        to: u64,
    ) -> Result<Option<u64>, Problem> {
        let Some(json) = self.take(name) else { return Ok(None) };
        number(json, from, to).map(Some).ok_or_else(|| {
            wrong(self.pointer(name), format!("this is a whole number from {from} to {to}"))
        })
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            wrong(self.pointer(name), format!("this is one of {}", words.join(", ")))
        })
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        for (name, _) in self.object.iter() {
            if !self.known.iter().any(|known| name.is(known)) {
                let detail = match self.known.is_empty() {
                    true => "there is no such member; it takes none".to_owned(),
                    false => format!("there is no such member; it takes {}", self.known.join(", ")),
                };
                return Err(wrong(self.pointer(name.raw()), detail));
            }
        }
        Ok(())
    }
}

pub(super) fn text(json: &Json<'_>) -> Option<String> {
    match json {
        Json::String(text) => text.decode().map(|text| text.into_owned()),
        _ => None,
    }
}

pub(super) fn number(json: &Json<'_>, from: u64, to: u64) -> Option<u64> {
    let Json::Number(number) = json else { return None };
    number.text().parse().ok().filter(|number| (from..=to).contains(number))
}
