//! One event: by position, by id, its data in binary mode.

use std::sync::Arc;

use annal_engine::{Engine, Found, View};
use annal_event::{Position, SYSTEM_SOURCE, StoredEvent, http as binary};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};

use super::{NEAR_HEAD, encode, failed, off_the_reactor, wait_for_position};
use crate::{
    json_text::{push_position, push_string},
    negotiate,
    params::{Params, invalid},
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
};

const OFFERS: [&str; 3] =
    ["application/cloudevents+json", "application/json", "application/cloudevents+protobuf"];

/// What is left to do about an event that a user has deleted.
const GONE: &str =
    "read on without it; its identity stays taken, so what replaces it needs a new id";

/// `GET /events/at/{position}`
pub(crate) async fn at(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    position: &str,
) -> Result<Response<Reply>, Problem> {
    let offer = offer(head)?;
    let mut params = Params::parse(head.uri.query())?;
    let position = path_position(position)?;
    let stored = get(shared, engine, &mut params, position).await?;
    params.finish()?;
    event(&stored, offer)
}

/// `GET /events/at/{position}/data`
pub(crate) async fn data(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    position: &str,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    let position = path_position(position)?;
    let stored = get(shared, engine, &mut params, position).await?;
    params.finish()?;
    binary_mode(&stored)
}

/// `GET /events/{id}`
pub(crate) async fn by_id(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    id: &str,
) -> Result<Response<Reply>, Problem> {
    let offer = offer(head)?;
    let mut params = Params::parse(head.uri.query())?;
    let source = params.take("source")?.map(|source| source.into_owned());
    find(shared, engine, params, id.to_owned(), source, offer).await
}

/// `GET /events/get?id=`: all digits are a position, unless a source says that it is an id.
pub(crate) async fn get_by_parameter(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let offer = offer(head)?;
    let mut params = Params::parse(head.uri.query())?;
    let missing = || invalid("id", "give `id`: a position, or an event's id");
    let id = params.take("id")?.filter(|id| !id.is_empty()).ok_or_else(missing)?;
    let source = params.take("source")?.map(|source| source.into_owned());
    let position = id.parse::<Position>().ok().filter(|_| source.is_none());
    if let Some(position) = position {
        let stored = get(shared, engine, &mut params, position).await?;
        params.finish()?;
        return event(&stored, offer);
    }
    find(shared, engine, params, id.into_owned(), source, offer).await
}

fn offer(head: &Parts) -> Result<&'static str, Problem> {
    negotiate::media_type(&head.headers, &OFFERS).ok_or_else(|| {
        Problem::new(Code::NotAcceptable, format!("accept one of {}", OFFERS.join(", ")))
    })
}

fn path_position(text: &str) -> Result<Position, Problem> {
    text.parse().map_err(|error| invalid("position", error))
}

async fn get(
    shared: &Arc<Shared>,
    engine: &Engine,
    params: &mut Params<'_>,
    position: Position,
) -> Result<StoredEvent, Problem> {
    let system = params.take_flag("system")?;
    wait_for_position(engine, params, shared.options.position_wait_max).await?;
    at_position(engine, position, system).await
}

/// The event at a position, if there is one that may be seen.
pub(crate) async fn at_position(
    engine: &Engine,
    position: Position,
    system: bool,
) -> Result<StoredEvent, Problem> {
    let missing = || {
        let detail = format!("no event stands at position {position}");
        Problem::new(Code::EventNotFound, detail).with_text("head", &engine.head().to_string())
    };
    let stored = match look_up(engine.view(), position).await? {
        Found::Event(stored) => stored,
        Found::Deleted => {
            let detail = format!("the event at position {position} has been deleted; {GONE}");
            return Err(Problem::new(Code::EventDeleted, detail));
        }
        Found::Nothing => return Err(missing()),
    };
    let hidden =
        !system && encode::decode(&stored).is_ok_and(|event| event.source == SYSTEM_SOURCE);
    if hidden { Err(missing()) } else { Ok(stored) }
}

/// The event of an identity, if there is one that may be seen.
pub(crate) async fn by_identity(
    engine: &Engine,
    source: String,
    id: String,
    system: bool,
) -> Result<StoredEvent, Problem> {
    let (view, searched) = (Arc::clone(engine.view()), id.clone());
    let found = off_the_reactor(move || view.find(&searched, Some(&source), system)).await?;
    let mut found = found.map_err(|error| failed(&error))?;
    found.events.pop().ok_or_else(|| nothing_with(&id, found.deleted))
}

fn nothing_with(id: &str, deleted: bool) -> Problem {
    match deleted {
        true => {
            let detail = format!("the event with this id has been deleted; {GONE}");
            Problem::new(Code::EventDeleted, detail)
        }
        false => Problem::new(Code::EventNotFound, "no event has this id"),
    }
    .with_text("id", id)
}

async fn look_up(view: &Arc<View>, position: Position) -> Result<Found, Problem> {
    let near = view.head().0.saturating_sub(position.0) < NEAR_HEAD;
    let found = if near {
        view.get(position)
    } else {
        let view = Arc::clone(view);
        off_the_reactor(move || view.get(position)).await?
    };
    found.map_err(|error| failed(&error))
}

async fn find(
    shared: &Arc<Shared>,
    engine: &Engine,
    mut params: Params<'_>,
    id: String,
    source: Option<String>,
    offer: &str,
) -> Result<Response<Reply>, Problem> {
    let system = params.take_flag("system")?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    params.finish()?;
    let view = Arc::clone(engine.view());
    let searched = id.clone();
    let found = off_the_reactor(move || view.find(&searched, source.as_deref(), system));
    let found = found.await?.map_err(|error| failed(&error))?;
    match found.events.as_slice() {
        [] => Err(nothing_with(&id, found.deleted)),
        [stored] => event(stored, offer),
        several => candidates(several),
    }
}

fn event(stored: &StoredEvent, offer: &str) -> Result<Response<Reply>, Problem> {
    let mut body = Vec::with_capacity(stored.record().len() * 2 + 64);
    let written = match offer {
        "application/cloudevents+protobuf" => encode::push_proto(&mut body, stored),
        _ => encode::push_json(&mut body, stored),
    };
    written.map_err(|error| failed(&error))?;
    let content_type = HeaderValue::from_str(offer).unwrap_or(reply::JSON);
    let mut response = reply::whole(StatusCode::OK, content_type, body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// 300: several sources used the id.
fn candidates(several: &[StoredEvent]) -> Result<Response<Reply>, Problem> {
    let mut body = b"{\"candidates\":[".to_vec();
    for (place, stored) in several.iter().enumerate() {
        let event = encode::decode(stored).map_err(|error| failed(&error))?;
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"id\":");
        push_string(&mut body, &event.id);
        body.extend_from_slice(b",\"source\":");
        push_string(&mut body, &event.source);
        body.extend_from_slice(b",\"position\":");
        push_position(&mut body, stored.position());
        body.extend_from_slice(b",\"href\":");
        push_string(&mut body, &format!("/events/at/{}", stored.position()));
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    Ok(reply::json(StatusCode::MULTIPLE_CHOICES, body))
}

fn binary_mode(stored: &StoredEvent) -> Result<Response<Reply>, Problem> {
    let event = encode::decode(stored).map_err(|error| failed(&error))?;
    let body = Bytes::copy_from_slice(event.data.bytes().unwrap_or_default());
    let mut response = Response::new(Reply::Whole(Some(body)));
    let headers = response.headers_mut();
    binary::write_headers(&event, Some((stored.position(), stored.recorded())), |name, value| {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    });
    // It is somebody else's content under our address: a browser must not run it as ours.
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    Ok(response)
}
