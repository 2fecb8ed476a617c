//! `GET /events/stream`: server-sent events (WHATWG HTML §9.2), snapshot, then live for ever.
//!
//! A stream is a body that steps a subscription when the socket has room: no task, no channel and
//! no queue per client. What it sends is encoded once for all who ask the same ([`audience`]).

pub(crate) mod audience;
pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod follow;
pub(crate) mod message;
pub(crate) mod resources;
mod snapshot;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use annal_engine::{Engine, Order, ReadSpec};
use annal_event::Position;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{self, ACCEPT},
    request::Parts,
};

use crate::{
    params::{Params, invalid},
    problem::{Code, Problem},
    read::{failed, off_the_reactor, select, wait_for_position},
    reply::Reply,
    route::Route,
    shared::Shared,
};

use self::{
    audience::{Asked, Names},
    body::StreamBody,
    cursor::Start,
    resources::{Kinds, Resources},
    snapshot::{Events, Snapshot},
};

const MEDIA_TYPE: &str = "text/event-stream";
const EVENT_STREAM: HeaderValue = HeaderValue::from_static(MEDIA_TYPE);

/// What a request for a stream says.
struct Request {
    asked: Asked,
    start: Start,
    snapshot: Wanted,
    limit: Option<usize>,
    strict: bool,
}

/// Which snapshot a client that is new gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Events,
    Resources,
    Nothing,
}

/// Opens a stream.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let mut request = read(params, &head.headers)?;
    let Request { asked, start, .. } = &mut request;
    asked.interest.since = asked.interest.since.max(start.to_come(engine));
    if head.method == Method::HEAD {
        return Ok(response(Reply::none()));
    }
    let Some(place) = shared.stream_place() else {
        return overload(shared, engine, request.strict);
    };
    let mut opening = message::retry(engine.random());
    let (cursor, reset) = cursor::resolve(engine, &request.start).await?;
    if let Some(reset) = &reset {
        let alone = request.snapshot == Wanted::Nothing;
        message::push_reset(&mut opening, reset, engine.head(), alone);
    }
    let fresh = cursor.is_none() || request.start == Start::Latest;
    let (snapshot, cursor) = match cursor {
        Some(cursor) => match request.asked.interest.since {
            Some(since) => (None, cursor.max(cursor::before(engine, since).await?)),
            None => (None, cursor),
        },
        None if request.snapshot == Wanted::Nothing => (None, engine.head()),
        None => {
            let (snapshot, cursor) = begin_snapshot(engine, &request, &mut opening).await?;
            (Some(snapshot), cursor)
        }
    };
    if fresh && snapshot.is_none() && reset.is_none() {
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
) -> Result<(Box<Snapshot>, Position), Problem> {
    let view = Arc::clone(engine.view());
    if request.snapshot == Wanted::Resources {
        let Asked { kinds, interest, .. } = request.asked.clone();
        let snapshot = Resources::begin(&view, kinds, interest);
        let head = snapshot.head();
        return Ok((Box::new(Snapshot::Resources(snapshot)), head));
    }
    let spec = ReadSpec {
        interest: request.asked.interest.clone(),
        order: Order::Ascending,
        ..ReadSpec::default()
    };
    let limit = request.limit;
    let begun = off_the_reactor(move || Events::begin(&view, spec, limit)).await?;
    let (snapshot, truncated) = begun.map_err(|error| failed(&error))?;
    if let Some(truncated) = truncated {
        message::push_truncated(opening, &truncated);
    }
    let snapshot = Snapshot::Events(snapshot);
    let head = snapshot.head();
    Ok((Box::new(snapshot), head))
}

fn read(mut params: Params<'_>, headers: &HeaderMap) -> Result<Request, Problem> {
    let snapshot = match params.take("snapshot")?.as_deref() {
        None | Some("events") => Wanted::Events,
        Some("none") => Wanted::Nothing,
        Some("resources") => Wanted::Resources,
        Some(_) => {
            return Err(invalid("snapshot", "`snapshot` is `events`, `resources` or `none`"));
        }
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
    let mut interest = select::interest(&mut params)?;
    params.finish()?;
    if limit.is_some() && snapshot != Wanted::Events {
        return Err(invalid("limit", "`limit` goes with `snapshot=events`"));
    }
    let mut kinds = Kinds::default();
    if snapshot == Wanted::Resources {
        kinds = Kinds::take_from(&mut interest);
    }
    Ok(Request { asked: Asked { interest, kinds, names }, start, snapshot, limit, strict })
}

pub(crate) fn response(body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An `EventSource` gives up for good on an error status, so it is told in its own language.
pub(crate) fn overload(
    shared: &Arc<Shared>,
    engine: &Engine,
    strict: bool,
) -> Result<Response<Reply>, Problem> {
    shared.metrics.refused(Code::TooManyStreams);
    if strict {
        let detail = "as many streams are open as may be; try again in a while, or another node";
        return Err(Problem::new(Code::TooManyStreams, detail).retry_after(5));
    }
    Ok(busy(engine.random(), "streams", shared.streams(), 5))
}

/// The same while the data directory is being opened, for those who ask for a stream and do not say
/// that they understand a status.
pub(crate) fn not_yet(shared: &Shared, route: Route, head: &Parts) -> Option<Response<Reply>> {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(MEDIA_TYPE));
    let streams = match route {
        Route::Stream | Route::Connect => true,
        Route::Events | Route::Historic => head.headers.get_all(ACCEPT).iter().any(accepts),
        _ => false,
    };
    let strict =
        || Params::parse(head.uri.query()).and_then(|mut params| params.take_flag("strict"));
    if !streams || head.method != Method::GET || strict().unwrap_or(true) {
        return None;
    }
    // There is no engine yet to ask for chance.
    let random = RandomState::new().hash_one(());
    Some(busy(random, "starting", shared.streams(), 1))
}

fn busy(random: u64, reason: &str, streams: usize, retry_after_s: u32) -> Response<Reply> {
    let body = message::busy(random, reason, streams);
    let mut response = response(Reply::Whole(Some(body.into())));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    response
}
