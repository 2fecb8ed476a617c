//! How a server is set up, and the bounds it keeps.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{CallbackAuthorities, CallbackRules, Demo, Resolve, SystemResolver};

/// Everything that can be set about the wire. Bounds on events are the engine's
/// ([`annal_event::Limits`]).
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How clients reach this server, without a slash at the end.
    pub base_url: String,
    /// Origins that browsers may call from; `*` is any. None: no CORS.
    pub cors_origins: Vec<String>,
    /// Connections open at a time; more wait to be accepted.
    pub connections_max: usize,
    /// Live streams open at a time; more are told to come back.
    pub streams_max: usize,
    /// Clients of Events-DB that follow at a time; more are refused.
    pub clients_max: usize,
    /// Events handed on to such a client at a time.
    pub client_buffer_events: usize,
    /// Events on a page, and in a message, for clients of Events-DB.
    pub stream_batch_events: usize,
    /// Batches and NDJSON bodies taken in at a time; more wait a moment, then are refused.
    pub bulk_requests_max: usize,
    /// Where the part of a large batch waits, in files without names, that is not held in memory
    /// until all of it has come. Made if need be. Best not a file system in memory.
    pub spool_dir: PathBuf,
    /// Request line and headers together, in bytes.
    pub header_bytes_max: usize,
    /// How long a client may take to send its headers, and how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a body may pause.
    pub body_idle_timeout: Duration,
    /// How long an idle stream goes without a heartbeat.
    pub heartbeat_every: Duration,
    /// How long a request with `min_position` waits.
    pub position_wait_max: Duration,
    /// How long a query waits for search to see what was appended before it, and for its turn.
    pub search_wait_max: Duration,
    /// Consumers that there may be.
    pub consumers_max: usize,
    /// Where webhooks may go.
    pub callbacks: CallbackRules,
    /// Whom webhooks trust besides those that this machine trusts.
    pub callback_authorities: CallbackAuthorities,
    /// Finds the addresses that webhooks go to.
    pub resolver: Arc<dyn Resolve>,
    /// The world behind `/api/demo/…`, if there is one.
    pub demo: Option<Arc<dyn Demo>>,
    /// How long requests and streams get to finish at shutdown.
    pub grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            base_url: "http://localhost:8000".to_owned(),
            cors_origins: Vec::new(),
            connections_max: 16_384,
            streams_max: 10_000,
            clients_max: 10_000,
            client_buffer_events: 100,
            stream_batch_events: 10,
            bulk_requests_max: 16,
            spool_dir: std::env::temp_dir(),
            header_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            heartbeat_every: Duration::from_secs(15),
            position_wait_max: Duration::from_secs(10),
            search_wait_max: Duration::from_secs(5),
            consumers_max: 1_000,
            callbacks: CallbackRules::default(),
            callback_authorities: CallbackAuthorities::default(),
            resolver: Arc::new(SystemResolver::default()),
            demo: None,
            grace: Duration::from_secs(10),
        }
    }
}
