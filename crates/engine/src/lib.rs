//! Annal as a library: open a data directory, append events, read them, follow them.
//!
//! ```text
//! request ─ Encoded ─▶ queue ─▶ Writer: dedupe, preconditions, positions ─▶ group
//!                                                                             │
//! reply ◀─ ticket ◀─ publish: tail, bell ◀─ Committer: authority.append ◀─────┘
//! ```
//!
//! [`Engine`] runs two threads over two state machines, and a third thread that tidies up. The
//! machines ([`Writer`], [`Committer`], [`Upkeep`]) have no threads of their own: the simulator
//! steps them by hand. Time and chance come in through [`Clock`] and [`Random`] only.

mod append;
mod catalog;
mod catch_up;
mod committer;
mod decide;
mod effects;
mod engine;
mod options;
mod queue;
mod read;
mod registers;
mod resource;
mod seams;
mod stage;
mod stats;
mod upkeep;
mod writer;

pub use annal_delivery::{Bell, EventSource, Seat, Step, Subscription};
pub use annal_projection::resources::{
    Checks, Document, FieldFilter, List, ListSpec, Lookup, Refusal, Resource, Schema, SchemaError,
    Sort,
};
pub use append::{
    Append, AppendError, Appended, Busy, FailedPrecondition, Holder, Outcome, Ticket,
};
pub use catalog::{Entries, Entry};
pub use committer::Committer;
pub use engine::{Core, Engine, OpenError};
pub use options::{Durability, EngineOptions};
pub use read::{Candidates, Cursor, Found, Order, Page, ReadError, ReadSpec, View};
pub use registers::{
    REGISTER_NAME_BYTES_MAX, REGISTER_VALUE_BYTES_MAX, REGISTERS_MAX, RegisterError, RegisterKind,
    RegisterOpenError, Registers,
};
pub use resource::{Past, ResourceAt, ResourceChange, ResourceHistory, ResourcesAt};
pub use seams::{Clock, Random, SystemClock, SystemRandom};
pub use stats::{COMMIT_BUCKETS_US, Stats, StatsSnapshot};
pub use upkeep::Upkeep;
pub use writer::{Progress, Writer};
