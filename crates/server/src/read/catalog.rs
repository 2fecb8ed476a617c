//! `GET /subjects` and `GET /types`: what there is.

use std::sync::Arc;

use annal_engine::{Engine, Entries, Entry, ReadError, View};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{failed, link::Link, off_the_reactor, select, wait_for_position};
use crate::{
    json_text::{push_number, push_position, push_string},
    params::Params,
    problem::Problem,
    reply::{self, Reply},
    shared::Shared,
};

/// How a part of a list is asked of the view: prefix, after, limit.
type Ask = fn(&View, &str, Option<&str>, usize) -> Result<Entries, ReadError>;

/// `GET /subjects`
pub(crate) async fn subjects(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    list(shared, engine, head, View::subjects, push_subject).await
}

/// `GET /types`
pub(crate) async fn types(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    list(shared, engine, head, View::types, push_type).await
}

async fn list(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    ask: Ask,
    push: fn(&mut Vec<u8>, &Entry),
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let prefix = params.take("prefix")?.unwrap_or_default().into_owned();
    let after = params.take("after")?.map(|after| after.into_owned());
    let limit = select::limit(&mut params, select::LIMIT_MAX)?.unwrap_or(select::LIMIT_DEFAULT);
    params.finish()?;
    let view = Arc::clone(engine.view());
    let found = off_the_reactor(move || ask(&view, &prefix, after.as_deref(), limit)).await?;
    let Entries { entries, more } = found.map_err(|error| failed(&error))?;
    let mut body = vec![b'['];
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        push(&mut body, entry);
    }
    body.push(b']');
    let mut response = reply::json(StatusCode::OK, body);
    if let Some(last) = entries.last().filter(|_| more) {
        let next = Link::of(head).next("after", &last.name);
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

fn push_subject(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"{\"subject\":");
    push_string(out, &entry.name);
    out.extend_from_slice(b",\"events\":");
    push_number(out, entry.events);
    out.extend_from_slice(b",\"version\":");
    push_number(out, entry.version);
    push_ends(out, entry);
}

fn push_type(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"{\"type\":");
    push_string(out, &entry.name);
    out.extend_from_slice(b",\"events\":");
    push_number(out, entry.events);
    push_ends(out, entry);
}

fn push_ends(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b",\"first\":");
    push_position(out, entry.first);
    out.extend_from_slice(b",\"last\":");
    push_position(out, entry.last);
    out.push(b'}');
}
