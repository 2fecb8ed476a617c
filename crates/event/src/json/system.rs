//! The data of the store's own events.

use super::read::{not_json, pointer, utf8};
use super::scan::Cursor;
use super::write::write_string;
use crate::{Deletion, EventError, EventErrorKind, Position};

/// Writes `{"subject":…,"recursive":…,"type":…,"from":…}`; the last two where they say something.
pub(crate) fn write_deletion(out: &mut Vec<u8>, deletion: &Deletion) {
    out.extend_from_slice(b"{\"subject\":");
    write_string(out, &deletion.subject);
    let recursive = if deletion.recursive { "true" } else { "false" };
    out.extend_from_slice(format!(",\"recursive\":{recursive}").as_bytes());
    if let Some(ty) = &deletion.ty {
        out.extend_from_slice(b",\"type\":");
        write_string(out, ty);
    }
    if deletion.from > Position::ZERO {
        out.extend_from_slice(format!(",\"from\":\"{}\"", deletion.from).as_bytes());
    }
    out.push(b'}');
}

/// Reads what [`write_deletion`] wrote. Members that a later version may add are passed over.
pub(crate) fn parse_deletion(text: &[u8]) -> Result<Deletion, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    let wrong = |name: &str| {
        let detail = "a deletion has subject, recursive, type, from";
        EventError::new(EventErrorKind::Damaged, pointer(name), detail)
    };
    if !cursor.take(b'{') {
        return Err(wrong(""));
    }
    let (mut subject, mut recursive, mut ty, mut from) = (None, false, None, Position::ZERO);
    let mut first = true;
    while let Some(name) = cursor.member(first).map_err(not_json)? {
        first = false;
        match name.as_ref() {
            "subject" => subject = Some(cursor.string().map_err(not_json)?.into_owned()),
            "type" => ty = Some(cursor.string().map_err(not_json)?.into_owned()),
            "from" => {
                let text = cursor.string().map_err(not_json)?;
                from = text.parse().map_err(|_| wrong(&name))?;
            }
            "recursive" => recursive = cursor.value().map_err(not_json)? == "true",
            _ => drop(cursor.value().map_err(not_json)?),
        }
    }
    cursor.end().map_err(not_json)?;
    let subject = subject.ok_or_else(|| wrong("subject"))?;
    Ok(Deletion { subject, recursive, ty, from })
}
