//! `POST /topics` and `PUT /topics/{topic}`.

use std::sync::Arc;

use annal_engine::{Append, Checks, Engine};
use annal_event::{Encoded, TopicEvent, TopicSpec};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;

use super::{described, found};
use crate::{
    append::answer,
    intake::Intake,
    params::Params,
    percent,
    problem::{Code, Problem},
    reply::Reply,
    shared::Shared,
};

/// Makes a topic.
pub(crate) async fn create(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let spec = read(shared, engine, head, body, None).await?;
    if spec.schemas.is_none() {
        let detail = "`schemas` is missing; list the types that the topic takes, each with its \
                      schema (an empty list takes none yet, unless `open` is true)";
        return Err(Problem::new(Code::InvalidTopic, detail).with_text("pointer", "/schemas"));
    }
    let name = spec.name.clone();
    append(engine, &TopicEvent::Created(spec), Checks::default()).await?;
    let (topic, counter) = found(engine, &name)?;
    let mut response = described(StatusCode::CREATED, &topic, counter);
    let mut path = "/topics/".to_owned();
    percent::encode(&name, &mut path);
    if let Ok(path) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

/// Adds or changes what is given of a topic.
pub(crate) async fn change(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    let force = params.take_flag("force")?;
    params.finish()?;
    found(engine, name)?;
    let spec = read(shared, engine, head, body, Some(name)).await?;
    append(engine, &TopicEvent::Changed(spec), Checks { force }).await?;
    let (topic, counter) = found(engine, name)?;
    Ok(described(StatusCode::OK, &topic, counter))
}

async fn read(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    body: Incoming,
    named: Option<&str>,
) -> Result<TopicSpec, Problem> {
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(&head.headers, body, idle).map_err(|(_, problem)| problem)?;
    let read = match intake.limit(engine.limits().event_bytes_max, Code::RequestTooLarge) {
        Ok(()) => intake.whole(Code::RequestTooLarge).await,
        Err(problem) => Err(problem),
    };
    let body = match read {
        Ok(body) => body,
        Err(problem) => {
            intake.drain();
            return Err(problem);
        }
    };
    let text = std::str::from_utf8(&body).map_err(|error| {
        Problem::new(Code::MalformedBody, format!("not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    Ok(TopicSpec::parse(text, named)?)
}

async fn append(engine: &Engine, event: &TopicEvent, checks: Checks) -> Result<(), Problem> {
    let mut events = Encoded::default();
    events.push_valid(&event.to_event(engine.new_id()), engine.limits())?;
    let append = Append { checks, ..Append::of(events) };
    let ticket = engine.append(append).map_err(answer::busy)?;
    ticket.await.map(drop).map_err(|error| answer::refused(error, &[], false))
}
