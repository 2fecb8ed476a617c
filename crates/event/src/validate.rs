//! The attribute rules of CloudEvents 1.0.2 (§3, "Context Attributes"), and what producers may not
//! send. Whatever passes here can be written in every format and read back the same.

use std::borrow::Cow;

use crate::{
    Data, Event, EventError, EventErrorKind, Limits, SYSTEM_SOURCE, Value, proto, rfc3339, uri,
};

/// Names that an extension cannot have: attributes of their own, and what the store sets.
const RESERVED_NAMES: [&str; 11] = [
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "position",
    "recordedtime",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];

impl Event<'_> {
    /// Whether it is a CloudEvent within the limits. The error points at the first attribute that
    /// breaks a rule.
    pub fn validate(&self, limits: &Limits) -> Result<(), EventError> {
        required("/id", &self.id)?;
        required("/source", &self.source)?;
        required("/type", &self.ty)?;
        if !uri::is_reference(&self.source) {
            return Err(invalid("/source", "source is not a URI-reference; percent-encode it"));
        }
        if let Some(subject) = &self.subject {
            required("/subject", subject)?;
        }
        if let Some(time) = &self.time {
            timestamp("/time", time)?;
        }
        if let Some(media_type) = &self.datacontenttype {
            media_type_attribute(media_type)?;
        }
        if let Some(schema) = &self.dataschema
            && !uri::is_absolute(schema)
        {
            return Err(invalid("/dataschema", "dataschema is not a URI; begin it with a scheme"));
        }
        self.validate_extensions()?;
        self.validate_size(limits)
    }

    /// Whether a producer may send it: the source `/annal` and those under `/annal/` and `/topics/`
    /// are the store's own, and what names a topic is text.
    pub fn validate_producer(&self) -> Result<(), EventError> {
        let of_store = self.source == SYSTEM_SOURCE
            || self.source.starts_with("/annal/")
            || self.source.starts_with("/topics/");
        if of_store {
            let detail = format!("source {:?} is the store's own; use another", self.source);
            return Err(EventError::new(EventErrorKind::Reserved, "/source", detail));
        }
        if self.topic().is_none() && self.extension("topic").is_some() {
            return Err(invalid("/topic", "topic is the name of a topic; send it as text"));
        }
        Ok(())
    }

    fn validate_extensions(&self) -> Result<(), EventError> {
        let mut previous: Option<&str> = None;
        for (name, value) in &self.extensions {
            extension_name(name)?;
            if previous.is_some_and(|previous| previous >= name.as_ref()) {
                return Err(at_extension(name, "extensions are not sorted, each name once"));
            }
            previous = Some(name);
            extension_value(name, value)?;
        }
        Ok(())
    }

    /// A bound on the record that costs a few additions; most events are far below their limit.
    pub(crate) fn record_bytes_at_most(&self) -> usize {
        const FRAMING_BYTES: usize = 64;
        let optional = [&self.subject, &self.time, &self.datacontenttype, &self.dataschema];
        let core = self.id.len() + self.source.len() + self.ty.len();
        let optional: usize =
            optional.iter().map(|text| text.as_ref().map_or(0, |t| t.len())).sum();
        let extensions: usize = self
            .extensions
            .iter()
            .map(|(name, value)| FRAMING_BYTES + name.len() + value.bytes_at_most())
            .sum();
        let data = self.data.bytes().map_or(0, <[u8]>::len);
        let url = if let Data::Proto(url, _) = &self.data { url.len() } else { 0 };
        8 * FRAMING_BYTES + core + optional + extensions + data + url
    }

    fn validate_size(&self, limits: &Limits) -> Result<(), EventError> {
        if self.record_bytes_at_most() <= limits.event_bytes_max {
            return Ok(());
        }
        let bytes = proto::record_bytes(self);
        if bytes <= limits.event_bytes_max {
            return Ok(());
        }
        let detail = format!(
            "the event takes {bytes} bytes and one may take {}; send less data, or a link to it",
            limits.event_bytes_max
        );
        Err(EventError::new(EventErrorKind::TooLarge, "", detail))
    }
}

impl Value<'_> {
    fn bytes_at_most(&self) -> usize {
        match self {
            Value::Boolean(_) | Value::Integer(_) => 0,
            Value::Bytes(bytes) => bytes.len(),
            Value::String(text)
            | Value::Uri(text)
            | Value::UriRef(text)
            | Value::Timestamp(text) => text.len(),
        }
    }
}

/// Whether the store sets this attribute, so that it is ignored on what comes in.
pub(crate) fn is_set_by_store(name: &str) -> bool {
    matches!(name, "position" | "recordedtime")
}

/// Only version 1.0 is read.
pub(crate) fn specversion(text: &str) -> Result<(), EventError> {
    if text == "1.0" {
        return Ok(());
    }
    let detail = format!("specversion {text:?} is not supported; send 1.0");
    Err(invalid("/specversion", detail))
}

/// A required attribute that is not there.
pub(crate) fn missing(name: &'static str) -> EventError {
    let detail = format!("{name} is missing; every event has one");
    EventError::new(EventErrorKind::Missing, format!("/{name}"), detail)
}

/// An attribute of a protobuf message whose value is not set, or is of an unknown kind.
pub(crate) fn unset(name: &str) -> EventError {
    at_extension(name, format!("{name:?} has no value; give it one or leave it out"))
}

/// A batch beyond its limit.
pub(crate) fn too_many(limits: &Limits) -> EventError {
    let max = limits.batch_events_max;
    let detail = format!("the batch has more than {max} events; split it, or send NDJSON");
    EventError::new(EventErrorKind::TooMany, "", detail)
}

fn invalid(pointer: &'static str, detail: impl Into<Cow<'static, str>>) -> EventError {
    EventError::new(EventErrorKind::Invalid, pointer, detail)
}

fn at_extension(name: &str, detail: impl Into<Cow<'static, str>>) -> EventError {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    EventError::new(EventErrorKind::Invalid, pointer, detail)
}

fn required(pointer: &'static str, text: &str) -> Result<(), EventError> {
    if text.is_empty() {
        let detail = format!("{} is empty; give it a value or leave it out", &pointer[1..]);
        return Err(invalid(pointer, detail));
    }
    match forbidden_character(text) {
        None => Ok(()),
        Some(character) => Err(invalid(pointer, forbidden_detail(&pointer[1..], character))),
    }
}

fn forbidden_detail(name: &str, character: char) -> String {
    let code = u32::from(character);
    format!("{name} has the character U+{code:04X}, which attributes may not have; remove it")
}

fn timestamp(pointer: &'static str, text: &str) -> Result<(), EventError> {
    if rfc3339::parse(text).is_none() {
        let detail = "time is not RFC 3339; write it like 2026-01-15T10:30:00Z";
        return Err(invalid(pointer, detail));
    }
    Ok(())
}

fn media_type_attribute(text: &str) -> Result<(), EventError> {
    if text == "application/json" {
        return Ok(());
    }
    let (essence, _) = text.split_once(';').unwrap_or((text, ""));
    let right =
        essence.trim().split_once('/').is_some_and(|(ty, sub)| is_token(ty) && is_token(sub));
    if !right || forbidden_character(text).is_some() {
        let detail = "datacontenttype is not a media type; write it like application/json";
        return Err(invalid("/datacontenttype", detail));
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

fn extension_name(name: &str) -> Result<(), EventError> {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || !name.bytes().all(right) {
        let detail =
            format!("{name:?} is no attribute name; use lower-case letters and digits only");
        return Err(at_extension(name, detail));
    }
    if RESERVED_NAMES.contains(&name) {
        let detail = format!("{name:?} cannot be an extension; use another name");
        return Err(at_extension(name, detail));
    }
    Ok(())
}

fn extension_value(name: &str, value: &Value<'_>) -> Result<(), EventError> {
    let text = match value {
        Value::Boolean(_) | Value::Integer(_) | Value::Bytes(_) => return Ok(()),
        Value::String(text) => text,
        Value::Uri(text) if uri::is_absolute(text) => text,
        Value::UriRef(text) if uri::is_reference(text) => text,
        Value::Timestamp(text) if rfc3339::parse(text).is_some() => text,
        Value::Uri(_) => return Err(at_extension(name, format!("{name} is not a URI"))),
        Value::UriRef(_) => {
            return Err(at_extension(name, format!("{name} is not a URI-reference")));
        }
        Value::Timestamp(_) => return Err(at_extension(name, format!("{name} is not RFC 3339"))),
    };
    match forbidden_character(text) {
        None => Ok(()),
        Some(character) => Err(at_extension(name, forbidden_detail(name, character))),
    }
}

/// The first character that CloudEvents forbids in strings: a control character or a noncharacter.
/// (Surrogates cannot stand in a Rust string.)
fn forbidden_character(text: &str) -> Option<char> {
    let plain = |byte: &u8| (0x20..0x7F).contains(byte);
    // Without an early exit the loop is vectorised; nearly every attribute passes.
    if text.as_bytes().iter().fold(true, |all, byte| all & plain(byte)) {
        return None;
    }
    text.chars().find(|character| {
        let code = u32::from(*character);
        let noncharacter = (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE;
        character.is_control() || noncharacter
    })
}
