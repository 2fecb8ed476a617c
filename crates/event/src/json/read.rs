//! Reading events: structured mode, batches, conditional appends.

use std::borrow::Cow;

use super::query::precondition;
use super::scan::{Cursor, Fault};
use super::{ConditionalAppend, REFUSED_EVENTS_MAX, Strictness};
use crate::{
    Data, Event, EventError, EventErrorKind, Limits, Precondition, Value, base64, media_type,
    rfc3339::Instant, validate,
};

/// Reads one event.
///
/// Data is kept as the exact text. A string under a media type that is not JSON is the text that
/// the string stands for. Attributes that are `null` are absent; `position` and `recordedtime` are
/// the store's and ignored. The caller still has to [`validate`](Event::validate) the event.
pub fn parse_event<'a>(
    text: &'a [u8],
    strictness: &mut Strictness<'_>,
) -> Result<Event<'a>, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    let event = event(&mut cursor, strictness)?;
    cursor.end().map_err(not_json)?;
    Ok(event)
}

/// Reads an array of events, at most `limits.batch_events_max`. An error carries the index of its
/// event.
pub fn parse_batch<'a>(
    text: &'a [u8],
    strictness: &mut Strictness<'_>,
    limits: &Limits,
) -> Result<Vec<Event<'a>>, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    let events = events(&mut cursor, strictness, limits, None)?;
    cursor.end().map_err(not_json)?;
    Ok(events)
}

/// Reads the object of a conditional append: `events` and `preconditions`, nothing else.
pub fn parse_append<'a>(
    text: &'a [u8],
    strictness: &mut Strictness<'_>,
    limits: &Limits,
) -> Result<ConditionalAppend<'a>, EventError> {
    append(text, strictness, limits, None)
}

/// As [`parse_append`], but passes over events that are refused (though they are JSON) and notes the
/// errors, each with the index of its event: up to [`REFUSED_EVENTS_MAX`], the last of which ends the
/// reading. If there are any, what is returned is no append.
pub fn parse_append_noting<'a>(
    text: &'a [u8],
    strictness: &mut Strictness<'_>,
    limits: &Limits,
    refused: &mut Vec<EventError>,
) -> Result<ConditionalAppend<'a>, EventError> {
    append(text, strictness, limits, Some(refused))
}

fn append<'a>(
    text: &'a [u8],
    strictness: &mut Strictness<'_>,
    limits: &Limits,
    mut refused: Option<&mut Vec<EventError>>,
) -> Result<ConditionalAppend<'a>, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    if !cursor.take(b'{') {
        return Err(invalid("", "a conditional append is an object with events and preconditions"));
    }
    let (mut found, mut conditions) = (None, None);
    let mut first = true;
    while let Some(name) = cursor.member(first).map_err(not_json)? {
        first = false;
        match name.as_ref() {
            "events" if found.is_none() => {
                found = Some(events(&mut cursor, strictness, limits, refused.as_deref_mut())?);
            }
            "preconditions" if conditions.is_none() => {
                conditions = Some(preconditions(&mut cursor)?);
            }
            "events" | "preconditions" => return Err(duplicate(&name)),
            _ => {
                let detail = format!(
                    "{name:?} is unknown; a conditional append has events and preconditions"
                );
                return Err(EventError::new(EventErrorKind::Invalid, pointer(&name), detail));
            }
        }
    }
    cursor.end().map_err(not_json)?;
    let Some(events) = found else {
        let detail = "events is missing; a conditional append has events and preconditions";
        return Err(EventError::new(EventErrorKind::Missing, "/events", detail));
    };
    Ok(ConditionalAppend { events, preconditions: conditions.unwrap_or_default() })
}

pub(super) fn utf8(text: &[u8]) -> Result<&str, EventError> {
    std::str::from_utf8(text).map_err(|error| {
        let detail = format!("not UTF-8 at byte {}; send UTF-8", error.valid_up_to());
        EventError::new(EventErrorKind::Syntax, "", detail)
    })
}

pub(super) fn not_json(fault: Fault) -> EventError {
    let detail = format!("not JSON at byte {}: {}", fault.at, fault.what);
    EventError::new(EventErrorKind::Syntax, "", detail)
}

pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn invalid(pointer: impl Into<Cow<'static, str>>, detail: &'static str) -> EventError {
    EventError::new(EventErrorKind::Invalid, pointer, detail)
}

pub(super) fn duplicate(name: &str) -> EventError {
    let detail = format!("{name:?} stands there twice; send it once");
    EventError::new(EventErrorKind::Invalid, pointer(name), detail)
}

fn events<'a>(
    cursor: &mut Cursor<'a>,
    strictness: &mut Strictness<'_>,
    limits: &Limits,
    mut refused: Option<&mut Vec<EventError>>,
) -> Result<Vec<Event<'a>>, EventError> {
    if !cursor.take(b'[') {
        return Err(invalid("", "a batch is an array of events"));
    }
    let (mut events, mut index) = (Vec::new(), 0);
    while cursor.item(index == 0).map_err(not_json)? {
        if index == limits.batch_events_max {
            return Err(validate::too_many(limits));
        }
        let start = cursor.clone();
        match event(cursor, strictness) {
            Ok(event) => events.push(event),
            Err(error) => {
                let error = error.at_index(index);
                let Some(refused) = refused.as_deref_mut() else { return Err(error) };
                *cursor = start;
                let is_json = cursor.value().is_ok();
                refused.push(error.clone());
                if !is_json || refused.len() >= REFUSED_EVENTS_MAX {
                    return Err(error);
                }
            }
        }
        index += 1;
    }
    Ok(events)
}

fn preconditions(cursor: &mut Cursor<'_>) -> Result<Vec<Precondition>, EventError> {
    if !cursor.take(b'[') {
        let detail = "preconditions is an array";
        return Err(EventError::new(EventErrorKind::Precondition, "/preconditions", detail));
    }
    let mut conditions = Vec::new();
    while cursor.item(conditions.is_empty()).map_err(not_json)? {
        let parent = format!("/preconditions/{}", conditions.len());
        conditions.push(precondition(cursor).map_err(|error| error.under(&parent))?);
    }
    Ok(conditions)
}

/// An event while its members are being read.
#[derive(Default)]
struct Draft<'a> {
    seen: u16,
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    ty: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    datacontenttype: Option<Cow<'a, str>>,
    dataschema: Option<Cow<'a, str>>,
    data: Option<&'a str>,
    data_base64: Option<Cow<'a, str>>,
    extensions: Vec<(Cow<'a, str>, Value<'a>)>,
    absent: Vec<Cow<'a, str>>,
}

fn event<'a>(
    cursor: &mut Cursor<'a>,
    strictness: &mut Strictness<'_>,
) -> Result<Event<'a>, EventError> {
    if !cursor.take(b'{') {
        return Err(invalid("", "an event is a JSON object"));
    }
    let mut draft = Draft::default();
    let mut first = true;
    while let Some(name) = cursor.member(first).map_err(not_json)? {
        first = false;
        draft.member(name, cursor)?;
    }
    draft.finish(strictness)
}

impl<'a> Draft<'a> {
    fn member(&mut self, name: Cow<'a, str>, cursor: &mut Cursor<'a>) -> Result<(), EventError> {
        let (bit, slot) = match name.as_ref() {
            "specversion" => (0, &mut self.specversion),
            "id" => (1, &mut self.id),
            "source" => (2, &mut self.source),
            "type" => (3, &mut self.ty),
            "subject" => (4, &mut self.subject),
            "time" => (5, &mut self.time),
            "datacontenttype" => (6, &mut self.datacontenttype),
            "dataschema" => (7, &mut self.dataschema),
            "data_base64" => (8, &mut self.data_base64),
            "data" => {
                self.once(9, &name)?;
                self.data = Some(cursor.value().map_err(not_json)?);
                return Ok(());
            }
            "position" | "recordedtime" => {
                self.once(if name == "position" { 10 } else { 11 }, &name)?;
                return cursor.value().map(drop).map_err(not_json);
            }
            _ => return self.extension(name, cursor),
        };
        if self.seen >> bit & 1 == 1 {
            return Err(duplicate(&name));
        }
        self.seen |= 1 << bit;
        *slot = text_or_null(&name, cursor)?;
        Ok(())
    }

    fn once(&mut self, bit: u16, name: &str) -> Result<(), EventError> {
        if self.seen >> bit & 1 == 1 {
            return Err(duplicate(name));
        }
        self.seen |= 1 << bit;
        Ok(())
    }

    fn extension(&mut self, name: Cow<'a, str>, cursor: &mut Cursor<'a>) -> Result<(), EventError> {
        let value = match cursor.peek() {
            b'"' => Value::String(cursor.string().map_err(not_json)?),
            b'[' | b'{' => {
                let detail = "an extension is text, a boolean or an integer; send it as text";
                return Err(invalid(pointer(&name), detail));
            }
            _ => match cursor.value().map_err(not_json)? {
                "null" => {
                    self.absent.push(name);
                    return Ok(());
                }
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                number => Value::Integer(integer(&name, number)?),
            },
        };
        self.extensions.push((name, value));
        Ok(())
    }

    fn finish(mut self, strictness: &mut Strictness<'_>) -> Result<Event<'a>, EventError> {
        strictness.fill(&mut self.id, &mut self.time);
        match (&self.specversion, &strictness) {
            (Some(version), _) => validate::specversion(version)?,
            (None, Strictness::Lenient(_)) => {}
            (None, Strictness::Strict) => return Err(validate::missing("specversion")),
        }
        self.sort_extensions()?;
        let data = data(self.data, self.data_base64, self.datacontenttype.as_deref())?;
        Ok(Event {
            id: self.id.ok_or_else(|| validate::missing("id"))?,
            source: self.source.ok_or_else(|| validate::missing("source"))?,
            ty: self.ty.ok_or_else(|| validate::missing("type"))?,
            subject: self.subject,
            time: self.time,
            datacontenttype: self.datacontenttype,
            dataschema: self.dataschema,
            extensions: self.extensions,
            data,
        })
    }

    /// Sorts once at the end: inserting in order would let one event of many names take minutes.
    fn sort_extensions(&mut self) -> Result<(), EventError> {
        let sorted = self.extensions.is_sorted_by(|left, right| left.0 < right.0);
        if !sorted {
            self.extensions.sort_unstable_by(|left, right| left.0.cmp(&right.0));
            if let Some(pair) = self.extensions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(duplicate(&pair[0].0));
            }
        }
        self.absent.sort_unstable();
        let twice = self.absent.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
        let present = |name: &&Cow<'a, str>| {
            self.extensions.binary_search_by(|(have, _)| have.cmp(name)).is_ok()
        };
        match twice.or_else(|| self.absent.iter().find(present)) {
            Some(name) => Err(duplicate(name)),
            None => Ok(()),
        }
    }
}

impl Strictness<'_> {
    /// Fills in what a lenient reading may fill in.
    pub(crate) fn fill(&mut self, id: &mut Option<Cow<'_, str>>, time: &mut Option<Cow<'_, str>>) {
        let Strictness::Lenient(fill) = self else { return };
        if id.is_none() {
            *id = Some((fill.id)().into());
        }
        if time.is_none() {
            *time = Some(Instant::of(fill.now).text().into());
        }
    }
}

fn text_or_null<'a>(
    name: &str,
    cursor: &mut Cursor<'a>,
) -> Result<Option<Cow<'a, str>>, EventError> {
    match cursor.peek() {
        b'"' => cursor.string().map(Some).map_err(not_json),
        _ if cursor.value().map_err(not_json)? == "null" => Ok(None),
        _ => {
            let detail = format!("{name} is not text; send a JSON string");
            Err(EventError::new(EventErrorKind::Invalid, pointer(name), detail))
        }
    }
}

fn integer(name: &str, number: &str) -> Result<i32, EventError> {
    number.parse().map_err(|_| {
        let detail = format!(
            "{name} is {}, and a number in an extension is an integer of 32 bits; send it as text",
            number.get(..40).unwrap_or(number),
        );
        EventError::new(EventErrorKind::Invalid, pointer(name), detail)
    })
}

fn data<'a>(
    json: Option<&'a str>,
    base64: Option<Cow<'a, str>>,
    media_type: Option<&str>,
) -> Result<Data<'a>, EventError> {
    match (json, base64) {
        (None, None) => Ok(Data::None),
        (Some(_), Some(_)) => {
            Err(invalid("/data_base64", "data and data_base64 are both there; send one of them"))
        }
        (None, Some(text)) => {
            let Some(bytes) = base64::decode(&text) else {
                return Err(invalid(
                    "/data_base64",
                    "data_base64 is not base64 (RFC 4648, padded)",
                ));
            };
            Ok(media_type::data_of_bytes(bytes.into(), media_type))
        }
        (Some(json), None) => {
            let is_json = media_type.is_none_or(media_type::is_json);
            if is_json || !json.starts_with('"') {
                return Ok(Data::Json(json.into()));
            }
            match Cursor::new(json).string() {
                Ok(text) => Ok(Data::Text(text)),
                Err(fault) => Err(not_json(fault).under("/data")),
            }
        }
    }
}
