//! Whether it runs, whether it serves, whether it works, and the metrics.

use std::collections::BTreeSet;

use annal_engine::{ConsumerState, Engine, SearchState, SearchStatus};
use http::{HeaderValue, Response, StatusCode};

use crate::{
    json_text::{push_number, push_position, push_string},
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
};

const STARTING_RETRY_S: u32 = 1;

const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The process runs and answers.
pub(crate) fn live() -> Response<Reply> {
    reply::json(StatusCode::OK, b"{\"status\":\"live\"}".to_vec())
}

/// It serves requests.
pub(crate) fn ready(shared: &Shared) -> Result<Response<Reply>, Problem> {
    let engine = shared.slot.get().ok_or_else(starting)?;
    let mut body = b"{\"status\":\"ready\",\"head\":".to_vec();
    push_position(&mut body, engine.head());
    if let Some(search) = engine.search() {
        // Building its index holds up queries and nothing else, so the server is ready all the same.
        let SearchStatus { state, folded, head } = search.status();
        let state = match state {
            SearchState::Following => "following",
            SearchState::Rebuilding => "rebuilding",
            SearchState::Ended => "ended",
        };
        body.extend_from_slice(b",\"search\":{\"state\":");
        push_string(&mut body, state);
        body.extend_from_slice(b",\"folded\":");
        push_position(&mut body, folded);
        body.extend_from_slice(b",\"head\":");
        push_position(&mut body, head);
        body.push(b'}');
    }
    body.push(b'}');
    Ok(reply::json(StatusCode::OK, body))
}

/// The refusal of everything before the data directory is open.
pub(crate) fn starting() -> Problem {
    let detail = "the data directory is being opened; /health/ready says when it is";
    Problem::new(Code::Starting, detail).retry_after(STARTING_RETRY_S)
}

/// It works, or why not.
pub(crate) fn health(shared: &Shared) -> Response<Reply> {
    let (status, word, reason) = match shared.slot.get().map(annal_engine::Engine::health) {
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting", None),
        Some(Ok(())) => (StatusCode::OK, "healthy", None),
        Some(Err(reason)) => (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", Some(reason)),
    };
    let mut body = b"{\"status\":".to_vec();
    push_string(&mut body, word);
    push_consumers(&mut body, shared);
    if let Some(engine) = shared.slot.get() {
        body.extend_from_slice(b",\"head\":");
        push_position(&mut body, engine.head());
    }
    if let Some(reason) = reason {
        body.extend_from_slice(b",\"reason\":");
        push_string(&mut body, &reason);
    }
    body.extend_from_slice(b",\"version\":");
    push_string(&mut body, env!("CARGO_PKG_VERSION"));
    body.push(b'}');
    reply::json(status, body)
}

/// How many consumers there are, and which topics are delivered now.
fn push_consumers(body: &mut Vec<u8>, shared: &Shared) {
    let list = |engine: &Engine| {
        engine.view().consumers().list(engine.head(), shared.options.consumers_max).ok()
    };
    let consumers = shared.slot.get().and_then(list).unwrap_or_default();
    body.extend_from_slice(b",\"consumers\":");
    push_number(body, consumers.len() as u64);
    let active = consumers.iter().filter(|consumer| consumer.state == ConsumerState::Active);
    let topics: BTreeSet<&str> =
        active.flat_map(|consumer| &consumer.spec.topics).map(|start| &*start.topic).collect();
    body.extend_from_slice(b",\"runningDispatchers\":[");
    for (place, topic) in topics.into_iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        push_string(body, topic);
    }
    body.push(b']');
}

/// Prometheus metrics.
pub(crate) fn metrics(shared: &Shared) -> Response<Reply> {
    let text = shared.metrics.text(shared.slot.get(), shared.streams(), &shared.webhooks);
    reply::whole(StatusCode::OK, PROMETHEUS, text)
}
