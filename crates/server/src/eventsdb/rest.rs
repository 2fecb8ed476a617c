//! The REST listener of Events-DB (API.md §9).

mod stream;

use std::{sync::Arc, time::Instant};

use annal_engine::Engine;
use annal_event::base64;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use serde::de::{Deserialize, Error, IgnoredAny};

pub(crate) use stream::EventsBody;

use super::{Wanted, answer, client_place, create, delete, get, historic};
use crate::{
    append::{deletion::deleted, single::wire_bytes_max},
    flow::Flow,
    health,
    intake::{Intake, drain},
    json_text::push_number,
    metrics::Operation,
    params::{Params, invalid},
    problem::{Code, Problem},
    read::failed,
    reply::{self, Reply},
    shared::Shared,
};

/// Routes with their methods.
const ROUTES: [(&str, Method, Operation); 7] = [
    ("/events", Method::POST, Operation::Append),
    ("/events/get", Method::GET, Operation::Get),
    ("/events/stream", Method::GET, Operation::Stream),
    ("/events/historic", Method::GET, Operation::Read),
    ("/subjects/delete", Method::POST, Operation::Other),
    ("/health", Method::GET, Operation::Other),
    ("/metrics", Method::GET, Operation::Other),
];

/// Answers a request. Never fails: a refusal is an answer.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    flow: Option<&Arc<Flow>>,
    request: Request<Incoming>,
) -> Response<Reply> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let (operation, answered) = match route(&head) {
        Ok((path, operation)) => (operation, Box::pin(dispatch(&shared, path, &head, body)).await),
        Err(problem) => {
            discard(&head, body);
            (Operation::Other, Err(problem))
        }
    };
    let mut response = answered.unwrap_or_else(|problem| {
        shared.metrics.refused(problem.code());
        problem.into()
    });
    if let (Reply::Events(stream), Some(flow)) = (response.body_mut(), flow) {
        stream.flows_through(Arc::clone(flow));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    shared.metrics.operated(operation, response.status(), begun.elapsed());
    response
}

fn route(head: &Parts) -> Result<(&'static str, Operation), Problem> {
    let path = head.uri.path();
    let Some((path, method, operation)) = ROUTES.iter().find(|(known, ..)| *known == path) else {
        let detail = format!("nothing is served at {path} here; /events and /subjects/delete are");
        return Err(Problem::new(Code::NotFound, detail));
    };
    if head.method == *method {
        return Ok((path, *operation));
    }
    let detail = format!("{path} takes {method}, not {}", head.method);
    let problem = Problem::new(Code::MethodNotAllowed, detail);
    Err(match HeaderValue::from_str(method.as_str()) {
        Ok(allow) => problem.with_header(header::ALLOW, allow),
        Err(_) => problem,
    })
}

async fn dispatch(
    shared: &Arc<Shared>,
    path: &str,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    match path {
        "/health" | "/metrics" => {
            params.finish()?;
            discard(head, body);
            return Ok(if path == "/health" {
                health::health(shared)
            } else {
                health::metrics(shared)
            });
        }
        _ => {}
    }
    let Some(engine) = shared.slot.get() else {
        discard(head, body);
        return Err(health::starting());
    };
    match path {
        "/events" => {
            params.finish()?;
            let body = taken(shared, engine, head, body).await?;
            append(engine, &body).await
        }
        "/subjects/delete" => {
            let by_parameters = wanted(&mut params)?;
            params.finish()?;
            let body = taken(shared, engine, head, body).await?;
            let wanted = if body.is_empty() { by_parameters } else { read::<Asked>(&body)?.into() };
            Ok(deleted(delete(engine, &wanted).await?))
        }
        _ => {
            discard(head, body);
            look(shared, engine, path, head, params).await
        }
    }
}

async fn look(
    shared: &Arc<Shared>,
    engine: &Engine,
    path: &str,
    head: &Parts,
    mut params: Params<'_>,
) -> Result<Response<Reply>, Problem> {
    if path == "/events/get" {
        let id = params.take_number("id", i64::MAX)?;
        params.finish()?;
        let id = id.ok_or_else(|| invalid("id", "give `id`: the position of an event"))?;
        let stored = get(engine, id).await?;
        let mut out = Vec::with_capacity(stored.record().len() * 2);
        answer::push_event(&mut out, &stored).map_err(|error| failed(&error))?;
        return Ok(reply::json(StatusCode::OK, out));
    }
    let mut wanted = wanted(&mut params)?;
    params.finish()?;
    if path == "/events/historic" {
        let page = historic(shared, engine, &wanted).await?;
        let body = answer::page(&page).map_err(|error| failed(&error))?;
        return Ok(reply::json(StatusCode::OK, body));
    }
    if let Some(seen) = last_event_id(head)? {
        wanted.from_id = Some(seen);
    }
    let (interest, from) = (wanted.interest()?, wanted.begin(engine)?);
    let place = client_place(shared)?;
    let body = EventsBody::new(place, engine, interest, from);
    let mut response = Response::new(Reply::Events(Box::new(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What a reconnecting `EventSource` has seen goes before the parameter it began with.
fn last_event_id(head: &Parts) -> Result<Option<i64>, Problem> {
    let Some(value) = head.headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("-").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let detail = "Last-Event-ID is the id of an event of this stream: a position";
    text.parse().map(Some).map_err(|_| Problem::new(Code::InvalidRequest, detail))
}

fn wanted(params: &mut Params<'_>) -> Result<Wanted, Problem> {
    Ok(Wanted {
        subject: params.take("subject")?.unwrap_or_default().into_owned(),
        from_id: params.take_number("from_id", i64::MAX)?,
        ty: params.take("type")?.map(|ty| ty.into_owned()),
        recursive: params.take_flag("recursive")?,
    })
}

/// An event that comes in.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Incomer {
    source: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(default)]
    subject: String,
    /// Base64.
    #[serde(default)]
    data: Option<String>,
}

/// What is to be deleted, as a body.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    subject: String,
    from_id: Option<i64>,
    #[serde(rename = "type")]
    ty: Option<String>,
    recursive: Option<bool>,
}

impl From<Asked> for Wanted {
    fn from(asked: Asked) -> Wanted {
        let Asked { subject, from_id, ty, recursive } = asked;
        Wanted { subject, from_id, ty, recursive: recursive.unwrap_or_default() }
    }
}

/// Reads a JSON object. A derived reader would take an array, too, as the members in their order.
fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    let read = if body.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice::<IgnoredAny>(body)
            .and_then(|_| Err(serde_json::Error::custom("send a JSON object")))
    };
    read.map_err(|error| {
        let code = if error.is_data() { Code::InvalidEvent } else { Code::MalformedBody };
        Problem::new(code, format!("the body is not what this route takes: {error}"))
    })
}

async fn append(engine: &Engine, body: &[u8]) -> Result<Response<Reply>, Problem> {
    let Incomer { source, ty, subject, data } = read(body)?;
    let data = base64::decode(data.as_deref().unwrap_or_default()).ok_or_else(|| {
        let detail = "data is not base64 (RFC 4648 §4, with padding)";
        Problem::new(Code::InvalidEvent, detail).with_text("pointer", "/data")
    })?;
    let position = create(engine, &source, &ty, &subject, &data).await?;
    let mut out = b"{\"id\":".to_vec();
    push_number(&mut out, position.0);
    out.push(b'}');
    Ok(reply::json(StatusCode::OK, out))
}

/// The whole body, which is one event at most.
async fn taken(
    shared: &Shared,
    engine: &Engine,
    head: &Parts,
    body: Incoming,
) -> Result<Bytes, Problem> {
    let mut intake = match Intake::new(&head.headers, body, shared.options.body_idle_timeout) {
        Ok(intake) => intake,
        Err((body, problem)) => {
            discard(head, body);
            return Err(problem);
        }
    };
    let limited =
        intake.limit(wire_bytes_max(engine.limits().event_bytes_max), Code::EventTooLarge);
    let whole = match limited {
        Ok(()) => intake.whole(Code::EventTooLarge).await,
        Err(problem) => Err(problem),
    };
    if whole.is_err() {
        intake.drain();
    }
    whole
}

fn discard(head: &Parts, body: Incoming) {
    if !head.headers.contains_key(header::EXPECT) {
        drain(body);
    }
}
