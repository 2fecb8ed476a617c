//! `/api/demo/…`: a small world that can be started and stopped, so that there is something to
//! look at. What happens in it is no business of the server's.

use std::{fmt, sync::Arc, time::Duration};

use annal_engine::{AppendError, Engine};
use http::{Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use crate::{
    append::answer,
    json_text::push_number,
    params::Params,
    problem::{Code, Problem},
    read::off_the_reactor,
    realtime::fields::{self, members, wrong},
    reply::{self, Reply},
    shared::Shared,
};

/// How often something may happen, in milliseconds.
const INTERVAL_MS_MIN: u64 = 10;
const INTERVAL_MS_MAX: u64 = 24 * 3_600 * 1_000;

/// A world that appends events by itself. All methods may block.
pub trait Demo: fmt::Debug + Send + Sync {
    /// Lets it go on, with an event every so often (`None`: as often as is usual). One that runs
    /// already goes on at the new pace (`None`: at its own).
    fn start(&self, engine: &Engine, interval: Option<Duration>) -> Result<(), DemoError>;
    /// Lets it rest.
    fn stop(&self);
    /// What it is doing.
    fn status(&self, engine: &Engine) -> Result<DemoStatus, DemoError>;
}

/// Why a demo does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemoError {
    /// Its events were refused: a schema that somebody has put does not allow them, say.
    #[error("an event of the demo was refused: {0}")]
    Refused(AppendError),
    /// Something else, for the server's log.
    #[error("{0}")]
    Failed(String),
}

/// What a demo is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoStatus {
    /// Whether it goes on by itself.
    pub running: bool,
    /// How often something happens, or would.
    pub interval: Duration,
    /// Events of the world in the log.
    pub events: u64,
}

/// What is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    Stop,
    Status,
}

/// `POST /api/demo/start`, `POST /api/demo/stop`, `GET /api/demo/status`
pub(crate) async fn order(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    order: Order,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let body = fields::body(shared, engine, &head.headers, body).await?;
    Params::parse(head.uri.query())?.finish()?;
    let interval = match order {
        Order::Start if !body.trim().is_empty() => interval(&body)?,
        _ => None,
    };
    let Some(demo) = shared.options.demo.clone() else {
        return Err(Problem::new(Code::NotFound, "this server has no demo"));
    };
    let engine = engine.clone();
    let done = move || {
        match order {
            Order::Start => demo.start(&engine, interval)?,
            Order::Stop => demo.stop(),
            Order::Status => {}
        }
        demo.status(&engine)
    };
    let status = off_the_reactor(done).await?.map_err(refused)?;
    Ok(reply::json(StatusCode::OK, encode(&status)))
}

fn refused(error: DemoError) -> Problem {
    tracing::warn!(%error, "the demo does not run");
    match error {
        DemoError::Refused(error) => answer::refused(error, &[], false),
        DemoError::Failed(_) => {
            Problem::new(Code::Unavailable, "the demo does not run; the server's log says why")
        }
    }
}

fn interval(body: &str) -> Result<Option<Duration>, Problem> {
    let [interval] = members(body, ["interval_ms"], true)?;
    let Some(text) = interval else { return Ok(None) };
    match text.parse() {
        Ok(ms) if (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&ms) => {
            Ok(Some(Duration::from_millis(ms)))
        }
        _ => {
            let detail =
                format!("interval_ms is a number from {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}");
            Err(wrong("interval_ms", detail))
        }
    }
}

fn encode(status: &DemoStatus) -> Vec<u8> {
    let mut out = b"{\"running\":".to_vec();
    out.extend_from_slice(if status.running { b"true" } else { b"false" });
    out.extend_from_slice(b",\"interval_ms\":");
    push_number(&mut out, u64::try_from(status.interval.as_millis()).unwrap_or(u64::MAX));
    out.extend_from_slice(b",\"events\":");
    push_number(&mut out, status.events);
    out.push(b'}');
    out
}
