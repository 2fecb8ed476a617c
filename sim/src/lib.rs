//! The simulator: the real engine, stepped by hand, on a disk that loses, tears, lies and fills up.
//!
//! One seed is one story: appends, retries, reads, subscribers, crashes, faults, in an order that
//! only the seed decides. Nothing of the engine is replaced but its seams (`Storage`, `Clock`,
//! `Random`); threads are left out, the state machines are stepped. A story ends well if
//! invariants 1–5 of `docs/invariants.md` held at every step, or with a [`Violation`].

mod clients;
mod documents;
mod history;
mod random;
mod story;

pub use history::Violation;
pub use story::{Breakage, Ending, Story, tell};
