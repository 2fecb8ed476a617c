//! Random JSON text: every way to spell a value, and what its compact text is.

use proptest::prelude::*;

/// Compact text of a value in which no name stands twice.
pub(crate) fn compact() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "0.10", "1e5", "1E+400"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        literal(),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let members = prop::collection::vec((literal(), inner.clone()), 0..8).prop_map(|members| {
            // The number in front makes every name another one.
            let named = members.iter().enumerate();
            let texts = named.map(|(n, (name, value))| format!("\"{n}_{}:{value}", &name[1..]));
            format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
        });
        let items =
            prop::collection::vec(inner, 0..8).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![members, items]
    })
}

/// A string literal with escapes that mean the same in several ways, or nothing that is Unicode.
pub(crate) fn literal() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        " ",
        "é",
        "😀",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "/",
        "~",
        "\\u0061",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\ud802",
        "\\udc00",
        "\\u0000",
        "{",
        "[",
        ",",
        ":",
        "\u{2028}",
    ]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// The same text with white space between its tokens.
pub(crate) fn spaced(compact: &str, spaces: &[u8]) -> String {
    let mut space =
        spaces.iter().cycle().map(|n| ["", " ", "\n", "\r\n\t", ""][usize::from(n % 5)]);
    let mut gap = || space.next().unwrap_or_default();
    let (mut out, mut string, mut escaped) = (gap().to_owned(), false, false);
    for character in compact.chars() {
        let punctuation = !string && "{}[]:,".contains(character);
        if punctuation {
            out.push_str(gap());
        }
        out.push(character);
        if punctuation {
            out.push_str(gap());
        }
        string = if character == '"' && !escaped { !string } else { string };
        escaped = string && character == '\\' && !escaped;
    }
    out + gap()
}

/// Any value that another JSON reader has too, with few names so that they meet.
pub(crate) fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (0_i64..4).prop_map(Into::into),
        "[a-c]{0,2}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop::sample::select(vec!["a", "b", "c", "a/b", "m~n", "", "0", "é"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}
