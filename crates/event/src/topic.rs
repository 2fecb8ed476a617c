//! Topics: what somebody asks of one, and what is published to one (API.md §6).

use std::borrow::Cow;

use crate::{
    EventError, EventErrorKind, json,
    json::{Json, Object},
};

/// Longest name of a topic, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Whether a text can be the name of a topic.
pub fn is_topic_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && text.len() <= NAME_BYTES_MAX && text.bytes().all(good)
}

/// What is said of a topic: all of a new one, or what changes of one that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Schemas for payloads, each of another type.
    pub schemas: Option<Vec<TopicSchema>>,
    /// How long events are kept in it.
    pub retention: Option<Retention>,
    /// Whether it takes types without a schema, too.
    pub open: Option<bool>,
}

/// What payloads of one type are held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSchema {
    /// The type of events.
    pub ty: String,
    /// The schema as it was given, compact JSON; its member `type` names the type of events.
    pub text: String,
}

/// Until when events are kept in a topic; whatever is reached first counts. Without bounds, for
/// ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many milliseconds after they were recorded.
    pub age_ms_max: Option<u64>,
    /// The newest so many.
    pub events_max: Option<u64>,
    /// The newest that have so many bytes of payload together.
    pub bytes_max: Option<u64>,
}

impl TopicSpec {
    /// Reads `{"name","schemas","retention","open"}`. `named`: the name that it has already, so that
    /// the text need not say it, nor may say another.
    pub fn parse(text: &str, named: Option<&str>) -> Result<TopicSpec, EventError> {
        let document = Json::parse(text)
            .map_err(|error| EventError::new(EventErrorKind::Syntax, "", error.to_string()))?;
        let Json::Object(members) = &document else {
            return Err(wrong("", "a topic is an object with `name` and `schemas`"));
        };
        let mut spec = TopicSpec { name: named.unwrap_or_default().to_owned(), ..Self::default() };
        for (name, value) in members.iter() {
            match name.decode().as_deref() {
                Some("name") => spec.name = name_of(value, named)?,
                Some("schemas") => spec.schemas = Some(schemas(value)?),
                Some("retention") => spec.retention = Some(retention(value)?),
                Some("open") => spec.open = Some(boolean(value)?),
                _ => return Err(unknown("", name.raw(), "name, schemas, retention, open")),
            }
        }
        if !is_topic_name(&spec.name) {
            let detail = format!(
                "the name of a topic is 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes and \
                 underscores, the first a letter or digit"
            );
            return Err(wrong("/name", detail));
        }
        Ok(spec)
    }

    /// What [`TopicSpec::parse`] reads.
    pub fn to_json(&self) -> String {
        let mut out = b"{\"name\":".to_vec();
        json::write_string(&mut out, &self.name);
        if let Some(schemas) = &self.schemas {
            let texts: Vec<&str> = schemas.iter().map(|schema| schema.text.as_str()).collect();
            out.extend_from_slice(format!(",\"schemas\":[{}]", texts.join(",")).as_bytes());
        }
        if let Some(retention) = &self.retention {
            out.extend_from_slice(format!(",\"retention\":{}", retention.to_json()).as_bytes());
        }
        if let Some(open) = self.open {
            out.extend_from_slice(format!(",\"open\":{open}").as_bytes());
        }
        out.push(b'}');
        String::from_utf8(out).unwrap_or_default()
    }
}

impl Retention {
    const NAMES: [&'static str; 3] = ["max_age_ms", "max_events", "max_bytes"];

    /// Whether nothing is ever let go.
    pub fn is_unbounded(&self) -> bool {
        *self == Retention::default()
    }

    /// `{"max_age_ms","max_events","max_bytes"}`, those that are set.
    pub fn to_json(&self) -> String {
        let values = [self.age_ms_max, self.events_max, self.bytes_max];
        let set = Self::NAMES.iter().zip(values);
        let set = set.filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
        format!("{{{}}}", set.collect::<Vec<_>>().join(","))
    }
}

fn name_of(value: &Json<'_>, named: Option<&str>) -> Result<String, EventError> {
    let name = text(value).ok_or_else(|| wrong("/name", "`name` is text"))?;
    match named.filter(|named| *named != name) {
        Some(named) => Err(wrong("/name", format!("the path names {named}; leave `name` out"))),
        None => Ok(name.into_owned()),
    }
}

fn schemas(value: &Json<'_>) -> Result<Vec<TopicSchema>, EventError> {
    let Json::Array(items) = value else {
        return Err(wrong("/schemas", "`schemas` is an array, an item for each type of events"));
    };
    let mut schemas: Vec<TopicSchema> = Vec::with_capacity(items.len());
    let mut seen = std::collections::HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let pointer = format!("/schemas/{index}");
        let Json::Object(members) = item else {
            let detail = "a schema is an object; its `type` names the type of events";
            return Err(wrong(pointer, detail));
        };
        let ty = members.get("type").and_then(text).filter(|ty| !ty.is_empty());
        let ty = ty.ok_or_else(|| {
            let detail = "`type` is the type of events that this schema is for, as text";
            wrong(format!("{pointer}/type"), detail)
        })?;
        if !seen.insert(ty.to_string()) {
            let detail = format!("{ty} has a schema before this one; give one for each type");
            return Err(wrong(format!("{pointer}/type"), detail));
        }
        schemas.push(TopicSchema { ty: ty.into_owned(), text: item.to_string() });
    }
    Ok(schemas)
}

fn retention(value: &Json<'_>) -> Result<Retention, EventError> {
    const POINTER: &str = "/retention";
    let members: &Object<'_> = match value {
        Json::Null => return Ok(Retention::default()),
        Json::Object(members) => members,
        _ => return Err(wrong(POINTER, "`retention` is an object")),
    };
    let mut retention = Retention::default();
    for (name, value) in members.iter() {
        let place = match name.decode().as_deref() {
            Some("max_age_ms") => &mut retention.age_ms_max,
            Some("max_events") => &mut retention.events_max,
            Some("max_bytes") => &mut retention.bytes_max,
            _ => return Err(unknown(POINTER, name.raw(), &Retention::NAMES.join(", "))),
        };
        *place = match value {
            Json::Null => None,
            Json::Number(number) => number.text().parse().ok().filter(|number| *number > 0),
            _ => None,
        };
        if place.is_none() && !matches!(value, Json::Null) {
            let pointer = format!("{POINTER}/{}", name.raw());
            return Err(wrong(pointer, "give a whole number from 1, or leave it out"));
        }
    }
    Ok(retention)
}

fn boolean(value: &Json<'_>) -> Result<bool, EventError> {
    match value {
        Json::Boolean(open) => Ok(*open),
        _ => Err(wrong("/open", "`open` is true or false")),
    }
}

fn text<'j>(value: &'j Json<'_>) -> Option<Cow<'j, str>> {
    match value {
        Json::String(text) => text.decode(),
        _ => None,
    }
}

fn unknown(parent: &str, name: &str, known: &str) -> EventError {
    wrong(format!("{parent}/{name}"), format!("unknown; what can be given is {known}"))
}

fn wrong(
    pointer: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> EventError {
    EventError::new(EventErrorKind::Topic, pointer, detail)
}

/// `{"topic","type","payload"}`: an event for a topic, which gets its id there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The type of the event.
    pub ty: Cow<'a, str>,
    /// Any JSON value, its exact text.
    pub payload: &'a str,
}

impl<'a> Publication<'a> {
    /// Reads one; pointers lead into it.
    pub fn parse(text: &'a [u8]) -> Result<Publication<'a>, EventError> {
        let syntax = |detail: String| EventError::new(EventErrorKind::Syntax, "", detail);
        let text = std::str::from_utf8(text)
            .map_err(|error| syntax(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let found = json::member_texts(text, ["topic", "type", "payload", "source"])
            .map_err(|error| syntax(error.to_string()))?;
        let [topic, ty, payload, source] = found;
        if source.is_some() {
            let detail =
                "an array holds CloudEvents, or items of topic, type and payload; not both";
            return Err(EventError::new(EventErrorKind::Invalid, "", detail));
        }
        if let Ok(json::Json::Object(members)) = json::Json::parse(text) {
            let known = |name: &str| ["topic", "type", "payload"].contains(&name);
            let other = members.iter().find(|(name, _)| !name.decode().is_some_and(|n| known(&n)));
            if let Some((name, _)) = other {
                let detail = "an item has topic, type and payload; the topic gives it its id";
                return Err(EventError::new(
                    EventErrorKind::Invalid,
                    format!("/{}", name.raw()),
                    detail,
                ));
            }
        }
        let text = |pointer: &'static str, found: Option<&'a str>| {
            let text = found.and_then(json::string_literal).filter(|text| !text.is_empty());
            text.ok_or_else(|| {
                let detail = format!("`{}` is text, and not empty", &pointer[1..]);
                EventError::new(EventErrorKind::Invalid, pointer, detail)
            })
        };
        let payload = payload.ok_or_else(|| {
            EventError::new(EventErrorKind::Missing, "/payload", "payload is missing")
        })?;
        Ok(Publication { topic: text("/topic", topic)?, ty: text("/type", ty)?, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_reads_back() {
        let text = r#"{"name":"user-events","schemas":[{"type":"a","minimum":0.10},{"type":"b"}],"retention":{"max_age_ms":5,"max_bytes":7},"open":true}"#;
        let spec = TopicSpec::parse(text, None).expect("a topic");
        assert_eq!(spec.to_json(), text);
        let schemas = spec.schemas.as_ref().expect("schemas");
        assert_eq!((schemas[0].ty.as_str(), schemas[1].text.as_str()), ("a", r#"{"type":"b"}"#));
        let retention = spec.retention.expect("a retention");
        assert_eq!((retention.age_ms_max, retention.events_max), (Some(5), None));
        let least = TopicSpec::parse("{}", Some("t")).expect("a change");
        assert_eq!(least, TopicSpec { name: "t".to_owned(), ..TopicSpec::default() });
        assert_eq!(least.to_json(), r#"{"name":"t"}"#);
        let forever = TopicSpec::parse(r#"{"retention":null}"#, Some("t")).expect("a change");
        assert!(forever.retention.expect("a retention").is_unbounded());
    }

    #[test]
    fn what_is_no_topic_says_where() {
        let pointer = |text: &str| {
            let error = TopicSpec::parse(text, None).expect_err("no topic");
            (error.code(), error.pointer().to_owned())
        };
        for (text, at) in [
            ("7", ""),
            ("{}", "/name"),
            (r#"{"name":7}"#, "/name"),
            (r#"{"name":"-a"}"#, "/name"),
            (r#"{"name":"a/b"}"#, "/name"),
            (r#"{"name":"a","schemas":{}}"#, "/schemas"),
            (r#"{"name":"a","schemas":[7]}"#, "/schemas/0"),
            (r#"{"name":"a","schemas":[{"type":"x"},{}]}"#, "/schemas/1/type"),
            (r#"{"name":"a","schemas":[{"type":"x"},{"type":"x"}]}"#, "/schemas/1/type"),
            (r#"{"name":"a","retention":7}"#, "/retention"),
            (r#"{"name":"a","retention":{"max_age_ms":0}}"#, "/retention/max_age_ms"),
            (r#"{"name":"a","retention":{"max_events":1.5}}"#, "/retention/max_events"),
            (r#"{"name":"a","retention":{"age":1}}"#, "/retention/age"),
            (r#"{"name":"a","open":1}"#, "/open"),
            (r#"{"name":"a","colour":1}"#, "/colour"),
        ] {
            assert_eq!(pointer(text), ("invalid-topic", at.to_owned()), "{text}");
        }
        assert_eq!(pointer("{").0, "malformed-body");
        let other = TopicSpec::parse(r#"{"name":"b"}"#, Some("a")).expect_err("another name");
        assert_eq!(other.pointer(), "/name");
        assert!(is_topic_name(&"a".repeat(128)) && !is_topic_name(&"a".repeat(129)));
    }

    #[test]
    fn publications_keep_their_payload() {
        let text = br#" {"payload": {"n": 0.10}, "type":"a\u0062", "topic":"t"} "#;
        let read = Publication::parse(text).expect("a publication");
        let expected =
            Publication { topic: "t".into(), ty: "ab".into(), payload: r#"{"n": 0.10}"# };
        assert_eq!(read, expected);
        for (text, pointer) in [
            (r#"{"type":"a","payload":1}"#, "/topic"),
            (r#"{"topic":"t","type":7,"payload":1}"#, "/type"),
            (r#"{"topic":"t","type":"","payload":1}"#, "/type"),
            (r#"{"topic":"t","type":"a"}"#, "/payload"),
            (r#"{"topic":"t","type":"a","payload":1,"id":"mine"}"#, "/id"),
            (r#"{"topic":"t","type":"a","payload":1,"source":"s"}"#, ""),
            ("[]", ""),
        ] {
            let error = Publication::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.pointer(), pointer, "{text}");
        }
    }
}
