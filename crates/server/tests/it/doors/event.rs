//! An event as the doors are compared by, and what may be lost of it.

use std::collections::BTreeMap;

use annal_event::base64;

/// Times of the samples: as written, as an instant is written, seconds, nanoseconds.
pub(super) const TIMES: [(&str, &str, i64, i32); 4] = [
    ("2026-01-15T10:30:00Z", "2026-01-15T10:30:00Z", 1_768_473_000, 0),
    (
        "2026-01-15T10:30:00.123456789Z",
        "2026-01-15T10:30:00.123456789Z",
        1_768_473_000,
        123_456_789,
    ),
    ("2026-01-15T10:30:00.5+01:00", "2026-01-15T09:30:00.500Z", 1_768_469_400, 500_000_000),
    ("2026-01-15T09:30:00.500Z", "2026-01-15T09:30:00.500Z", 1_768_469_400, 500_000_000),
];

/// The value of an attribute with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Text(String),
    Integer(i32),
    Boolean(bool),
    Bytes(Vec<u8>),
    Uri(String),
    Reference(String),
    Time(String),
    /// Whatever the store has made.
    Made,
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(text.to_owned())
    }
}

impl Attribute {
    /// As text (CloudEvents §3.1).
    pub(super) fn canonical(&self) -> String {
        match self {
            Attribute::Integer(number) => number.to_string(),
            Attribute::Boolean(value) => value.to_string(),
            Attribute::Bytes(bytes) => in_base64(bytes),
            Attribute::Text(text)
            | Attribute::Uri(text)
            | Attribute::Reference(text)
            | Attribute::Time(text) => text.clone(),
            Attribute::Made => String::new(),
        }
    }
}

/// Data, exactly.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    None,
    Json(String),
    Text(String),
    Bytes(Vec<u8>),
}

/// An event: all its attributes but `specversion`, and its data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) data: Data,
}

impl Event {
    pub(super) fn new(source: &str, ty: &str) -> Event {
        Event::of(BTreeMap::new(), Data::None).with("source", source).with("type", ty)
    }

    pub(super) fn of(attributes: BTreeMap<String, Attribute>, data: Data) -> Event {
        Event { attributes, data }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Attribute>) -> Event {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Event {
        self.attributes.remove(name);
        self
    }

    pub(super) fn data(mut self, data: Data) -> Event {
        self.data = data;
        self
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.get(name)
    }

    /// An attribute as text, empty if it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        self.attribute(name).map(Attribute::canonical).unwrap_or_default()
    }

    fn map(mut self, each: impl Fn(Attribute) -> Attribute) -> Event {
        self.attributes = self.attributes.into_iter().map(|(name, v)| (name, each(v))).collect();
        self
    }
}

pub(super) fn is_json_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
}

pub(super) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
}

pub(super) fn in_base64(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    String::from_utf8(text).expect("ASCII")
}

/// What a door cannot carry: the event as it is on the other side.
pub(super) type Loss = fn(Event) -> Event;

/// A rule of the store, by whichever door: bytes that are JSON by media type and content are JSON.
pub(super) fn json_bytes_are_json(event: Event) -> Event {
    match &event.data {
        Data::Bytes(bytes) if is_json_type(&event.text("datacontenttype")) && is_json(bytes) => {
            let text = String::from_utf8(bytes.clone()).expect("JSON");
            event.data(Data::Json(text))
        }
        _ => event,
    }
}

/// JSON has text, integers and booleans; the other types are written as text (JSON format §2.2).
pub(super) fn types_that_json_has_not(event: Event) -> Event {
    event.map(|value| match value {
        Attribute::Integer(_) | Attribute::Boolean(_) | Attribute::Made => value,
        value => Attribute::Text(value.canonical()),
    })
}

/// Headers are text (HTTP binding §3.1.3).
pub(super) fn types(event: Event) -> Event {
    event.map(|value| match value {
        Attribute::Made => value,
        value => Attribute::Text(value.canonical()),
    })
}

/// A body is bytes (HTTP binding §3.1.2): what is no JSON by its media type has no other form.
pub(super) fn text_is_bytes(event: Event) -> Event {
    match event.data {
        Data::Text(ref text) => {
            let bytes = text.clone().into_bytes();
            event.data(Data::Bytes(bytes))
        }
        _ => event,
    }
}

/// A body is always there, so that an empty one is no data.
pub(super) fn empty_data(event: Event) -> Event {
    match &event.data {
        Data::Text(text) if text.is_empty() => event.data(Data::None),
        Data::Bytes(bytes) if bytes.is_empty() => event.data(Data::None),
        _ => event,
    }
}

/// Without a media type a body is bytes, so that JSON says what it is; absent is the same as
/// `application/json` (CloudEvents §3.1, `datacontenttype`).
pub(super) fn absent_media_type(event: Event) -> Event {
    match (&event.data, event.attribute("datacontenttype")) {
        (Data::Json(_), None) => event.with("datacontenttype", "application/json"),
        _ => event,
    }
}

/// Protobuf's `text_data` and a body do not say whether they are JSON; the media type does.
pub(super) fn json_of_another_type(event: Event) -> Event {
    let media_type = event.attribute("datacontenttype").map(Attribute::canonical);
    match (&event.data, media_type) {
        (Data::Json(text), Some(media_type)) if !is_json_type(&media_type) => {
            let text = text.clone();
            event.data(Data::Text(text))
        }
        _ => event,
    }
}

/// A protobuf timestamp is an instant: it has neither an offset nor a number of digits.
pub(super) fn offset(event: Event) -> Event {
    let written = event.attribute("time").map(Attribute::canonical);
    match written.and_then(|written| TIMES.into_iter().find(|time| time.0 == written)) {
        Some((_, instant, ..)) => event.with("time", instant),
        None => event,
    }
}

/// Lines of a stream break at these for some readers, so that JSON text has them escaped there.
pub(super) fn bare_line_separators(event: Event) -> Event {
    match &event.data {
        Data::Json(text) => {
            let text = text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            event.data(Data::Json(text))
        }
        _ => event,
    }
}

/// Plain JSON may go without a time, which the store then makes.
pub(super) fn absent_time(event: Event) -> Event {
    match event.attribute("time") {
        Some(_) => event,
        None => event.with("time", Attribute::Made),
    }
}

/// Messages of Events-DB: source, type, subject and bytes. The store makes an id and a time.
pub(super) fn what_events_db_is_not_told(event: Event) -> Event {
    narrow(event, &["source", "type", "subject"]).with("id", Attribute::Made).without("time")
}

/// Messages of Events-DB have the position for an id, and always a time.
pub(super) fn what_events_db_does_not_tell(event: Event) -> Event {
    absent_time(narrow(event, &["source", "type", "subject", "time"]))
}

fn narrow(mut event: Event, names: &[&str]) -> Event {
    event.attributes.retain(|name, _| names.contains(&name.as_str()));
    let bytes = match &event.data {
        Data::None => return event,
        Data::Json(text) | Data::Text(text) => text.clone().into_bytes(),
        Data::Bytes(bytes) => bytes.clone(),
    };
    empty_data(event.data(Data::Bytes(bytes)))
}
