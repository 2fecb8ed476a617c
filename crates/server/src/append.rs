//! `POST /events`: what arrives, by media type (API.md §2).

mod ahead;
pub(crate) mod answer;
mod batch;
pub(crate) mod deletion;
mod document;
mod intent;
mod json;
mod ndjson;
pub(crate) mod producer;
mod proto_split;
mod shape;
pub(crate) mod single;
mod split;

use std::sync::Arc;

use annal_engine::Engine;
use http::{HeaderMap, HeaderValue, Response, header, request::Parts};
use hyper::body::Incoming;

use crate::{
    intake::{Intake, drain},
    negotiate::essence,
    params::Params,
    problem::{Code, Problem},
    reply::Reply,
    shared::Shared,
};

/// What is taken here, for refusals of anything else.
const TAKEN: &str = "application/cloudevents+json, application/cloudevents-batch+json, \
    application/json, application/x-ndjson, application/cloudevents+protobuf, \
    application/cloudevents-batch+protobuf";

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Event,
    Batch,
    Binary,
    Json,
    Ndjson,
    Proto,
    ProtoBatch,
}

/// Appends what the request carries.
pub(crate) async fn append(
    shared: &Arc<Shared>,
    engine: &Engine,
    mut head: Parts,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let form = match check(&head) {
        Ok(form) => form,
        Err(problem) => {
            refuse_unread(&head, body);
            return Err(problem);
        }
    };
    let idle = shared.options.body_idle_timeout;
    let mut intake = match Intake::new(&head.headers, body, idle) {
        Ok(intake) => intake,
        Err((body, problem)) => {
            refuse_unread(&head, body);
            return Err(problem);
        }
    };
    let headers = std::mem::take(&mut head.headers);
    drop(head);
    let answer = read(shared, engine, headers, form, &mut intake).await;
    if answer.is_err() {
        intake.drain();
    }
    answer
}

fn refuse_unread(head: &Parts, body: Incoming) {
    if !head.headers.contains_key(header::EXPECT) {
        drain(body);
    }
}

fn check(head: &Parts) -> Result<Form, Problem> {
    if head.uri.query().is_some() {
        Params::parse(head.uri.query())?.finish()?;
    }
    form(&head.headers)
}

async fn read(
    shared: &Arc<Shared>,
    engine: &Engine,
    headers: HeaderMap,
    form: Form,
    intake: &mut Intake,
) -> Result<Response<Reply>, Problem> {
    match form {
        Form::Event | Form::Binary | Form::Proto => {
            single::append(engine, headers, form, intake).await
        }
        // Boxed, because a connection keeps room for the largest future it may run.
        Form::Json => Box::pin(json::append(shared, engine, &headers, intake)).await,
        Form::Batch | Form::ProtoBatch => {
            Box::pin(batch::append(shared, engine, &headers, form, intake)).await
        }
        Form::Ndjson => Box::pin(ndjson::append(shared, engine, &headers, intake)).await,
    }
}

/// Binary mode is told by its header; everything else by the media type.
fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let media_type = match content_type {
        Some(Ok(text)) => essence(text),
        _ => "",
    };
    let exact = match media_type {
        "application/json" => Some(Form::Json),
        "application/cloudevents+json" => Some(Form::Event),
        "application/cloudevents-batch+json" => Some(Form::Batch),
        "application/x-ndjson" => Some(Form::Ndjson),
        "application/cloudevents+protobuf" => Some(Form::Proto),
        "application/cloudevents-batch+protobuf" => Some(Form::ProtoBatch),
        _ => None,
    };
    // `application/cloudevents…` is structured or batched mode, whatever `ce-` headers say.
    if let Some(form) = exact.filter(|form| !matches!(form, Form::Json | Form::Ndjson)) {
        return Ok(form);
    }
    if headers.contains_key("ce-specversion") {
        return Ok(Form::Binary);
    }
    exact.or_else(|| any_case(media_type)).ok_or_else(|| not_taken(media_type))
}

fn any_case(media_type: &str) -> Option<Form> {
    let lower = media_type.to_ascii_lowercase();
    let same = [
        ("application/json", Form::Json),
        ("application/cloudevents+json", Form::Event),
        ("application/cloudevents-batch+json", Form::Batch),
        ("application/x-ndjson", Form::Ndjson),
        ("application/ndjson", Form::Ndjson),
        ("application/cloudevents+protobuf", Form::Proto),
        ("application/cloudevents-batch+protobuf", Form::ProtoBatch),
    ];
    same.into_iter().find(|(name, _)| *name == lower).map(|(_, form)| form)
}

fn not_taken(media_type: &str) -> Problem {
    let detail = match media_type {
        "" => format!("say what it is by Content-Type ({TAKEN}) or `ce-` headers"),
        other => format!("{other} is not taken here; send one of {TAKEN}, or `ce-` headers"),
    };
    Problem::new(Code::UnsupportedMediaType, detail)
        .with_header(header::ACCEPT, HeaderValue::from_static(TAKEN))
}
