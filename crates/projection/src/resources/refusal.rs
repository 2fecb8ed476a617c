//! Why a commit may not be stored.

use annal_event::EventError;

use crate::schema::SchemaError;

/// Why an event that would change a resource or a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no commit.
    #[error(transparent)]
    Malformed(#[from] EventError),
    /// It patches a resource that does not exist.
    #[error("{resource} does not exist, so there is nothing to patch; send resource_data first")]
    NothingToPatch {
        /// `type/id`
        resource: String,
    },
    /// The document would become longer than one may be.
    #[error("{resource} would become longer than {max} bytes; keep large data elsewhere")]
    TooLarge {
        /// `type/id`
        resource: String,
        /// Longest document, in bytes.
        max: usize,
    },
    /// The document would break its schema.
    #[error("{resource} would break the schema {schema}")]
    SchemaViolation {
        /// `type/id`
        resource: String,
        /// Name of the schema.
        schema: String,
        /// What breaks it; the first few.
        errors: Vec<SchemaError>,
    },
    /// Only registered schemas may be named.
    #[error("the schema {schema} is not registered; PUT /schemas/{schema} first")]
    UnknownSchema {
        /// Name of the schema.
        schema: String,
    },
    /// Another resource has the value.
    #[error("{holder} has this {member} already, and {member} is unique")]
    NotUnique {
        /// The member.
        member: String,
        /// The other resource, `type/id`.
        holder: String,
    },
    /// What stands where a reference should cannot be one.
    #[error(
        "{member} refers to a resource of type {ty}: its resource_id, an array of them, or null; \
         it is something else"
    )]
    NoReference {
        /// The member.
        member: String,
        /// The type that it refers to.
        ty: String,
    },
    /// It refers to a resource that does not exist.
    #[error("{member} refers to {target}, which does not exist; create that first")]
    NoSuchTarget {
        /// The member.
        member: String,
        /// `type/id`
        target: String,
    },
    /// Others refer to what would be deleted.
    #[error("{referrer} refers to {resource} by {member}; delete that first, or use force=true")]
    Referenced {
        /// What would be deleted, `type/id`.
        resource: String,
        /// One of those who refer to it, `type/id`.
        referrer: String,
        /// By which member.
        member: String,
    },
    /// A schema is none.
    #[error("the schema {name} is not a valid JSON Schema")]
    InvalidSchema {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: SchemaError,
    },
}
