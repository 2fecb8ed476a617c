//! When two events are the same in content: a retry may have another `time`, other trace context,
//! and JSON spaced another way, and must be no conflict.

use std::borrow::Cow;

use crate::{Data, Event, Value, json, media_type};

/// The distributed-tracing extension, which describes the sending, not the event.
const TRACE_CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

impl Event<'_> {
    /// Same content: every attribute but `time` and trace context has the same canonical string
    /// form, and the data means the same bytes, white space between JSON tokens apart.
    ///
    /// Formats without types make every attribute text, so that `1` and `"1"` are the same.
    pub fn content_eq(&self, other: &Event<'_>) -> bool {
        self.id == other.id
            && self.source == other.source
            && self.ty == other.ty
            && self.subject == other.subject
            && (self.datacontenttype == other.datacontenttype
                || self.media_type() == other.media_type())
            && self.dataschema == other.dataschema
            && extensions_eq(&self.extensions, &other.extensions)
            && data_eq(&self.data, &other.data, self.datacontenttype.as_deref())
    }

    /// Media type of the data. JSON without `datacontenttype` is exactly equivalent to
    /// `application/json` (CloudEvents §3.1, `datacontenttype`).
    pub fn media_type(&self) -> Option<&str> {
        match (&self.datacontenttype, &self.data) {
            (Some(media_type), _) => Some(media_type),
            (None, Data::Json(_)) => Some("application/json"),
            (None, _) => None,
        }
    }
}

type Extension<'a> = (Cow<'a, str>, Value<'a>);

fn extensions_eq(left: &[Extension<'_>], right: &[Extension<'_>]) -> bool {
    fn counted<'l, 'a>(list: &'l [Extension<'a>]) -> impl Iterator<Item = &'l Extension<'a>> {
        list.iter().filter(|(name, _)| !TRACE_CONTEXT.contains(&name.as_ref()))
    }
    counted(left).count() == counted(right).count()
        && counted(left)
            .zip(counted(right))
            .all(|(l, r)| l.0 == r.0 && (l.1 == r.1 || l.1.canonical() == r.1.canonical()))
}

fn data_eq(left: &Data<'_>, right: &Data<'_>, media_type: Option<&str>) -> bool {
    match (left, right) {
        (Data::Json(left), Data::Json(right)) => left == right || json::same_tokens(left, right),
        (Data::Text(text), Data::Json(json)) | (Data::Json(json), Data::Text(text)) => {
            text == json || text_is_literal(text, json, media_type)
        }
        (left, right) => left.bytes() == right.bytes(),
    }
}

/// Where the media type is not JSON, the JSON format carries text as a string literal.
fn text_is_literal(text: &str, json: &str, media_type: Option<&str>) -> bool {
    !media_type.is_some_and(media_type::is_json)
        && json::string_literal(json).is_some_and(|content| content == text)
}
