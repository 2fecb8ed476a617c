//! Why an event may not be stored in a topic, or a topic not be made.

use annal_event::{EventError, Position};

use crate::schema::SchemaError;

/// Why an event that names a topic, or is about one, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what it says.
    #[error(transparent)]
    Malformed(#[from] EventError),
    /// Nobody has created the topic.
    #[error("there is no topic {topic}; POST /topics first")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// Somebody has created the topic before.
    #[error("there is a topic {topic} already; PUT /topics/{topic} changes it")]
    Exists {
        /// Its name.
        topic: String,
    },
    /// The topic has no schema for the type, and is not open.
    #[error("the topic {topic} does not list the type {ty}; PUT /topics/{topic} adds a schema")]
    UnlistedType {
        /// The topic.
        topic: String,
        /// The type of the event.
        ty: String,
        /// Types that it lists; the first few.
        types: Vec<String>,
    },
    /// Its own id is that of another number of the topic.
    #[error(
        "{id} is the id of event {} of the topic {topic}, and this is event {number}; give it \
         another id, or publish it without one",
        id.trim_start_matches(topic.as_str()).trim_start_matches('-')
    )]
    OtherNumber {
        /// The topic.
        topic: String,
        /// The id.
        id: String,
        /// The number that the event would have.
        number: u64,
    },
    /// The payload would break its schema.
    #[error("the payload breaks the schema that the topic {topic} has for {ty}")]
    Payload {
        /// The topic.
        topic: String,
        /// The type of the event.
        ty: String,
        /// What breaks it; the first few.
        errors: Vec<SchemaError>,
    },
    /// A schema of the topic is none.
    #[error("the schema for {ty} is not a valid JSON Schema")]
    InvalidSchema {
        /// Its place among the schemas.
        index: usize,
        /// The type of events that it is for.
        ty: String,
        /// What is wrong with it.
        error: SchemaError,
    },
    /// Stored events would break a schema.
    #[error(
        "the event {id} of the topic {topic} breaks the schema for {ty}; change the schema, or use \
         force=true"
    )]
    StoredEvent {
        /// The topic.
        topic: String,
        /// The type of the event.
        ty: String,
        /// The id of the event.
        id: String,
        /// Where it stands.
        position: Position,
        /// What breaks the schema; the first few.
        errors: Vec<SchemaError>,
    },
    /// There would be too much of something.
    #[error("there would be more than {max} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
}
