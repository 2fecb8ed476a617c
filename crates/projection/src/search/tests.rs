//! How texts become words, trees and instants.

use tantivy::{
    query::Occur,
    query_grammar::{Delimiter, UserInputAst, UserInputBound, UserInputLeaf, parse_query},
    tokenizer::TextAnalyzer,
};

use super::{
    Sort, SortBy,
    content::{Content, Value},
    dates,
    parse::parse,
    syntax::{Expr, Operator, What, Words},
    words,
};

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::All => "*".to_owned(),
        Expr::Boost(expr, boost) => format!("({})^{boost}", shown(expr)),
        Expr::Bool(members) => {
            let member = |(occur, expr): &(Occur, Expr)| format!("{}{}", sign(*occur), shown(expr));
            format!("({})", members.iter().map(member).collect::<Vec<_>>().join(" "))
        }
        Expr::Leaf(leaf) => {
            let field = leaf.field.as_ref().map(|field| format!("{field}:")).unwrap_or_default();
            let value = |words: &Words| {
                let prefix = if words.prefix { "*" } else { "" };
                format!("<{}>{prefix}~{}", words.text, words.slop)
            };
            let what = match &leaf.what {
                What::Words(words) => value(words),
                What::Set(elements) => {
                    format!("IN {:?}", elements.iter().map(|words| &words.text).collect::<Vec<_>>())
                }
                What::Range(from, to) => {
                    let text = |words: &Words| words.text.clone();
                    format!("{:?}..{:?}", from.as_ref().map(text), to.as_ref().map(text))
                }
                What::Exists => "exists".to_owned(),
            };
            format!("{field}{what}")
        }
    }
}

fn sign(occur: Occur) -> &'static str {
    match occur {
        Occur::Must => "+",
        Occur::MustNot => "-",
        Occur::Should => "?",
    }
}

/// tantivy's own tree in the same form.
fn theirs(ast: &UserInputAst) -> String {
    match ast {
        UserInputAst::Boost(ast, boost) => format!("({})^{boost}", theirs(ast)),
        UserInputAst::Clause(members) => {
            let member = |(occur, ast): &(Option<Occur>, UserInputAst)| {
                format!("{}{}", sign(occur.unwrap_or(Occur::Should)), theirs(ast))
            };
            format!("({})", members.iter().map(member).collect::<Vec<_>>().join(" "))
        }
        UserInputAst::Leaf(leaf) => their_leaf(leaf),
    }
}

fn their_leaf(leaf: &UserInputLeaf) -> String {
    let named = |field: &Option<String>| {
        field.as_ref().map(|field| format!("{field}:")).unwrap_or_default()
    };
    let bound = |bound: &UserInputBound| match bound {
        UserInputBound::Inclusive(text) => format!("Included({text:?})"),
        UserInputBound::Exclusive(text) => format!("Excluded({text:?})"),
        UserInputBound::Unbounded => "Unbounded".to_owned(),
    };
    match leaf {
        UserInputLeaf::All => "*".to_owned(),
        UserInputLeaf::Literal(literal) => {
            // A star at the end of a bare word is left to the reader of the tree there.
            let star = literal.delimiter == Delimiter::None && literal.phrase.ends_with('*');
            let text = literal.phrase.trim_end_matches('*');
            let prefix = if star || literal.prefix { "*" } else { "" };
            format!("{}<{text}>{prefix}~{}", named(&literal.field_name), literal.slop)
        }
        UserInputLeaf::Range { field, lower, upper } => {
            format!("{}{}..{}", named(field), bound(lower), bound(upper))
        }
        UserInputLeaf::Set { field, elements } => format!("{}IN {elements:?}", named(field)),
        UserInputLeaf::Exists { field } => format!("{field}:exists"),
        UserInputLeaf::Regex { .. } => "a regular expression".to_owned(),
    }
}

#[test]
fn the_tree_is_tantivys() {
    let texts = [
        "a",
        "a b",
        "a b c",
        "a AND b",
        "a OR b",
        "a AND b AND c",
        "a OR b AND c",
        "a AND b OR c",
        "a OR b aaa",
        "a AND b aaa",
        "aaa a OR b",
        "aaa ccc a OR b",
        "aaa a AND b",
        "+a -b",
        "+a b",
        "-a",
        "-a b",
        "a -b",
        "-a OR b",
        "a OR -b",
        "a AND -b",
        "-a AND b",
        "+a OR +b",
        "a OR +b c",
        "NOT a",
        "a AND NOT b",
        "NOT a AND b",
        "a NOT b",
        "(a)",
        "(a b)",
        "(a AND b) OR c",
        "(a OR b) AND (c OR d)",
        "((a))",
        "-(a b)",
        "+(a b) c",
        "a^2",
        "a^2 b^3",
        "(a b)^2 c",
        "\"a b\"",
        "'a b'",
        "\"a b\"~2",
        "\"a b\"*",
        "\"a \\\" b\"",
        "t:a",
        "t:\"a b\"",
        "t:a b",
        "t:(a b)",
        "t:(a AND b) c",
        "t.u:a",
        "t: a",
        "t:a*",
        "log*",
        "*",
        "* AND a",
        "t:*",
        "t:[1 TO 5]",
        "t:{1 TO 5}",
        "t:[1 TO 5}",
        "t:[* TO 5]",
        "t:[a TO *]",
        "t:>5",
        "t:>=5",
        "t:<5",
        "t:<=2021-01-01",
        "t:[2021-01-01 TO 2021-12-31]",
        "t:[-5 TO -1]",
        "t: IN [a b]",
        "t:-5",
        "a-b",
        "a.b",
        "a/b",
        "t:a-b",
        "a\\:b",
        "é日",
        "a AND (b OR (c AND d))",
        "a  b\tc",
    ];
    for text in texts {
        let ours = shown(&parse(text, Operator::Or).expect(text));
        let Ok(ast) = parse_query(text) else { panic!("{text} does not parse there") };
        assert_eq!(ours, theirs(&ast), "{text}");
    }
}

#[test]
fn side_by_side_can_mean_and() {
    for (text, alike) in [
        ("a b", "a AND b"),
        ("a b OR c", "a AND b OR c"),
        ("a -b c", "a AND -b AND c"),
        ("(a b) (c OR d e)", "(a AND b) AND (c OR d AND e)"),
        ("t:(a b)", "t:(a AND b)"),
        ("a", "a"),
    ] {
        let (one, other) = (parse(text, Operator::And), parse(alike, Operator::Or));
        assert_eq!(shown(&one.expect(text)), shown(&other.expect(alike)), "{text}");
    }
}

#[test]
fn addresses_and_times_are_no_fields() {
    for (text, expected) in [
        ("https://example.com/a:b", "<https://example.com/a:b>~0"),
        ("10:30", "<10:30>~0"),
        ("url:https://example.com/a", "url:<https://example.com/a>~0"),
        ("tag:customer:7", "tag:<customer:7>~0"),
        (":a", "<:a>~0"),
        ("data.type:x", "data.type:<x>~0"),
        ("a\\.b:c", "a.b:<c>~0"),
        ("rock 'n roll", "(?<rock>~0 ?<'n>~0 ?<roll>~0)"),
        ("don't", "<don't>~0"),
        ("t:(u:a b)", "(?u:<a>~0 ?t:<b>~0)"),
    ] {
        assert_eq!(shown(&parse(text, Operator::Or).expect(text)), expected, "{text}");
    }
}

#[test]
fn fuzzy_words_are_refused_and_tildes_are_not() {
    for (text, at) in [
        ("login~", 5),
        ("login~1", 5),
        ("a login~0.8 b", 7),
        ("(login~2)", 6),
        ("title:login~1^2", 11),
        ("title:(a login~)", 14),
        ("(a b)~2", 5),
        ("\"a b\"~2~3", 7),
    ] {
        let error = parse(text, Operator::Or).expect_err(text);
        let super::QueryError::Text { position, message } = error else {
            panic!("{text}: {error}")
        };
        assert_eq!(position, at, "{text}: {message}");
        assert!(message.contains("quote it"), "{message}");
    }
    for (text, expected) in [
        ("/~ann/x", "</~ann/x>~0"),
        ("https://example.com/~ann", "<https://example.com/~ann>~0"),
        ("path:/people/~1", "path:</people/~1>~0"),
        ("~", "<~>~0"),
        ("a~b", "<a~b>~0"),
        ("a~1b", "<a~1b>~0"),
        ("login\\~1", "<login~1>~0"),
        ("\"login~1\"", "<login~1>~0"),
    ] {
        assert_eq!(shown(&parse(text, Operator::Or).expect(text)), expected, "{text}");
    }
}

fn tokens(mut analyzer: TextAnalyzer, text: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    analyzer.token_stream(text).process(&mut |token| {
        if token.text.chars().all(char::is_alphanumeric) {
            let written = &text[token.offset_from..token.offset_to];
            assert!(
                token.text.len() >= words::WORD_BYTES_MAX - 4
                    || written.to_lowercase() == token.text
            );
        }
        tokens.push((token.text.clone(), token.position));
    });
    tokens
}

#[test]
fn words_are_runs_of_letters_and_digits() {
    let plain = |text: &str| -> Vec<String> {
        tokens(words::plain(None), text).into_iter().map(|(word, _)| word).collect()
    };
    assert_eq!(plain("Use-after-FREE, v1.2"), ["use", "after", "free", "v1", "2"]);
    assert_eq!(plain("naïve ÉTÉ e\u{301}t Straße"), ["naïve", "été", "e\u{301}t", "straße"]);
    assert_eq!(plain("日本語 text"), ["日", "本", "語", "text"]);
    assert_eq!(plain("abc日本def"), ["abc", "日", "本", "def"]);
    assert_eq!(plain(" -- \u{1f680} "), [""; 0]);
    let long = plain(&"ä".repeat(1_000));
    assert_eq!(long.len(), 1);
    assert!(long[0].len() <= words::WORD_BYTES_MAX);
}

#[test]
fn marks_and_wholes_stand_where_they_should() {
    let manager = words::tokenizers(None);
    let marked = manager.get(words::MARKED).expect("registered");
    let mark = words::mark("a.b");
    let text = format!("{mark}{}one two", words::ANY_MARK);
    let expected = [(mark.as_str(), 0), (words::ANY_MARK, 0), ("one", 1), ("two", 2)];
    let expected: Vec<(String, usize)> =
        expected.iter().map(|(word, position)| (word.to_string(), *position)).collect();
    assert_eq!(tokens(marked, &text), expected);
    for text in ["one", "One-Two", "a b c d", "a b c d e", ""] {
        let plain: Vec<String> =
            tokens(words::plain(None), text).into_iter().map(|(word, _)| word).collect();
        let mut expected = plain.clone();
        expected.extend(words::whole(&plain));
        let all = tokens(manager.get(words::WHOLE).expect("registered"), text);
        assert_eq!(all.into_iter().map(|(word, _)| word).collect::<Vec<_>>(), expected, "{text}");
    }
    assert_eq!(words::whole(&["a".to_owned(), "b".to_owned()]).as_deref(), Some("a\u{1}b\u{1}"));
}

#[test]
fn dates_are_instants() {
    let second = |text: &str| dates::instant(text).map(|micros| micros / 1_000_000);
    assert_eq!(second("1970-01-02"), Some(86_400));
    assert_eq!(second("1970-01-01T00:00:01Z"), Some(1));
    assert_eq!(second("1970-01-01T01:00:01.5+01:00"), Some(1));
    assert_eq!(second("1970-01-01 00:01:00"), Some(60));
    assert_eq!(second("1970-01-01T00:01"), Some(60));
    assert_eq!(dates::instant("9999-12-31"), Some(253_402_214_400_000_000));
    for text in [
        "",
        "1970",
        "1970-13-01",
        "1970-02-30",
        "1970-01-01x",
        "1970-01-01T",
        "2020-01-01T00:00[UTC]",
    ] {
        assert_eq!(dates::instant(text), None, "{text}");
    }
    let days =
        |text: &str| dates::period(text).map(|period| (period.end - period.start) / 86_400_000_000);
    assert_eq!(days("2024"), Some(366));
    assert_eq!(days("2024-02"), Some(29));
    assert_eq!(days("2024-02-29"), Some(1));
    assert_eq!(days("2023-02-29"), None);
    assert_eq!(days("12345"), None);
    let instant = dates::period("2024-02-29T00:00:00Z").expect("an instant");
    assert_eq!(instant.end - instant.start, 1);
}

#[test]
fn documents_are_flattened() {
    let json = r#"{"a":{"b":["x",{"c":"2021-01-01"}]},"n":1,"f":1.5,"t":true,"z":null,"":"empty"}"#;
    let content = Content::parse(json).expect("JSON");
    let strings: Vec<(&str, &str)> = content.strings().collect();
    assert_eq!(strings, [("a.b", "x"), ("a.b.c", "2021-01-01"), ("", "empty")]);
    let instants = content.leaves.iter().filter(|leaf| matches!(leaf.value, Value::Instant(_)));
    assert_eq!(instants.map(|leaf| content.text(leaf.path)).collect::<Vec<_>>(), ["a.b.c.\u{2}"]);
    assert_eq!(content.leaves.len(), 7);
    let long = format!(r#"{{"t":"{}"}}"#, "é".repeat(100));
    let content = Content::parse(&long).expect("JSON");
    let Value::Text { short, .. } = content.leaves[0].value else { panic!("a text") };
    assert_eq!(content.text(short), format!("{}…", "é".repeat(22)));
}

#[test]
fn orders_are_read() {
    let by = |name: &str| SortBy::Field(name.to_owned());
    for (text, expected) in [
        ("title", Sort { by: by("title"), descending: false }),
        ("-title", Sort { by: by("title"), descending: true }),
        ("+title", Sort { by: by("title"), descending: false }),
        ("-_time", Sort { by: SortBy::Time, descending: true }),
        ("_score", Sort::default()),
        ("_position", Sort { by: SortBy::Position, descending: false }),
    ] {
        assert_eq!(Sort::parse(text), expected, "{text}");
    }
}
