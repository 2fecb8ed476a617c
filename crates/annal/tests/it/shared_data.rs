//! Real events, where they are at hand: the history of five repositories.

use crate::harness::{Server, events, shared, succeed};

const COMMITS: usize = 24_051;

#[test]
fn a_real_history_is_imported_once_by_either_way() {
    let Some(file) = shared("data/commits.ndjson.gz") else { return };
    let file = file.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stored =
        |n: usize, there: usize| format!("{n} events stored, {there} were there already\n");
    assert_eq!(succeed(dir.path(), &["import", file], b""), stored(COMMITS, 0));
    let server = Server::start(dir.path());
    assert_eq!(succeed(dir.path(), &["import", file], b""), stored(0, COMMITS));

    let path = "/events?subject=tokio-rs%2Faxum&recursive=true";
    let (status, body) = server.get(path, "application/x-ndjson");
    assert_eq!(status, 200);
    let found = events(&body);
    let all = succeed(dir.path(), &["export"], b"");
    let expected: Vec<_> = events(&all)
        .into_iter()
        .filter(|event| event["subject"].as_str().unwrap().starts_with("tokio-rs/axum/"))
        .collect();
    assert!(expected.len() > 1_000);
    assert_eq!(found, expected);
    assert_eq!(server.stop(), Some(0));
    let said = succeed(dir.path(), &["verify"], b"");
    assert!(said.starts_with("24051 events"), "{said}");
}
