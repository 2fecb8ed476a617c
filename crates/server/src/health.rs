//! Whether it runs, whether it serves, whether it works, and the metrics.

use annal_engine::{SearchState, SearchStatus};
use http::{HeaderValue, Response, StatusCode};

use crate::{
    json_text::{push_position, push_string},
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
    body.extend_from_slice(b",\"consumers\":0,\"runningDispatchers\":[]");
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

/// Prometheus metrics.
pub(crate) fn metrics(shared: &Shared) -> Response<Reply> {
    let text = shared.metrics.text(shared.slot.get(), shared.streams());
    reply::whole(StatusCode::OK, PROMETHEUS, text)
}
