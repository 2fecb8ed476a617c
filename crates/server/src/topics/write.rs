//! `POST /topics` and `PUT /topics/{topic}`.

use std::sync::Arc;

use annal_engine::{Append, AppendError, Checks, Engine};
use annal_event::{Encoded, Precondition, TOPIC_CHANGED, TOPIC_CREATED, TopicEvent, TopicSpec};
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
    resources::condition::{Conditions, TRIES_MAX},
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
    append(engine, &TopicEvent::Created(spec), Checks::default(), Vec::new())
        .await?
        .map_err(|error| answer::refused(error, &[], false))?;
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
    let conditions = Conditions::of(&head.headers)?;
    found(engine, name)?;
    let change = TopicEvent::Changed(read(shared, engine, head, body, Some(name)).await?);
    for _ in 0..TRIES_MAX {
        // The head first: what comes after it is noticed when the change is ordered.
        let judged_by = engine.head();
        let (before, _) = found(engine, name)?;
        conditions.check("topic", Some(before.position))?;
        let unchanged = conditions.unchanged_since(judged_by, [TOPIC_CREATED, TOPIC_CHANGED]);
        match append(engine, &change, Checks { force }, unchanged).await? {
            Ok(()) => {
                let (topic, counter) = found(engine, name)?;
                return Ok(described(StatusCode::OK, &topic, counter));
            }
            Err(AppendError::PreconditionFailed { .. }) => {}
            Err(error) => return Err(answer::refused(error, &[], false)),
        }
    }
    let detail = "others change topics faster than the conditions of this change can be judged";
    Err(Problem::new(Code::Busy, detail).retry_after(1))
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

async fn append(
    engine: &Engine,
    event: &TopicEvent,
    checks: Checks,
    preconditions: Vec<Precondition>,
) -> Result<Result<(), AppendError>, Problem> {
    let mut events = Encoded::default();
    events.push_valid(&event.to_event(engine.new_id()), engine.limits())?;
    let append = Append { checks, preconditions, ..Append::of(events) };
    let ticket = engine.append(append).map_err(answer::busy)?;
    Ok(ticket.await.map(drop))
}
