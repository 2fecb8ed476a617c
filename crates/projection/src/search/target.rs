//! What a field name means.
//!
//! `type`, `subject` and `source` are attributes; everything else is a path in the document. A
//! member that is called like an attribute is reached as `data.type`: `data.` always means the
//! document.

use super::{
    Kind,
    schema::{self, ContentFields, Fields},
};
use tantivy::{Term, schema::Field};

/// An attribute of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Type,
    Subject,
    Source,
}

impl Attribute {
    pub(super) fn field(self, fields: &Fields) -> Field {
        match self {
            Attribute::Type => fields.ty,
            Attribute::Subject => fields.subject,
            Attribute::Source => fields.source,
        }
    }

    /// Its column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Attribute::Type => schema::TYPE,
            Attribute::Subject => schema::SUBJECT,
            Attribute::Source => schema::SOURCE,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Attribute(Attribute),
    /// Member names joined by `.`
    Path(String),
}

impl Target {
    pub(super) fn of(field: &str) -> Target {
        match field {
            "type" => Target::Attribute(Attribute::Type),
            "subject" => Target::Attribute(Attribute::Subject),
            "source" => Target::Attribute(Attribute::Source),
            _ => Target::Path(field.strip_prefix("data.").unwrap_or(field).to_owned()),
        }
    }
}

/// The column of a path.
pub(super) fn column(kind: Kind, path: &str) -> String {
    format!("{}.{}", schema::values_name(kind), escape(path))
}

/// A term of the words field, still without its value.
pub(super) fn words_term(fields: ContentFields, path: &str) -> Term {
    Term::from_field_json_path(fields.words, &escape(path), true)
}

/// A term of the values field, still without its value. It leads to a column by its path as it is
/// read from the term, so that is escaped once more.
pub(super) fn values_term(fields: ContentFields, path: &str) -> Term {
    Term::from_field_json_path(fields.values, &escape(&escape(path)), true)
}

fn escape(path: &str) -> String {
    path.replace('\\', "\\\\")
}
