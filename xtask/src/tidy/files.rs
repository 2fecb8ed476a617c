//! Rules about single files: their shape, and words that must not stand in them.

use super::{Finding, Source};

/// Longer files are read in pieces, so they should be pieces.
const LINES_WARN: usize = 600;
const LINES_FAIL: usize = 900;

/// Half-done work. Spelled in halves so that this file does not find itself.
const MARKS: [(&str, &str, &str); 7] = [
    ("TO", "DO", "finish it, or open an issue"),
    ("FIX", "ME", "fix it, or open an issue"),
    ("to", "do!(", "production code does not stop half way"),
    ("unimpl", "emented!(", "production code does not stop half way"),
    ("db", "g!(", "a trace of debugging"),
    ("#[ig", "nore", "a test that does not run proves nothing"),
    ("allow(dead", "_code)", "code that nobody calls has no tests and no users"),
];

/// Where people work is nobody's business, and breaks for everybody else.
const MACHINE_PATHS: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

/// Runs all rules over all files.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if source.is_rust() {
            findings.extend(no_mod_rs(source));
            findings.extend(length(source));
            findings.extend(opening(source));
            findings.extend(marks(source));
        }
        findings.extend(machine_paths(source));
        if source.path.ends_with("Cargo.toml") {
            findings.extend(lints(source));
        }
    }
    findings
}

/// `foo.rs` beside `foo/`: twenty editor tabs called `mod.rs` tell nobody where they are.
fn no_mod_rs(source: &Source) -> Option<Finding> {
    let wrong = source.path.ends_with("/mod.rs");
    wrong.then(|| {
        Finding::failure(&source.path, "name the file after the module, beside its folder")
    })
}

fn length(source: &Source) -> Option<Finding> {
    if is_generated(source) {
        return None;
    }
    let lines = source.text.lines().count();
    let text = format!("{lines} lines; split it by topic");
    match lines {
        0..=LINES_WARN => None,
        LINES_FAIL.. => Some(Finding::failure(&source.path, text)),
        _ => Some(Finding::warning(&source.path, text)),
    }
}

/// What `cargo xtask api` writes is as long as the protos make it.
fn is_generated(source: &Source) -> bool {
    source.path.contains("/generated/")
}

/// A reader opens one file and must learn what it is for.
fn opening(source: &Source) -> Option<Finding> {
    let opens = source.text.starts_with("//!");
    (!opens).then(|| Finding::failure(&source.path, "open with `//!`: what this file is for"))
}

fn marks(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (start, end, reason) in MARKS {
        let mark = format!("{start}{end}");
        for line in lines_with(source, &mark) {
            let place = format!("{}:{line}", source.path);
            findings.push(Finding::failure(place, format!("`{mark}`: {reason}")));
        }
    }
    findings
}

fn machine_paths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (start, end) in MACHINE_PATHS {
        let path = format!("{start}{end}");
        for line in lines_with(source, &path) {
            let place = format!("{}:{line}", source.path);
            findings.push(Finding::failure(place, format!("`{path}`: a path of one machine")));
        }
    }
    findings
}

/// Without the workspace's lints a crate may use `unsafe` and `unwrap` unseen.
fn lints(source: &Source) -> Option<Finding> {
    let package = source.text.contains("[package]");
    let inherits = source.text.contains("[lints]\nworkspace = true");
    (package && !inherits)
        .then(|| Finding::failure(&source.path, "add `[lints]` with `workspace = true`"))
}

fn lines_with(source: &Source, word: &str) -> Vec<usize> {
    let numbered = source.text.lines().enumerate();
    numbered.filter(|(_, line)| line.contains(word)).map(|(index, _)| index + 1).collect()
}
