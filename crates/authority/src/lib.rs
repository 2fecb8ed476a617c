//! The head: one decision, compare-and-append.
//!
//! An authority says whether a batch becomes the next one of a log. It never looks at what is in
//! an event. [`Local`] is the log of this machine; [`Memory`] is a shared head in memory, which
//! also shows what the conformance suite ([`conformance`]) demands of every authority.

mod authority;
pub mod conformance;
mod local;
mod memory;
mod waiters;

pub use authority::{AppendError, Commit, CommitAuthority, Completion, ReadError};
pub use local::{Local, SyncWhen};
pub use memory::Memory;
