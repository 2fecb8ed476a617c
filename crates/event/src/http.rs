//! Binary mode of the CloudEvents HTTP protocol binding 1.0.2: attributes in `ce-…` headers,
//! `datacontenttype` in `Content-Type`, the data as the body, byte for byte.
//!
//! Header values are decoded as §3.1.3.2 says: first a double-quoted string, then one round of
//! percent-decoding; what is then no UTF-8, and percent signs that escape nothing, are refused.

use std::borrow::Cow;

use crate::{
    Data, Event, EventError, EventErrorKind, Position, Timestamp, Value, json::Strictness,
    media_type, validate,
};

/// Reads an event in binary mode. Header names come in any case; others than `ce-…` and
/// `content-type` are passed over. The caller still has to [`validate`](Event::validate) the event.
pub fn parse_event<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &'a [u8],
    strictness: &mut Strictness<'_>,
) -> Result<Event<'a>, EventError> {
    let mut draft = Draft::default();
    for (name, value) in headers {
        draft.header(name, value)?;
    }
    draft.finish(body, strictness)
}

#[derive(Default)]
struct Draft<'a> {
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    ty: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    datacontenttype: Option<Cow<'a, str>>,
    dataschema: Option<Cow<'a, str>>,
    extensions: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Draft<'a> {
    fn header(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), EventError> {
        if name.eq_ignore_ascii_case("content-type") {
            let text = utf8(value.into()).ok_or_else(|| undecodable("datacontenttype"))?;
            return set(&mut self.datacontenttype, "datacontenttype", text);
        }
        let Some(prefix) = name.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("ce-")) else {
            return Ok(());
        };
        let name = lower_case(&name[prefix.len()..]);
        if validate::is_set_by_store(&name) {
            return Ok(());
        }
        let text = decode(value).ok_or_else(|| undecodable(&name))?;
        let slot = match name.as_ref() {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.ty,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "dataschema" => &mut self.dataschema,
            _ => {
                self.extensions.push((name, Value::String(text)));
                return Ok(());
            }
        };
        set(slot, &name, text)
    }

    fn finish(
        mut self,
        body: &'a [u8],
        strictness: &mut Strictness<'_>,
    ) -> Result<Event<'a>, EventError> {
        strictness.fill(&mut self.id, &mut self.time);
        // Without this header it is not binary mode, so that there is nothing to be lenient about.
        validate::specversion(&self.specversion.ok_or_else(|| validate::missing("specversion"))?)?;
        self.extensions.sort_by(|left, right| left.0.cmp(&right.0));
        if let Some(pair) = self.extensions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(twice(&pair[0].0));
        }
        let data = match body {
            [] => Data::None,
            _ => media_type::data_of_bytes(body.into(), self.datacontenttype.as_deref()),
        };
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
}

fn set<'a>(
    slot: &mut Option<Cow<'a, str>>,
    name: &str,
    text: Cow<'a, str>,
) -> Result<(), EventError> {
    match slot.replace(text) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

fn twice(name: &str) -> EventError {
    let detail = format!("the header of {name} stands there twice; send it once");
    EventError::new(EventErrorKind::Invalid, format!("/{name}"), detail)
}

fn undecodable(name: &str) -> EventError {
    let detail =
        format!("the header of {name} does not decode; percent-encode UTF-8, and % itself as %25");
    EventError::new(EventErrorKind::Invalid, format!("/{name}"), detail)
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// Decodes a header value.
fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let value = value.trim_ascii();
    utf8(match value.first() {
        Some(b'"') => percent_decode(unquote(value)?.into())?,
        _ => percent_decode(value.into())?,
    })
}

fn utf8(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The content of a quoted string (RFC 9110 §5.6.4) that takes the whole value.
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(value.len());
    let mut bytes = value.iter().skip(1);
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(content),
            b'\\' => content.push(*bytes.next()?),
            byte => content.push(*byte),
        }
    }
}

fn percent_decode(value: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'%', &value).is_none() {
        return Some(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            byte => *byte,
        });
    }
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Gives every header of an event in binary mode to `each`: lower-case name, encoded value. The
/// body is [`Data::bytes`], exactly.
pub fn write_headers(
    event: &Event<'_>,
    stored: Option<(Position, Timestamp)>,
    mut each: impl FnMut(&str, &str),
) {
    each("ce-specversion", "1.0");
    let attributes = [
        ("ce-id", Some(&event.id)),
        ("ce-source", Some(&event.source)),
        ("ce-type", Some(&event.ty)),
        ("ce-subject", event.subject.as_ref()),
        ("ce-time", event.time.as_ref()),
        ("ce-dataschema", event.dataschema.as_ref()),
    ];
    for (name, text) in attributes {
        if let Some(text) = text {
            each(name, &encode(text));
        }
    }
    for (name, value) in &event.extensions {
        each(&format!("ce-{name}"), &encode(&value.canonical()));
    }
    if let Some(media_type) = event.media_type() {
        each("content-type", media_type);
    }
    if let Some((position, recorded)) = stored {
        each("ce-position", &position.to_string());
        each("ce-recordedtime", &recorded.to_string());
    }
}

/// Percent-encodes space, `"`, `%` and everything beyond printable ASCII, nothing else (§3.1.3.2).
fn encode(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b'!' | b'#' | b'$' | b'&'..=b'~');
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}
