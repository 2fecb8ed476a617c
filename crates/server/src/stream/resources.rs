//! The snapshot of resources: one message each, as they all were at one position, then `ready`.
//!
//! It is read part by part, in order of key, and holds on to nothing in between: what has changed
//! since its position is folded back to it.

use std::sync::Arc;

use annal_engine::{ReadError, ResourceAt, View};
use annal_event::{
    Commit, Interest, Pattern, Position, ResourceKey, StoredEvent, is_commit_type, json,
};

use super::message::push_ready;
use crate::{
    json_text::{push_position, push_string},
    read::encode::decode,
};

/// A piece is handed on when it has so many bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// Resources, and bytes of documents, looked at at a time.
const STEP_RESOURCES: usize = 256;
const STEP_BYTES: usize = 32 * 1024;

/// Which resources somebody wants, and which events of theirs: `type` names types of resources, or
/// of events, as one likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Kinds(Vec<Pattern>);

impl Kinds {
    /// Takes the types out of an interest: its query could not know of resources.
    pub(super) fn take_from(interest: &mut Interest) -> Kinds {
        // What a request says is one selector or none.
        let types = interest.query.any.first_mut().map(|selector| &mut selector.types);
        let kinds = Kinds(types.map(std::mem::take).unwrap_or_default());
        interest.query.any.retain(|selector| !selector.is_all());
        kinds
    }

    fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(text))
    }

    /// Whether an event is of such a type, or changes a resource of such a type.
    pub(super) fn want(&self, stored: &StoredEvent) -> Result<bool, ReadError> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let event = decode(stored)?;
        Ok(self.matches(&event.ty)
            || Commit::of(&event)
                .is_ok_and(|commit| commit.is_some_and(|commit| self.matches(commit.key.ty()))))
    }
}

/// A snapshot of resources on its way out.
pub(crate) struct Resources {
    view: Arc<View>,
    kinds: Kinds,
    interest: Interest,
    head: Position,
    after: Option<ResourceKey<'static>>,
}

impl Resources {
    pub(super) fn begin(view: &Arc<View>, kinds: Kinds, interest: Interest) -> Resources {
        Resources { head: view.head(), view: Arc::clone(view), kinds, interest, after: None }
    }

    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// The next messages; `false` with the last.
    pub(super) fn piece(&mut self) -> Result<(Vec<u8>, bool), ReadError> {
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 2);
        // Also one that finds nothing for long lets others have their turn.
        for _ in 0..16 {
            let after = self.after.as_ref();
            let part = self.view.resources_at(self.head, after, STEP_RESOURCES, STEP_BYTES)?;
            for resource in &part.resources {
                if self.wants(resource)? {
                    push_resource(&mut out, resource);
                }
            }
            self.after = part.next;
            if self.after.is_none() {
                push_ready(&mut out, self.head);
                return Ok((out, false));
            }
            if out.len() >= PIECE_BYTES {
                break;
            }
        }
        Ok((out, true))
    }

    /// Whether its last change is an event that is wanted.
    fn wants(&self, resource: &ResourceAt) -> Result<bool, ReadError> {
        let by_type = self.kinds.0.is_empty() || self.kinds.matches(resource.key.ty());
        if by_type && self.interest == Interest::all() {
            return Ok(true);
        }
        let found = self.view.get(resource.revision)?;
        let annal_engine::Found::Event(stored) = found else { return Ok(false) };
        let by_type =
            by_type || is_commit_type(&decode(&stored)?.ty) && self.kinds.want(&stored)?;
        Ok(by_type && self.interest.wants(&stored))
    }
}

fn push_resource(out: &mut Vec<u8>, resource: &ResourceAt) {
    let ResourceAt { key, revision, text } = resource;
    out.extend_from_slice(b"event: snapshot\ndata: {\"id\":");
    let start = out.len();
    push_string(out, &format!("{}-{}", key.ty(), key.id()));
    out.extend_from_slice(b",\"resource_type\":");
    push_string(out, key.ty());
    out.extend_from_slice(b",\"resource_id\":");
    push_string(out, key.id());
    // A name may have what some readers take for the end of a line.
    let name = String::from_utf8_lossy(&out[start..]).into_owned();
    out.truncate(start);
    json::write_json_sse(out, &name);
    out.extend_from_slice(b",\"data\":");
    json::write_json_sse(out, text);
    out.extend_from_slice(b",\"revision\":");
    push_position(out, *revision);
    out.extend_from_slice(b"}\n\n");
}
