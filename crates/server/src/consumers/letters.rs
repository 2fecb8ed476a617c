//! Dead letters: events that could not be delivered, and delivering them after all.

use std::{collections::HashSet, sync::Arc};

use annal_engine::{Consumer, DeadLetter, Engine, Found, ReadError, View};
use annal_event::{ConsumerEvent, Position, json::Json};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{
    append_all, find,
    members::{Members, text, wrong},
    parse,
};
use crate::{
    json_text::{push_number, push_position, push_string},
    params::Params,
    problem::Problem,
    read::{failed, link::Link, off_the_reactor, select},
    reply::{self, Reply},
};

/// Dead letters that one request delivers after all.
const REDRIVEN_MAX: usize = 10_000;

/// Of them, those that one event names.
const REDRIVEN_AT_ONCE: usize = 1_000;

/// Dead letters looked at together.
const CHUNK: usize = 1_000;

/// `GET /consumers/{id}/dead-letters`
pub(super) async fn list(
    engine: &Engine,
    head: &Parts,
    id: &str,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    let after = params.take_as::<Position>("after")?.unwrap_or_default();
    let limit = select::limit(&mut params, select::LIMIT_MAX)?.unwrap_or(select::LIMIT_DEFAULT);
    params.finish()?;
    find(engine, id)?;
    let (view, id) = (Arc::clone(engine.view()), id.to_owned());
    let found = off_the_reactor(move || {
        let letters = view.consumers().dead_letters(&id, after, limit + 1, view.head())?;
        letters.into_iter().map(|letter| named(&view, letter)).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut letters = found.map_err(|error: ReadError| failed(&error))?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let mut out = vec![b'['];
    for (place, (letter, name)) in letters.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push(&mut out, letter, name.as_deref());
    }
    out.push(b']');
    let mut response = reply::json(StatusCode::OK, out);
    if let Some((last, _)) = letters.last().filter(|_| more) {
        let next = Link::of(head).next("after", &last.position.to_string());
        if let Ok(next) = HeaderValue::from_str(&next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// A dead letter with the id of its event; none if a user has deleted that.
fn named(view: &View, letter: DeadLetter) -> Result<(DeadLetter, Option<String>), ReadError> {
    let name = match view.get(letter.position)? {
        Found::Event(stored) => stored.event().ok().map(|event| event.id.into_owned()),
        Found::Deleted | Found::Nothing => None,
    };
    Ok((letter, name))
}

fn push(out: &mut Vec<u8>, letter: &DeadLetter, name: Option<&str>) {
    out.extend_from_slice(b"{\"id\":");
    match name {
        Some(name) => push_string(out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"position\":");
    push_position(out, letter.position);
    out.extend_from_slice(b",\"attempts\":");
    push_number(out, u64::from(letter.attempts));
    out.extend_from_slice(b",\"status\":");
    match letter.status {
        Some(status) => push_number(out, u64::from(status)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"error\":");
    push_string(out, &letter.error);
    out.extend_from_slice(b",\"time\":");
    push_string(out, &letter.time.to_string());
    out.push(b'}');
}

/// `POST /consumers/{id}/dead-letters/redrive`: those of the events named by id, or all, oldest
/// first, as many as one request may.
pub(super) async fn redrive(
    engine: &Engine,
    consumer: &Consumer,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    let json = parse(body)?;
    let mut members = Members::of(&json, "")?;
    let ids = match members.take("ids") {
        None => None,
        Some(Json::Array(items)) if items.len() <= REDRIVEN_MAX => {
            let ids = items.iter().map(text).collect::<Option<HashSet<String>>>();
            Some(ids.ok_or_else(|| wrong("/ids", "these are ids of events, which are strings"))?)
        }
        Some(_) => {
            let detail = format!("this is an array of at most {REDRIVEN_MAX} ids of events");
            return Err(wrong("/ids", detail));
        }
    };
    members.finish()?;
    let (view, id) = (Arc::clone(engine.view()), consumer.spec.id.clone());
    let chosen = off_the_reactor(move || choose(&view, &id, ids.as_ref())).await?;
    let chosen = chosen.map_err(|error| failed(&error))?;
    let about: Vec<_> = chosen
        .chunks(REDRIVEN_AT_ONCE)
        .map(|positions| ConsumerEvent::Redriven {
            id: consumer.spec.id.clone(),
            positions: positions.to_vec(),
        })
        .collect();
    if !about.is_empty() {
        append_all(engine, &about).await?;
    }
    let mut out = b"{\"redriven\":".to_vec();
    push_number(&mut out, chosen.len() as u64);
    out.push(b'}');
    Ok(reply::json(StatusCode::OK, out))
}

fn choose(
    view: &View,
    id: &str,
    ids: Option<&HashSet<String>>,
) -> Result<Vec<Position>, ReadError> {
    let (mut chosen, mut after, head) = (Vec::new(), Position::ZERO, view.head());
    while chosen.len() < REDRIVEN_MAX {
        let letters = view.consumers().dead_letters(id, after, CHUNK, head)?;
        let Some(last) = letters.last() else { break };
        after = last.position;
        for letter in letters {
            let wanted = match ids {
                None => true,
                Some(ids) => {
                    let (_, name) = named(view, letter.clone())?;
                    name.is_some_and(|name| ids.contains(&name))
                }
            };
            if wanted && chosen.len() < REDRIVEN_MAX {
                chosen.push(letter.position);
            }
        }
    }
    Ok(chosen)
}
