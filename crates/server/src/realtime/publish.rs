//! `POST /api/sse/broadcast`, `/send/{clientId}`, `/notification`, `/alert`, `/data-update`: each
//! appends an event of the topic `realtime`.

use std::{borrow::Cow, sync::Arc};

use annal_engine::{Append, Engine};
use annal_event::{Encoded, REALTIME_MESSAGE, RealtimeMessage, Recipient};
use http::{Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use super::{
    check_client_id,
    fields::{self, members, optional_string, string, wrong},
};
use crate::{
    append::{answer, producer::Producer},
    json_text::{push_number, push_string},
    params::{Params, invalid},
    problem::Problem,
    reply::{self, Reply},
    shared::Shared,
};

/// Longest type of a message, in bytes.
const TYPE_BYTES_MAX: usize = 128;

/// Names of messages that are about a stream.
const CONTROL: [&str; 6] = ["connected", "reset", "busy", "checkpoint", "open", "error"];

/// Which of the routes it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'p> {
    Broadcast,
    /// To the client of this id.
    Send(&'p str),
    Notification,
    Alert,
    DataUpdate,
}

/// Appends a message.
pub(crate) async fn publish(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    kind: Kind<'_>,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let body = fields::body(shared, engine, &head.headers, body).await?;
    Params::parse(head.uri.query())?.finish()?;
    let message = message(kind, &body)?;
    let mut producer = Producer::new(engine, &head.headers, false)?;
    let (id, time) = producer.name();
    let mut events = Encoded::default();
    producer.encode_own(message.to_event(id.clone(), time), &mut events)?;
    let ticket = engine.append(Append::of(events)).map_err(answer::busy)?;
    let appended = ticket.await.map_err(|error| answer::refused(error, &[], false))?;
    let outcome = answer::only(&appended)?;
    let mut body = b"{\"messageId\":".to_vec();
    push_string(&mut body, &id);
    body.extend_from_slice(b",\"sequence\":");
    push_number(&mut body, outcome.position.0);
    body.push(b'}');
    Ok(reply::json(StatusCode::ACCEPTED, body))
}

fn message<'b>(kind: Kind<'b>, body: &'b str) -> Result<RealtimeMessage<'b>, Problem> {
    let whole = |ty: &'static str| RealtimeMessage {
        to: Recipient::Everybody,
        ty: ty.into(),
        data: Some(body),
    };
    match kind {
        Kind::Broadcast => typed(Recipient::Everybody, body),
        Kind::Send(client) => {
            check_client_id(client).map_err(|detail| invalid("clientId", detail))?;
            typed(Recipient::Client(client), body)
        }
        Kind::Notification => {
            let [message, severity] = members(body, ["message", "severity"], false)?;
            string("message", message)?;
            optional_string("severity", severity)?;
            Ok(whole("notification"))
        }
        Kind::Alert => {
            let names = ["message", "severity", "category"];
            let [message, severity, category] = members(body, names, false)?;
            string("message", message)?;
            optional_string("severity", severity)?;
            optional_string("category", category)?;
            Ok(whole("alert"))
        }
        Kind::DataUpdate => {
            let [id, ty] = members(body, ["entityId", "entityType"], false)?;
            string("entityId", id)?;
            string("entityType", ty)?;
            Ok(whole("dataUpdate"))
        }
    }
}

/// `{"eventType","data"}`. What it does not say would be lost, so nothing else may stand there.
fn typed<'b>(to: Recipient<'b>, body: &'b str) -> Result<RealtimeMessage<'b>, Problem> {
    let [ty, data] = members(body, ["eventType", "data"], true)?;
    let ty = match optional_string("eventType", ty)? {
        Some(ty) => check_type(ty)?,
        None => REALTIME_MESSAGE.into(),
    };
    Ok(RealtimeMessage { to, ty, data })
}

/// It stands in a line of its own, as the name of what an `EventSource` dispatches.
fn check_type(ty: Cow<'_, str>) -> Result<Cow<'_, str>, Problem> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if ty.is_empty() || ty.len() > TYPE_BYTES_MAX || ty.contains(breaks) || ty.contains(',') {
        let detail = format!(
            "eventType has 1 to {TYPE_BYTES_MAX} bytes, no line breaks, control characters or commas"
        );
        return Err(wrong("eventType", detail));
    }
    if CONTROL.contains(&&*ty) {
        let detail = format!("eventType {ty} is what streams themselves say; use another");
        return Err(wrong("eventType", detail));
    }
    Ok(ty)
}
