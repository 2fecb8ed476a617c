//! The cursors: who has seen what, and what they get next. No sockets, no clocks, no threads.
//!
//! A [`Subscription`] holds a position and an interest, never a queue: lag costs nothing, and catching
//! up and living on are the same code. What it reads from is an [`EventSource`]; what wakes it
//! when the log grows is a [`Bell`].

mod bell;
mod subscription;
mod topic;

pub use bell::{Bell, Seat};
pub use subscription::{EventSource, Scan, Step, Subscription};
