//! The binary from the outside: started, asked, killed, started again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod commands;
mod configuration;
mod harness;
mod kill;
mod python;
mod resume;
mod search;
mod serve;
mod shared_data;
mod topics;
mod webhooks;
