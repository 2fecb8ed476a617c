//! Finding the text of a few values in a document without building a tree of it.
//!
//! Where a name stands twice, the last one counts, as everywhere; so a text is always read to its
//! end, and checked on the way.

use super::{JsonError, scan::Cursor, text::Text};

/// The exact texts of some members of the object that `text` is, in the order of `names`.
pub fn member_texts<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], JsonError> {
    let mut cursor = Cursor::new(text);
    if !cursor.take(b'{') {
        cursor.value()?;
        return Err(JsonError { at: 0, what: "expected an object" });
    }
    let mut found = [None; N];
    let mut first = true;
    while let Some(name) = cursor.raw_member(first)? {
        first = false;
        let value = cursor.value()?;
        let name = Text::of(name);
        if let Some(place) = names.iter().position(|wanted| name.is(wanted)) {
            found[place] = Some(value);
        }
    }
    cursor.end()?;
    Ok(found)
}

/// The exact text of the value that a path of member names leads to, from the root on; `None` if
/// there is none or the text is no JSON.
pub fn text_at<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let whole = {
        let mut cursor = Cursor::new(text);
        let value = cursor.value().ok()?;
        cursor.end().ok()?;
        value
    };
    path.iter().try_fold(whole, |text, name| {
        let [found] = member_texts(text, [name]).ok()?;
        found
    })
}
