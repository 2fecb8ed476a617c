//! Which media types are JSON, and which data is.

use std::borrow::Cow;

use crate::{Data, json};

/// Whether a media type says that the content is JSON: `*/json` or `*/*+json`, parameters apart.
pub(crate) fn is_json(media_type: &str) -> bool {
    if media_type == "application/json" {
        return true;
    }
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = essence.split_once('/') else { return false };
    let last = subtype.rsplit('+').next().unwrap_or_default();
    last.eq_ignore_ascii_case("json")
}

/// Bytes that are JSON by media type and content are JSON, by whichever door they came.
pub(crate) fn data_of_bytes<'a>(bytes: Cow<'a, [u8]>, media_type: Option<&str>) -> Data<'a> {
    if !media_type.is_some_and(is_json) {
        return Data::Bytes(bytes);
    }
    match json_text(bytes) {
        Ok(text) => Data::Json(text),
        Err(bytes) => Data::Bytes(bytes),
    }
}

fn json_text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Cow<'_, [u8]>> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if json::is_json(text) => Ok(Cow::Borrowed(text)),
            _ => Err(Cow::Borrowed(bytes)),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) if json::is_json(&text) => Ok(Cow::Owned(text)),
            Ok(text) => Err(Cow::Owned(text.into_bytes())),
            Err(error) => Err(Cow::Owned(error.into_bytes())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_media_types() {
        for text in [
            "application/json",
            "text/json; charset=utf-8",
            "application/vnd.a+JSON ;v=1",
            "a/b+c+json",
        ] {
            assert!(is_json(text), "{text}");
        }
        for text in
            ["", "json", "application/jsonl", "text/plain; a=b/json", "application/json+xml"]
        {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn only_json_bytes_of_a_json_type_are_json() {
        let data = |bytes: &'static [u8], ty| data_of_bytes(Cow::Borrowed(bytes), ty);
        let json = Some("application/json");
        assert_eq!(data(b" {\"a\":1}\n", json), Data::Json(" {\"a\":1}\n".into()));
        assert!(matches!(data(b"{\"a\":", json), Data::Bytes(_)));
        assert!(matches!(data(b"\"\xFF\"", json), Data::Bytes(_)));
        assert!(matches!(data(b"", json), Data::Bytes(_)));
        assert!(matches!(data(b"{}", None), Data::Bytes(_)));
        assert!(matches!(data(b"{}", Some("text/plain")), Data::Bytes(_)));
    }
}
