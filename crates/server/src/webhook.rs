//! Webhooks: consumers that are sent what they ask for.
//!
//! ```text
//! dispatch  one task: which consumers there are            ◀─ the store's own events about them
//!   └ carrier  one task a consumer: log ─▶ Courier ─▶ body, signature ─▶ HttpSender
//!                                            │
//!                                            └─▶ register: how far it has come
//! ```
//!
//! A carrier waits for its own endpoint only. INV-6: where a request may go is judged when a
//! consumer is registered, and again for the very address that is connected to.

pub(crate) mod address;
mod again;
pub(crate) mod authorities;
pub(crate) mod body;
pub(crate) mod callback;
pub(crate) mod carrier;
pub(crate) mod dispatch;
pub(crate) mod keys;
pub(crate) mod net;
mod outcome;
pub(crate) mod sender;
pub(crate) mod sign;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use annal_engine::{Append, AppendError, Engine};
use annal_event::{
    ConsumerEvent, ConsumerSpec, Encoded, Filter, Interest, Position, Query, Selector,
};
use parking_lot::Mutex;

use self::sender::HttpSender;

/// What sends it, as endpoints see it.
pub(crate) const USER_AGENT: &str = concat!("annal/", env!("CARGO_PKG_VERSION"));

/// What carriers tell the rest of the server.
#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(crate) sender: Arc<dyn HttpSender>,
    statuses: Mutex<HashMap<String, Arc<Mutex<Status>>>>,
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) dead: AtomicU64,
}

/// How a consumer fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Of which beginning this is said: [`Consumer::epoch`](annal_engine::Consumer).
    pub(crate) epoch: Position,
    /// Everything up to here is done.
    pub(crate) position: Position,
    /// Events on their way or waiting.
    pub(crate) pending: usize,
    pub(crate) last_error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub(crate) next_attempt: Option<i64>,
}

impl Webhooks {
    pub(crate) fn new(sender: Arc<dyn HttpSender>) -> Webhooks {
        Webhooks {
            sender,
            statuses: Mutex::default(),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dead: AtomicU64::new(0),
        }
    }

    /// How a consumer fares, if it has a carrier.
    pub(crate) fn status(&self, id: &str) -> Option<Status> {
        let status = self.statuses.lock().get(id).cloned()?;
        let status = status.lock().clone();
        Some(status)
    }

    /// Events of all consumers that are on their way or waiting.
    pub(crate) fn pending(&self) -> usize {
        self.statuses.lock().values().map(|status| status.lock().pending).sum()
    }

    fn begin(&self, id: &str) -> Arc<Mutex<Status>> {
        Arc::clone(self.statuses.lock().entry(id.to_owned()).or_default())
    }

    fn end(&self, id: &str) {
        self.statuses.lock().remove(id);
    }

    fn count(&self, counter: &AtomicU64, events: usize) {
        counter.fetch_add(events as u64, Relaxed);
    }
}

/// Which events a consumer is sent.
pub(crate) fn interest(spec: &ConsumerSpec) -> Result<Interest, annal_event::EventError> {
    let filter =
        spec.filter.as_ref().map(|filter| annal_event::json::parse_filter(filter.as_bytes()));
    let filters: Vec<Arc<Filter>> = filter.transpose()?.map(Arc::new).into_iter().collect();
    let query = match spec.topics.is_empty() {
        true => Query::all(),
        false => Query::one(Selector {
            topics: spec.topics.iter().map(|start| start.topic.clone()).collect(),
            ..Selector::default()
        }),
    };
    Ok(Interest { filters, ..Interest::of(query) })
}

/// Why the store could not take note of something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unnoted {
    #[error(transparent)]
    Event(#[from] annal_event::EventError),
    #[error(transparent)]
    Busy(#[from] annal_engine::Busy),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Appends events about consumers.
pub(crate) async fn note(engine: &Engine, about: &[ConsumerEvent]) -> Result<(), Unnoted> {
    let mut events = Encoded::default();
    for about in about {
        events.push_valid(&about.to_event(engine.new_id()), engine.limits())?;
    }
    engine.append(Append::of(events))?.await?;
    Ok(())
}
