//! The resources: documents that JSON commits add up to, with the schemas they are held to.
//!
//! Rows lie in the [`Store`] that projections share; what an event changes is worked out in a
//! [`Draft`], by the writer before the event is stored ([`Resources::judge`]) and by whoever folds
//! the log again ([`Resources::fold`]): the same code, which alone knows what a commit does.
//!
//! Invariants:
//! - The fold is total: a commit that cannot be applied changes nothing. Checks (schemas, unique
//!   values, references) are made before an event is stored, never while it is folded.
//! - A document's row holds its revision, which is the position of its last change.
//! - Every [`STATE_EVERY`] changes the document is kept as it was then, so that any past state is
//!   that many commits away at most.
//! - A value of a unique member has one holder; references lead both ways.

mod change;
mod constraint;
mod key;
mod list;
mod lookup;
mod refusal;
mod row;
mod schema;

use std::sync::Arc;

use annal_event::{Event, Position};

use crate::{
    draft::Draft,
    store::{Store, StoreError},
};

pub use change::{Checks, Failure, Place};
pub use list::{FieldFilter, List, ListSpec, Sort};
pub use lookup::{Lookup, Resource};
pub use refusal::Refusal;
pub use row::Document;
pub use schema::Schema;

/// Version of the rows, part of the store's format.
pub const FORMAT: u32 = 3;

/// A document is kept as it was after so many changes of it.
pub const STATE_EVERY: u32 = 256;

/// The resources of one log. All methods take `&self`; share it in an `Arc`.
#[derive(Debug)]
pub struct Resources {
    store: Arc<Store>,
    schemas: schema::Schemas,
    rules: Rules,
}

/// What holds for every commit that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Commits need a registered schema.
    pub require_schemas: bool,
    /// Longest document, in bytes of its compact JSON text.
    pub document_bytes_max: usize,
}

/// A schema that an event sets (or removes) for a type; in force once it is staged.
#[derive(Clone, Debug)]
pub struct SchemaChange {
    ty: String,
    schema: Option<Arc<Schema>>,
}

impl Resources {
    /// The resources in a store, whose rows are those of [`FORMAT`].
    pub fn open(store: Arc<Store>, rules: Rules) -> Result<Resources, StoreError> {
        let schemas = schema::Schemas::default();
        let resources = Resources { store, schemas, rules };
        resources.load_schemas()?;
        Ok(resources)
    }

    /// Judges an event that is about to be stored, and adds what it changes to the draft.
    pub fn judge(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        place: Place,
        checks: &Checks,
    ) -> Result<Option<SchemaChange>, Failure> {
        self.change(draft, event, place, Some(checks))
    }

    /// Adds what a stored event changes to the draft. What cannot be applied changes nothing.
    pub fn fold(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        place: Place,
    ) -> Result<Option<SchemaChange>, StoreError> {
        match self.change(draft, event, place, None) {
            Ok(change) => Ok(change),
            Err(Failure::Refused(_)) => Ok(None),
            Err(Failure::Store(error)) => Err(error),
        }
    }

    /// Puts a schema in force, once the event that brings it is staged. `visible`: no reader looks
    /// from an earlier head.
    pub fn set_schema(&self, change: SchemaChange, position: Position, visible: Position) {
        self.schemas.set(&change.ty, position, change.schema, visible);
    }

    /// Forgets what was staged after a position; the store forgets its rows itself.
    pub fn rollback(&self, to: Position) {
        self.schemas.rollback(to);
    }

    /// The registered schemas as of a head, in order of name.
    pub fn schemas(&self, at: Position) -> Vec<Arc<Schema>> {
        self.schemas.in_order(at)
    }

    /// The schema of a name (or resource type) as of a head.
    pub fn schema(&self, name: &str, at: Position) -> Option<Arc<Schema>> {
        self.schemas.of(&name.to_lowercase(), at)
    }
}
