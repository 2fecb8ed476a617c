//! JSON Pointer (RFC 6901): names and array indices from the root to a value.

use std::borrow::Cow;

use super::Json;

/// What the pointer points at, if it is a pointer and there is something.
pub(super) fn find<'j, 'a>(document: &'j Json<'a>, pointer: &str) -> Option<&'j Json<'a>> {
    check(pointer).ok()?;
    tokens(pointer).try_fold(document, |json, token| child(json, &token))
}

/// Whether text is a JSON Pointer; if not, what is wrong.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err("is no JSON Pointer; begin it with /, or let it be empty for the whole");
    }
    let after_tilde = text.split('~').skip(1);
    match after_tilde.into_iter().all(|rest| rest.starts_with(['0', '1'])) {
        true => Ok(()),
        false => Err("is no JSON Pointer; write ~ as ~0 and / in a name as ~1"),
    }
}

/// The names of a pointer, from the root on.
pub(super) fn tokens(pointer: &str) -> impl DoubleEndedIterator<Item = Cow<'_, str>> {
    let names = pointer.strip_prefix('/').map(|names| names.split('/'));
    names.into_iter().flatten().map(unescape)
}

fn unescape(token: &str) -> Cow<'_, str> {
    if !token.contains('~') {
        return Cow::Borrowed(token);
    }
    Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
}

/// The member or item that a token names.
pub(super) fn child<'j, 'a>(json: &'j Json<'a>, token: &str) -> Option<&'j Json<'a>> {
    match json {
        Json::Object(object) => object.get(token),
        Json::Array(items) => items.get(index(token)?),
        _ => None,
    }
}

/// As [`child`], to be changed.
pub(super) fn child_mut<'j, 'a>(json: &'j mut Json<'a>, token: &str) -> Option<&'j mut Json<'a>> {
    match json {
        Json::Object(object) => object.get_mut(token),
        Json::Array(items) => items.get_mut(index(token)?),
        _ => None,
    }
}

/// An array index: decimal digits without a zero in front.
pub(super) fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = token.len() > 1 && token.starts_with('0');
    if digits && !leading_zero { token.parse().ok() } else { None }
}
