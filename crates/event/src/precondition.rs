//! What must hold at the head for an append to happen. API.md §2 has the JSON forms.

use crate::{Position, Query};

/// A condition on the head of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// About the events of one subject, or of it and everything under it.
    Subject {
        /// The subject.
        subject: String,
        /// Whether everything under it counts too.
        recursive: bool,
        /// What must hold of them.
        is: SubjectCheck,
    },
    /// No event after `after` matches.
    Absent {
        /// The events that must not be there.
        query: Query,
        /// Only events after this position count.
        after: Position,
    },
    /// Some event matches.
    Present {
        /// The events of which one must be there.
        query: Query,
    },
    /// So many events match.
    Count {
        /// The events to count.
        query: Query,
        /// How their number compares with `n`.
        op: Comparison,
        /// The number compared with.
        n: u64,
    },
    /// A resource stands at this revision, or (`None`) does not exist.
    Resource {
        /// `type/id`, a bare `resource_id`, or `type-id`.
        id: String,
        /// Position of its last change.
        revision: Option<Position>,
    },
    /// The log ends here.
    Head {
        /// Position of the last event.
        position: Position,
    },
}

/// What must hold of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectCheck {
    /// It has no events.
    None,
    /// It has at least one.
    Exists,
    /// So many events were ever appended to it.
    Version(u64),
    /// Its last event stands here.
    LastPosition(Position),
    /// Its last event has this id (and source).
    LastEvent {
        /// The id.
        id: String,
        /// The source, if it matters.
        source: Option<String>,
    },
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Whether `left op right` holds.
    pub fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Equal => left == right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Greater => left > right,
        }
    }
}

/// What was found where a precondition failed, for the answer to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Subject version, or number of matching events.
    pub version: Option<u64>,
    /// Matching events, where they were counted.
    pub count: Option<u64>,
    /// Revision of the resource, if it exists.
    pub revision: Option<Position>,
    /// Position of the last (or offending) event.
    pub position: Option<Position>,
    /// Id of that event.
    pub id: Option<String>,
    /// Source of that event.
    pub source: Option<String>,
}
