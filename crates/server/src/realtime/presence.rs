//! Which clients are connected: `GET /api/sse/clients`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use annal_engine::Engine;
use annal_event::{Position, Timestamp};
use http::{Response, StatusCode, request::Parts};
use parking_lot::Mutex;

use crate::{
    json_text::{push_number, push_string},
    params::Params,
    problem::Problem,
    reply::{self, Reply},
    shared::Shared,
};

/// Everybody who is connected, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    came: AtomicU64,
}

#[derive(Debug)]
struct Client {
    id: String,
    connected: Timestamp,
    filter: Vec<String>,
    sequence: AtomicU64,
    caught_up: AtomicBool,
}

/// A client that is connected, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Present {
    presence: Arc<Presence>,
    number: u64,
    client: Arc<Client>,
}

impl Presence {
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: String,
        connected: Timestamp,
        filter: Vec<String>,
        cursor: Position,
    ) -> Present {
        let (sequence, caught_up) = (AtomicU64::new(cursor.get()), AtomicBool::new(false));
        let client = Arc::new(Client { id, connected, filter, sequence, caught_up });
        let number = self.came.fetch_add(1, Relaxed);
        self.clients.lock().insert(number, Arc::clone(&client));
        Present { presence: Arc::clone(self), number, client }
    }
}

impl Present {
    /// How far it has been served, and whether there is nothing more for it.
    pub(crate) fn reached(&self, cursor: Position, caught_up: bool) {
        self.client.sequence.store(cursor.get(), Relaxed);
        self.client.caught_up.store(caught_up, Relaxed);
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.presence.clients.lock().remove(&self.number);
    }
}

/// `GET /api/sse/clients`
pub(crate) fn list(
    shared: &Shared,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    Params::parse(head.uri.query())?.finish()?;
    let log_head = engine.head().get();
    let clients: Vec<_> = shared.presence.clients.lock().values().cloned().collect();
    let mut body = vec![b'['];
    for client in clients {
        if body.len() > 1 {
            body.push(b',');
        }
        push_client(&mut body, &client, log_head, &shared.options.base_url);
    }
    body.push(b']');
    Ok(reply::json(StatusCode::OK, body))
}

fn push_client(out: &mut Vec<u8>, client: &Client, log_head: u64, node: &str) {
    // One that waits is woken by what is for it, so everything up to the head is behind it.
    let sequence = match client.caught_up.load(Relaxed) {
        true => log_head,
        false => client.sequence.load(Relaxed),
    };
    out.extend_from_slice(b"{\"clientId\":");
    push_string(out, &client.id);
    out.extend_from_slice(b",\"connected_at\":");
    push_string(out, &client.connected.to_string());
    out.extend_from_slice(b",\"filter\":[");
    for (place, ty) in client.filter.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, ty);
    }
    out.extend_from_slice(b"],\"sequence\":");
    push_number(out, sequence);
    out.extend_from_slice(b",\"lag\":");
    push_number(out, log_head.saturating_sub(sequence));
    out.extend_from_slice(b",\"node\":");
    push_string(out, node);
    out.push(b'}');
}
