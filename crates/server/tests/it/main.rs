//! The wire as clients see it: real sockets, a real engine in a temporary directory.

mod append;
mod client;
mod consumers;
mod contract;
mod deletion;
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
mod resources;
mod rest;
mod sink;
mod sse;
mod stream;
mod topics;
