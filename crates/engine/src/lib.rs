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
mod search;
mod stage;
mod stats;
mod topic;
mod upkeep;
mod writer;

pub use annal_delivery::{
    Again, Bell, Courier, EventSource, Item, Parcel, Policy, Progress as CourierProgress, Seat,
    Step, Subscription, Verdict,
};
pub use annal_projection::consumers::{Consumer, ConsumerState, Consumers, DeadLetter, Redrive};
pub use annal_projection::resources::{
    Checks, Document, FieldFilter, List, ListSpec, Lookup, Refusal, Resource, Schema, Sort,
};
pub use annal_projection::search::{
    DEPTH_MAX as SEARCH_DEPTH_MAX, Facet, FacetValue, Highlighter, Hit, Interval, Key as HitKey,
    Language, Operator, QueryError, Scope, SearchError, SearchOptions, SearchQuery,
    Sort as HitOrder,
};
pub use annal_projection::{
    schema::SchemaError,
    topics::{Counter, Refusal as TopicRefusal, Topic},
};
pub use annal_storage::{Rank, stand_back, thread_time};
pub use append::{
    Append, AppendError, Appended, Busy, FailedPrecondition, Holder, Outcome, Ticket,
};
pub use catalog::{Entries, Entry};
pub use catch_up::was_durable;
pub use committer::Committer;
pub use engine::{Core, Engine, OpenError};
pub use options::{Durability, EngineOptions};
pub use read::{Candidates, Cursor, Found, Order, Page, ReadError, ReadSpec, View};
pub use registers::{Registers, client_register, keys_register, progress_register};
pub use resource::{Past, ResourceAt, ResourceChange, ResourceHistory, ResourcesAt};
pub use seams::{Clock, Random, SystemClock, SystemRandom};
pub use search::{AskError, SearchState, SearchStatus, SearchWait, Searcher, data_text};
pub use stats::{COMMIT_BUCKETS_US, Stats, StatsSnapshot};
pub use topic::{Called, TopicRead};
pub use upkeep::Upkeep;
pub use writer::{Progress, Writer};
