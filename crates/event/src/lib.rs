//! The vocabulary: what an event is, where it stands, and how one asks for it.
//!
//! Everything here is plain data without I/O, clocks or threads. Bytes from outside come in through
//! the codecs ([`json`], [`http`], [`proto`]) and the compiler of expressions ([`cesql`]), which
//! never panic and say where the input is wrong.

mod attributes;
pub mod base64;
mod batch;
pub mod cesql;
mod commit;
mod consumer;
mod content;
mod error;
mod event;
mod filter;
pub mod http;
mod identity;
mod interest;
pub mod json;
mod keys;
mod limits;
mod media_type;
mod position;
mod precondition;
pub mod proto;
mod query;
mod realtime;
mod rfc3339;
mod system;
mod time;
mod topic;
mod uri;
mod validate;

pub use attributes::{Attribute, Attributes, ShortText};
pub use batch::{
    Batch, BatchError, Digest, Encoded, StoredEvent, chain, event_digest, merkle_root,
};
pub use commit::{Commit, CommitOutcome, Inapplicable, ResourceKey, is_commit_type, schema_name};
pub use consumer::{
    CONSUMER_TYPES, ConsumerEvent, ConsumerSpec, DeadLetters, Format, Ordering, RETRY_SCHEDULE_MS,
    RETRY_TIMEOUT_MS, Retry, TopicStart,
};
pub use error::{EventError, EventErrorKind};
pub use event::{Data, Event, Value};
pub use filter::Filter;
pub use identity::Identity;
pub use interest::Interest;
pub use keys::Keys;
pub use limits::Limits;
pub use position::{ParsePositionError, Position};
pub use precondition::{Actual, Comparison, Precondition, SubjectCheck};
pub use query::{Pattern, Query, Selector};
pub use realtime::{REALTIME_MESSAGE, REALTIME_SOURCE, REALTIME_TOPIC, RealtimeMessage, Recipient};
pub use system::{
    Deletion, SCHEMA_DELETED, SCHEMA_PUT, SUBJECT_DELETED, SYSTEM_SOURCE, SchemaEvent,
    TOPIC_CHANGED, TOPIC_CREATED, TopicEvent,
};
pub use time::{ParseTimestampError, Timestamp};
pub use topic::{Publication, Retention, TopicSchema, TopicSpec, is_topic_name};
