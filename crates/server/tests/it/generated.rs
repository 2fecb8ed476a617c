//! What `cargo xtask api` makes of the protos for a client.

#![allow(unused, unreachable_pub, missing_debug_implementations, clippy::all)]

#[rustfmt::skip]
pub(crate) mod annal_v1;
#[rustfmt::skip]
pub(crate) mod cloudevents;
#[rustfmt::skip]
pub(crate) mod eventsdb;
