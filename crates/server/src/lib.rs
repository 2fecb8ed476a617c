//! The wire: everything that knows HTTP and gRPC. What a request means is the engine's business.
//!
//! ```text
//! socket ─ server: connections ─ service: route, refuse, finish
//!            ├ append   bodies in: events, batches, NDJSON ─▶ engine
//!            ├ read     pages, single events, exports      ◀─ view
//!            ├ stream   server-sent events                 ◀─ subscription
//!            ├ consumers who is sent what, by webhook      ─▶ engine
//!            ├ webhook  deliveries out                      ◀─ subscription
//!            ├ realtime messages to clients, and their checkpoints
//!            ├ grpc     the same by gRPC, health, reflection
//!            └ eventsdb what clients of Events-DB ask, by REST or gRPC
//! ```
//!
//! Refuses with typed problems only ([`Code`], listed in `docs/errors.md`), buffers nothing that
//! has no bound, and holds nobody up with the disk. What a request may not hold in memory while it
//! comes in waits in a file.

mod append;
mod consumers;
mod cors;
mod demo;
mod eventsdb;
mod flow;
mod grpc;
mod health;
mod inflate;
mod intake;
mod json_text;
mod metrics;
mod negotiate;
mod options;
mod pages;
mod params;
mod percent;
mod problem;
mod query;
mod read;
mod readers;
mod realtime;
mod reply;
mod resources;
mod route;
mod server;
mod service;
mod shared;
mod spool;
mod stream;
mod together;
mod topics;
mod webhook;
mod wire;

pub use demo::{Demo, DemoError, DemoStatus};
pub use options::ServerOptions;
pub use pages::OPENAPI;
pub use problem::Code;
pub use query::{QueryRefused, answer_query};
pub use route::{ROUTES, Route};
pub use server::{Listener, Server};
pub use shared::EngineSlot;
pub use webhook::{
    address::{CallbackRules, Cidr, ParseCidrError},
    authorities::{CallbackAuthorities, ParseAuthoritiesError},
    net::{Addresses, Resolve, SystemResolver},
};
