//! What is refused, where it stands, and that nothing takes the process down.

use std::time::{Duration, Instant};

use annal_projection::search::{
    DEPTH_MAX, FACETS_MAX, Interval, QueryError, Scope, SearchQuery, Sort,
};

use super::world::{Doc, World};
use crate::world::Dice;

fn position(error: &QueryError) -> Option<usize> {
    match error {
        QueryError::Text { position, .. } => Some(*position),
        _ => None,
    }
}

#[test]
fn a_text_that_does_not_parse_says_where() {
    let world = World::of(&[Doc::resource("n/1", 1, r#"{"a":"b"}"#)]);
    for (text, at) in [
        ("(a", 0),
        ("a (b OR (c)", 2),
        ("a)", 1),
        (")", 0),
        ("()", 1),
        ("é \"open", 2),
        ("AND b", 0),
        ("a AND", 2),
        ("a OR", 2),
        ("a AND OR b", 2),
        ("a (OR b)", 3),
        ("NOT", 0),
        ("a NOT", 2),
        ("- a", 0),
        ("+", 0),
        ("a:", 0),
        ("b (a:)", 3),
        ("[1 TO 2]", 0),
        ("a:[1 TO", 2),
        ("a:[1 2]", 5),
        ("a:[TO 2]", 6),
        ("a:[1 TO 2", 2),
        ("a:[1 TO 2)", 2),
        ("a:[1 TO 2-b]", 0),
        ("a:[2021-01-01 TO x-y]", 0),
        ("a:>", 2),
        ("a:>*", 2),
        ("a: IN [b", 3),
        ("a: IN []", 3),
        ("lo*g", 2),
        ("*log", 0),
        ("a^b^", 0),
        ("x \u{1f680}", 2),
        ("a:\"--\"", 0),
        ("a &", 2),
        ("a:\"b c\"~2", 0),
        ("\"a b\"~x", 5),
        ("a^0", 1),
        ("a:x[0]", 3),
    ] {
        let asked = world.search.query(&SearchQuery::new(text));
        match asked {
            // A caret without a number is a part of a word.
            Ok(_) => assert_eq!(text, "a^b^"),
            Err(error) => {
                assert_eq!(position(&error), Some(at), "{text}: {error}");
                let highlighter = world.search.highlighter(&SearchQuery::new(text));
                assert!(
                    highlighter.is_ok() || highlighter.is_err_and(|it| position(&it) == Some(at))
                );
            }
        }
    }
}

#[test]
fn nothing_nests_or_grows_without_bound() {
    let world = World::of(&[Doc::resource("n/1", 1, r#"{"a":"b"}"#)]);
    let long = 100_000;
    for text in [
        "(".repeat(long),
        "NOT ".repeat(long),
        "-(".repeat(long),
        "a:(".repeat(long),
        "\"".repeat(long + 1),
        "a ".repeat(long),
        format!("{}a{}", "(".repeat(33), ")".repeat(33)),
        "a OR ".repeat(300) + "a",
        format!("a: IN [{}]", "b ".repeat(300)),
    ] {
        let start = Instant::now();
        let error = world.search.query(&SearchQuery::new(&text)).expect_err("too much");
        assert!(position(&error).is_some(), "{error}");
        assert!(start.elapsed() < Duration::from_secs(1), "{error}");
    }
    let nested = format!("{}b{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(world.ask(&SearchQuery::new(&nested)).count, 1);
    let nots = format!("{}b", "NOT ".repeat(1_000));
    assert_eq!(world.ask(&SearchQuery::new(&nots)).count, 1);
}

#[test]
fn pages_facets_and_buckets_are_bounded() {
    let docs: Vec<Doc> = (1..=11_000)
        .map(|n| {
            let mut doc = Doc::event(n, "made", "s", &format!(r#"{{"word":"w{n}","n":{n}}}"#));
            doc.time.0 = n as i64 * 3_600_000_000;
            doc
        })
        .collect();
    let world = World::of(&docs);
    let all = SearchQuery { scope: Scope::Events, ..SearchQuery::new("*") };
    let refused = |query: SearchQuery<'_>| world.search.query(&query).expect_err("refused");
    let deep = refused(SearchQuery { offset: DEPTH_MAX, limit: 1, ..all.clone() });
    assert!(matches!(deep, QueryError::TooDeep { max: DEPTH_MAX }));
    let deep = refused(SearchQuery { offset: usize::MAX, limit: usize::MAX, ..all.clone() });
    assert!(matches!(deep, QueryError::TooDeep { .. }));
    let facets = ["n"; FACETS_MAX + 1];
    let many = refused(SearchQuery { facets: &facets, ..all.clone() });
    assert!(matches!(many, QueryError::TooManyFacets { .. }));
    let buckets = refused(SearchQuery { histogram: Some(Interval::Hour), ..all.clone() });
    assert!(matches!(buckets, QueryError::TooManyBuckets { .. }));
    let last = world.ask(&SearchQuery { offset: DEPTH_MAX - 1, limit: 1, ..all.clone() });
    assert_eq!((last.hits.len(), last.count), (1, 11_000));
    // A phrase whose last word could be any of many.
    let prefix = SearchQuery { text: "word:\"a w\"*", ..all };
    assert_eq!(position(&refused(prefix)), Some(0));
}

/// Text put together at random: an answer or a refusal, never a panic.
#[test]
fn no_text_is_too_strange() {
    let pieces = [
        "a",
        "b c",
        "(",
        ")",
        "\"",
        "'",
        "AND ",
        "OR ",
        "NOT ",
        "+",
        "-",
        ":",
        "a:",
        "n:",
        "*",
        "[",
        "]",
        "{",
        "}",
        " TO ",
        "^2",
        "~3",
        "\\",
        "IN [",
        ">",
        "<=",
        "2021-01-01",
        "-5",
        "1.5",
        "1e9",
        "99999999999999999999",
        "true",
        "é",
        "日",
        "\u{0}",
        "\u{1}",
        "\u{2}",
        "\u{10ffff}",
        "/",
        "data.",
        "type:",
        "subject:",
        ".",
        "..",
        "a.b.c:",
        " ",
    ];
    let content = r#"{"a":["b c",5,-1.5,18446744073709551615,true,"2021-01-01"],"n":7,"":"x","a.b":{"c":"é日"}}"#;
    let world = World::of(&[
        Doc::resource("n/1", 1, content),
        Doc::resource("n/2", 2, r#"{"a":-3,"n":1.5}"#),
        Doc::event(3, "t", "s", "[[[]]]"),
    ]);
    let mut dice = Dice(99);
    let mut answered = 0;
    for _ in 0..20_000 {
        let text: String = (0..1 + dice.below(9))
            .map(|_| pieces[dice.below(pieces.len() as u64) as usize])
            .collect();
        let facets = [text.as_str()];
        let sort = Sort::parse(&text);
        let query =
            SearchQuery { scope: Scope::All, facets: &facets, sort, ..SearchQuery::new(&text) };
        match world.search.query(&query) {
            Ok(_) => answered += 1,
            Err(QueryError::Text { position, .. }) => {
                assert!(position <= text.chars().count(), "{text:?} at {position}");
            }
            Err(error) => panic!("{text:?}: {error}"),
        }
        if let Ok(mut highlighter) = world.search.highlighter(&query) {
            highlighter.snippets(content);
        }
    }
    assert!(answered > 2_000, "{answered} were answered");
}

#[test]
fn strange_documents_are_found_by_what_they_have() {
    let long_name = "x".repeat(300);
    let many: String = (0..2_000).map(|n| format!(r#""k{n}":"v{n}","#)).collect();
    let deep = format!("{}\"bottom\"{}", "[".repeat(100), "]".repeat(100));
    let long_word = "y".repeat(70_000);
    let docs = [
        Doc::resource("n/1", 1, &format!(r#"{{"{long_name}":"unnamed"}}"#)),
        Doc::resource("n/2", 2, &format!(r#"{{{many}"last":"end"}}"#)),
        Doc::resource("n/3", 3, &deep),
        Doc::resource("n/4", 4, &format!(r#"{{"w":"{long_word}"}}"#)),
        Doc::resource("n/5", 5, r#"{"a\u0000b":"zero","\u0001":"one","\u0002":"two"}"#),
        Doc::resource("n/6", 6, r#"{"t":"\u0001fake\u0001 mark"}"#),
        Doc::resource("n/7", 7, "{broken"),
        Doc::resource("n/8", 8, "null"),
        Doc::resource(&format!("n/{}", "z".repeat(2_000)), 9, r#"{"t":"keyed"}"#),
    ];
    let world = World::of(&docs);
    let count = |text: &str| world.ask(&SearchQuery::new(text)).count;
    for text in
        ["unnamed", "v1999", "end", "k1:v1", "bottom", "zero", "one", "two", "fake", "t:fake-mark"]
    {
        assert_eq!(count(text), 1, "{text}");
    }
    assert_eq!(count(&"y".repeat(4_000)), 1, "a long word is cut, on both sides");
    assert_eq!(count("*"), 9);
    assert_eq!(count("subject:n/7"), 1);
    assert_eq!(count(&format!("subject:n/{}", "z".repeat(2_000))), 1);
    // A key that is too long for a term is refused and said so.
    let giant = Doc::resource(&"k".repeat(70_000), 10, "{}");
    let applied = world.search.apply([giant.put()], giant.position).expect("applied");
    assert_eq!((applied.put, applied.refused), (0, 1));
}
