//! The keys of this projection's rows. The first byte says what kind of row it is; types and ids
//! have no NUL in them.

use annal_event::{Position, ResourceKey};

use crate::store::Key;

/// Documents: `type/id`.
const DOCUMENT: u8 = b'd';
/// Ids whatever their type: `id`, NUL, `type`.
const ID: u8 = b'i';
/// States in the past: `type/id`, NUL, the position big-endian.
const STATE: u8 = b's';
/// Values that only one resource may have: `type`, NUL, member, NUL, value.
const UNIQUE: u8 = b'u';
/// References: target `type/id`, NUL, source `type/id`, NUL, member.
const REFERENCE: u8 = b'r';
/// Number of documents of a type: `type`.
const COUNT: u8 = b'c';
/// Schemas: name.
const SCHEMA: u8 = b'x';

/// A value up to so many bytes stands in its key as it is, a longer one as its hash.
const VALUE_BYTES_MAX: usize = 128;

fn key(kind: u8, parts: &[&[u8]]) -> Key {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(kind);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.into()
}

pub(super) fn document(resource: &ResourceKey<'_>) -> Key {
    key(DOCUMENT, &[resource.ty().as_bytes(), b"/", resource.id().as_bytes()])
}

/// The prefix of the documents of a type, or of all.
pub(super) fn documents(ty: Option<&str>) -> Key {
    match ty {
        Some(ty) => key(DOCUMENT, &[ty.as_bytes(), b"/"]),
        None => key(DOCUMENT, &[]),
    }
}

/// The resource that a document's key names.
pub(super) fn resource_of(key: &[u8]) -> Option<ResourceKey<'_>> {
    ResourceKey::from_text(std::str::from_utf8(key.get(1..)?).ok()?)
}

pub(super) fn id(resource: &ResourceKey<'_>) -> Key {
    key(ID, &[resource.id().as_bytes(), b"\0", resource.ty().as_bytes()])
}

/// The prefix of the rows of an id.
pub(super) fn ids(id: &str) -> Key {
    key(ID, &[id.as_bytes(), b"\0"])
}

/// The type that a row of an id names.
pub(super) fn type_of_id(key: &[u8]) -> Option<&str> {
    let nul = key.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(key.get(nul + 1..)?).ok()
}

pub(super) fn state(resource: &ResourceKey<'_>, position: Position) -> Key {
    let position = position.get().to_be_bytes();
    key(STATE, &[resource.ty().as_bytes(), b"/", resource.id().as_bytes(), b"\0", &position])
}

/// The prefix of the states of a resource.
pub(super) fn states(resource: &ResourceKey<'_>) -> Key {
    key(STATE, &[resource.ty().as_bytes(), b"/", resource.id().as_bytes(), b"\0"])
}

/// Where the state of such a key stood.
pub(super) fn position_of_state(key: &[u8]) -> Option<Position> {
    let digits = key.get(key.len().checked_sub(8)?..)?;
    Some(Position(u64::from_be_bytes(digits.try_into().ok()?)))
}

/// `value` is compact JSON text.
pub(super) fn unique(ty: &str, member: &str, value: &str) -> Key {
    let hash;
    let value = match value.len() {
        0..=VALUE_BYTES_MAX => value.as_bytes(),
        _ => {
            hash = blake3::hash(value.as_bytes());
            hash.as_bytes()
        }
    };
    key(UNIQUE, &[ty.as_bytes(), b"\0", member.as_bytes(), b"\0", value])
}

/// The prefix of the unique values of a type.
pub(super) fn uniques(ty: &str) -> Key {
    key(UNIQUE, &[ty.as_bytes(), b"\0"])
}

pub(super) fn reference(target: &ResourceKey<'_>, source: &ResourceKey<'_>, member: &str) -> Key {
    let (target, source) = (target.to_string(), source.to_string());
    key(REFERENCE, &[target.as_bytes(), b"\0", source.as_bytes(), b"\0", member.as_bytes()])
}

/// The prefix of the references to a resource.
pub(super) fn references(target: &ResourceKey<'_>) -> Key {
    key(REFERENCE, &[target.to_string().as_bytes(), b"\0"])
}

/// Who refers, and by which member.
pub(super) fn referrer(key: &[u8]) -> Option<(&str, &str)> {
    let mut parts = key.get(1..)?.split(|byte| *byte == 0).skip(1);
    let (source, member) = (parts.next()?, parts.next()?);
    Some((std::str::from_utf8(source).ok()?, std::str::from_utf8(member).ok()?))
}

pub(super) fn count(ty: &str) -> Key {
    key(COUNT, &[ty.as_bytes()])
}

/// The prefix of all counts.
pub(super) fn counts() -> Key {
    key(COUNT, &[])
}

pub(super) fn schema(name: &str) -> Key {
    key(SCHEMA, &[name.as_bytes()])
}

/// The prefix of all schemas.
pub(super) fn schemas() -> Key {
    key(SCHEMA, &[])
}

/// The text after the kind.
pub(super) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(1..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let resource = ResourceKey::new("issue", "a/b 1").expect("a key");
        assert_eq!(resource_of(&document(&resource)), Some(resource.clone()));
        assert_eq!(type_of_id(&id(&resource)), Some("issue"));
        assert_eq!(position_of_state(&state(&resource, Position(300))), Some(Position(300)));
        let user = ResourceKey::new("user", "u1").expect("a key");
        let reference = reference(&user, &resource, "author");
        assert_eq!(referrer(&reference), Some(("issue/a/b 1", "author")));
        assert!(reference.starts_with(&references(&user)));
        // One user's prefix is not another's.
        let other = ResourceKey::new("user", "u").expect("a key");
        assert!(!reference.starts_with(&references(&other)));
    }
}
