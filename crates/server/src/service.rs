//! One request: what it addresses, who answers, what goes with every answer.

use std::{borrow::Cow, sync::Arc, time::Instant};

use annal_engine::Engine;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use hyper::body::Incoming;

use crate::{
    append, consumers, cors,
    demo::{self, Order},
    flow::Flow,
    health,
    intake::drain,
    metrics::Operation,
    pages,
    params::Params,
    problem::{Code, Problem},
    query,
    read::{catalog, one, page},
    realtime::{
        checkpoint, connect, presence,
        publish::{self, Kind},
    },
    reply::{self, Reply},
    resources,
    route::{self, Matched, Route},
    shared::Shared,
    stream, topics,
};

/// Longest request target, in bytes.
const URI_BYTES_MAX: usize = 16 * 1024;

/// Longest `X-Request-Id` that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers a request. Never fails: a refusal is an answer.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    flow: Option<&Arc<Flow>>,
    request: Request<Incoming>,
) -> Response<Reply> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let asked = Asked::of(&head);
    let matched =
        addressed(&head).and_then(|matched| cors::check(&shared.options, &head).map(|()| matched));
    let (route, answer) = match matched {
        // The only one that waits long: without the head, which holds on to the read buffer.
        Ok(Matched { route: Route::Events, .. }) if head.method == Method::POST => {
            (Route::Events, appended(&shared, head, body).await)
        }
        Ok(matched) => (matched.route, dispatch(&shared, &head, &matched, body).await),
        Err(problem) => {
            discard(&head, body);
            (Route::Landing, Err(problem))
        }
    };
    let mut response = match answer {
        Ok(response) => response,
        Err(problem) => {
            shared.metrics.refused(problem.code());
            problem.into()
        }
    };
    if let (Reply::Stream(stream), Some(flow)) = (response.body_mut(), flow) {
        stream.flows_through(Arc::clone(flow));
    }
    finish(&shared, &asked, &mut response);
    let operation = Operation::of(route, asked.method == Method::POST);
    shared.metrics.answered(route, operation, response.status(), begun.elapsed());
    response
}

/// What is said of a request in its answer and in the log.
struct Asked {
    method: Method,
    path: Cow<'static, str>,
    request_id: Option<HeaderValue>,
    origin: Option<HeaderValue>,
}

impl Asked {
    fn of(head: &Parts) -> Asked {
        // Copied, because a header's value keeps the whole read buffer alive.
        let copy = |name: HeaderName| {
            head.headers.get(name).and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok())
        };
        let path = match head.uri.path() {
            "/events" => Cow::Borrowed("/events"),
            path => Cow::Owned(path.to_owned()),
        };
        Asked {
            method: head.method.clone(),
            path,
            request_id: copy(REQUEST_ID).filter(is_request_id),
            origin: copy(header::ORIGIN),
        }
    }
}

async fn appended(
    shared: &Arc<Shared>,
    head: Parts,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let Some(engine) = shared.slot.get() else {
        discard(&head, body);
        return Err(health::starting());
    };
    append::append(shared, engine, head, body).await
}

fn addressed(head: &Parts) -> Result<Matched<'_>, Problem> {
    let length = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > URI_BYTES_MAX {
        let detail = format!("a request target may have {URI_BYTES_MAX} bytes");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    if head.version == Version::HTTP_11 && head.headers.get_all(header::HOST).iter().count() != 1 {
        let detail = "an HTTP/1.1 request has one `Host` header (RFC 9112 §3.2)";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let coded =
        |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if head.headers.get_all(header::TRANSFER_ENCODING).iter().any(coded) {
        let detail = "of transfer codings only `chunked` is understood; `Content-Encoding` says how a \
                      body is compressed";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    if let Some(expect) = head.headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Problem::new(Code::ExpectationFailed, "only `100-continue` is understood"));
    }
    route::find(head.uri.path())
}

async fn dispatch(
    shared: &Arc<Shared>,
    head: &Parts,
    matched: &Matched<'_>,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let route = matched.route;
    if head.method == Method::OPTIONS {
        discard(head, body);
        return Ok(cors::options(shared, &head.headers, route));
    }
    if !route.takes(&head.method) {
        discard(head, body);
        return Err(wrong_method(head, route));
    }
    if matches!(
        route,
        Route::Live
            | Route::Ready
            | Route::Health
            | Route::Metrics
            | Route::Landing
            | Route::Docs
            | Route::OpenApi
    ) {
        Params::parse(head.uri.query())?.finish()?;
    }
    match route {
        Route::Live => return Ok(health::live()),
        Route::Ready => return health::ready(shared),
        Route::Health => return Ok(health::health(shared)),
        Route::Metrics => return Ok(health::metrics(shared)),
        _ => {}
    }
    let Some(engine) = shared.slot.get() else {
        discard(head, body);
        // An `EventSource` gives up for good on an error status.
        return stream::not_yet(shared, route, head).ok_or_else(health::starting);
    };
    match route {
        Route::Resource if matches!(head.method, Method::GET | Method::HEAD) => {
            discard(head, body);
            return resources::read::get(shared, engine, head, &matched.value).await;
        }
        Route::Resource => {
            let write = resources::write::write(shared, engine, head, &matched.value, body);
            return Box::pin(write).await;
        }
        route if route.is_of_consumers() => {
            let answer = consumers::answer(shared, engine, head, route, &matched.value, body);
            return Box::pin(answer).await;
        }
        Route::Schema => {
            let one = resources::schemas::one(shared, engine, head, &matched.value, body);
            return Box::pin(one).await;
        }
        Route::Topics if head.method == Method::POST => {
            return Box::pin(topics::write::create(shared, engine, head, body)).await;
        }
        Route::Topic if head.method == Method::PUT => {
            let change = topics::write::change(shared, engine, head, &matched.value, body);
            return Box::pin(change).await;
        }
        Route::Broadcast
        | Route::Send
        | Route::Notification
        | Route::Alert
        | Route::DataUpdate
        | Route::Checkpoint
        | Route::DemoStart
        | Route::DemoStop
        | Route::DemoStatus => {
            return Box::pin(realtime(shared, engine, head, matched, body)).await;
        }
        _ => {}
    }
    discard(head, body);
    // Boxed, because a connection keeps room for the largest future it may run.
    Box::pin(look(shared, engine, head, matched)).await
}

/// Messages to realtime clients, and the demo.
async fn realtime(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    matched: &Matched<'_>,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let kind = match matched.route {
        Route::Send => Kind::Send(&matched.value),
        Route::Notification => Kind::Notification,
        Route::Alert => Kind::Alert,
        Route::DataUpdate => Kind::DataUpdate,
        Route::Checkpoint => return checkpoint::set(shared, engine, head, body).await,
        Route::DemoStart => return demo::order(shared, engine, head, Order::Start, body).await,
        Route::DemoStop => return demo::order(shared, engine, head, Order::Stop, body).await,
        Route::DemoStatus => return demo::order(shared, engine, head, Order::Status, body).await,
        _ => Kind::Broadcast,
    };
    publish::publish(shared, engine, head, kind, body).await
}

/// Everything that needs no body.
async fn look(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    matched: &Matched<'_>,
) -> Result<Response<Reply>, Problem> {
    match matched.route {
        Route::Events | Route::Historic => page::read(shared, engine, head).await,
        Route::Stream => stream::open(shared, engine, head).await,
        Route::Connect => connect::connect(shared, engine, head).await,
        Route::CheckpointOf => checkpoint::get(engine, head, &matched.value),
        Route::Clients => presence::list(shared, engine, head),
        Route::Get => one::get_by_parameter(shared, engine, head).await,
        Route::At => one::at(shared, engine, head, &matched.value).await,
        Route::AtData => one::data(shared, engine, head, &matched.value).await,
        Route::Event => one::by_id(shared, engine, head, &matched.value).await,
        Route::Subjects => catalog::subjects(shared, engine, head).await,
        Route::Resources => resources::list::list(shared, engine, head).await,
        Route::ResourceHistory => {
            resources::read::history(shared, engine, head, &matched.value).await
        }
        Route::Query => query::query(shared, engine, head).await,
        Route::Schemas => resources::schemas::list(shared, engine, head),
        Route::Topics => topics::list(engine, head).await,
        Route::Topic => topics::get(engine, head, &matched.value).await,
        Route::TopicEvents => topics::events::read(shared, engine, head, &matched.value).await,
        Route::Types => catalog::types(shared, engine, head).await,
        Route::SubjectsDelete => append::deletion::delete(engine, head).await,
        Route::Landing => Ok(pages::landing()),
        Route::Docs => Ok(pages::docs()),
        Route::OpenApi => Ok(pages::openapi()),
        Route::Live
        | Route::Ready
        | Route::Health
        | Route::Metrics
        | Route::Resource
        | Route::Schema
        | Route::Consumers
        | Route::ConsumersRegister
        | Route::Consumer
        | Route::ConsumerPause
        | Route::ConsumerResume
        | Route::ConsumerTest
        | Route::ConsumerSeek
        | Route::SecretRotate
        | Route::DeadLetters
        | Route::Redrive
        | Route::Broadcast
        | Route::Send
        | Route::Notification
        | Route::Alert
        | Route::DataUpdate
        | Route::Checkpoint
        | Route::DemoStart
        | Route::DemoStop
        | Route::DemoStatus => {
            Err(Problem::new(Code::Internal, "this route is answered elsewhere"))
        }
    }
}

/// Takes in a body that nobody reads, unless its sender waits to be asked for it.
fn discard(head: &Parts, body: Incoming) {
    if !head.headers.contains_key(header::EXPECT) {
        drain(body);
    }
}

fn wrong_method(head: &Parts, route: Route) -> Problem {
    let allow = route.allow();
    let detail = format!("{} takes {allow}, not {}", route.path(), head.method);
    let problem = Problem::new(Code::MethodNotAllowed, detail);
    match HeaderValue::from_str(&allow) {
        Ok(allow) => problem.with_header(header::ALLOW, allow),
        Err(_) => problem,
    }
}

/// What goes with every answer.
fn finish(shared: &Shared, asked: &Asked, response: &mut Response<Reply>) {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let headers = response.headers_mut();
    if let Some(id) = &asked.request_id {
        headers.insert(REQUEST_ID, id.clone());
    } else if failed && let Some(engine) = shared.slot.get() {
        // So that a report of a failure can be found in the log.
        if let Ok(id) = HeaderValue::from_str(&engine.new_id()) {
            headers.insert(REQUEST_ID, id);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    cors::allow(&shared.options, asked.origin.as_ref(), headers);
    if response.status().is_server_error() {
        let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        tracing::warn!(
            method = %asked.method,
            path = %asked.path,
            status = response.status().as_u16(),
            request_id = id.unwrap_or_default(),
            "request failed"
        );
    }
    if asked.method == Method::HEAD {
        without_body(response);
    }
}

fn is_request_id(id: &HeaderValue) -> bool {
    let visible = |byte: &u8| byte.is_ascii_graphic();
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(visible)
}

fn without_body(response: &mut Response<Reply>) {
    let length = match response.body() {
        Reply::Whole(Some(bytes)) => Some(bytes.len()),
        _ => None,
    };
    *response.body_mut() = Reply::none();
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// `204`, for requests that only ask what is possible.
pub(crate) fn no_content() -> Response<Reply> {
    reply::empty(StatusCode::NO_CONTENT)
}
