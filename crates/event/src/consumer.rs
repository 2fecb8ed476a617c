//! Consumers: webhooks that are sent what they ask for, and the store's own events about them.
//!
//! What somebody decides about a consumer (it is registered, paused, moved, removed) and what became
//! of events that could not be delivered is an event; how far a consumer has come is not, and stands
//! in a register beside the log. Secrets and the values of headers never stand in an event.

mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::{Event, EventError, Position, SYSTEM_SOURCE};

/// What all types of events about consumers begin with.
pub const CONSUMER_TYPES: &str = "annal.consumer.";

/// How deliveries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `{"consumerId","events":[{"id","timestamp","type","payload"}]}`
    #[default]
    Batch,
    /// One CloudEvent in structured mode.
    CloudEvents,
    /// A batch of CloudEvents.
    CloudEventsBatch,
}

impl Format {
    /// All of them, with the names they have on the wire.
    pub const NAMES: [(&str, Format); 3] = [
        ("batch", Format::Batch),
        ("cloudevents", Format::CloudEvents),
        ("cloudevents-batch", Format::CloudEventsBatch),
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Format::NAMES.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// Which events wait for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Those of one subject are delivered in order; subjects do not wait for each other.
    #[default]
    Subject,
    /// None waits.
    None,
    /// All are delivered in order.
    Log,
}

impl Ordering {
    /// All of them, with their names.
    pub const NAMES: [(&str, Ordering); 3] =
        [("subject", Ordering::Subject), ("none", Ordering::None), ("log", Ordering::Log)];

    /// The name.
    pub fn name(self) -> &'static str {
        Ordering::NAMES.iter().find(|(_, order)| *order == self).map_or("", |(name, _)| name)
    }
}

/// How failed deliveries are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How long to wait after the first failure, the second, …; after the last one it is given up.
    pub schedule_ms: Vec<u64>,
    /// How long an attempt may take.
    pub timeout_ms: u64,
    /// Given up when the first attempt is so long ago.
    pub max_age_ms: Option<u64>,
}

/// The schedule when nobody says: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
pub const RETRY_SCHEDULE_MS: [u64; 9] = [
    5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000,
    86_400_000,
];

/// How long an attempt may take when nobody says.
pub const RETRY_TIMEOUT_MS: u64 = 15_000;

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            schedule_ms: RETRY_SCHEDULE_MS.to_vec(),
            timeout_ms: RETRY_TIMEOUT_MS,
            max_age_ms: None,
        }
    }
}

/// A topic that a consumer is sent, from the event after a position on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStart {
    /// The topic.
    pub topic: String,
    /// Its events after this position.
    pub after: Position,
}

/// What was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Names it; a UUID.
    pub id: String,
    /// Where deliveries go.
    pub callback: String,
    /// An ephemeral consumer is removed on its first failure.
    pub durable: bool,
    /// The topics it is sent; none: all events, whether they have a topic or not.
    pub topics: Vec<TopicStart>,
    /// The JSON of its filter, if it has one.
    pub filter: Option<String>,
    /// It is sent nothing up to this position.
    pub from: Position,
    /// How deliveries are written.
    pub format: Format,
    /// Most events in one delivery.
    pub batch_size: u32,
    /// Which events wait for which.
    pub ordering: Ordering,
    /// How failed deliveries are tried again.
    pub retry: Retry,
    /// Names of the headers that are sent along. Their values are secrets.
    pub headers: Vec<String>,
}

/// An event about a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// There is one more.
    Registered(Box<ConsumerSpec>),
    /// It is no more, and why.
    Removed {
        /// Which.
        id: String,
        /// Why: `deleted`, or what an ephemeral one failed at.
        reason: String,
    },
    /// It is sent nothing until it is resumed.
    Paused {
        /// Which.
        id: String,
    },
    /// It is sent events again.
    Resumed {
        /// Which.
        id: String,
    },
    /// Its endpoint wants nothing any more.
    Disabled {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
    /// It goes on after another position; what waited for it is forgotten.
    Sought {
        /// Which.
        id: String,
        /// It goes on after this position.
        to: Position,
    },
    /// It has a new secret.
    SecretRotated {
        /// Which.
        id: String,
    },
    /// Events that were given up.
    Dead(DeadLetters),
    /// Events that were given up are to be delivered after all.
    Redriven {
        /// Which.
        id: String,
        /// The events.
        positions: Vec<Position>,
    },
}

/// Events that were given up together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Of which consumer.
    pub id: String,
    /// The events.
    pub positions: Vec<Position>,
    /// How often they were tried.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong last.
    pub error: String,
}

impl ConsumerEvent {
    /// The consumer it is about.
    pub fn id(&self) -> &str {
        match self {
            ConsumerEvent::Registered(spec) => &spec.id,
            ConsumerEvent::Dead(letters) => &letters.id,
            ConsumerEvent::Removed { id, .. }
            | ConsumerEvent::Paused { id }
            | ConsumerEvent::Resumed { id }
            | ConsumerEvent::Disabled { id, .. }
            | ConsumerEvent::Sought { id, .. }
            | ConsumerEvent::SecretRotated { id }
            | ConsumerEvent::Redriven { id, .. } => id,
        }
    }

    fn ty(&self) -> &'static str {
        match self {
            ConsumerEvent::Registered(_) => "annal.consumer.registered",
            ConsumerEvent::Removed { .. } => "annal.consumer.removed",
            ConsumerEvent::Paused { .. } => "annal.consumer.paused",
            ConsumerEvent::Resumed { .. } => "annal.consumer.resumed",
            ConsumerEvent::Disabled { .. } => "annal.consumer.disabled",
            ConsumerEvent::Sought { .. } => "annal.consumer.sought",
            ConsumerEvent::SecretRotated { .. } => "annal.consumer.secret.rotated",
            ConsumerEvent::Dead(_) => "annal.consumer.dead",
            ConsumerEvent::Redriven { .. } => "annal.consumer.redriven",
        }
    }

    /// The event that says so. It has no subject: subjects are its users'.
    pub fn to_event(&self, id: String) -> Event<'static> {
        Event::new(id, SYSTEM_SOURCE, self.ty()).with_json(write::data(self))
    }

    /// Reads it back; `None` if this is another event.
    pub fn of(event: &Event<'_>) -> Result<Option<ConsumerEvent>, EventError> {
        if event.source != SYSTEM_SOURCE || !event.ty.starts_with(CONSUMER_TYPES) {
            return Ok(None);
        }
        read::event(event)
    }
}

impl ConsumerSpec {
    /// Its JSON, as it stands in the event.
    pub fn to_json(&self) -> String {
        write::spec(self)
    }

    /// Reads what [`ConsumerSpec::to_json`] wrote; `None` if it is something else.
    pub fn from_json(text: &str) -> Option<ConsumerSpec> {
        read::spec(text)
    }
}
