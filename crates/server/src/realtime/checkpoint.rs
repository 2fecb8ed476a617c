//! Checkpoints of clients: what each has processed. Registers, not events: they move with every
//! message, and nobody asks for their history.

use std::sync::Arc;

use annal_engine::{Engine, client_register};
use annal_event::{Position, Timestamp};
use http::{Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use super::{
    check_client_id,
    fields::{self, members, string, wrong},
};
use crate::{
    json_text::{push_number, push_string},
    params::{Params, invalid},
    problem::{Code, Problem},
    read::off_the_reactor,
    reply::{self, Reply},
    shared::Shared,
};

/// Checkpoints that there may be; registers of consumers count among them.
const CHECKPOINTS_MAX: usize = 100_000;

/// A checkpoint that has not moved for so long makes room for others when there is none.
const FORGET_AFTER_US: i64 = 30 * 24 * 3_600 * 1_000_000;

/// `POST /api/sse/checkpoint`
pub(crate) async fn set(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let body = fields::body(shared, engine, &head.headers, body).await?;
    Params::parse(head.uri.query())?.finish()?;
    let [client, sequence] = members(&body, ["clientId", "sequence"], true)?;
    let client = string("clientId", client)?.into_owned();
    check_client_id(&client).map_err(|detail| wrong("clientId", detail.to_string()))?;
    let position = sequence.and_then(|text| text.trim_matches('"').parse::<Position>().ok());
    let position = position.ok_or_else(|| {
        wrong("sequence", "send sequence, the `_sequence` of the last message you have processed")
    })?;
    let log_head = engine.head();
    if position > log_head {
        let detail = format!("the log ends at {log_head}; a checkpoint is at or before that");
        return Err(wrong("sequence", detail));
    }
    let engine = engine.clone();
    off_the_reactor(move || raise(&engine, &client, position)).await??;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `GET /api/sse/checkpoint/{clientId}`
pub(crate) fn get(engine: &Engine, head: &Parts, client: &str) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    check_client_id(client).map_err(|detail| invalid("clientId", detail))?;
    let position = stored(engine, client).ok_or_else(|| {
        let detail =
            format!("client {client} has set no checkpoint; POST /api/sse/checkpoint does");
        Problem::new(Code::CheckpointNotFound, detail)
    })?;
    let mut body = b"{\"clientId\":".to_vec();
    push_string(&mut body, client);
    body.extend_from_slice(b",\"sequence\":");
    push_number(&mut body, position.get());
    body.push(b'}');
    Ok(reply::json(StatusCode::OK, body))
}

/// What a client has processed, if it has said so.
pub(crate) fn stored(engine: &Engine, client: &str) -> Option<Position> {
    let value = engine.registers().get(&client_register(client))?;
    read(&value).map(|(position, _)| position)
}

/// Raises a checkpoint; it never moves back. It survives the process when this returns.
fn raise(engine: &Engine, client: &str, position: Position) -> Result<(), Problem> {
    let (registers, now) = (engine.registers(), engine.now());
    let name = client_register(client);
    // Big-endian: what is greater as bytes is later.
    let value = [position.get().to_be_bytes(), now.micros().to_be_bytes()].concat();
    let lost = |error: std::io::Error| {
        tracing::warn!(%error, "a checkpoint could not be written");
        Problem::new(Code::Unavailable, "the checkpoint may be lost; set it again").retry_after(1)
    };
    if registers.len() >= CHECKPOINTS_MAX && registers.get(&name).is_none() {
        let is_new = |value: &[u8]| {
            read(value).is_some_and(|(_, set)| now.micros() - set.micros() <= FORGET_AFTER_US)
        };
        registers.retain_clients(is_new).map_err(lost)?;
        if registers.len() >= CHECKPOINTS_MAX {
            let detail = format!("{CHECKPOINTS_MAX} clients have checkpoints, as many as may");
            return Err(Problem::new(Code::TooManyCheckpoints, detail));
        }
    }
    registers.raise(&name, &value).map_err(lost)
}

fn read(value: &[u8]) -> Option<(Position, Timestamp)> {
    let (position, rest) = value.split_first_chunk::<8>()?;
    let (set, _) = rest.split_first_chunk::<8>()?;
    Some((Position(u64::from_be_bytes(*position)), Timestamp(i64::from_be_bytes(*set))))
}
