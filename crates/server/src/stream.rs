//! `GET /events/stream`: server-sent events (WHATWG HTML §9.2), snapshot, then live for ever.
//!
//! A stream is a body that steps a subscription when the socket has room: no task, no channel and
//! no queue per client. What it sends is encoded once for all who ask the same ([`audience`]).

pub(crate) mod audience;
pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod follow;
pub(crate) mod message;
mod snapshot;

use std::sync::Arc;

use annal_engine::{Engine, Order, ReadSpec};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};

use crate::{
    params::{Params, invalid},
    problem::{Code, Problem},
    read::{failed, off_the_reactor, select, wait_for_position},
    reply::Reply,
    shared::Shared,
};

use self::{
    audience::{Asked, Names},
    body::StreamBody,
    cursor::Start,
    snapshot::Snapshot,
};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What a request for a stream says.
struct Request {
    asked: Asked,
    start: Start,
    snapshot: bool,
    limit: Option<usize>,
    strict: bool,
}

/// Opens a stream.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let request = read(params, &head.headers)?;
    if head.method == http::Method::HEAD {
        return Ok(response(Reply::none()));
    }
    let Some(place) = shared.stream_place() else { return overload(shared, engine, &request) };
    let mut opening = message::retry(engine.random());
    let (cursor, reset) = cursor::resolve(engine, &request.start).await?;
    if let Some(reset) = &reset {
        message::push_reset(&mut opening, reset, engine.head(), !request.snapshot);
    }
    let (snapshot, cursor) = match cursor {
        Some(cursor) => (None, cursor),
        None if !request.snapshot => (None, engine.head()),
        None => {
            let (snapshot, cursor) = begin_snapshot(engine, &request, &mut opening).await?;
            (Some(snapshot), cursor)
        }
    };
    if snapshot.is_none() && reset.is_none() && matches!(request.start, Start::New | Start::Latest)
    {
        // Nothing else would give the client a cursor before the first event, and without one it
        // would lose what happens while it reconnects.
        message::push_checkpoint(&mut opening, cursor);
    }
    let audience = shared.audiences.join(request.asked);
    let body = StreamBody::new(place, engine, audience, opening, snapshot, cursor);
    Ok(response(Reply::Stream(Box::new(body))))
}

async fn begin_snapshot(
    engine: &Engine,
    request: &Request,
    opening: &mut Vec<u8>,
) -> Result<(Box<Snapshot>, annal_event::Position), Problem> {
    let view = Arc::clone(engine.view());
    let spec = ReadSpec {
        interest: request.asked.interest.clone(),
        order: Order::Ascending,
        ..ReadSpec::default()
    };
    let limit = request.limit;
    let begun = off_the_reactor(move || Snapshot::begin(&view, spec, limit)).await?;
    let (snapshot, truncated) = begun.map_err(|error| failed(&error))?;
    if let Some(truncated) = truncated {
        message::push_truncated(opening, &truncated);
    }
    let head = snapshot.head();
    Ok((Box::new(snapshot), head))
}

fn read(mut params: Params<'_>, headers: &HeaderMap) -> Result<Request, Problem> {
    let snapshot = match params.take("snapshot")?.as_deref() {
        None | Some("events") => true,
        Some("none") => false,
        Some("resources") => {
            let detail = "there are no resources yet; use `snapshot=events` or `snapshot=none`";
            return Err(
                Problem::new(Code::UnsupportedSnapshot, detail).with_text("parameter", "snapshot")
            );
        }
        Some(_) => return Err(invalid("snapshot", "`snapshot` is `events` or `none`")),
    };
    let names = match params.take("names")?.as_deref() {
        None | Some("delta") => Names::Delta,
        Some("type") => Names::Type,
        Some("none") => Names::None,
        Some(_) => return Err(invalid("names", "`names` is `delta`, `type` or `none`")),
    };
    let start = Start::read(&mut params, headers)?;
    let limit = select::limit(&mut params, usize::MAX)?;
    let strict = params.take_flag("strict")?;
    let interest = select::interest(&mut params)?;
    params.finish()?;
    Ok(Request { asked: Asked { interest, names }, start, snapshot, limit, strict })
}

fn response(body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An `EventSource` gives up for good on an error status, so it is told in its own language.
fn overload(
    shared: &Arc<Shared>,
    engine: &Engine,
    request: &Request,
) -> Result<Response<Reply>, Problem> {
    shared.metrics.refused(Code::TooManyStreams);
    if request.strict {
        let detail = "as many streams are open as may be; try again in a while, or another node";
        return Err(Problem::new(Code::TooManyStreams, detail).retry_after(5));
    }
    let body = message::busy(engine.random(), shared.streams());
    let mut response = response(Reply::Whole(Some(body.into())));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(5u32));
    Ok(response)
}
