//! JSON commits: events that change a resource, and what they make of its document (API.md §5).
//!
//! A commit replaces the document (`resource_data`), then merges into it (`patch`, RFC 7396), then
//! removes it (`deleted`). Applying one is total and depends on nothing but the text before, so that
//! a fold over commits gives the same bytes everywhere. What a commit must look like is decided when
//! it comes in; [`Commit::of`] reads stored ones by the same rules.

mod key;

use std::borrow::Cow;

pub use key::{ResourceKey, schema_name};

use crate::{Data, Event, EventError, EventErrorKind, json, json::Json};

/// Whether events of this type are JSON commits.
pub fn is_commit_type(ty: &str) -> bool {
    matches!(ty, "json.commit" | "nl.vng.zaken.json-commit.v1")
}

/// What a JSON commit says, borrowing from its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Which resource it changes.
    pub key: ResourceKey<'a>,
    /// The schema that the document is held to, as the producer wrote it.
    pub schema: Option<Cow<'a, str>>,
    /// The exact text of `resource_data`: any JSON value.
    pub data: Option<&'a str>,
    /// The exact text of `patch`: any JSON value.
    pub patch: Option<&'a str>,
    /// Whether the resource is removed.
    pub deleted: bool,
    /// The exact text of `actor`: any JSON value but `null`.
    pub actor: Option<&'a str>,
    /// When the producer says that it happened, as it came.
    pub timestamp: Option<Cow<'a, str>>,
}

/// What a commit makes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// There is a document now: its compact text.
    Document(String),
    /// There is none, or none any more.
    Deleted,
}

/// A commit that cannot be applied; it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inapplicable {
    /// It patches what does not exist.
    #[error("there is no document to patch; send resource_data first")]
    Missing,
    /// The document before, or the commit's own, is not what was checked when it came in.
    #[error("{0}; run annal verify")]
    Damaged(json::JsonError),
}

impl<'a> Commit<'a> {
    /// What an event commits; `None` if its type is no commit's.
    pub fn of(event: &'a Event<'_>) -> Result<Option<Commit<'a>>, EventError> {
        if !is_commit_type(&event.ty) {
            return Ok(None);
        }
        let Data::Json(text) = &event.data else { return Err(not_an_object()) };
        Commit::read(text, event.subject.as_deref()).map(Some)
    }

    fn read(text: &'a str, subject: Option<&'a str>) -> Result<Commit<'a>, EventError> {
        const MEMBERS: [&str; 7] =
            ["resource_id", "schema", "resource_data", "patch", "deleted", "actor", "timestamp"];
        let texts = json::member_texts(text, MEMBERS).map_err(|_| not_an_object())?;
        let [id, schema, data, patch, deleted, actor, timestamp] = texts;
        let schema = optional_text("/data/schema", schema)?;
        let key = ResourceKey::of_commit(resource_id(id)?, schema.as_deref(), subject)?;
        let deleted = boolean(deleted)?;
        if data.is_none() && patch.is_none() && !deleted {
            let detail =
                "the commit changes nothing; send resource_data, patch, or deleted with true";
            return Err(wrong("/data", detail));
        }
        let actor = actor.filter(|actor| *actor != "null");
        let timestamp = optional_text("/data/timestamp", timestamp)?;
        Ok(Commit { key, schema, data, patch, deleted, actor, timestamp })
    }

    /// What becomes of a document; `None` stands for one that never was, or is deleted. Removing
    /// what is not there leaves it so.
    pub fn apply(&self, document: Option<&str>) -> Result<CommitOutcome, Inapplicable> {
        let before = self.data.or(document);
        if self.patch.is_some() && before.is_none() {
            return Err(Inapplicable::Missing);
        }
        if self.deleted {
            return Ok(CommitOutcome::Deleted);
        }
        match (self.patch, before) {
            (None, None) => Ok(CommitOutcome::Deleted),
            (None, Some(text)) => Ok(CommitOutcome::Document(compact(text))),
            (Some(patch), text) => merged(text.unwrap_or("null"), patch),
        }
    }
}

fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    json::push_compact(&mut out, text);
    out
}

fn merged(document: &str, patch: &str) -> Result<CommitOutcome, Inapplicable> {
    let mut json = Json::parse(document).map_err(Inapplicable::Damaged)?;
    json.merge(Json::parse(patch).map_err(Inapplicable::Damaged)?);
    let mut out = String::with_capacity(document.len() + patch.len());
    json.push_to(&mut out);
    Ok(CommitOutcome::Document(out))
}

fn wrong(pointer: &'static str, detail: impl Into<Cow<'static, str>>) -> EventError {
    EventError::new(EventErrorKind::Commit, pointer, detail)
}

fn not_an_object() -> EventError {
    wrong("/data", "the data of a commit is a JSON object; send one, as application/json")
}

fn resource_id(text: Option<&str>) -> Result<Cow<'_, str>, EventError> {
    const POINTER: &str = "/data/resource_id";
    let Some(text) = text else {
        return Err(wrong(POINTER, "resource_id is missing; every commit names its resource"));
    };
    self::text(POINTER, text)
}

/// A string; `null` is as good as none.
fn optional_text<'a>(
    pointer: &'static str,
    text: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, EventError> {
    match text {
        None | Some("null") => Ok(None),
        Some(text) => self::text(pointer, text).map(Some),
    }
}

fn text<'a>(pointer: &'static str, text: &'a str) -> Result<Cow<'a, str>, EventError> {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    if !text.starts_with('"') {
        return Err(wrong(pointer, format!("{name} is not text; send a JSON string")));
    }
    json::string_literal(text).ok_or_else(|| {
        wrong(pointer, format!("in {name} a surrogate stands alone; send Unicode text"))
    })
}

fn boolean(text: Option<&str>) -> Result<bool, EventError> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong("/data/deleted", "deleted is neither true nor false; send true")),
    }
}
