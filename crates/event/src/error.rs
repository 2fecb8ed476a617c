//! Why an event, a query, a filter or a precondition was refused.

use std::{borrow::Cow, fmt};

/// What is wrong with an event (or a query, a filter, a precondition) that somebody sent.
///
/// Small, because it travels in the `Result` of every codec; says where (`pointer`, a JSON Pointer
/// into what was sent, also for attributes of other formats: `/time`) and what to do (`detail`).
#[derive(Clone, PartialEq, Eq)]
pub struct EventError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: EventErrorKind,
    pointer: Cow<'static, str>,
    index: Option<usize>,
    position: Option<usize>,
    detail: Cow<'static, str>,
}

/// The kinds of refusal. Each belongs to one stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// The bytes are not JSON, not protobuf, or not UTF-8.
    Syntax,
    /// A required attribute is not there.
    Missing,
    /// An attribute or the data breaks a rule of CloudEvents.
    Invalid,
    /// An attribute that the store sets, or a source that it keeps for itself.
    Reserved,
    /// The event is larger than one may be.
    TooLarge,
    /// The batch holds more events than one may.
    TooMany,
    /// A query has another form than API.md §2 gives.
    Query,
    /// A filter is no CESQL expression, or no list of filter dialects.
    Filter,
    /// A precondition has another form than API.md §2 gives.
    Precondition,
    /// A JSON commit has another form than API.md §5 gives.
    Commit,
    /// What is asked of a topic has another form than API.md §6 gives.
    Topic,
    /// A stored record does not decode: what was read is not what was written.
    Damaged,
}

impl EventErrorKind {
    /// The stable code of the problem that a client sees.
    pub fn code(self) -> &'static str {
        match self {
            EventErrorKind::Syntax => "malformed-body",
            EventErrorKind::Missing | EventErrorKind::Invalid => "invalid-event",
            EventErrorKind::Reserved => "reserved",
            EventErrorKind::TooLarge => "event-too-large",
            EventErrorKind::TooMany => "batch-too-large",
            EventErrorKind::Query => "invalid-query",
            EventErrorKind::Filter => "invalid-filter",
            EventErrorKind::Precondition => "invalid-precondition",
            EventErrorKind::Commit => "invalid-commit",
            EventErrorKind::Topic => "invalid-topic",
            EventErrorKind::Damaged => "damaged",
        }
    }
}

impl EventError {
    /// An error at a place. `pointer` is a JSON Pointer, `""` the whole.
    pub fn new(
        kind: EventErrorKind,
        pointer: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> EventError {
        let (pointer, detail) = (pointer.into(), detail.into());
        EventError(Box::new(Inner { kind, pointer, index: None, position: None, detail }))
    }

    /// The same error, said of item `index` of a batch.
    #[must_use]
    pub fn at_index(mut self, index: usize) -> EventError {
        self.0.index = Some(index);
        self
    }

    /// The same error, at a character of the expression that was read, from 0.
    #[must_use]
    pub(crate) fn at_position(mut self, position: usize) -> EventError {
        self.0.position = Some(position);
        self
    }

    /// The same error, with another pointer in front of its own.
    #[must_use]
    pub fn under(mut self, parent: &str) -> EventError {
        self.0.pointer = format!("{parent}{}", self.0.pointer).into();
        self
    }

    /// The same error under another kind.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: EventErrorKind) -> EventError {
        self.0.kind = kind;
        self
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> EventErrorKind {
        self.0.kind
    }

    /// The stable code of the problem that a client sees.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// JSON Pointer to what is wrong, `""` for the whole.
    pub fn pointer(&self) -> &str {
        &self.0.pointer
    }

    /// Which item of a batch, from 0.
    pub fn index(&self) -> Option<usize> {
        self.0.index
    }

    /// Where in an expression: the number of characters before the place.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// What is wrong and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.0.index {
            write!(f, "event {index}: ")?;
        }
        if !self.0.pointer.is_empty() {
            write!(f, "{}: ", self.0.pointer)?;
        }
        if let Some(position) = self.0.position {
            write!(f, "character {position}: ")?;
        }
        f.write_str(&self.0.detail)
    }
}

impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EventError {}
