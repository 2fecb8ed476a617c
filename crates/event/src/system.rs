//! Events that the store itself appends: each change it makes on somebody's behalf is one, so that
//! it is ordered, replayed and audited like any other.

use std::borrow::Cow;

use crate::{
    Data, Event, EventError, EventErrorKind, Pattern, Position, Query, Selector, TopicSpec,
    is_commit_type, json,
};

/// Source of the events that the store itself appends.
pub const SYSTEM_SOURCE: &str = "/annal";

/// Type of the event that hides earlier ones.
pub const SUBJECT_DELETED: &str = "annal.subject.deleted";

/// Types of the events that register and remove a schema.
pub const SCHEMA_PUT: &str = "annal.schema.put";
/// See [`SCHEMA_PUT`].
pub const SCHEMA_DELETED: &str = "annal.schema.deleted";

/// Types of the events that create and change a topic.
pub const TOPIC_CREATED: &str = "annal.topic.created";
/// See [`TOPIC_CREATED`].
pub const TOPIC_CHANGED: &str = "annal.topic.changed";

/// What an `annal.subject.deleted` event says: the events before it that match are hidden from
/// every read. They keep their positions, identities and subject versions.
///
/// The event itself has no subject: it must not count as one more event of what it deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The subject.
    pub subject: String,
    /// Whether everything under it goes too.
    pub recursive: bool,
    /// Only events of this type, if one is given.
    pub ty: Option<String>,
    /// Only events at or after this position.
    pub from: Position,
}

impl Deletion {
    /// The events it speaks of, apart from where they stand.
    pub fn query(&self) -> Query {
        let subject = match self.recursive {
            true => Pattern::Tree(self.subject.clone()),
            false => Pattern::Exact(self.subject.clone()),
        };
        Query::one(Selector {
            subjects: vec![subject],
            types: self.ty.iter().cloned().map(Pattern::Exact).collect(),
            ..Selector::default()
        })
    }

    /// The event that says so.
    pub fn to_event(&self, id: String) -> Event<'static> {
        let mut data = Vec::new();
        json::write_deletion(&mut data, self);
        Event::new(id, SYSTEM_SOURCE, SUBJECT_DELETED)
            .with_json(String::from_utf8(data).unwrap_or_default())
    }

    /// Reads it back; `None` if this is another event.
    pub fn of(event: &Event<'_>) -> Result<Option<Deletion>, EventError> {
        if event.source != SYSTEM_SOURCE || event.ty != SUBJECT_DELETED {
            return Ok(None);
        }
        match &event.data {
            Data::Json(text) => json::parse_deletion(text.as_bytes()).map(Some),
            _ => Err(EventError::new(EventErrorKind::Damaged, "/data", "a deletion has JSON data")),
        }
    }
}

/// What an `annal.schema.…` event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaEvent<'a> {
    /// From now on documents are held to this schema.
    Put {
        /// Its name; names that differ in case only are the same.
        name: Cow<'a, str>,
        /// Its text.
        schema: Cow<'a, str>,
    },
    /// The schema of this name is no more.
    Deleted {
        /// Its name.
        name: Cow<'a, str>,
    },
}

impl<'a> SchemaEvent<'a> {
    /// The name of the schema.
    pub fn name(&self) -> &str {
        match self {
            SchemaEvent::Put { name, .. } | SchemaEvent::Deleted { name } => name,
        }
    }

    /// The event that says so.
    pub fn to_event(&self, id: String) -> Event<'static> {
        let mut data = b"{\"name\":".to_vec();
        json::write_string(&mut data, self.name());
        let ty = match self {
            SchemaEvent::Put { schema, .. } => {
                data.extend_from_slice(b",\"schema\":");
                data.extend_from_slice(schema.as_bytes());
                SCHEMA_PUT
            }
            SchemaEvent::Deleted { .. } => SCHEMA_DELETED,
        };
        data.push(b'}');
        Event::new(id, SYSTEM_SOURCE, ty).with_json(String::from_utf8(data).unwrap_or_default())
    }

    /// Reads it back; `None` if this is another event.
    pub fn of(event: &'a Event<'_>) -> Result<Option<SchemaEvent<'a>>, EventError> {
        if event.source != SYSTEM_SOURCE || !matches!(&*event.ty, SCHEMA_PUT | SCHEMA_DELETED) {
            return Ok(None);
        }
        let damaged = || {
            let detail = "a schema event has name and schema";
            EventError::new(EventErrorKind::Damaged, "/data", detail)
        };
        let Data::Json(text) = &event.data else { return Err(damaged()) };
        let found = json::member_texts(text, ["name", "schema"]).map_err(|_| damaged())?;
        let [Some(name), schema] = found else { return Err(damaged()) };
        let name = json::string_literal(name).ok_or_else(damaged)?;
        Ok(Some(match schema {
            Some(schema) if event.ty == SCHEMA_PUT => {
                SchemaEvent::Put { name, schema: Cow::Borrowed(schema) }
            }
            None if event.ty == SCHEMA_DELETED => SchemaEvent::Deleted { name },
            _ => return Err(damaged()),
        }))
    }
}

/// What an `annal.topic.…` event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// There is a topic of this name from now on.
    Created(TopicSpec),
    /// What is given of the topic holds from now on: each schema is added or takes the place of the
    /// one for its type, the rest stays as it was.
    Changed(TopicSpec),
}

impl TopicEvent {
    /// What it says of the topic.
    pub fn spec(&self) -> &TopicSpec {
        match self {
            TopicEvent::Created(spec) | TopicEvent::Changed(spec) => spec,
        }
    }

    /// The event that says so.
    pub fn to_event(&self, id: String) -> Event<'static> {
        let ty = match self {
            TopicEvent::Created(_) => TOPIC_CREATED,
            TopicEvent::Changed(_) => TOPIC_CHANGED,
        };
        Event::new(id, SYSTEM_SOURCE, ty).with_json(self.spec().to_json())
    }

    /// Reads it back; `None` if this is another event.
    pub fn of(event: &Event<'_>) -> Result<Option<TopicEvent>, EventError> {
        if event.source != SYSTEM_SOURCE || !matches!(&*event.ty, TOPIC_CREATED | TOPIC_CHANGED) {
            return Ok(None);
        }
        let Data::Json(text) = &event.data else {
            let detail = "an event about a topic has JSON data";
            return Err(EventError::new(EventErrorKind::Damaged, "/data", detail));
        };
        let spec = TopicSpec::parse(text, None);
        let spec = spec.map_err(|error| error.with_kind(EventErrorKind::Damaged).under("/data"))?;
        Ok(Some(match &*event.ty {
            TOPIC_CREATED => TopicEvent::Created(spec),
            _ => TopicEvent::Changed(spec),
        }))
    }
}

impl Event<'_> {
    /// Whether it may mean something to the store itself: one of its own events, a commit, or an
    /// event of a topic.
    pub fn is_marked(&self) -> bool {
        self.source == SYSTEM_SOURCE || is_commit_type(&self.ty) || self.topic().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_reads_back() {
        let all = Deletion {
            subject: "orders/\"42\"".to_owned(),
            recursive: true,
            ty: Some("placed".to_owned()),
            from: Position(7),
        };
        let least =
            Deletion { subject: "x".to_owned(), recursive: false, ty: None, from: Position::ZERO };
        for deletion in [all, least] {
            let event = deletion.to_event("d-1".to_owned());
            assert_eq!(Deletion::of(&event), Ok(Some(deletion)));
            assert_eq!(event.subject, None);
        }
        assert_eq!(Deletion::of(&Event::new("a", "/shop", SUBJECT_DELETED)), Ok(None));
        let put = SchemaEvent::Put { name: "Is\"sue".into(), schema: "{\"type\": 1}".into() };
        let gone = SchemaEvent::Deleted { name: "Issue".into() };
        for schema in [put, gone] {
            let event = schema.to_event("s-1".to_owned());
            assert_eq!(SchemaEvent::of(&event), Ok(Some(schema)));
        }
        let broken = Event::new("a", SYSTEM_SOURCE, SUBJECT_DELETED).with_json("{\"subject\":1}");
        assert!(Deletion::of(&broken).is_err());
    }
}
