//! One document as tantivy takes it: borrowed from what was parsed, nothing built twice.

use std::iter;

use annal_event::Position;
use tantivy::{
    Document as TantivyDocument, Term,
    schema::{
        Field,
        document::{ReferenceValue, ReferenceValueLeaf, Value as TantivyValue},
    },
};

use super::{
    Document, Key,
    content::{Content, Leaf, Value},
    place::Place,
    schema::{Fields, kind_term},
    writer::WaitingPlace,
};

/// Longer attributes are told apart by so many bytes only.
pub(super) const ATTRIBUTE_BYTES_MAX: usize = 1_000;

/// The longest key that a resource can be deleted by, in bytes: a term's limit.
pub(super) const KEY_BYTES_MAX: usize = 60_000;

/// An attribute as it is indexed and asked for.
pub(super) fn attribute(text: &str) -> &str {
    &text[..text.floor_char_boundary(ATTRIBUTE_BYTES_MAX)]
}

/// The term that a document is deleted by.
pub(super) fn key_term(fields: &Fields, key: &Key<'_>) -> Term {
    match key {
        Key::Event(position) => Term::from_field_u64(fields.event, position.get()),
        Key::Resource(key) => Term::from_field_text(fields.key, key),
    }
}

/// An id, or the id part of a resource's key (`123` of `issue/123`), as people are matched by.
pub(super) fn id_of(key: &str) -> String {
    let id = key.split_once('/').map_or(key, |(_, id)| id);
    attribute(id).to_lowercase()
}

/// A document on its way to the index.
#[derive(Debug)]
pub(super) struct Prepared {
    fields: Fields,
    key: Key<'static>,
    id: String,
    ty: String,
    subject: Option<String>,
    source: Option<String>,
    position: Position,
    time: i64,
    content: Content,
    _place: WaitingPlace,
}

impl Prepared {
    pub(super) fn new(
        fields: Fields,
        document: &Document<'_>,
        content: Content,
        place: WaitingPlace,
    ) -> Prepared {
        let (id, subject) = match &document.key {
            // A resource's subject is its key, nearly always.
            Key::Resource(key) => (id_of(key), document.subject.filter(|text| text != key)),
            Key::Event(_) => (String::new(), document.subject),
        };
        Prepared {
            fields,
            key: document.key.to_static(),
            id,
            ty: attribute(document.doc_type).to_owned(),
            subject: subject.map(|text| attribute(text).to_owned()),
            source: document.source.map(|text| attribute(text).to_owned()),
            position: document.position,
            time: document.time.micros(),
            content,
            _place: place,
        }
    }

    fn values(&self) -> Vec<(Field, FieldValue<'_>)> {
        let kind = self.key.kind();
        let own = self.fields.content(kind);
        let mut values = Vec::with_capacity(self.content.leaves.len() + 12);
        let text = self.content.marked();
        values.extend(text.map(|text| (own.text, FieldValue::text(text))));
        values.push((own.words, FieldValue::Members(Members::words(&self.content))));
        values.push((own.values, FieldValue::Members(Members::values(&self.content))));
        match &self.key {
            Key::Resource(key) => {
                values.push((self.fields.key, FieldValue::text(key)));
                values.push((self.fields.id, FieldValue::text(&self.id)));
            }
            Key::Event(position) => {
                values.push((self.fields.event, FieldValue::unsigned(position.get())));
            }
        }
        values.push((self.fields.kind, FieldValue::text(kind_term(kind))));
        values.push((self.fields.ty, FieldValue::text(&self.ty)));
        let subject = self.subject.as_deref();
        values.extend(subject.map(|text| (self.fields.subject, FieldValue::text(text))));
        let source = self.source.as_deref();
        values.extend(source.map(|text| (self.fields.source, FieldValue::text(text))));
        let place = Place::new(self.position, kind);
        values.push((self.fields.place, FieldValue::unsigned(place.0)));
        values.push((self.fields.time, FieldValue::Leaf(ReferenceValueLeaf::I64(self.time))));
        values
    }
}

impl TantivyDocument for Prepared {
    type Value<'a> = FieldValue<'a>;
    type FieldsValuesIter<'a> = std::vec::IntoIter<(Field, FieldValue<'a>)>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        self.values().into_iter()
    }
}

#[derive(Clone, Debug)]
pub(super) enum FieldValue<'a> {
    Leaf(ReferenceValueLeaf<'a>),
    Members(Members<'a>),
}

impl<'a> FieldValue<'a> {
    fn text(text: &'a str) -> FieldValue<'a> {
        FieldValue::Leaf(ReferenceValueLeaf::Str(text))
    }

    fn unsigned(number: u64) -> FieldValue<'a> {
        FieldValue::Leaf(ReferenceValueLeaf::U64(number))
    }
}

impl<'a> TantivyValue<'a> for FieldValue<'a> {
    type ArrayIter = iter::Empty<FieldValue<'a>>;
    type ObjectIter = Members<'a>;

    fn as_value(&self) -> ReferenceValue<'a, FieldValue<'a>> {
        match self {
            FieldValue::Leaf(leaf) => ReferenceValue::Leaf(leaf.clone()),
            FieldValue::Members(members) => ReferenceValue::Object(members.clone()),
        }
    }
}

/// The leaves of a content as members of one flat object, whose names are whole paths.
#[derive(Clone, Debug)]
pub(super) struct Members<'a> {
    content: &'a Content,
    rest: &'a [Leaf],
    columns: bool,
}

impl<'a> Members<'a> {
    fn words(content: &'a Content) -> Members<'a> {
        Members { content, rest: &content.leaves, columns: false }
    }

    fn values(content: &'a Content) -> Members<'a> {
        Members { content, rest: &content.leaves, columns: true }
    }

    fn value(&self, value: Value) -> Option<ReferenceValueLeaf<'a>> {
        match value {
            Value::Text { short, .. } if self.columns => {
                Some(ReferenceValueLeaf::Str(self.content.text(short)))
            }
            Value::Text { whole, .. } => Some(ReferenceValueLeaf::Str(self.content.text(whole))),
            Value::Bool(value) => Some(ReferenceValueLeaf::Bool(value)),
            _ if !self.columns => None,
            Value::Unsigned(value) => Some(ReferenceValueLeaf::U64(value)),
            Value::Signed(value) | Value::Instant(value) => Some(ReferenceValueLeaf::I64(value)),
            Value::Float(value) => Some(ReferenceValueLeaf::F64(value)),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, FieldValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((leaf, rest)) = self.rest.split_first() {
            self.rest = rest;
            let path = self.content.text(leaf.path);
            if path.is_empty() {
                continue;
            }
            if let Some(value) = self.value(leaf.value) {
                return Some((path, FieldValue::Leaf(value)));
            }
        }
        None
    }
}
