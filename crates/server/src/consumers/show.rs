//! Consumers as they are shown: everything but their secrets.

use std::sync::Arc;

use annal_engine::{Consumer, ConsumerState, Engine};
use annal_event::{ConsumerSpec, Interest, Position, Timestamp};
use http::{Response, StatusCode, request::Parts};

use crate::{
    json_text::{push_number, push_position, push_string},
    params::Params,
    problem::Problem,
    read::{failed, off_the_reactor, wait_for_position},
    reply::{self, Reply},
    shared::Shared,
    webhook::{self, Status},
};

/// `GET /consumers`
pub(super) async fn list(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    params.finish()?;
    let (shared, engine) = (Arc::clone(shared), engine.clone());
    let body = off_the_reactor(move || {
        let most = shared.options.consumers_max;
        let consumers = engine.view().consumers().list(engine.head(), most);
        let consumers = consumers.map_err(|error| failed(&error.into()))?;
        let mut out = vec![b'['];
        for (place, consumer) in consumers.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push(&mut out, &shared, &engine, consumer)?;
        }
        out.push(b']');
        Ok::<_, Problem>(out)
    })
    .await??;
    Ok(reply::json(StatusCode::OK, body))
}

/// `GET /consumers/{id}`
pub(super) async fn one(
    shared: &Arc<Shared>,
    engine: &Engine,
    consumer: Consumer,
) -> Result<Response<Reply>, Problem> {
    let (shared, engine) = (Arc::clone(shared), engine.clone());
    let body = off_the_reactor(move || {
        let mut out = Vec::new();
        push(&mut out, &shared, &engine, &consumer)?;
        Ok::<_, Problem>(out)
    })
    .await??;
    Ok(reply::json(StatusCode::OK, body))
}

fn push(
    out: &mut Vec<u8>,
    shared: &Shared,
    engine: &Engine,
    consumer: &Consumer,
) -> Result<(), Problem> {
    let ConsumerSpec { id, callback, durable, .. } = &consumer.spec;
    // Somebody who has just moved it is not told how it fared before.
    let status = shared.webhooks.status(id).filter(|status| status.epoch == consumer.epoch);
    let status = status.unwrap_or_else(|| Status { position: consumer.after, ..Status::default() });
    let (position, lag) = place(engine, consumer, &status)?;
    out.extend_from_slice(b"{\"consumerId\":");
    push_string(out, id);
    out.extend_from_slice(b",\"callback\":");
    push_string(out, callback);
    out.extend_from_slice(b",\"topics\":[");
    for (place, start) in consumer.spec.topics.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, &start.topic);
    }
    out.extend_from_slice(b"],\"durable\":");
    out.extend_from_slice(if *durable { b"true" } else { b"false" });
    let (state, reason) = match &consumer.state {
        ConsumerState::Active => ("active", None),
        ConsumerState::Paused => ("paused", None),
        ConsumerState::Disabled(reason) => ("disabled", Some(reason.clone())),
    };
    out.extend_from_slice(b",\"state\":");
    push_string(out, state);
    out.extend_from_slice(b",\"position\":");
    push_position(out, position);
    out.extend_from_slice(b",\"lag\":");
    push_number(out, lag);
    out.extend_from_slice(b",\"last_error\":");
    push_or_null(out, reason.or(status.last_error).as_deref());
    out.extend_from_slice(b",\"next_attempt\":");
    let next = status.next_attempt.map(|ms| Timestamp(ms.saturating_mul(1_000)).to_string());
    push_or_null(out, next.as_deref());
    push_settings(out, &consumer.spec);
    out.extend_from_slice(b",\"registered\":");
    push_string(out, &consumer.registered.to_string());
    out.push(b'}');
    Ok(())
}

fn push_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_settings(out: &mut Vec<u8>, spec: &ConsumerSpec) {
    if let Some(filter) = &spec.filter {
        out.extend_from_slice(b",\"filter\":");
        out.extend_from_slice(filter.as_bytes());
    }
    out.extend_from_slice(b",\"format\":");
    push_string(out, spec.format.name());
    out.extend_from_slice(b",\"batch_size\":");
    push_number(out, u64::from(spec.batch_size));
    out.extend_from_slice(b",\"ordering\":");
    push_string(out, spec.ordering.name());
    out.extend_from_slice(b",\"retry\":{\"schedule_ms\":[");
    for (place, wait) in spec.retry.schedule_ms.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_number(out, *wait);
    }
    out.extend_from_slice(b"],\"timeout_ms\":");
    push_number(out, spec.retry.timeout_ms);
    if let Some(age) = spec.retry.max_age_ms {
        out.extend_from_slice(b",\"max_age_ms\":");
        push_number(out, age);
    }
    out.extend_from_slice(b"},\"headers\":[");
    for (place, name) in spec.headers.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, name);
    }
    out.push(b']');
}

/// Where it stands, and how many events it has still to get. A carrier that waits does not look at
/// what is of no interest to it: that nothing more is to come is found out here.
fn place(
    engine: &Engine,
    consumer: &Consumer,
    status: &Status,
) -> Result<(Position, u64), Problem> {
    let head = engine.head();
    let position = status.position.min(head);
    let Ok(interest) = webhook::interest(&consumer.spec) else { return Ok((position, 0)) };
    // What only a filter can tell is counted as if it passed.
    let narrowed = Interest::of(interest.narrowed());
    let counted = engine.view().count(&narrowed, position, head.next());
    let lag = counted.map_err(|error| failed(&error))?;
    let idle = lag == 0 && status.pending == 0;
    Ok((if idle { head } else { position }, lag))
}
