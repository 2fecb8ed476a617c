//! `/topics`: named groups of events with schemas of their own (API.md §6). Making and changing one
//! is appending an event; nothing here bypasses the log.

pub(crate) mod events;
pub(crate) mod write;

use std::sync::Arc;

use annal_engine::{Counter, Engine, ReadError, Topic};
use http::{Response, StatusCode, header, request::Parts};

use crate::{
    json_text::{push_number, push_position, push_string},
    params::Params,
    problem::{Code, Problem},
    read::{failed, off_the_reactor},
    reply::{self, Reply},
    resources::etag,
};

fn not_found(name: &str) -> Problem {
    let detail = format!("there is no topic {name}; /topics lists what there is");
    Problem::new(Code::TopicNotFound, detail).with_text("topic", name)
}

/// A topic and how far it has come.
fn found(engine: &Engine, name: &str) -> Result<(Arc<Topic>, Counter), Problem> {
    let found = engine.view().topic(name).map_err(|error| failed(&error))?;
    found.ok_or_else(|| not_found(name))
}

/// `GET /topics`. A topic that nobody has made is listed once it has an event.
pub(crate) async fn list(engine: &Engine, head: &Parts) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let view = Arc::clone(engine.view());
    let body = off_the_reactor(move || {
        let head = view.head();
        let rows = view.topics().view(head);
        let mut body = vec![b'['];
        for topic in view.topics().topics(head) {
            let counter = view.topics().counter(&rows, &topic.name)?;
            if topic.position.get() == 0 && counter.sequence == 0 {
                continue;
            }
            if body.len() > 1 {
                body.push(b',');
            }
            push_topic(&mut body, &topic, counter);
        }
        body.push(b']');
        Ok::<_, ReadError>(body)
    });
    let body = body.await?.map_err(|error| failed(&error))?;
    Ok(reply::json(StatusCode::OK, body))
}

/// `GET /topics/{topic}`
pub(crate) async fn get(
    engine: &Engine,
    head: &Parts,
    name: &str,
) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let (topic, counter) = found(engine, name)?;
    Ok(described(StatusCode::OK, &topic, counter))
}

fn described(status: StatusCode, topic: &Topic, counter: Counter) -> Response<Reply> {
    let mut body = Vec::new();
    push_topic(&mut body, topic, counter);
    let mut response = reply::json(status, body);
    // Of what is said of the topic, for `If-Match`; the number of its events is no part of that, so
    // that nobody is answered 304 by it.
    response.headers_mut().insert(header::ETAG, etag(topic.position));
    response
}

/// `{"name","sequence","schemas","retention","open","revision"}`
fn push_topic(out: &mut Vec<u8>, topic: &Topic, counter: Counter) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, &topic.name);
    out.extend_from_slice(b",\"sequence\":");
    push_number(out, counter.sequence);
    out.extend_from_slice(b",\"schemas\":[");
    for (place, (_, schema)) in topic.schemas().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(schema.as_bytes());
    }
    out.extend_from_slice(b"],\"retention\":");
    out.extend_from_slice(topic.retention.to_json().as_bytes());
    out.extend_from_slice(if topic.open { b",\"open\":true" } else { b",\"open\":false" });
    out.extend_from_slice(b",\"revision\":");
    push_position(out, topic.position);
    out.push(b'}');
}
