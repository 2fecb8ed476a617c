//! Which resource a commit changes: a type and an id.

use std::{borrow::Cow, fmt};

use super::wrong;
use crate::{EventError, uri};

const TYPE_BYTES_MAX: usize = 255;
const ID_BYTES_MAX: usize = 1_024;

/// The type of a commit that says nothing of its type.
const UNKNOWN: &str = "unknown";

/// Names a resource. As text it is `type/id`; a type is never empty and has no `/`, so that the
/// first one splits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey<'a> {
    ty: Cow<'a, str>,
    id: Cow<'a, str>,
}

impl<'a> ResourceKey<'a> {
    /// A key; `None` if the type is empty or has a `/`, or the id is empty.
    pub fn new(
        ty: impl Into<Cow<'a, str>>,
        id: impl Into<Cow<'a, str>>,
    ) -> Option<ResourceKey<'a>> {
        let (ty, id) = (ty.into(), id.into());
        let right = !ty.is_empty() && !ty.contains('/') && !id.is_empty();
        right.then_some(ResourceKey { ty, id })
    }

    /// Reads back what a key shows itself as.
    pub fn from_text(text: &'a str) -> Option<ResourceKey<'a>> {
        let (ty, id) = text.split_once('/')?;
        ResourceKey::new(ty, id)
    }

    /// The type.
    pub fn ty(&self) -> &str {
        &self.ty
    }

    /// The id, unique within the type.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same key, borrowing from nothing.
    pub fn into_owned(self) -> ResourceKey<'static> {
        ResourceKey { ty: Cow::Owned(self.ty.into_owned()), id: Cow::Owned(self.id.into_owned()) }
    }

    /// The key of a commit: its type is the schema's name in lower case, else the first segment of
    /// the subject, else `unknown`.
    pub(super) fn of_commit(
        id: Cow<'a, str>,
        schema: Option<&str>,
        subject: Option<&'a str>,
    ) -> Result<ResourceKey<'a>, EventError> {
        let of_schema = schema.and_then(schema_name).map(|name| Cow::Owned(name.to_lowercase()));
        let of_subject = || {
            let segment = subject?.split('/').next()?;
            (!segment.is_empty()).then_some(Cow::Borrowed(segment))
        };
        let pointer = if of_schema.is_some() { "/data/schema" } else { "/subject" };
        let ty = of_schema.or_else(of_subject).unwrap_or(Cow::Borrowed(UNKNOWN));
        bounded(pointer, "the resource type", &ty, TYPE_BYTES_MAX)?;
        bounded("/data/resource_id", "resource_id", &id, ID_BYTES_MAX)?;
        // A segment has no `/` and is not empty, and an empty id was refused.
        Ok(ResourceKey { ty, id })
    }
}

impl fmt::Display for ResourceKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ty, self.id)
    }
}

fn bounded(
    pointer: &'static str,
    name: &str,
    text: &str,
    bytes_max: usize,
) -> Result<(), EventError> {
    let detail = match text {
        "" => format!("{name} is empty; give it a value"),
        _ if text.len() > bytes_max => {
            format!("{name} takes {} bytes and may take {bytes_max}; shorten it", text.len())
        }
        _ if text.contains('\0') => format!("{name} has the character U+0000; remove it"),
        _ => return Ok(()),
    };
    Err(wrong(pointer, detail))
}

/// The name that a schema goes by: the last segment of its path that is not empty, as it was
/// written (`Issue` of `https://example.com/schemas/Issue?v=1`).
pub fn schema_name(schema: &str) -> Option<&str> {
    let path = schema.split(['?', '#']).next().map(path)?;
    path.rsplit('/').find(|segment| !segment.is_empty())
}

/// A URI-reference without scheme and authority (RFC 3986 §3).
fn path(reference: &str) -> &str {
    let after_scheme = match reference.split_once(':') {
        Some((scheme, rest)) if uri::is_scheme(scheme.as_bytes()) => rest,
        _ => reference,
    };
    match after_scheme.strip_prefix("//") {
        None => after_scheme,
        Some(authority) => authority.find('/').map_or("", |at| &authority[at..]),
    }
}
