//! Cutting an array that comes in pieces.

use annal_event::{EventError, EventErrorKind, json::ArraySplitter};
use proptest::prelude::*;

fn split(chunks: &[&[u8]], max: usize) -> Result<Vec<String>, EventError> {
    let mut items = Vec::new();
    let mut splitter = ArraySplitter::new(max);
    for chunk in chunks {
        splitter.feed(chunk, |item| {
            items.push(String::from_utf8_lossy(item).into_owned());
            Ok::<(), EventError>(())
        })?;
    }
    splitter.finish()?;
    assert_eq!(splitter.items(), items.len());
    Ok(items)
}

#[test]
fn items_come_out_whole() {
    let text = br#" [ {"a":"}]\"{"} ,{"b":[{},[]],"c":"\\"}
        ,{}] "#;
    let expected = [r#"{"a":"}]\"{"}"#, r#"{"b":[{},[]],"c":"\\"}"#, "{}"];
    assert_eq!(split(&[text], 100).expect("an array"), expected);
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(split(&bytes, 100).expect("an array"), expected);
    assert_eq!(split(&[b"[]"], 1), Ok(Vec::new()));
}

#[test]
fn junk_is_refused_where_it_begins() {
    for (text, at, index) in [
        ("{}", 0, None),
        ("[1]", 1, Some(0)),
        ("[{},]", 4, Some(1)),
        ("[,{}]", 1, Some(0)),
        ("[{}{}]", 3, None),
        ("[{}]x", 4, None),
        ("[{} \"\"]", 4, None),
        ("[[{}]]", 1, Some(0)),
    ] {
        let error = split(&[text.as_bytes()], 100).expect_err(text);
        assert_eq!((error.kind(), error.index()), (EventErrorKind::Syntax, index), "{text}");
        assert!(error.detail().contains(&format!("at byte {at}:")), "{text}: {error}");
    }
}

#[test]
fn an_array_that_does_not_end_is_refused() {
    for text in ["", "[", "[{}", "[{", "[{\"", "[{},", "[{\"\\"] {
        assert!(split(&[text.as_bytes()], 100).is_err(), "{text}");
    }
}

#[test]
fn an_item_may_not_be_too_large() {
    let item = format!("{{\"a\":\"{}\"}}", "x".repeat(92));
    assert_eq!(item.len(), 100);
    let text = format!("[{{}},{item}]");
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(7).collect();
    assert_eq!(split(&chunks, 100).expect("it fits").len(), 2);
    for chunks in [chunks, vec![text.as_bytes()]] {
        let error = split(&chunks, 99).expect_err("it does not fit");
        assert_eq!((error.kind(), error.index()), (EventErrorKind::TooLarge, Some(1)));
        assert!(error.detail().contains("at byte 4 "), "{error}");
    }
}

#[test]
fn what_each_refuses_ends_it() {
    let mut splitter = ArraySplitter::new(100);
    let error = EventError::new(EventErrorKind::Invalid, "", "no");
    let mut seen = 0;
    let result = splitter.feed(b"[{},{},{}]", |_| {
        seen += 1;
        if seen == 2 { Err(error.clone()) } else { Ok(()) }
    });
    assert_eq!((result, seen), (Err(error), 2));
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        items in prop::collection::vec("\\{(\"[a\\[\\]{},é]{0,9}(\\\\\")?\":\\[\\{\\}\\])?\\}", 0..5),
        size in 1..20_usize,
    ) {
        let text = format!("[{}]", items.join(" , "));
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let joined: Vec<String> = split(&chunks, 1_000).expect("an array");
        prop_assert_eq!(joined, items);
    }
}
