//! `/schemas`: what documents are held to.

use std::sync::Arc;

use annal_engine::{Append, Engine, Schema};
use annal_event::{Encoded, SchemaEvent, json::Json};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;

use super::{condition::Conditions, etag};
use crate::{
    append::answer,
    intake::Intake,
    json_text::{push_position, push_string},
    params::Params,
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
};

const SCHEMA: HeaderValue = HeaderValue::from_static("application/schema+json");

/// Longest name of a schema, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// `GET /schemas`
pub(crate) fn list(
    shared: &Shared,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let mut body = vec![b'['];
    for schema in engine.view().resources().schemas(engine.head()) {
        if body.len() > 1 {
            body.push(b',');
        }
        push_schema(&mut body, shared, &schema);
    }
    body.push(b']');
    Ok(reply::json(StatusCode::OK, body))
}

/// `GET`, `PUT` and `DELETE /schemas/{name}`
pub(crate) async fn one(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let registered = engine.view().resources().schema(name, engine.head());
    let missing = || {
        let detail = format!("no schema {name} is registered; /schemas lists those that are");
        Problem::new(Code::SchemaNotFound, detail)
    };
    match head.method {
        Method::PUT => put(shared, engine, head, name, registered, body).await,
        Method::DELETE => {
            let schema = registered.ok_or_else(missing)?;
            append(engine, &SchemaEvent::Deleted { name: schema.name.as_str().into() }).await?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let schema = registered.ok_or_else(missing)?;
            let known = Conditions::of(&head.headers)?.is_known(schema.position, None);
            let mut response = match known {
                true => reply::empty(StatusCode::NOT_MODIFIED),
                false => reply::whole(StatusCode::OK, SCHEMA, schema.text.clone()),
            };
            response.headers_mut().insert(header::ETAG, etag(schema.position));
            Ok(response)
        }
    }
}

async fn put(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
    registered: Option<Arc<Schema>>,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    check_name(name)?;
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(&head.headers, body, idle).map_err(|(_, problem)| problem)?;
    intake.limit(engine.limits().event_bytes_max, Code::RequestTooLarge)?;
    let body = intake.whole(Code::RequestTooLarge).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let json = Json::parse(text).map_err(|error| malformed(error.to_string()))?.to_string();
    let status = match &registered {
        Some(schema) if schema.text == json && schema.name == name => {
            return Ok(described(shared, schema, StatusCode::OK));
        }
        Some(schema) if schema.name != name => {
            let detail = format!(
                "documents of this type are held to {}; PUT that one, or delete it first",
                schema.name
            );
            return Err(Problem::new(Code::InvalidParameter, detail).with_text("parameter", "name"));
        }
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    append(engine, &SchemaEvent::Put { name: name.into(), schema: json.into() }).await?;
    let schema = engine.view().resources().schema(name, engine.head());
    let gone = || Problem::new(Code::SchemaNotFound, "somebody has removed the schema meanwhile");
    let schema = schema.ok_or_else(gone)?;
    Ok(described(shared, &schema, status))
}

fn malformed(detail: String) -> Problem {
    Problem::new(Code::MalformedBody, detail)
}

fn check_name(name: &str) -> Result<(), Problem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(good) {
        return Ok(());
    }
    let detail = format!(
        "the name of a schema is 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes and \
         underscores, the first a letter or digit"
    );
    Err(Problem::new(Code::InvalidParameter, detail).with_text("parameter", "name"))
}

async fn append(engine: &Engine, event: &SchemaEvent<'_>) -> Result<(), Problem> {
    let mut events = Encoded::default();
    events.push_valid(&event.to_event(engine.new_id()), engine.limits())?;
    let ticket = engine.append(Append::of(events)).map_err(answer::busy)?;
    ticket.await.map(drop).map_err(|error| answer::refused(error, &[], false))
}

fn described(shared: &Shared, schema: &Schema, status: StatusCode) -> Response<Reply> {
    let mut body = Vec::new();
    push_schema(&mut body, shared, schema);
    let mut response = reply::json(status, body);
    response.headers_mut().insert(header::ETAG, etag(schema.position));
    response
}

/// `{"name","url","schema"}`
fn push_schema(out: &mut Vec<u8>, shared: &Shared, schema: &Schema) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, &schema.name);
    out.extend_from_slice(b",\"url\":");
    push_string(out, &format!("{}/schemas/{}", shared.options.base_url, schema.name));
    out.extend_from_slice(b",\"revision\":");
    push_position(out, schema.position);
    out.extend_from_slice(b",\"schema\":");
    out.extend_from_slice(schema.text.as_bytes());
    out.push(b'}');
}
