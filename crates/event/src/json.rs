//! The JSON format of CloudEvents 1.0.2, the JSON forms of queries, filters and preconditions, and
//! JSON documents with their patches.
//!
//! Data keeps its exact text in both directions. Reading an event refuses what two readers might
//! understand differently: names that stand twice, text that is not UTF-8, numbers that are no
//! integer of 32 bits where an extension has them. Nothing nests beyond 100 levels; scanning does
//! not recurse over input at all, and a tree ([`Json`]) or a filter no deeper than that.

mod extract;
mod filter;
mod merge;
mod number;
mod object;
mod patch;
mod pointer;
mod query;
mod read;
mod scan;
mod split;
mod system;
mod text;
mod tree;
mod write;

use std::fmt;

pub use extract::{member_texts, text_at};
pub use filter::{parse_filter, write_filter};
pub use number::Number;
pub use object::Object;
pub use patch::{MalformedPatch, Patch, PatchFailed, PatchFailure};
pub use query::{parse_precondition, parse_query, write_precondition, write_query};
pub use read::{parse_append, parse_append_noting, parse_batch, parse_event};
pub use split::ArraySplitter;
pub(crate) use system::{parse_deletion, write_deletion};
pub use text::Text;
pub use tree::{Json, JsonError};
pub(crate) use write::{push_compact, same_tokens};
pub use write::{write_event, write_event_sse, write_json_sse, write_string};

use crate::{Event, Precondition, Timestamp};

/// How much an incoming event may leave out.
#[derive(Debug)]
pub enum Strictness<'f> {
    /// Nothing: `specversion`, `id`, `source` and `type` must be there (CloudEvents media types).
    Strict,
    /// `specversion`, `id` and `time` are filled in (plain JSON and NDJSON).
    Lenient(Fill<'f>),
}

/// What is filled in where an event leaves it out.
pub struct Fill<'f> {
    /// Makes an id: a random one, or that of an `Idempotency-Key`.
    pub id: &'f mut dyn FnMut() -> String,
    /// The time of an event without one.
    pub now: Timestamp,
}

impl fmt::Debug for Fill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Of so many events of a batch that are refused a client is told at once.
pub const REFUSED_EVENTS_MAX: usize = 32;

/// Events and what must hold for them to be appended (API.md §2).
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionalAppend<'a> {
    /// The events, all or none.
    pub events: Vec<Event<'a>>,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
}

/// Whether a text is one JSON value that we accept as data.
pub(crate) fn is_json(text: &str) -> bool {
    let mut cursor = scan::Cursor::new(text);
    cursor.value().is_ok() && cursor.end().is_ok()
}

/// What a JSON text stands for, if it is one string literal without a surrogate that stands alone.
pub fn string_literal(json: &str) -> Option<std::borrow::Cow<'_, str>> {
    let mut cursor = scan::Cursor::new(json);
    let text = cursor.string().ok()?;
    cursor.end().ok().map(|()| text)
}

#[cfg(test)]
mod tests;
