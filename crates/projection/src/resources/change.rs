//! What an event changes, and whether it may.

use std::sync::Arc;

use annal_event::{
    Commit, CommitOutcome, Event, EventError, EventErrorKind, Inapplicable, Position, ResourceKey,
    SchemaEvent, StoredEvent, Timestamp, schema_name,
};

use super::{
    Refusal, Resources, STATE_EVERY, SchemaChange, constraint, key,
    row::{Document, Facts},
    schema::Schema,
};
use crate::{
    draft::Draft,
    failure::Refuses,
    schema::Looks,
    store::{StoreError, Value},
};

/// Where an event stands, or will stand.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its position.
    pub position: Position,
    /// When it is recorded.
    pub recorded: Timestamp,
}

/// How strictly events are judged before they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// What others refer to may be deleted.
    pub force: bool,
}

/// Why an event was not folded.
pub type Failure = crate::Failure<Refusal>;

impl Refuses for Refusal {}

impl Resources {
    pub(super) fn change(
        &self,
        draft: &mut Draft,
        event: &Event<'_>,
        place: Place,
        checks: Option<&Checks>,
    ) -> Result<Option<SchemaChange>, Failure> {
        if let Some(schema) = SchemaEvent::of(event)? {
            return self.change_schema(draft, &schema, place, checks).map(Some);
        }
        if let Some(commit) = Commit::of(event)? {
            self.commit(draft, &commit, event.subject.as_deref(), place, checks)?;
        }
        Ok(None)
    }

    fn commit(
        &self,
        draft: &mut Draft,
        commit: &Commit<'_>,
        subject: Option<&str>,
        place: Place,
        checks: Option<&Checks>,
    ) -> Result<(), Failure> {
        if checks.is_some() {
            one_of_both(commit)?;
        }
        let resource = &commit.key;
        let before = document(draft, resource)?;
        let old = before.as_ref().and_then(Document::text);
        let new = match commit.apply(old) {
            Ok(CommitOutcome::Document(text)) => Some(text),
            Ok(CommitOutcome::Deleted) => None,
            Err(Inapplicable::Missing) => {
                return Err(Refusal::NothingToPatch { resource: resource.to_string() }.into());
            }
            Err(Inapplicable::Damaged(error)) => {
                let detail = error.to_string();
                return Err(EventError::new(EventErrorKind::Commit, "/data", detail).into());
            }
        };
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let schema = self.schema(resource.ty(), Position::MAX);
        if checks.is_some() {
            self.check(commit, new.as_deref(), schema.as_deref(), &mut draft.looks)?;
        }
        constraint::update(
            draft,
            resource,
            schema.as_deref(),
            constraint::Texts { old, new: new.as_deref() },
            checks,
        )?;
        count(draft, resource.ty(), old.is_some(), new.is_some())?;
        let changes = before.as_ref().map_or(0, Document::changes) + 1;
        let facts = Facts {
            revision: place.position,
            recorded: place.recorded,
            changes,
            text: new.as_deref(),
            subject,
        };
        let row = facts.row();
        if before.is_none() {
            draft.set(key::id(resource), Some(Value::from([])));
        }
        if changes.is_multiple_of(STATE_EVERY) {
            draft.set(key::state(resource, place.position), Some(Value::clone(&row)));
        }
        draft.set(key::document(resource), Some(row));
        Ok(())
    }

    fn check(
        &self,
        commit: &Commit<'_>,
        new: Option<&str>,
        schema: Option<&Schema>,
        looks: &mut Looks,
    ) -> Result<(), Refusal> {
        let (resource, max) = (|| commit.key.to_string(), self.rules.document_bytes_max);
        if new.is_some_and(|text| text.len() > max) {
            return Err(Refusal::TooLarge { resource: resource(), max });
        }
        if self.rules.require_schemas && schema.is_none() {
            let named = commit.schema.as_deref().and_then(schema_name);
            let schema = named.unwrap_or_else(|| commit.key.ty()).to_owned();
            return Err(Refusal::UnknownSchema { schema });
        }
        let (Some(schema), Some(text)) = (schema, new) else { return Ok(()) };
        let errors = schema.errors(text, looks);
        if errors.is_empty() {
            return Ok(());
        }
        let schema = schema.name.clone();
        Err(Refusal::SchemaViolation { resource: resource(), schema, errors })
    }

    /// Folds a resource anew from the commits that are left of it, after a user has deleted some;
    /// whether that has taken its document away.
    pub fn refold(
        &self,
        draft: &mut Draft,
        resource: &ResourceKey<'_>,
        commits: impl IntoIterator<Item = StoredEvent>,
    ) -> Result<bool, StoreError> {
        let exists = |draft: &Draft| {
            Ok(document(draft, resource)?.is_some_and(|document| !document.is_deleted()))
        };
        let existed = exists(draft)?;
        self.forget(draft, resource)?;
        for stored in commits {
            let place = Place { position: stored.position(), recorded: stored.recorded() };
            if let Ok(event) = stored.event() {
                self.fold(draft, &event, place)?;
            }
        }
        Ok(existed && !exists(draft)?)
    }

    /// Refuses what takes away the document of a resource that others refer to.
    pub fn unreferenced(&self, draft: &Draft, resource: &ResourceKey<'_>) -> Result<(), Failure> {
        constraint::unreferenced(draft, resource)
    }

    /// As if it had never been.
    fn forget(&self, draft: &mut Draft, resource: &ResourceKey<'_>) -> Result<(), StoreError> {
        let Some(before) = document(draft, resource)? else { return Ok(()) };
        let schema = self.schema(resource.ty(), Position::MAX);
        let texts = constraint::Texts { old: before.text(), new: None };
        match constraint::update(draft, resource, schema.as_deref(), texts, None) {
            Ok(()) | Err(Failure::Refused(_)) => {}
            Err(Failure::Store(error)) => return Err(error),
        }
        count(draft, resource.ty(), before.text().is_some(), false)?;
        for (state, _) in draft.prefixed(&key::states(resource), usize::MAX)? {
            draft.set(state, None);
        }
        draft.set(key::id(resource), None);
        draft.set(key::document(resource), None);
        Ok(())
    }

    fn change_schema(
        &self,
        draft: &mut Draft,
        event: &SchemaEvent<'_>,
        place: Place,
        checks: Option<&Checks>,
    ) -> Result<SchemaChange, Failure> {
        let ty = event.name().to_lowercase();
        let before = self.schemas.of(&ty, Position::MAX);
        let schema = match event {
            SchemaEvent::Put { name, schema } => {
                let compiled = match checks {
                    Some(_) => Schema::register(name, schema, place.position),
                    None => Schema::compile(name, schema, place.position),
                };
                let invalid = |error| Refusal::InvalidSchema { name: name.to_string(), error };
                Some(Arc::new(compiled.map_err(invalid)?))
            }
            SchemaEvent::Deleted { .. } => None,
        };
        constraint::rebuild(draft, &ty, before.as_deref(), schema.as_deref(), checks)?;
        let row = schema.as_ref().map(|schema| schema_row(schema));
        draft.set(key::schema(&ty), row);
        Ok(SchemaChange { ty, schema })
    }

    /// Compiles what is registered.
    pub(super) fn load_schemas(&self) -> Result<(), StoreError> {
        let draft = Draft::new(&self.store);
        for (row_key, row) in draft.prefixed(&key::schemas(), usize::MAX)? {
            let (Some(ty), Some((position, name, text))) = (key::name_of(&row_key), of_row(&row))
            else {
                continue;
            };
            // What does not compile (written by a version that knew more) holds nobody to anything.
            if let Ok(schema) = Schema::compile(name, text, position) {
                self.schemas.set(ty, position, Some(Arc::new(schema)), Position::ZERO);
            }
        }
        Ok(())
    }
}

/// A commit that removes a document has none: whoever sent one would lose it without being told.
/// Stored ones remove.
fn one_of_both(commit: &Commit<'_>) -> Result<(), EventError> {
    let changes = commit.data.is_some() || commit.patch.is_some();
    if commit.deleted && changes {
        let detail = "the commit has a document and removes it; leave out deleted to keep the \
                      document, or resource_data and patch to remove it";
        return Err(EventError::new(EventErrorKind::Commit, "/data/deleted", detail));
    }
    Ok(())
}

fn schema_row(schema: &Schema) -> Value {
    let mut row = schema.position.get().to_le_bytes().to_vec();
    row.extend_from_slice(&(schema.name.len() as u32).to_le_bytes());
    row.extend_from_slice(schema.name.as_bytes());
    row.extend_from_slice(schema.text.as_bytes());
    row.into()
}

fn of_row(row: &[u8]) -> Option<(Position, &str, &str)> {
    let (position, rest) = row.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let texts = std::str::from_utf8(rest).ok()?;
    let (name, text) = texts.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Position(u64::from_le_bytes(*position)), name, text))
}

pub(super) fn document(
    draft: &Draft,
    resource: &ResourceKey<'_>,
) -> Result<Option<Document>, StoreError> {
    Ok(draft.get(&key::document(resource))?.and_then(Document::of))
}

/// Keeps the number of documents of a type.
fn count(draft: &mut Draft, ty: &str, was: bool, is: bool) -> Result<(), StoreError> {
    if was == is {
        return Ok(());
    }
    let key = key::count(ty);
    let number = draft.get(&key)?.map_or(0, |row| number(&row));
    let number = if is { number + 1 } else { number.saturating_sub(1) };
    draft.set(key, Some(number.to_le_bytes().to_vec().into()));
    Ok(())
}

pub(super) fn number(row: &[u8]) -> u64 {
    row.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
