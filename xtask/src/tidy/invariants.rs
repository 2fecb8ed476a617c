//! Every invariant of `docs/invariants.md` is held by an assertion in code and tried by a test.

use super::{Finding, Source};

const DOCUMENT: &str = "docs/invariants.md";

/// A promise that no code names is a wish; one that no test names is a hope.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(document) = sources.iter().find(|source| source.path == DOCUMENT) else {
        return vec![Finding::failure(DOCUMENT, "the list of invariants is missing")];
    };
    let mut findings = Vec::new();
    for name in names(&document.text) {
        let mut named = sources.iter().filter(|source| source.is_rust() && mentions(source, &name));
        let (in_test, in_code): (Vec<_>, Vec<_>) =
            named.by_ref().partition(|source| source.is_test());
        if in_code.is_empty() {
            findings.push(Finding::failure(DOCUMENT, format!("no code names {name}")));
        }
        if in_test.is_empty() {
            findings.push(Finding::failure(DOCUMENT, format!("no test names {name}")));
        }
    }
    findings
}

/// The distinct `INV-n` of a text, in order of appearance.
fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, _) in text.match_indices("INV-") {
        let digits: String = text[at + 4..].chars().take_while(char::is_ascii_digit).collect();
        let name = format!("INV-{digits}");
        if !digits.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whether the name stands there whole: `INV-1` is not in `INV-12`.
fn mentions(source: &Source, name: &str) -> bool {
    source.text.match_indices(name).any(|(at, _)| {
        let after = source.text[at + name.len()..].chars().next();
        !after.is_some_and(|next| next.is_ascii_digit())
    })
}
