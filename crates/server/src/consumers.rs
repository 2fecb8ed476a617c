//! `/consumers`: who is sent what. What is decided here becomes an event; carriers
//! ([`crate::webhook`]) see it in the log and act on it.

mod act;
mod letters;
mod members;
mod register;
mod show;

use std::sync::Arc;

use annal_engine::{Consumer, Engine};
use annal_event::{ConsumerEvent, json::Json};
use http::{HeaderMap, Method, Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use self::members::Members;
use crate::{
    append::answer,
    intake::Intake,
    params::Params,
    problem::{Code, Problem},
    read::failed,
    reply::{self, Reply},
    route::Route,
    shared::Shared,
    webhook::{Unnoted, note},
};

/// Largest body that is taken here: the list of what is to be delivered after all is the longest.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Answers every route under `/consumers`.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    route: Route,
    id: &str,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    if route != Route::DeadLetters && route != Route::Consumers {
        Params::parse(head.uri.query())?.finish()?;
    }
    let body = match head.method {
        Method::POST => take(shared, &head.headers, body).await?,
        _ => {
            crate::intake::drain(body);
            String::new()
        }
    };
    match (route, &head.method) {
        (Route::ConsumersRegister, _) => register::ephemeral(shared, engine, &body).await,
        (Route::Consumers, &Method::POST) => {
            Params::parse(head.uri.query())?.finish()?;
            register::durable(shared, engine, &body).await
        }
        (Route::Consumers, _) => show::list(shared, engine, head).await,
        (Route::DeadLetters, _) => letters::list(engine, head, id).await,
        _ => one(shared, engine, head, route, find(engine, id)?, &body).await,
    }
}

async fn one(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    route: Route,
    consumer: Consumer,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    match route {
        Route::Consumer if head.method == Method::DELETE => {
            let id = consumer.spec.id;
            append(engine, ConsumerEvent::Removed { id, reason: "deleted".to_owned() }).await?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Route::ConsumerPause | Route::ConsumerResume | Route::ConsumerTest => {
            Members::of(&parse(body)?, "")?.finish()?;
            match route {
                Route::ConsumerPause => act::pause(shared, engine, consumer).await,
                Route::ConsumerResume => act::resume(shared, engine, consumer).await,
                _ => act::test(shared, engine, &consumer).await,
            }
        }
        Route::ConsumerSeek => act::seek(shared, engine, consumer, body).await,
        Route::SecretRotate => act::rotate(engine, &consumer, body).await,
        Route::Redrive => letters::redrive(engine, &consumer, body).await,
        _ => show::one(shared, engine, consumer).await,
    }
}

fn find(engine: &Engine, id: &str) -> Result<Consumer, Problem> {
    let found = engine.view().consumers().get(id, engine.head());
    found.map_err(|error| failed(&error.into()))?.ok_or_else(|| {
        let detail = format!("there is no consumer {id}; /consumers lists those there are");
        Problem::new(Code::ConsumerNotFound, detail)
    })
}

/// The whole body as text; empty if there is none.
async fn take(shared: &Shared, headers: &HeaderMap, body: Incoming) -> Result<String, Problem> {
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(headers, body, idle).map_err(|(_, problem)| problem)?;
    intake.limit(BODY_BYTES_MAX, Code::RequestTooLarge)?;
    let body = match intake.whole(Code::RequestTooLarge).await {
        Ok(body) => body,
        Err(problem) => {
            intake.drain();
            return Err(problem);
        }
    };
    String::from_utf8(body.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(Code::MalformedBody, format!("the body is not UTF-8 at byte {at}"))
    })
}

/// A body as a tree; nothing at all is an empty object.
fn parse(body: &str) -> Result<Json<'_>, Problem> {
    let text = if body.trim().is_empty() { "{}" } else { body };
    Json::parse(text).map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))
}

async fn append(engine: &Engine, about: ConsumerEvent) -> Result<(), Problem> {
    append_all(engine, &[about]).await
}

async fn append_all(engine: &Engine, about: &[ConsumerEvent]) -> Result<(), Problem> {
    note(engine, about).await.map_err(|error| match error {
        Unnoted::Event(error) => error.into(),
        Unnoted::Busy(busy) => answer::busy(busy),
        Unnoted::Append(error) => answer::refused(error, &[], false),
    })
}
