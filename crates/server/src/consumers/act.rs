//! What can be done with a consumer: pause, resume, seek, test, rotate its secret.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use annal_engine::{Consumer, ConsumerState, Engine};
use annal_event::{ConsumerEvent, Encoded, Event, Position, SYSTEM_SOURCE, StoredEvent};
use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::{append, find, members::Members, parse, register, show};
use crate::{
    json_text::{push_number, push_string},
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
    webhook::{body, callback::Callback, carrier, keys::Keys, sender::Outgoing},
};

pub(super) async fn pause(
    shared: &Arc<Shared>,
    engine: &Engine,
    consumer: Consumer,
) -> Result<Response<Reply>, Problem> {
    let id = consumer.spec.id.clone();
    if consumer.state == ConsumerState::Active {
        append(engine, ConsumerEvent::Paused { id: id.clone() }).await?;
    }
    show::one(shared, engine, find(engine, &id)?).await
}

/// Also one that is disabled. It must be able to sign. One that is active waits no longer for what its
/// endpoint has asked for, nor for a retry.
pub(super) async fn resume(
    shared: &Arc<Shared>,
    engine: &Engine,
    consumer: Consumer,
) -> Result<Response<Reply>, Problem> {
    let id = consumer.spec.id.clone();
    keys(engine, &id)?;
    append(engine, ConsumerEvent::Resumed { id: id.clone() }).await?;
    show::one(shared, engine, find(engine, &id)?).await
}

/// `{"to":"earliest|latest|<position>|<time>"}`
pub(super) async fn seek(
    shared: &Arc<Shared>,
    engine: &Engine,
    consumer: Consumer,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    let json = parse(body)?;
    let mut members = Members::of(&json, "")?;
    let to = members.take("to");
    let to = to.ok_or_else(|| super::members::wrong("/to", "say where it goes on"))?;
    let to = register::position(engine, to, "/to").await?;
    members.finish()?;
    let id = consumer.spec.id;
    append(engine, ConsumerEvent::Sought { id: id.clone(), to }).await?;
    show::one(shared, engine, find(engine, &id)?).await
}

/// `{"secret"?}` → `{"secret"}`, which from now on signs first; those before it sign along for a day.
pub(super) async fn rotate(
    engine: &Engine,
    consumer: &Consumer,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    let id = &consumer.spec.id;
    let json = parse(body)?;
    let mut members = Members::of(&json, "")?;
    let secret = register::secret(engine, &mut members)?;
    members.finish()?;
    let shown = secret.text();
    let keys = match Keys::load(engine.registers(), id) {
        Some(mut keys) => {
            let now_ms = engine.now().micros() / 1_000;
            keys.rotate(secret, now_ms).map_err(too_many_secrets)?;
            keys
        }
        None if consumer.spec.headers.is_empty() => Keys::new(secret, Vec::new()),
        None => {
            let detail = "the values of the consumer's headers are lost, too; register it again";
            return Err(Problem::new(Code::SecretLost, detail));
        }
    };
    register::save(engine, id, keys).await?;
    append(engine, ConsumerEvent::SecretRotated { id: id.clone() }).await?;
    let mut out = b"{\"secret\":".to_vec();
    push_string(&mut out, &shown);
    out.push(b'}');
    Ok(reply::json(StatusCode::OK, out))
}

fn too_many_secrets(wait_ms: u64) -> Problem {
    let detail = "secrets that were rotated out sign along for a day, and no more may sign; rotate \
                  again when the first of them has ended";
    Problem::new(Code::TooManySecrets, detail).retry_after(wait_ms.div_ceil(1_000) as u32)
}

fn keys(engine: &Engine, id: &str) -> Result<Keys, Problem> {
    let lost = "rotate the consumer's secret; the old one is lost";
    Keys::load(engine.registers(), id).ok_or_else(|| Problem::new(Code::SecretLost, lost))
}

/// Sends an event that is in no log, and says how that went.
pub(super) async fn test(
    shared: &Shared,
    engine: &Engine,
    consumer: &Consumer,
) -> Result<Response<Reply>, Problem> {
    let spec = &consumer.spec;
    let keys = keys(engine, &spec.id)?;
    let callback = Callback::parse(&spec.callback);
    let callback = callback.map_err(|what| Problem::new(Code::CallbackRefused, what))?;
    let now = engine.now();
    let event = Event::new(engine.new_id(), SYSTEM_SOURCE, "annal.consumer.test")
        .with_time(now.to_string())
        .with_json("{\"test\":true}");
    let mut events = Encoded::default();
    events.push_valid(&event, engine.limits())?;
    let (batch, _) = events.commit(Position::ZERO, now);
    let stored = [StoredEvent::new(Arc::new(batch), 0)];
    let (body, media_type) =
        body::of(spec, &stored).map_err(|error| crate::read::failed(&error))?;
    let id = format!("msg_test_{}", event.id);
    let now_ms = now.micros() / 1_000;
    let headers = carrier::signed_for(&keys, &id, now_ms, &body, media_type);
    let begun = Instant::now();
    let outgoing = Outgoing {
        callback: Arc::new(callback),
        method: Method::POST,
        headers,
        body: Bytes::from(body),
        timeout: Duration::from_millis(spec.retry.timeout_ms),
    };
    let sent = shared.webhooks.sender.send(outgoing).await;
    let status = sent.as_ref().ok().map(|answered| answered.status);
    let mut out = b"{\"delivered\":".to_vec();
    let delivered = status.is_some_and(|status| status.is_success());
    out.extend_from_slice(if delivered { b"true" } else { b"false" });
    out.extend_from_slice(b",\"status\":");
    match status {
        Some(status) => push_number(&mut out, u64::from(status.as_u16())),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"error\":");
    match &sent {
        Ok(_) => out.extend_from_slice(b"null"),
        Err(error) => push_string(&mut out, &error.to_string()),
    }
    out.extend_from_slice(b",\"duration_ms\":");
    push_number(&mut out, begun.elapsed().as_millis() as u64);
    out.push(b'}');
    Ok(reply::json(StatusCode::OK, out))
}
