//! What kind of JSON document it is, told by its member names.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// How a document begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Not enough of it is there to tell.
    Unknown,
    /// `[`
    Array,
    /// `{` and a first member that events do not have: a conditional append.
    Conditional,
    /// Anything else: an event, or something that reading it as one will refuse.
    Event,
}

/// Looks at the first bytes.
pub(super) fn opening(prefix: &[u8]) -> Opening {
    let Some((first, rest)) = trimmed(prefix).split_first() else { return Opening::Unknown };
    match first {
        b'[' => Opening::Array,
        b'{' => member(trimmed(rest)),
        _ => Opening::Event,
    }
}

fn member(rest: &[u8]) -> Opening {
    const CONDITIONAL: [&[u8]; 2] = [b"\"events\"", b"\"preconditions\""];
    if CONDITIONAL.iter().any(|name| rest.starts_with(name)) {
        return Opening::Conditional;
    }
    let undecided = CONDITIONAL.iter().any(|name| name.starts_with(rest));
    if undecided { Opening::Unknown } else { Opening::Event }
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// Which telling members an object has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    events: bool,
    event: bool,
    /// What only events have, and need not.
    detail: bool,
    topic: bool,
    payload: bool,
}

impl Members {
    /// Reads an object; what is not one has no members.
    pub(super) fn of(text: &[u8]) -> Members {
        serde_json::from_slice(text).unwrap_or_default()
    }

    /// `{"events":…,"preconditions":…}`
    pub(super) fn is_conditional(self) -> bool {
        self.events && !self.event
    }

    /// `{"topic":…,"type":…,"payload":…}`, also where the payload was forgotten.
    pub(super) fn is_publish(self) -> bool {
        self.topic && !self.event && (self.payload || !self.detail)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "events" => members.events = true,
                "source" | "specversion" => members.event = true,
                "id" | "data" | "data_base64" | "subject" | "time" => members.detail = true,
                "topic" => members.topic = true,
                "payload" => members.payload = true,
                _ => {}
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_member_tells() {
        assert_eq!(opening(b"  "), Opening::Unknown);
        assert_eq!(opening(b" ["), Opening::Array);
        assert_eq!(opening(b"{ \"ev"), Opening::Unknown);
        assert_eq!(opening(b"{ \"events\" :["), Opening::Conditional);
        assert_eq!(opening(b"{\"preconditions\":["), Opening::Conditional);
        assert_eq!(opening(b"{\"eventsource\":"), Opening::Event);
        assert_eq!(opening(b"nonsense"), Opening::Event);
    }

    #[test]
    fn members_tell_documents_apart() {
        assert!(Members::of(br#"{"x":{"source":1},"events":[]}"#).is_conditional());
        assert!(!Members::of(br#"{"source":"a","events":"3"}"#).is_conditional());
        assert!(Members::of(br#"{"topic":"t","type":"a","payload":{}}"#).is_publish());
        assert!(Members::of(br#"{"topic":"t","type":"a"}"#).is_publish());
        assert!(!Members::of(br#"{"topic":"t","type":"a","id":"1"}"#).is_publish());
        assert!(!Members::of(br#"[{"topic":"t"}]"#).is_publish());
    }
}
