//! The wire as clients see it: real sockets, a real engine in a temporary directory.

mod append;
#[path = "../../../event/tests/it/cesql_tck/cases.rs"]
mod cesql_cases;
mod cesql_tck;
mod client;
mod consumers;
mod contract;
mod deletion;
mod doors;
mod filter;
mod fixture;
mod generated;
mod grpc;
mod http;
mod limits;
mod memory;
mod ndjson;
mod query;
mod read;
mod realtime;
mod resources;
mod rest;
#[path = "../../../event/tests/it/shared.rs"]
mod shared;
mod sink;
mod sse;
mod stream;
mod topics;
