//! gRPC: the services of `api/annal.proto` and `api/eventsdb.proto`, health and reflection.
//!
//! tonic frames and dispatches within a service; connections, limits and the end of the server are
//! those of HTTP. Events go through as bytes: [`generated`] sees a `CloudEvent` as a `bytes` field,
//! which is the same on the wire.

mod append;
mod encode;
mod events_db;
mod health;
mod intake;
mod read;
mod status;
mod store;
mod subscribe;
mod terms;

/// What `cargo xtask api` makes of the protos.
#[allow(unused, unreachable_pub, missing_debug_implementations, clippy::all)]
mod generated {
    #[rustfmt::skip]
    pub(crate) mod annal_v1;
    #[rustfmt::skip]
    pub(crate) mod eventsdb;
}

use std::{convert::Infallible, fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tonic::{Status, body::Body, codegen::Service};
use tonic_health::pb::health_server::HealthServer;

use self::{
    events_db::EventsDb,
    generated::{
        annal_v1::event_store_server::EventStoreServer, eventsdb::events_db_server::EventsDbServer,
    },
    health::Health,
    intake::Message,
    status::{refuse, told_apart},
    store::Store,
};
use crate::{
    append::single::wire_bytes_max,
    metrics::Operation,
    problem::{Code, Problem},
    shared::Shared,
};

const DESCRIPTORS: &[u8] = include_bytes!("grpc/generated/descriptors.bin");

/// Bytes of a message that asks for something and carries no events.
const QUESTION_BYTES_MAX: usize = 1024 * 1024;

/// The one encoding of messages that is taken.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// How large the messages of a method may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Event,
    Batch,
    Question,
}

/// A method, and how it is counted.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) path: &'static str,
    operation: Operation,
    size: Size,
    /// Whether the client sends one message and no more.
    once: bool,
}

const fn method(path: &'static str, operation: Operation, size: Size, once: bool) -> Method {
    Method { path, operation, size, once }
}

/// The methods there are; reflection and health as one each.
pub(crate) const METHODS: [Method; 12] = [
    method("/annal.v1.EventStore/Append", Operation::Append, Size::Batch, true),
    method("/annal.v1.EventStore/AppendStream", Operation::Append, Size::Batch, false),
    method("/annal.v1.EventStore/Read", Operation::Read, Size::Question, true),
    method("/annal.v1.EventStore/Subscribe", Operation::Stream, Size::Question, true),
    method("/annal.v1.EventStore/Get", Operation::Get, Size::Question, true),
    method("/grpc.EventsDB/CreateEvent", Operation::Append, Size::Event, true),
    method("/grpc.EventsDB/GetEventByID", Operation::Get, Size::Question, true),
    method("/grpc.EventsDB/StreamEventsFromSubject", Operation::Stream, Size::Question, true),
    method("/grpc.EventsDB/GetHistoricEventsFromSubject", Operation::Read, Size::Question, true),
    method("/grpc.EventsDB/DeleteFromSubject", Operation::Other, Size::Question, true),
    method("/grpc.health.v1.Health/", Operation::Other, Size::Question, true),
    method("/grpc.reflection.", Operation::Other, Size::Question, false),
];

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Reflection = Box<dyn Fn(Request<Message>) -> Answer + Send + Sync>;

/// Everything that is served by gRPC.
pub(crate) struct Services {
    shared: Arc<Shared>,
    store: EventStoreServer<Store>,
    events_db: EventsDbServer<EventsDb>,
    health: HealthServer<Health>,
    reflection: Option<Reflection>,
    reflection_alpha: Option<Reflection>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    pub(crate) fn new(shared: &Arc<Shared>) -> Services {
        // What a message may take is decided before tonic sees it.
        let most = usize::MAX;
        let shared = Arc::clone(shared);
        let store = EventStoreServer::new(Store::new(&shared));
        let events_db = EventsDbServer::new(EventsDb::new(&shared));
        Services {
            store: store.max_decoding_message_size(most),
            events_db: events_db.max_decoding_message_size(most),
            health: HealthServer::new(Health::new(&shared)),
            reflection: reflection(),
            reflection_alpha: reflection_alpha(),
            shared,
        }
    }

    /// Answers a call. Never fails: a refusal is an answer.
    pub(crate) async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let is_grpc = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            return not_grpc();
        }
        let path = request.uri().path();
        let found = METHODS.iter().position(|method| match method.path.as_bytes().last() {
            Some(b'/' | b'.') => path.starts_with(method.path),
            _ => path == method.path,
        });
        let Some(place) = found else {
            let detail = format!("{path} is no method here; reflection lists those that are");
            return refuse(&self.shared, Problem::new(Code::NotFound, detail)).into_http();
        };
        let method = &METHODS[place];
        let response = match compression(request.headers()) {
            Some(encoding) => self.not_compressed(encoding),
            None => {
                let response = self.dispatch(method, self.with_bounds(method, request)).await;
                self.told_apart(response)
            }
        };
        let good = response.headers().get("grpc-status").is_none_or(|status| status == "0");
        self.shared.metrics.called(place, method.operation, good, begun.elapsed());
        response
    }

    /// What gRPC's document on compression asks for: `UNIMPLEMENTED`, and what is taken.
    fn not_compressed(&self, encoding: &HeaderValue) -> Response<Body> {
        let detail = format!("messages are not taken as {encoding:?}; send them uncompressed");
        let problem = Problem::new(Code::UnsupportedEncoding, detail);
        let mut response = refuse(&self.shared, problem).into_http();
        response.headers_mut().insert("grpc-accept-encoding", IDENTITY);
        response
    }

    fn with_bounds(&self, method: &Method, request: Request<Incoming>) -> Request<Message> {
        let limits = self.shared.slot.get().map(|engine| *engine.limits()).unwrap_or_default();
        let (bytes_max, code) = match method.size {
            Size::Event => (wire_bytes_max(limits.event_bytes_max), Code::EventTooLarge),
            Size::Batch => (limits.request_bytes_max, Code::RequestTooLarge),
            Size::Question => (QUESTION_BYTES_MAX, Code::RequestTooLarge),
        };
        request.map(|body| Message::new(&self.shared, body, bytes_max, code, method.once))
    }

    fn told_apart(&self, response: Response<Body>) -> Response<Body> {
        let internal = response.headers().get("grpc-status").is_some_and(|status| status == "13");
        match Status::from_header_map(response.headers()).filter(|_| internal) {
            Some(status) => told_apart(&self.shared, status).into_http(),
            None => response,
        }
    }

    async fn dispatch(&self, method: &Method, request: Request<Message>) -> Response<Body> {
        let path = request.uri().path();
        let reflect = |reflection: &Option<Reflection>, request| match reflection {
            Some(reflection) => reflection(request),
            None => Box::pin(async { Ok(Status::unimplemented("no reflection").into_http()) }),
        };
        let answered = match method.path {
            store if store.starts_with("/annal.") => self.store.clone().call(request).await,
            events_db if events_db.starts_with("/grpc.EventsDB/") => {
                self.events_db.clone().call(request).await
            }
            health if health.starts_with("/grpc.health.") => {
                self.health.clone().call(request).await
            }
            _ if path.starts_with("/grpc.reflection.v1alpha.") => {
                reflect(&self.reflection_alpha, request).await
            }
            _ => reflect(&self.reflection, request).await,
        };
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// How messages are compressed, if they are.
fn compression(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get_all("grpc-encoding").iter().find(|encoding| *encoding != IDENTITY)
}

/// What the gRPC protocol asks for: 415 to whoever speaks something else.
fn not_grpc() -> Response<Body> {
    let detail = "this port speaks gRPC; send application/grpc, or use the HTTP port";
    let problem = Problem::new(Code::UnsupportedMediaType, detail);
    let body = http_body_util::Full::from(problem.body());
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(header::CONTENT_TYPE, crate::reply::PROBLEM);
    let accept = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::ACCEPT, accept);
    response
}

fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn reflection() -> Option<Reflection> {
    match described().build_v1() {
        Ok(server) => Some(Box::new(move |request| server.clone().call(request))),
        Err(error) => without_reflection(&error),
    }
}

fn reflection_alpha() -> Option<Reflection> {
    match described().build_v1alpha() {
        Ok(server) => Some(Box::new(move |request| server.clone().call(request))),
        Err(error) => without_reflection(&error),
    }
}

fn without_reflection(error: &tonic_reflection::server::Error) -> Option<Reflection> {
    tracing::error!(%error, "the descriptors cannot be read; there is no reflection");
    None
}
