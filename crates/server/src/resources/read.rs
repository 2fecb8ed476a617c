//! One resource: now, in the past, and its history.

use std::sync::Arc;

use annal_engine::{Engine, Past, Resource, ResourceHistory, View};
use annal_event::{Commit, Position, Timestamp};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{
    Named,
    condition::{Conditions, seconds},
    deleted, etag, named, not_found, path_of,
};
use crate::{
    json_text::{push_position, push_string},
    negotiate,
    params::{Params, invalid},
    problem::Problem,
    read::{export, failed, link::Link, off_the_reactor, select, wait_for_position},
    reply::{self, Reply},
    shared::Shared,
};

/// Changes on one page of a history, unless asked otherwise, and at most.
const HISTORY_DEFAULT: usize = 100;
const HISTORY_MAX: usize = 1_000;

/// A page of a history ends early when its documents have so many bytes.
const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `GET /resources/{id}`
pub(crate) async fn get(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
) -> Result<Response<Reply>, Problem> {
    let conditions = Conditions::of(&head.headers)?;
    let mut at = None;
    if head.uri.query().is_some() {
        let mut params = Params::parse(head.uri.query())?;
        wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
        at = params.take("at")?.map(|text| When::of(&text)).transpose()?;
        params.finish()?;
    }
    let resource = match named(engine, name)? {
        Named::One(resource) => resource,
        Named::Several(response) => return Ok(response),
    };
    if let Some(at) = at {
        return past(engine, &resource, at, &conditions, name).await;
    }
    if resource.document.is_deleted() {
        return Err(deleted(&resource.key));
    }
    let (revision, recorded) = (resource.document.revision(), resource.document.recorded());
    let response = if conditions.is_known(revision, Some(recorded)) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        body(head, text(&resource))
    };
    Ok(described(response, &resource, revision, recorded))
}

/// The text of a document, without copying it.
fn text(resource: &Resource) -> Bytes {
    let (row, text) = resource.document.clone().into_parts();
    Bytes::from_owner(row).slice(text)
}

/// A document as its client takes it.
fn body(head: &Parts, text: Bytes) -> Response<Reply> {
    let encoding = negotiate::encoding(&head.headers);
    if encoding == negotiate::Encoding::Identity {
        return reply::whole(StatusCode::OK, reply::JSON, text);
    }
    let (body, encoding) = export::compressed(text.to_vec(), encoding);
    let mut response = reply::json(StatusCode::OK, body);
    if let Some(name) = export::encoding_name(encoding) {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn described(
    mut response: Response<Reply>,
    resource: &Resource,
    revision: Position,
    recorded: Timestamp,
) -> Response<Reply> {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(revision));
    if let Ok(date) = HeaderValue::from_str(&http_date(recorded)) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    if let Ok(path) = HeaderValue::from_str(&path_of(&resource.key)) {
        headers.insert(header::CONTENT_LOCATION, path);
    }
    response
}

fn http_date(recorded: Timestamp) -> String {
    let since = std::time::Duration::from_secs(seconds(recorded));
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

/// A moment in the past.
#[derive(Clone, Copy, Debug)]
enum When {
    Position(Position),
    Time(Timestamp),
}

impl When {
    fn of(text: &str) -> Result<When, Problem> {
        let wrong = "`at` is a position, or a time such as 2026-01-15T10:30:00Z";
        let position = text.parse().map(When::Position);
        position.or_else(|_| text.parse().map(When::Time)).map_err(|_| invalid("at", wrong))
    }

    /// The last position that counts.
    fn position(self, view: &View) -> Result<Position, annal_engine::ReadError> {
        match self {
            When::Position(position) => Ok(position),
            When::Time(time) => {
                Ok(view.position_at(Timestamp(time.micros().saturating_add(1)))?.prev())
            }
        }
    }
}

async fn past(
    engine: &Engine,
    resource: &Resource,
    at: When,
    conditions: &Conditions,
    name: &str,
) -> Result<Response<Reply>, Problem> {
    let (view, key) = (Arc::clone(engine.view()), resource.key.clone());
    let found = off_the_reactor(move || view.resource_at(&key, at.position(&view)?)).await?;
    match found.map_err(|error| failed(&error))? {
        Past::Unmade => Err(not_found(name)),
        Past::Deleted => Err(deleted(&resource.key)),
        Past::Document { revision, recorded, .. }
            if conditions.is_known(revision, Some(recorded)) =>
        {
            let response = reply::empty(StatusCode::NOT_MODIFIED);
            Ok(described(response, resource, revision, recorded))
        }
        Past::Document { revision, recorded, text } => {
            let response = reply::json(StatusCode::OK, text.into_bytes());
            Ok(described(response, resource, revision, recorded))
        }
    }
}

/// `GET /resources/{id}/history`
pub(crate) async fn history(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let after = params.take_as::<Position>("after")?.unwrap_or(Position::ZERO);
    let limit = select::limit(&mut params, HISTORY_MAX)?.unwrap_or(HISTORY_DEFAULT);
    params.finish()?;
    let resource = match named(engine, name)? {
        Named::One(resource) => resource,
        Named::Several(response) => return Ok(response),
    };
    let (view, key) = (Arc::clone(engine.view()), resource.key.clone());
    let read = move || view.resource_history(&key, after, limit, HISTORY_BYTES_MAX);
    let history = off_the_reactor(read).await?.map_err(|error| failed(&error))?;
    let (body, encoding) =
        export::compressed(changes(&history)?, negotiate::encoding(&head.headers));
    let mut response = reply::json(StatusCode::OK, body);
    if let Some(name) = export::encoding_name(encoding) {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some(last) = history.changes.last().filter(|_| history.more) {
        let next = Link::of(head).next("after", &last.event.position().to_string());
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// `[{"position","time","actor","type","patch","document"}]`
fn changes(history: &ResourceHistory) -> Result<Vec<u8>, Problem> {
    let mut out = vec![b'['];
    for (place, change) in history.changes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let event = change.event.event()?;
        let commit = Commit::of(&event)?;
        out.extend_from_slice(b"{\"position\":");
        push_position(&mut out, change.event.position());
        out.extend_from_slice(b",\"time\":");
        match &event.time {
            Some(time) => push_string(&mut out, time),
            None => push_string(&mut out, &change.event.recorded().to_string()),
        }
        let commit = commit.as_ref();
        out.extend_from_slice(b",\"actor\":");
        out.extend_from_slice(commit.and_then(|commit| commit.actor).unwrap_or("null").as_bytes());
        out.extend_from_slice(b",\"type\":");
        push_string(&mut out, &event.ty);
        let merged = commit.filter(|commit| commit.data.is_none() && !commit.deleted);
        out.extend_from_slice(b",\"patch\":");
        out.extend_from_slice(merged.and_then(|commit| commit.patch).unwrap_or("null").as_bytes());
        out.extend_from_slice(b",\"document\":");
        out.extend_from_slice(change.document.as_deref().unwrap_or("null").as_bytes());
        out.push(b'}');
    }
    out.push(b']');
    Ok(out)
}
