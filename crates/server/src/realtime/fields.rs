//! The bodies of these routes: small JSON objects, of which the exact text of members is kept.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use annal_engine::Engine;
use annal_event::json;
use http::{HeaderMap, header};
use hyper::body::Incoming;
use serde::de::IgnoredAny;

use crate::{
    intake::Intake,
    negotiate::essence,
    problem::{Code, Problem},
    shared::Shared,
};

/// Takes in a body of JSON.
pub(crate) async fn body(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<String, Problem> {
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(headers, body, idle).map_err(|(_, problem)| problem)?;
    let read = read(engine, headers, &mut intake).await;
    if read.is_err() {
        intake.drain();
    }
    read
}

async fn read(
    engine: &Engine,
    headers: &HeaderMap,
    intake: &mut Intake,
) -> Result<String, Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media_type = given.map(|text| essence(text).to_ascii_lowercase());
    if media_type.as_deref().is_some_and(|of| of != "application/json" && !of.ends_with("+json")) {
        let detail = "send the message with Content-Type: application/json";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    intake.limit(engine.limits().event_bytes_max, Code::RequestTooLarge)?;
    let bytes = intake.whole(Code::RequestTooLarge).await?;
    String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(Code::MalformedBody, format!("not UTF-8 at byte {at}"))
    })
}

/// The texts of members of an object, in the order of `names`. `strict`: there may be no others.
pub(crate) fn members<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
    strict: bool,
) -> Result<[Option<&'t str>; N], Problem> {
    let found = json::member_texts(text, names).map_err(|error| {
        Problem::new(Code::MalformedBody, format!("the body is no JSON object: {error}"))
    })?;
    if strict {
        let all: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_str(text)
            .map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
        if let Some(other) = all.keys().find(|name| !names.contains(&&***name)) {
            let known = names.join(", ");
            let detail = format!("there is no such member; the members are {known}");
            return Err(wrong(other, detail));
        }
    }
    Ok(found.map(|text| text.filter(|text| *text != "null")))
}

/// A member that must be a string.
pub(crate) fn string<'t>(name: &str, text: Option<&'t str>) -> Result<Cow<'t, str>, Problem> {
    optional_string(name, text)?.ok_or_else(|| wrong(name, format!("send {name}, a string")))
}

/// A member that is a string if it is there.
pub(crate) fn optional_string<'t>(
    name: &str,
    text: Option<&'t str>,
) -> Result<Option<Cow<'t, str>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let string = json::string_literal(text);
    string.map(Some).ok_or_else(|| wrong(name, format!("{name} is a string")))
}

/// A refusal of one member.
pub(crate) fn wrong(name: &str, detail: impl Into<Cow<'static, str>>) -> Problem {
    let name = name.replace('~', "~0").replace('/', "~1");
    Problem::new(Code::InvalidMessage, detail).with_text("pointer", &format!("/{name}"))
}
