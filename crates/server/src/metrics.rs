//! Counters of the wire, and all metrics as Prometheus text (API.md §10).
//!
//! Recording is a few relaxed additions. Buckets are fixed, so that nothing is allocated and
//! nothing is locked on the way of a request.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use annal_engine::{COMMIT_BUCKETS_US, Engine, EventSource, SearchState};
use http::StatusCode;

use crate::{
    grpc::METHODS,
    problem::Code,
    route::{ROUTES, Route},
    webhook::Webhooks,
};

/// Upper bounds of the duration buckets, in microseconds; one more bucket holds the rest.
const BUCKETS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    10_000_000,
];

/// What was done, in the metrics' own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Append,
    Read,
    Get,
    Stream,
    Other,
}

const OPERATIONS: [(Operation, &str); 4] = [
    (Operation::Append, "append"),
    (Operation::Read, "read"),
    (Operation::Get, "get"),
    (Operation::Stream, "stream"),
];

impl Operation {
    pub(crate) fn of(route: Route, posts: bool) -> Operation {
        match route {
            Route::Events if posts => Operation::Append,
            Route::Events | Route::Historic => Operation::Read,
            Route::Get | Route::At | Route::AtData | Route::Event => Operation::Get,
            Route::Stream | Route::Connect => Operation::Stream,
            _ => Operation::Other,
        }
    }
}

/// Durations in buckets.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(micros, Relaxed);
    }

    fn write(&self, out: &mut Text, name: &str, labels: &str) {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        out.buckets(name, labels, &BUCKETS_US, &counts, self.sum_us.load(Relaxed));
    }
}

/// What the wire counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By operation: succeeded, failed.
    operations: [[AtomicU64; 2]; OPERATIONS.len()],
    durations: [Histogram; OPERATIONS.len()],
    /// By route and hundreds of the status.
    requests: [[AtomicU64; 6]; ROUTES.len()],
    /// By place in [`Code::ALL`].
    problems: [AtomicU64; Code::ALL.len()],
    pub(crate) connections: AtomicU64,
    /// gRPC calls answered, by method and whether that was a refusal.
    calls: [[AtomicU64; 2]; METHODS.len()],
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            operations: Default::default(),
            durations: Default::default(),
            requests: std::array::from_fn(|_| Default::default()),
            problems: std::array::from_fn(|_| AtomicU64::new(0)),
            connections: AtomicU64::new(0),
            calls: Default::default(),
        }
    }
}

impl Metrics {
    /// Counts an answer.
    pub(crate) fn answered(
        &self,
        route: Route,
        operation: Operation,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests[route.index()][class(status)].fetch_add(1, Relaxed);
        self.operated(operation, status, took);
    }

    /// Counts an operation, through whichever door it came.
    pub(crate) fn operated(&self, operation: Operation, status: StatusCode, took: Duration) {
        if operation == Operation::Other {
            return;
        }
        let class = class(status);
        self.operations[operation as usize][usize::from(class > 3)].fetch_add(1, Relaxed);
        if operation != Operation::Stream {
            self.durations[operation as usize].record(took);
        }
    }

    /// Counts a gRPC call once it is answered, or once its stream has begun.
    pub(crate) fn called(&self, method: usize, operation: Operation, good: bool, took: Duration) {
        self.calls[method][usize::from(!good)].fetch_add(1, Relaxed);
        let status = if good { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        self.operated(operation, status, took);
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, code: Code) {
        self.problems[code as usize].fetch_add(1, Relaxed);
    }

    /// All of it as text; the engine's part once there is one.
    pub(crate) fn text(
        &self,
        engine: Option<&Engine>,
        streams: usize,
        webhooks: &Webhooks,
    ) -> Vec<u8> {
        let mut out = Text(String::with_capacity(16 * 1024));
        self.write_operations(&mut out);
        out.head("app_active_event_streams", "gauge", "Live streams open now.");
        out.sample("app_active_event_streams", "", streams as f64);
        self.write_requests(&mut out);
        write_webhooks(&mut out, webhooks);
        if let Some(engine) = engine {
            write_engine(&mut out, engine);
        }
        out.0.into_bytes()
    }

    fn write_operations(&self, out: &mut Text) {
        let name = "app_event_operations_total";
        out.head(name, "counter", "Operations on events, by outcome.");
        for (operation, text) in OPERATIONS {
            for (failed, status) in ["success", "error"].into_iter().enumerate() {
                let count = self.operations[operation as usize][failed].load(Relaxed);
                let labels = format!("operation=\"{text}\",status=\"{status}\"");
                out.sample(name, &labels, count as f64);
            }
        }
        let name = "app_event_operation_duration_seconds";
        out.head(name, "histogram", "Time from the end of the headers to the head of the answer.");
        for (operation, text) in OPERATIONS {
            if operation != Operation::Stream {
                let labels = format!("operation=\"{text}\"");
                self.durations[operation as usize].write(out, name, &labels);
            }
        }
    }

    fn write_requests(&self, out: &mut Text) {
        let name = "annal_http_requests_total";
        out.head(name, "counter", "Requests answered, by route and class of status.");
        for (route, path, _) in ROUTES {
            for (class, count) in self.requests[route.index()].iter().enumerate() {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = format!("route=\"{path}\",status=\"{class}xx\"");
                    out.sample(name, &labels, count as f64);
                }
            }
        }
        let name = "annal_grpc_calls_total";
        out.head(name, "counter", "gRPC calls answered, or begun if they are streams.");
        for (place, method) in METHODS.iter().enumerate() {
            for (refused, status) in ["ok", "refused"].into_iter().enumerate() {
                let count = self.calls[place][refused].load(Relaxed);
                if count > 0 {
                    let labels = format!("method=\"{}\",status=\"{status}\"", method.path);
                    out.sample(name, &labels, count as f64);
                }
            }
        }
        let name = "annal_rejected_requests_total";
        out.head(name, "counter", "Requests refused, by code.");
        for code in Code::ALL {
            let count = self.problems[*code as usize].load(Relaxed);
            if count > 0 {
                out.sample(name, &format!("code=\"{}\"", code.text()), count as f64);
            }
        }
        let connections = self.connections.load(Relaxed) as f64;
        out.one("annal_connections", "gauge", "Connections open now.", connections);
    }
}

fn write_webhooks(out: &mut Text, webhooks: &Webhooks) {
    let name = "annal_webhook_attempts_total";
    out.head(name, "counter", "Requests to callbacks, by outcome.");
    for (outcome, count) in [("delivered", &webhooks.delivered), ("failed", &webhooks.failed)] {
        let count = count.load(Relaxed) as f64;
        out.sample(name, &format!("outcome=\"{outcome}\""), count);
    }
    let dead = webhooks.dead.load(Relaxed) as f64;
    out.one("annal_dead_letters_total", "counter", "Events that were given up.", dead);
    let pending = webhooks.pending() as f64;
    out.one("annal_webhook_pending_events", "gauge", "Events on their way or waiting.", pending);
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).min(5)
}

fn write_engine(out: &mut Text, engine: &Engine) {
    let stats = engine.stats();
    let counter = "counter";
    out.one("annal_head_position", "gauge", "Last visible position.", engine.head().0 as f64);
    let queue = engine.queue_bytes() as f64;
    out.one("annal_queue_bytes", "gauge", "Bytes of appends that wait to be decided.", queue);
    let waiting = engine.view().bell().waiting() as f64;
    out.one(
        "annal_waiting_subscriptions",
        "gauge",
        "Subscriptions that wait at the head.",
        waiting,
    );
    let healthy = f64::from(u8::from(engine.health().is_ok()));
    out.one("annal_healthy", "gauge", "1 while appends are possible.", healthy);
    for (name, help, value) in [
        ("annal_appended_events_total", "Events stored.", stats.appended),
        ("annal_duplicate_events_total", "Events that were there already.", stats.duplicates),
        ("annal_appended_bytes_total", "Bytes of records that came with appends.", stats.bytes),
        ("annal_refused_appends_total", "Appends refused.", stats.refused),
        ("annal_identity_conflicts_total", "Appends refused for an identity.", stats.conflicts),
        (
            "annal_failed_preconditions_total",
            "Appends refused for a precondition.",
            stats.preconditions_failed,
        ),
        ("annal_busy_total", "Appends not taken because the queue was full.", stats.busy),
        ("annal_groups_total", "Groups committed.", stats.groups),
        ("annal_group_events_total", "Events in committed groups.", stats.group_events),
        ("annal_upkeep_errors_total", "Failed pieces of upkeep.", stats.upkeep_errors),
    ] {
        out.one(name, counter, help, value as f64);
    }
    write_search(out, engine);
    let name = "annal_commit_duration_seconds";
    out.head(name, "histogram", "Time of a commit: write and sync.");
    out.buckets(name, "", &COMMIT_BUCKETS_US, &stats.commit_buckets, stats.commit_micros);
}

fn write_search(out: &mut Text, engine: &Engine) {
    let Some(search) = engine.search() else { return };
    let status = search.status();
    let lag = status.head.get().saturating_sub(status.folded.get());
    let following = f64::from(u8::from(status.state == SearchState::Following));
    let stats = search.stats().unwrap_or_default();
    for (name, help, value) in [
        ("annal_search_following", "1 while search answers queries.", following),
        ("annal_search_lag_positions", "Positions that cannot be found yet.", lag as f64),
        ("annal_search_documents", "Documents that can be found.", stats.documents as f64),
        ("annal_search_bytes", "Size of the search index on disk.", stats.bytes as f64),
        ("annal_search_segments", "Segments of the search index.", stats.segments as f64),
    ] {
        out.one(name, "gauge", help, value);
    }
}

/// The Prometheus text format, version 0.0.4.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        match labels {
            "" => self.0.push_str(&format!("{name} {value}\n")),
            labels => self.0.push_str(&format!("{name}{{{labels}}} {value}\n")),
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    fn buckets(&mut self, name: &str, labels: &str, bounds: &[u64], counts: &[u64], sum_us: u64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (place, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(place).map(|micros| (*micros as f64 / 1e6).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            let labels = format!("{labels}{comma}le=\"{bound}\"");
            self.sample(&format!("{name}_bucket"), &labels, total as f64);
        }
        self.sample(&format!("{name}_sum"), labels, sum_us as f64 / 1e6);
        self.sample(&format!("{name}_count"), labels, total as f64);
    }
}
