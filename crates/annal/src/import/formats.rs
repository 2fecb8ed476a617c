//! From the text of one event, in whichever form, to a CloudEvent.

use std::borrow::Cow;

use annal_event::{
    Data, Event, Limits, Timestamp, Value,
    json::{self, Fill, Strictness},
};
use anyhow::{Context, bail};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{Format, input::Piece};

/// How one piece is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A CloudEvent; `specversion`, `id` and `time` may be missing.
    CloudEvent,
    /// `{"event_type","event_id","timestamp","payload"}`, perhaps with a CRC-32 before it.
    Envelope,
    /// `{"id","timestamp","type","payload"}` of a topic.
    Topic { topic: String, number: u64 },
}

/// What events are completed with.
pub(crate) struct Reading {
    pub(crate) source: String,
    pub(crate) limits: Limits,
    pub(crate) now: Timestamp,
}

const CRC_DIGITS: usize = 8;

/// By the first line: a CRC, or the members of an envelope; else it is a CloudEvent.
pub(crate) fn guess(line: &[u8]) -> Format {
    #[derive(Deserialize)]
    struct Members {
        event_type: Option<IgnoredAny>,
        payload: Option<IgnoredAny>,
        specversion: Option<IgnoredAny>,
    }
    let is_envelope = |members: Members| {
        members.event_type.is_some() && members.payload.is_some() && members.specversion.is_none()
    };
    let enveloped =
        split_crc(line).is_some() || serde_json::from_slice::<Members>(line).is_ok_and(is_envelope);
    if enveloped { Format::Envelopes } else { Format::Cloudevents }
}

impl Reading {
    /// The event that a piece tells of, valid.
    pub(crate) fn event<'p>(&self, piece: &'p Piece) -> anyhow::Result<Event<'p>> {
        let event = match &piece.shape {
            Shape::CloudEvent => self.cloud_event(piece, &piece.text)?,
            Shape::Envelope => self.envelope(piece)?,
            Shape::Topic { topic, number } => self.topic_event(piece, topic, *number)?,
        };
        event.validate(&self.limits)?;
        event.validate_producer()?;
        Ok(event)
    }

    fn cloud_event<'p>(&self, piece: &Piece, text: &'p [u8]) -> anyhow::Result<Event<'p>> {
        let mut make_id = || made_id(text, piece.ordinal);
        let fill = Fill { id: &mut make_id, now: self.now };
        Ok(json::parse_event(text, &mut Strictness::Lenient(fill))?)
    }

    fn envelope<'p>(&self, piece: &'p Piece) -> anyhow::Result<Event<'p>> {
        let text = match split_crc(&piece.text) {
            Some((expected, rest)) => {
                let found = crc32fast::hash(rest);
                if found != expected {
                    bail!("the CRC says {expected:08x}, the text has {found:08x}: it is damaged");
                }
                rest
            }
            None => &piece.text,
        };
        let envelope: Envelope<'p> = serde_json::from_slice(text).context("this is no envelope")?;
        let id = match envelope.event_id {
            Some(id) if !id.is_empty() => id,
            _ => made_id(text, piece.ordinal).into(),
        };
        let (data, content_type) = payload(envelope.payload)?;
        Ok(Event {
            id,
            source: self.source.clone().into(),
            ty: envelope.event_type,
            subject: None,
            time: envelope.timestamp.map(time).transpose()?,
            datacontenttype: content_type.map(Cow::Borrowed),
            dataschema: None,
            extensions: Vec::new(),
            data,
        })
    }

    fn topic_event<'p>(
        &self,
        piece: &'p Piece,
        topic: &'p str,
        number: u64,
    ) -> anyhow::Result<Event<'p>> {
        let stored: Stored<'p> =
            serde_json::from_slice(&piece.text).context("this is no event of a topic")?;
        if stored.specversion.is_some() {
            return self.cloud_event(piece, &piece.text);
        }
        let Some(ty) = stored.ty else { bail!("`type` is missing") };
        let (data, content_type) = match stored.payload {
            Some(raw) => (Data::Json(raw.get().into()), Some("application/json")),
            None => (Data::None, None),
        };
        Ok(Event {
            id: stored.id.unwrap_or_else(|| format!("{topic}-{number}").into()),
            source: format!("{}/{topic}", self.source.trim_end_matches('/')).into(),
            ty,
            subject: None,
            time: stored.timestamp.map(time).transpose()?,
            datacontenttype: content_type.map(Cow::Borrowed),
            dataschema: None,
            extensions: vec![("topic".into(), Value::String(topic.into()))],
            data,
        })
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Stored<'a> {
    specversion: Option<IgnoredAny>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    ty: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// `<8 hex digits>:` and what follows.
fn split_crc(line: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = line.split_at_checked(CRC_DIGITS)?;
    let rest = rest.strip_prefix(b":")?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// The payload is JSON text inside a string; plain JSON and plain text are taken as they are.
fn payload(raw: &RawValue) -> anyhow::Result<(Data<'_>, Option<&'static str>)> {
    if !raw.get().starts_with('"') {
        return Ok((Data::Json(raw.get().into()), Some("application/json")));
    }
    let text: String = serde_json::from_str(raw.get())?;
    if serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        return Ok((Data::Json(text.into()), Some("application/json")));
    }
    Ok((Data::Text(text.into()), Some("text/plain")))
}

/// RFC 3339 text stays as it is; a number is Unix time, in seconds or (from the year 5138 on, were
/// it seconds) in milliseconds.
fn time(raw: &RawValue) -> anyhow::Result<Cow<'_, str>> {
    const SECONDS_MAX: i64 = 100_000_000_000;
    if raw.get().starts_with('"') {
        return Ok(serde_json::from_str::<Cow<'_, str>>(raw.get())?);
    }
    let number: i64 = serde_json::from_str(raw.get())
        .context("`timestamp` is neither RFC 3339 nor a whole number")?;
    let factor = if number.abs() < SECONDS_MAX { 1_000_000 } else { 1_000 };
    let micros = number.checked_mul(factor).context("`timestamp` is out of range")?;
    Ok(Timestamp(micros).to_string().into())
}

/// The same for the same text at the same place, so that importing twice stores once.
fn made_id(text: &[u8], ordinal: u64) -> String {
    format!("{:032x}", xxh3_128_with_seed(text, ordinal))
}
