//! Every rule must be able to fail.

use serde_json::json;

use super::{Source, files, imports, invariants};

fn source(path: &str, text: impl Into<String>) -> Source {
    Source { path: path.to_owned(), text: text.into() }
}

fn found(path: &str, text: impl Into<String>) -> Vec<String> {
    files::check(&[source(path, text)]).iter().map(ToString::to_string).collect()
}

#[test]
fn a_clean_file_passes() {
    assert_eq!(found("crates/event/src/event.rs", "//! Events.\n"), [""; 0]);
}

#[test]
fn each_rule_of_files_can_fail() {
    let marked = |mark: String| found("crates/x/src/a.rs", format!("//! A.\n{mark}\n"));
    for (start, end) in [("TO", "DO"), ("FIX", "ME"), ("#[ig", "nore]"), ("db", "g!(1)")] {
        let findings = marked(format!("{start}{end}"));
        assert!(findings[0].starts_with("error: crates/x/src/a.rs:2:"), "{findings:?}");
    }
    assert_eq!(found("crates/x/src/mod.rs", "//! A.\n").len(), 1);
    assert!(found("crates/x/src/a.rs", "fn a() {}\n")[0].contains("open with"));
    assert!(found("docs/a.md", ["see /wo", "rk/a"].concat())[0].contains("docs/a.md:1"));
    assert!(found("x/Cargo.toml", "[package]\nname = \"x\"\n")[0].contains("[lints]"));
}

#[test]
fn long_files_are_warned_of_and_longer_ones_refused() {
    let long = |lines: usize| found("a.rs", format!("//! A.\n{}", "\n".repeat(lines)));
    assert_eq!(long(599), [""; 0]);
    assert!(long(650)[0].starts_with("warning"));
    assert!(long(900)[0].starts_with("error"));
}

#[test]
fn an_invariant_needs_code_and_a_test() {
    let document = || source("docs/invariants.md", "## INV-1\n## INV-12\n");
    let code = |name: &str| source("crates/log/src/a.rs", format!("//! {name}"));
    let test = |name: &str| source("crates/log/tests/it/a.rs", format!("//! {name}"));
    let found = |sources: &[Source]| invariants::check(sources).len();
    assert_eq!(found(&[document()]), 4);
    assert_eq!(found(&[document(), code("INV-12"), test("INV-12")]), 2, "INV-1 is not INV-12");
    assert_eq!(found(&[document(), code("INV-1 INV-12"), test("INV-12 INV-1")]), 0);
    assert_eq!(found(&[]), 1, "the document itself");
}

#[test]
fn imports_follow_the_table() {
    let package = |name: &str, dependency: &str, kind: serde_json::Value| json!({"id": name, "name": name, "dependencies": [{"name": dependency, "kind": kind}]});
    let judged = |name: &str, dependency: &str, kind: serde_json::Value| {
        let metadata = json!({
            "workspace_members": [name],
            "packages": [package(name, dependency, kind)],
            "resolve": {"nodes": []},
        });
        imports::judge(&metadata).len()
    };
    assert_eq!(judged("annal-log", "annal-event", json!(null)), 0);
    assert_eq!(judged("annal-event", "annal-log", json!(null)), 1);
    assert_eq!(judged("annal-event", "annal-log", json!("dev")), 0);
    assert_eq!(judged("annal-engine", "hyper", json!(null)), 1);
    assert_eq!(judged("annal", "clap", json!(null)), 0);
    assert_eq!(judged("annal-new", "serde", json!(null)), 1, "not in the table");
}

#[test]
fn a_runtime_is_found_however_deep() {
    let metadata = json!({
        "workspace_members": ["log"],
        "packages": [
            {"id": "log", "name": "annal-log", "dependencies": [{"name": "middle", "kind": null}]},
            {"id": "middle", "name": "middle", "dependencies": []},
            {"id": "tokio", "name": "tokio", "dependencies": []},
        ],
        "resolve": {"nodes": [
            {"id": "log", "deps": [{"pkg": "middle", "dep_kinds": [{"kind": null}]}]},
            {"id": "middle", "deps": [{"pkg": "tokio", "dep_kinds": [{"kind": null}]}]},
        ]},
    });
    let findings = imports::judge(&metadata);
    assert!(findings[0].text.contains("async runtime"), "{findings:?}");
}
