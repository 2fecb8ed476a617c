//! One topic: what it lists, compiled.

use std::{collections::HashMap, sync::Arc};

use annal_event::{Event, Position, Retention, TopicSchema, TopicSpec};
use serde_json::Value;

use super::refusal::Refusal;
use crate::schema::{Compiled, Looks, SchemaError, own_keywords_at_the_root, parse};

/// The topic of messages for realtime clients. It is there without anybody creating it.
pub const REALTIME: &str = "realtime";

/// How long its events are kept, unless somebody changes that.
const REALTIME_AGE_MS: u64 = 24 * 60 * 60 * 1_000;

/// Most types that one topic lists, and most bytes of their schemas.
const TYPES_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Types that are told of in a refusal.
const TOLD_MAX: usize = 20;

/// A topic as it stands after its last change.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Position of the event that created or changed it last; 0 if none has.
    pub position: Position,
    /// How long events are kept.
    pub retention: Retention,
    /// Whether it takes types without a schema, too.
    pub open: bool,
    /// In the order in which they came.
    listed: Vec<Arc<Listed>>,
    /// Where in that a type stands.
    places: HashMap<String, usize>,
}

/// A type that a topic lists.
#[derive(Debug)]
struct Listed {
    ty: String,
    text: String,
    /// `None` if it does not compile, which is found out before it is stored (unless it is stored by
    /// a version that knew more): then it holds nobody to anything.
    compiled: Option<Compiled>,
}

impl Topic {
    pub(super) fn realtime() -> Topic {
        Topic {
            retention: Retention { age_ms_max: Some(REALTIME_AGE_MS), ..Retention::default() },
            open: true,
            ..Topic::new(REALTIME, Position::ZERO)
        }
    }

    pub(super) fn new(name: &str, position: Position) -> Topic {
        Topic {
            name: name.to_owned(),
            position,
            retention: Retention::default(),
            open: false,
            listed: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// A topic as it was written.
    pub(super) fn stored(spec: TopicSpec, position: Position) -> Topic {
        Topic::new(&spec.name, position).with(&spec, position)
    }

    /// The same with what is given changed. Schemas that are none hold nobody to anything.
    pub(super) fn with(&self, spec: &TopicSpec, position: Position) -> Topic {
        let mut topic = Topic { position, ..self.clone() };
        topic.retention = spec.retention.unwrap_or(topic.retention);
        topic.open = spec.open.unwrap_or(topic.open);
        for schema in spec.schemas.iter().flatten() {
            topic.list(Listed {
                ty: schema.ty.clone(),
                text: schema.text.clone(),
                compiled: compile(schema).ok(),
            });
        }
        topic
    }

    fn list(&mut self, listed: Listed) {
        let place = *self.places.entry(listed.ty.clone()).or_insert(self.listed.len());
        match self.listed.get_mut(place) {
            Some(before) => *before = Arc::new(listed),
            None => self.listed.push(Arc::new(listed)),
        }
    }

    fn of_type(&self, ty: &str) -> Option<&Listed> {
        self.listed.get(*self.places.get(ty)?).map(|listed| &**listed)
    }

    /// As [`Topic::with`]; refuses schemas that are none, and too many of them.
    pub(super) fn checked_with(
        &self,
        spec: &TopicSpec,
        position: Position,
    ) -> Result<Topic, Refusal> {
        let topic = self.with(spec, position);
        for (index, schema) in spec.schemas.iter().flatten().enumerate() {
            let invalid = |error| Refusal::InvalidSchema { index, ty: schema.ty.clone(), error };
            if topic.of_type(&schema.ty).is_some_and(|listed| listed.compiled.is_none()) {
                let error = compile(schema).err();
                let error = error.unwrap_or_else(|| SchemaError::of_root("it does not compile"));
                return Err(invalid(error));
            }
            own_keywords(schema).map_err(invalid)?;
        }
        if topic.listed.len() > TYPES_MAX {
            return Err(Refusal::TooMuch { what: "types in one topic", max: TYPES_MAX });
        }
        let bytes: usize = topic.listed.iter().map(|listed| listed.text.len()).sum();
        if bytes > BYTES_MAX {
            return Err(Refusal::TooMuch { what: "bytes of schemas in one topic", max: BYTES_MAX });
        }
        Ok(topic)
    }

    /// The types that it lists, with their schemas as they were given.
    pub fn schemas(&self) -> impl Iterator<Item = (&str, &str)> {
        self.listed.iter().map(|listed| (listed.ty.as_str(), listed.text.as_str()))
    }

    /// What [`Topic::stored`] is made of.
    pub(super) fn spec(&self) -> TopicSpec {
        let schemas = self.schemas();
        let schemas = schemas.map(|(ty, text)| TopicSchema { ty: ty.into(), text: text.into() });
        TopicSpec {
            name: self.name.clone(),
            schemas: Some(schemas.collect()),
            retention: Some(self.retention),
            open: Some(self.open),
        }
    }

    /// Whether it takes an event.
    pub(super) fn check(&self, event: &Event<'_>, looks: &mut Looks) -> Result<(), Refusal> {
        let Some(listed) = self.of_type(&event.ty) else {
            if self.open {
                return Ok(());
            }
            let types = self.schemas().take(TOLD_MAX).map(|(ty, _)| ty.to_owned()).collect();
            let (topic, ty) = (self.name.clone(), event.ty.to_string());
            return Err(Refusal::UnlistedType { topic, ty, types });
        };
        let errors = listed.errors(event, looks);
        if errors.is_empty() {
            return Ok(());
        }
        Err(Refusal::Payload { topic: self.name.clone(), ty: event.ty.to_string(), errors })
    }

    /// What of an event's payload breaks the schema for its type, if that has one.
    pub(super) fn errors(&self, event: &Event<'_>, looks: &mut Looks) -> Vec<SchemaError> {
        self.of_type(&event.ty).map(|listed| listed.errors(event, looks)).unwrap_or_default()
    }
}

impl Listed {
    fn errors(&self, event: &Event<'_>, looks: &mut Looks) -> Vec<SchemaError> {
        let Some(compiled) = &self.compiled else { return Vec::new() };
        match (event.data.json(), event.data.is_none()) {
            (Some(payload), _) => compiled.errors(payload, looks),
            (None, true) => compiled.errors("null", looks),
            (None, false) => vec![SchemaError::of_root("is not JSON; send it as application/json")],
        }
    }
}

/// Refuses keywords of our own where they do nothing: payloads are no documents that could be the
/// only ones, or refer to others.
fn own_keywords(schema: &TopicSchema) -> Result<(), SchemaError> {
    let value = parse(&schema.text)?;
    for keyword in ["x-unique", "x-references"] {
        if value.get(keyword).is_some() {
            let message = format!("{keyword} is about documents; leave it out of a topic's schema");
            return Err(SchemaError { pointer: format!("/{keyword}"), message });
        }
    }
    own_keywords_at_the_root(&value)
}

/// The member `type` names the type of events; everything else is the schema.
fn compile(schema: &TopicSchema) -> Result<Compiled, SchemaError> {
    let mut value = parse(&schema.text)?;
    if let Value::Object(members) = &mut value {
        members.remove("type");
        if members.contains_key("schema") {
            let message =
                "write the keywords of the schema beside `type`, not in a member `schema`";
            return Err(SchemaError { pointer: "/schema".to_owned(), message: message.to_owned() });
        }
    }
    Compiled::of(&value)
}
