//! The cursors: who has seen what, and what they get next. No sockets, no clocks, no threads.
//!
//! A [`Subscription`] holds a position and an interest, never a queue: lag costs nothing, and catching
//! up and living on are the same code. What it reads from is an [`EventSource`]; what wakes it
//! when the log grows is a [`Bell`]. A [`Courier`] says what a webhook is sent next, and when.

mod bell;
mod courier;
mod subscription;
mod topic;

pub use bell::{Bell, Seat};
pub use courier::{Again, Courier, Item, Parcel, Policy, Progress, Verdict, Waiting};
pub use subscription::{EventSource, Scan, Step, Subscription};
