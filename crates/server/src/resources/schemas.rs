//! `/schemas`: what documents are held to.

use std::sync::Arc;

use annal_engine::{Append, AppendError, Engine, Schema};
use annal_event::{Encoded, Position, SCHEMA_DELETED, SCHEMA_PUT, SchemaEvent, json::Json};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;

use super::{
    condition::{Conditions, TRIES_MAX},
    etag,
};
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
    let conditions = Conditions::of(&head.headers)?;
    match head.method {
        Method::PUT => {
            check_name(name)?;
            let json = read(shared, engine, head, body).await?;
            let change = SchemaEvent::Put { name: name.into(), schema: json.into() };
            Request { engine, conditions, name, change }.carry_out(shared).await
        }
        Method::DELETE => {
            let change = SchemaEvent::Deleted { name: name.into() };
            Request { engine, conditions, name, change }.carry_out(shared).await
        }
        _ => {
            let registered = engine.view().resources().schema(name, engine.head());
            let schema = registered.ok_or_else(|| missing(name))?;
            let known = conditions.is_known(schema.position, None);
            let mut response = match known {
                true => reply::empty(StatusCode::NOT_MODIFIED),
                false => reply::whole(StatusCode::OK, SCHEMA, schema.text.clone()),
            };
            response.headers_mut().insert(header::ETAG, etag(schema.position));
            Ok(response)
        }
    }
}

fn missing(name: &str) -> Problem {
    let detail = format!("no schema {name} is registered; /schemas lists those that are");
    Problem::new(Code::SchemaNotFound, detail)
}

/// The text of a schema, without the white space between its tokens.
async fn read(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    body: Incoming,
) -> Result<String, Problem> {
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(&head.headers, body, idle).map_err(|(_, problem)| problem)?;
    intake.limit(engine.limits().event_bytes_max, Code::RequestTooLarge)?;
    let body = intake.whole(Code::RequestTooLarge).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    Ok(Json::parse(text).map_err(|error| malformed(error.to_string()))?.to_string())
}

/// A change on its way.
struct Request<'r> {
    engine: &'r Engine,
    conditions: Conditions,
    name: &'r str,
    change: SchemaEvent<'r>,
}

impl Request<'_> {
    async fn carry_out(&self, shared: &Shared) -> Result<Response<Reply>, Problem> {
        for _ in 0..TRIES_MAX {
            // The head first: what comes after it is noticed when the change is ordered.
            let head = self.engine.head();
            let before = self.engine.view().resources().schema(self.name, head);
            self.conditions.check("schema", before.as_ref().map(|schema| schema.position))?;
            if let Some(answer) = self.settled(shared, before.as_deref())? {
                return Ok(answer);
            }
            match self.append(head, before.as_deref()).await? {
                Ok(()) => return self.answer(shared, before.is_some()),
                Err(AppendError::PreconditionFailed { .. }) => {}
                Err(error) => return Err(answer::refused(error, &[], false)),
            }
        }
        let detail =
            "others change schemas faster than the conditions of this change can be judged";
        Err(Problem::new(Code::Busy, detail).retry_after(1))
    }

    /// The answer where nothing is to be changed.
    fn settled(
        &self,
        shared: &Shared,
        before: Option<&Schema>,
    ) -> Result<Option<Response<Reply>>, Problem> {
        match (&self.change, before) {
            (SchemaEvent::Deleted { .. }, None) => Err(missing(self.name)),
            (SchemaEvent::Put { .. }, Some(schema)) if schema.name != self.name => {
                let detail = format!(
                    "documents of this type are held to {}; PUT that one, or delete it first",
                    schema.name
                );
                let problem = Problem::new(Code::InvalidParameter, detail);
                Err(problem.with_text("parameter", "name"))
            }
            (SchemaEvent::Put { schema: text, .. }, Some(schema)) if schema.text == *text => {
                Ok(Some(described(shared, schema, StatusCode::OK)))
            }
            _ => Ok(None),
        }
    }

    async fn append(
        &self,
        head: Position,
        before: Option<&Schema>,
    ) -> Result<Result<(), AppendError>, Problem> {
        let event = match (&self.change, before) {
            // By the name that it was registered with.
            (SchemaEvent::Deleted { .. }, Some(schema)) => {
                SchemaEvent::Deleted { name: schema.name.as_str().into() }
            }
            (change, _) => change.clone(),
        };
        let mut events = Encoded::default();
        events.push_valid(&event.to_event(self.engine.new_id()), self.engine.limits())?;
        let preconditions = self.conditions.unchanged_since(head, [SCHEMA_PUT, SCHEMA_DELETED]);
        let append = Append { preconditions, ..Append::of(events) };
        let ticket = self.engine.append(append).map_err(answer::busy)?;
        Ok(ticket.await.map(drop))
    }

    fn answer(&self, shared: &Shared, existed: bool) -> Result<Response<Reply>, Problem> {
        if matches!(self.change, SchemaEvent::Deleted { .. }) {
            return Ok(reply::empty(StatusCode::NO_CONTENT));
        }
        let schema = self.engine.view().resources().schema(self.name, self.engine.head());
        let gone = "somebody has removed the schema meanwhile";
        let schema = schema.ok_or_else(|| Problem::new(Code::SchemaNotFound, gone))?;
        let status = if existed { StatusCode::OK } else { StatusCode::CREATED };
        Ok(described(shared, &schema, status))
    }
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
