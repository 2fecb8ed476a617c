//! Which path is served by what. The one table of routes: `api/openapi.json` is compared with it.

use std::borrow::Cow;

use http::Method;

use crate::{
    percent,
    problem::{Code, Problem},
};

/// What a path addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// A small page that says where to look.
    Landing,
    /// The reference as a page.
    Docs,
    /// The reference as a document.
    OpenApi,
    /// Whether it works.
    Health,
    /// Whether it runs.
    Live,
    /// Whether it serves.
    Ready,
    /// Prometheus metrics.
    Metrics,
    /// Append, and read pages.
    Events,
    /// The same pages under an older name.
    Historic,
    /// The live stream.
    Stream,
    /// One event by position or id, in a parameter.
    Get,
    /// One event by position.
    At,
    /// One event's data, in binary mode.
    AtData,
    /// One event by id.
    Event,
    /// The subjects there are.
    Subjects,
    /// Deletion by subject.
    SubjectsDelete,
    /// The types there are.
    Types,
    /// Lists of resources.
    Resources,
    /// One resource.
    Resource,
    /// The changes of a resource.
    ResourceHistory,
    /// Full text and fields.
    Query,
    /// The registered schemas.
    Schemas,
    /// One schema.
    Schema,
    /// The topics.
    Topics,
    /// One topic.
    Topic,
    /// The events of a topic.
    TopicEvents,
    /// The durable consumers, and registering one.
    Consumers,
    /// Registering an ephemeral consumer.
    ConsumersRegister,
    /// One consumer.
    Consumer,
    /// It is sent nothing for a while.
    ConsumerPause,
    /// It is sent events again.
    ConsumerResume,
    /// An event that is in no log is sent to it.
    ConsumerTest,
    /// It goes on elsewhere.
    ConsumerSeek,
    /// It gets another secret.
    SecretRotate,
    /// What could not be delivered to it.
    DeadLetters,
    /// That is to be delivered after all.
    Redrive,
    /// A realtime client's stream.
    Connect,
    /// A message to all realtime clients.
    Broadcast,
    /// A message to one of them.
    Send,
    /// A notification to all.
    Notification,
    /// An alert to all.
    Alert,
    /// News of an entity to all.
    DataUpdate,
    /// Setting a client's checkpoint.
    Checkpoint,
    /// A client's checkpoint.
    CheckpointOf,
    /// The clients that are connected.
    Clients,
    /// Starting the demo.
    DemoStart,
    /// Stopping it.
    DemoStop,
    /// What it is doing.
    DemoStatus,
}

/// Routes with their paths and methods (`HEAD` goes with `GET`, `OPTIONS` with all).
pub const ROUTES: &[(Route, &str, &[Method])] = &[
    (Route::Landing, "/", &[Method::GET]),
    (Route::Docs, "/docs", &[Method::GET]),
    (Route::OpenApi, "/openapi.json", &[Method::GET]),
    (Route::Health, "/health", &[Method::GET]),
    (Route::Live, "/health/live", &[Method::GET]),
    (Route::Ready, "/health/ready", &[Method::GET]),
    (Route::Metrics, "/metrics", &[Method::GET]),
    (Route::Events, "/events", &[Method::GET, Method::POST]),
    (Route::Historic, "/events/historic", &[Method::GET]),
    (Route::Stream, "/events/stream", &[Method::GET]),
    (Route::Get, "/events/get", &[Method::GET]),
    (Route::At, "/events/at/{position}", &[Method::GET]),
    (Route::AtData, "/events/at/{position}/data", &[Method::GET]),
    (Route::Event, "/events/{id}", &[Method::GET]),
    (Route::Subjects, "/subjects", &[Method::GET]),
    (Route::SubjectsDelete, "/subjects/delete", &[Method::POST]),
    (Route::Types, "/types", &[Method::GET]),
    (Route::Resources, "/resources", &[Method::GET]),
    (
        Route::Resource,
        "/resources/{id}",
        &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE],
    ),
    (Route::ResourceHistory, "/resources/{id}/history", &[Method::GET]),
    (Route::Query, "/query", &[Method::GET]),
    (Route::Schemas, "/schemas", &[Method::GET]),
    (Route::Schema, "/schemas/{name}", &[Method::GET, Method::PUT, Method::DELETE]),
    (Route::Topics, "/topics", &[Method::GET, Method::POST]),
    (Route::Topic, "/topics/{topic}", &[Method::GET, Method::PUT]),
    (Route::TopicEvents, "/topics/{topic}/events", &[Method::GET]),
    (Route::Consumers, "/consumers", &[Method::GET, Method::POST]),
    (Route::ConsumersRegister, "/consumers/register", &[Method::POST]),
    (Route::Consumer, "/consumers/{id}", &[Method::GET, Method::DELETE]),
    (Route::ConsumerPause, "/consumers/{id}/pause", &[Method::POST]),
    (Route::ConsumerResume, "/consumers/{id}/resume", &[Method::POST]),
    (Route::ConsumerTest, "/consumers/{id}/test", &[Method::POST]),
    (Route::ConsumerSeek, "/consumers/{id}/seek", &[Method::POST]),
    (Route::SecretRotate, "/consumers/{id}/secret/rotate", &[Method::POST]),
    (Route::DeadLetters, "/consumers/{id}/dead-letters", &[Method::GET]),
    (Route::Redrive, "/consumers/{id}/dead-letters/redrive", &[Method::POST]),
    (Route::Connect, "/api/sse/connect", &[Method::GET]),
    (Route::Broadcast, "/api/sse/broadcast", &[Method::POST]),
    (Route::Send, "/api/sse/send/{clientId}", &[Method::POST]),
    (Route::Notification, "/api/sse/notification", &[Method::POST]),
    (Route::Alert, "/api/sse/alert", &[Method::POST]),
    (Route::DataUpdate, "/api/sse/data-update", &[Method::POST]),
    (Route::Checkpoint, "/api/sse/checkpoint", &[Method::POST]),
    (Route::CheckpointOf, "/api/sse/checkpoint/{clientId}", &[Method::GET]),
    (Route::Clients, "/api/sse/clients", &[Method::GET]),
    (Route::DemoStart, "/api/demo/start", &[Method::POST]),
    (Route::DemoStop, "/api/demo/stop", &[Method::POST]),
    (Route::DemoStatus, "/api/demo/status", &[Method::GET]),
];

impl Route {
    /// The path, with `{…}` where a value stands.
    pub fn path(self) -> &'static str {
        self.row().1
    }

    /// The methods it takes, without `HEAD` and `OPTIONS`.
    pub fn methods(self) -> &'static [Method] {
        self.row().2
    }

    fn row(self) -> &'static (Route, &'static str, &'static [Method]) {
        ROUTES.iter().find(|row| row.0 == self).expect("every route stands in ROUTES")
    }

    /// Whether it is about consumers.
    pub(crate) fn is_of_consumers(self) -> bool {
        self.path().starts_with("/consumers")
    }

    /// Its place in [`ROUTES`], for counters.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether it takes a method.
    pub(crate) fn takes(self, method: &Method) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.methods().contains(method)
    }

    /// `GET, HEAD, POST, OPTIONS`.
    pub(crate) fn allow(self) -> String {
        let mut allow = String::new();
        for method in self.methods() {
            allow.push_str(method.as_str());
            allow.push_str(if method == Method::GET { ", HEAD, " } else { ", " });
        }
        allow + "OPTIONS"
    }
}

/// A route with the value in its path, if it has one.
pub(crate) struct Matched<'p> {
    pub(crate) route: Route,
    pub(crate) value: Cow<'p, str>,
}

/// Finds what a path addresses. `/tenants/default` may stand in front of any path.
pub(crate) fn find(path: &str) -> Result<Matched<'_>, Problem> {
    let path = within_tenant(path)?;
    let plain = |route| Ok(Matched { route, value: Cow::Borrowed("") });
    match path {
        "/events" => return plain(Route::Events),
        "/" | "" => return plain(Route::Landing),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/resources/") {
        return match rest.strip_suffix("/history") {
            Some(name) => with_name(Route::ResourceHistory, path, name),
            None => with_name(Route::Resource, path, rest),
        };
    }
    if let Some(name) = path.strip_prefix("/schemas/") {
        return with_value(Route::Schema, path, name);
    }
    if let Some(rest) = path.strip_prefix("/topics/") {
        return match rest.strip_suffix("/events") {
            Some(name) => with_value(Route::TopicEvents, path, name),
            None => with_value(Route::Topic, path, rest),
        };
    }
    if let Some(rest) = path.strip_prefix("/consumers/") {
        return consumer(path, rest);
    }
    if let Some(client) = path.strip_prefix("/api/sse/send/") {
        return with_value(Route::Send, path, client);
    }
    if let Some(client) = path.strip_prefix("/api/sse/checkpoint/") {
        return with_value(Route::CheckpointOf, path, client);
    }
    let Some(rest) = path.strip_prefix("/events/") else {
        let fixed = ROUTES.iter().find(|row| row.1 == path && !path.contains('{'));
        return fixed.map_or_else(|| Err(nothing_at(path)), |row| plain(row.0));
    };
    match rest {
        "historic" => plain(Route::Historic),
        "stream" => plain(Route::Stream),
        "get" => plain(Route::Get),
        _ => match rest.strip_prefix("at/") {
            Some(value) => match value.strip_suffix("/data") {
                Some(value) => with_value(Route::AtData, path, value),
                None => with_value(Route::At, path, value),
            },
            None => with_value(Route::Event, path, rest),
        },
    }
}

fn consumer<'p>(path: &str, rest: &'p str) -> Result<Matched<'p>, Problem> {
    if rest == "register" {
        return Ok(Matched { route: Route::ConsumersRegister, value: Cow::Borrowed("") });
    }
    let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
    let route = match action {
        "" if !rest.ends_with('/') => Route::Consumer,
        "pause" => Route::ConsumerPause,
        "resume" => Route::ConsumerResume,
        "test" => Route::ConsumerTest,
        "seek" => Route::ConsumerSeek,
        "secret/rotate" => Route::SecretRotate,
        "dead-letters" => Route::DeadLetters,
        "dead-letters/redrive" => Route::Redrive,
        _ => return Err(nothing_at(path)),
    };
    with_value(route, path, id)
}

fn with_value<'p>(route: Route, path: &str, value: &'p str) -> Result<Matched<'p>, Problem> {
    if value.contains('/') {
        return Err(nothing_at(path));
    }
    with_name(route, path, value)
}

/// A value that may have slashes.
fn with_name<'p>(route: Route, path: &str, value: &'p str) -> Result<Matched<'p>, Problem> {
    if value.is_empty() {
        return Err(nothing_at(path));
    }
    let value = percent::decode(value.as_bytes(), false)
        .ok_or_else(|| Problem::new(Code::InvalidParameter, "percent-encode the path as UTF-8"))?;
    Ok(Matched { route, value })
}

fn within_tenant(path: &str) -> Result<&str, Problem> {
    let Some(rest) = path.strip_prefix("/tenants/") else { return Ok(path) };
    let (tenant, within) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if tenant == "default" {
        return Ok(within);
    }
    let detail = "this server has one tenant, `default`; leave `/tenants/…` out of the path";
    Err(Problem::new(Code::TenantNotFound, detail).with_text("tenant", tenant))
}

fn nothing_at(path: &str) -> Problem {
    Problem::new(Code::NotFound, format!("nothing is served at {path}; /docs lists what is"))
}
