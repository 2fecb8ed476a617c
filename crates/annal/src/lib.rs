//! The binary, as a library for its own tests: command line, configuration, wiring.
//!
//! Only this crate reads flags, environment, files of configuration and signals. Commands work on a
//! stopped data directory through the engine, and on a running server over HTTP ([`target`]); they
//! say the same either way.

pub mod bench;
pub mod cli;
mod client;
mod command;
pub mod config;
pub mod demo;
mod import;
mod logging;
mod open_files;
mod output;
mod small_pages;
mod sse;
mod target;

pub use cli::run;
