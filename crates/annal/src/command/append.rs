//! `annal append`: one event from flags, or whatever JSON `POST /events` takes from standard input.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
};

use annal_engine::{Append, AppendError, Appended, Engine};
use annal_event::{
    Data, Encoded, Event,
    json::{self, Fill, Strictness},
};
use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::Method;
use serde::de::IgnoredAny;
use serde_json::{json, value::RawValue};

use crate::{
    cli::{AppendArgs, Setting},
    target::{self, Missing, Target},
};

/// Reads the event, appends it, prints where it stands.
pub(crate) fn run(setting: &Setting, args: &AppendArgs) -> anyhow::Result<()> {
    let body = match &args.ty {
        Some(ty) => from_flags(args, ty)?,
        None => read_all(io::stdin().lock())?,
    };
    let answer = match target::open(setting, Missing::Create)? {
        Target::Server(mut client) => {
            let headers = [("content-type", "application/json")];
            let body = Bytes::from(body);
            client.send(Method::POST, "/events", &headers, body)?.successful()?.whole()?.to_vec()
        }
        Target::Directory(opened) => append(&opened.engine, &body)?,
    };
    let mut out = io::stdout().lock();
    out.write_all(answer.trim_ascii_end())?;
    out.write_all(b"\n")?;
    Ok(())
}

fn read_all(mut input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.read_to_end(&mut body).context("cannot read standard input")?;
    Ok(body)
}

/// The event that the flags describe, as JSON. What is left out is filled in where it is taken.
fn from_flags(args: &AppendArgs, ty: &str) -> anyhow::Result<Vec<u8>> {
    let data = args.data.as_deref().map(payload).transpose()?;
    let text = |value: &Option<String>| value.clone().map(Into::into);
    let (data, content_type) = match data {
        Some(bytes) => describe(bytes, args.content_type.as_deref()),
        None => (Data::None, None),
    };
    let event = Event {
        id: args.id.clone().unwrap_or_default().into(),
        source: args.source.clone().unwrap_or_default().into(),
        ty: ty.into(),
        subject: text(&args.subject),
        time: text(&args.time),
        datacontenttype: content_type.map(Into::into),
        dataschema: None,
        extensions: Vec::new(),
        data,
    };
    let mut body = Vec::new();
    json::write_event(&mut body, &event, None);
    if args.id.is_some() {
        return Ok(body);
    }
    without_id(&body)
}

/// An empty id would be refused; a missing one is made.
fn without_id(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
    members.remove("id");
    Ok(serde_json::to_vec(&members)?)
}

/// Text, `@FILE`, or `-`.
fn payload(data: &str) -> anyhow::Result<Vec<u8>> {
    match data.strip_prefix('@') {
        Some(path) => fs::read(path).with_context(|| format!("cannot read {path}")),
        None if data == "-" => read_all(io::stdin().lock()),
        None => Ok(data.as_bytes().to_vec()),
    }
}

/// What the payload is, by its media type or by its looks.
fn describe(bytes: Vec<u8>, content_type: Option<&str>) -> (Data<'static>, Option<String>) {
    let is_json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
    let json_wanted = content_type.is_none_or(|ty| ty.ends_with("json"));
    match String::from_utf8(bytes) {
        Ok(text) if is_json && json_wanted => {
            let content_type = content_type.unwrap_or("application/json");
            (Data::Json(text.into()), Some(content_type.to_owned()))
        }
        Ok(text) => {
            (Data::Text(text.into()), Some(content_type.unwrap_or("text/plain").to_owned()))
        }
        Err(error) => {
            let content_type = content_type.unwrap_or("application/octet-stream");
            (Data::Bytes(error.into_bytes().into()), Some(content_type.to_owned()))
        }
    }
}

/// What the server does with `application/json`, without a server.
fn append(engine: &Engine, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let limits = *engine.limits();
    let mut make_id = || engine.new_id();
    let mut lenient = Strictness::Lenient(Fill { id: &mut make_id, now: engine.now() });
    let form = Form::of(body)?;
    let (events, preconditions) = match form {
        Form::One => (vec![json::parse_event(body, &mut lenient)?], Vec::new()),
        Form::Batch => (json::parse_batch(body, &mut lenient, &limits)?, Vec::new()),
        Form::Conditional => {
            let append = json::parse_append(body, &mut lenient, &limits)?;
            (append.events, append.preconditions)
        }
    };
    let mut encoded = Encoded::default();
    for (index, event) in events.iter().enumerate() {
        event.validate(&limits).map_err(|error| error.at_index(index))?;
        event.validate_producer().map_err(|error| error.at_index(index))?;
        encoded.push(event);
    }
    let appended = engine.append(Append { preconditions, ..Append::of(encoded) })?.wait();
    Ok(answer(form, &events, &appended.map_err(explain)?))
}

fn explain(error: AppendError) -> anyhow::Error {
    match &error {
        AppendError::PreconditionFailed { failed, .. } => {
            let found: Vec<_> = failed
                .iter()
                .map(|failed| format!("precondition {}: found {:?}", failed.index, failed.actual))
                .collect();
            anyhow::Error::from(error).context(found.join("; "))
        }
        _ => error.into(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Batch,
    Conditional,
}

impl Form {
    /// As API.md §2 tells them apart.
    fn of(body: &[u8]) -> anyhow::Result<Form> {
        match body.trim_ascii_start().first() {
            Some(b'[') => Ok(Form::Batch),
            Some(b'{') => {
                let members: BTreeMap<String, IgnoredAny> =
                    serde_json::from_slice(body).context("standard input is not JSON")?;
                let conditional = members.contains_key("events") && !members.contains_key("type");
                Ok(if conditional { Form::Conditional } else { Form::One })
            }
            None => bail!("there is nothing on standard input; give an event as JSON, or --type"),
            Some(_) => bail!("standard input is not a JSON object or array"),
        }
    }
}

/// The answer of `POST /events`.
fn answer(form: Form, events: &[Event<'_>], appended: &Appended) -> Vec<u8> {
    let entries: Vec<_> = events
        .iter()
        .zip(&appended.outcomes)
        .map(|(event, outcome)| {
            json!({
                "id": event.id,
                "source": event.source,
                "position": outcome.position.to_string(),
                "duplicate": outcome.duplicate,
            })
        })
        .collect();
    let value = match (form, entries.as_slice()) {
        (Form::One, [entry]) => entry.clone(),
        _ => json!({ "events": entries }),
    };
    value.to_string().into_bytes()
}
