//! What an event changes of topics, and whether it may.

use std::sync::Arc;

use annal_event::{Event, Position, TopicEvent};

use super::{Counter, MARK_EVERY, Mark, Refusal, TOPICS_MAX, Topic, Topics, key, row};
use crate::{
    draft::Draft,
    failure::Refuses,
    schema::{Looks, SchemaError},
    store::StoreError,
};

/// Why an event was not folded.
pub type Failure = crate::Failure<Refusal>;

impl Refuses for Refusal {}

/// What an event is to topics.
#[derive(Debug)]
pub enum Judged {
    /// Nothing.
    Nothing,
    /// An event of a topic: it has this number there.
    Numbered(u64),
    /// It makes or changes a topic.
    Changes(TopicChange),
}

/// A topic that an event makes or changes; in force once it is staged.
#[derive(Clone, Debug)]
pub struct TopicChange {
    pub(super) topic: Arc<Topic>,
    /// Whether it was there before.
    existed: bool,
    /// The types that got another schema.
    types: Vec<String>,
}

impl TopicChange {
    /// The topic as it will be.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The types whose stored events the change may not suit.
    pub fn types(&self) -> &[String] {
        if self.existed { &self.types } else { &[] }
    }

    /// What of a stored event breaks the topic as it will be.
    pub fn errors(&self, event: &Event<'_>, looks: &mut Looks) -> Vec<SchemaError> {
        self.topic.errors(event, looks)
    }
}

impl Topics {
    pub(super) fn change(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        position: Position,
        check: bool,
    ) -> Result<Judged, Failure> {
        if let Some(about) = TopicEvent::of(event)? {
            return self.define(draft, &about, position, check).map(Judged::Changes);
        }
        let Some(name) = event.topic() else { return Ok(Judged::Nothing) };
        let Some(topic) = self.versions.of(name, Position::MAX) else {
            return Err(Refusal::UnknownTopic { topic: name.to_owned() }.into());
        };
        if check {
            topic.check(event, &mut draft.looks)?;
        }
        let bytes = event.data.bytes().map_or(0, <[u8]>::len) as u64;
        Ok(Judged::Numbered(count(draft, name, bytes, position)?))
    }

    fn define(
        &self,
        draft: &mut Draft,
        about: &TopicEvent,
        position: Position,
        check: bool,
    ) -> Result<TopicChange, Failure> {
        let spec = about.spec();
        let before = self.versions.of(&spec.name, Position::MAX);
        let name = || spec.name.clone();
        let from = match (about, &before) {
            (TopicEvent::Created(_), None) => Topic::new(&spec.name, position),
            (TopicEvent::Changed(_), Some(topic)) => Topic::clone(topic),
            (TopicEvent::Created(_), Some(_)) => {
                return Err(Refusal::Exists { topic: name() }.into());
            }
            (TopicEvent::Changed(_), None) => {
                return Err(Refusal::UnknownTopic { topic: name() }.into());
            }
        };
        if check && before.is_none() && self.versions.len() >= TOPICS_MAX {
            return Err(Refusal::TooMuch { what: "topics", max: TOPICS_MAX }.into());
        }
        let topic = match check {
            true => from.checked_with(spec, position)?,
            false => from.with(spec, position),
        };
        let row = row::of_definition(position, &topic.spec().to_json());
        draft.set(key::topic(&spec.name), Some(row));
        if before.is_none() {
            let mark = Mark { number: 0, position, bytes: 0 };
            draft.set(key::mark(&spec.name, 0), Some(mark.row()));
        }
        let types = spec.schemas.iter().flatten().map(|schema| schema.ty.clone()).collect();
        Ok(TopicChange { topic: Arc::new(topic), existed: before.is_some(), types })
    }
}

/// The number that an id of the form `<topic>-<number>` says.
pub fn number_of(topic: &str, id: &str) -> Option<u64> {
    let digits = id.strip_prefix(topic)?.strip_prefix('-')?;
    let is_number = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_number)
}

/// Gives an event of a topic its number.
fn count(
    draft: &mut Draft,
    topic: &str,
    bytes: u64,
    position: Position,
) -> Result<u64, StoreError> {
    let counter_key = key::counter(topic);
    let last = draft.get(&counter_key)?.and_then(|row| Counter::of(&row)).unwrap_or_default();
    let counter = Counter { sequence: last.sequence + 1, bytes: last.bytes.saturating_add(bytes) };
    draft.set(counter_key, Some(counter.row()));
    if counter.sequence.is_multiple_of(MARK_EVERY) {
        let mark = Mark { number: counter.sequence, position, bytes: counter.bytes };
        draft.set(key::mark(topic, counter.sequence), Some(mark.row()));
    }
    Ok(counter.sequence)
}
