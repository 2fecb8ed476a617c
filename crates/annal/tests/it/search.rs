//! Search by the binary: the same with and without a server, after `kill -9`, after a rebuild.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::{Server, run_in, succeed, text, until};

fn commits(count: usize) -> String {
    let line = |n: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"c-{n}","source":"/sample","type":"json.commit","subject":"issue/{}","time":"2026-01-15T10:30:00Z","data":{{"resource_id":"{}","resource_data":{{"title":"word{} common","n":{n}}}}}}}"#,
            n % 500,
            n % 500,
            n % 7,
        )
    };
    (0..count).map(|n| line(n) + "\n").collect()
}

/// What is asked of a directory or of the server that holds it.
const QUERIES: [&[&str]; 5] = [
    &["query", "common", "--limit", "3", "--sort", "-n"],
    &["query", "title:word3", "-n", "0", "--facets", "title", "--histogram", "month"],
    &[
        "query",
        "\"word1 common\"",
        "--no-highlight",
        "--limit",
        "2",
        "--sort",
        "n",
        "--offset",
        "1",
    ],
    &["query", "n:[100 TO 200] AND word2", "--in", "all", "--sort", "_position", "--type", "issue"],
    &["query", "-n", "1", "--sort", "_position", "--operator", "and"],
];

fn answers(dir: &Path) -> Vec<Value> {
    let answer = |args: &&[&str]| serde_json::from_str(&succeed(dir, args, b"")).unwrap();
    QUERIES.iter().map(answer).collect()
}

/// Waits until search follows the log.
fn follows(server: &Server) {
    until("search follows the log", || {
        let (status, body) = server.get("/health/ready", "application/json");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["search"]["state"] == "following"
    });
}

#[test]
fn query_and_get_resource_say_the_same_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &["import", "-"], commits(2_000).as_bytes());
    assert!(!dir.path().join("search_index").exists(), "an import leaves search for later");
    let offline = answers(dir.path());
    assert_eq!(offline[0]["count"], 500);
    assert_eq!(offline[0]["results"][0]["id"], "issue-499");
    assert!(offline[1]["count"].as_u64().is_some_and(|count| count > 50), "{}", offline[1]);
    let named = |name: &str| succeed(dir.path(), &["get", "resource", name], b"");
    let document = named("issue/7");
    assert_eq!(document, "{\"title\":\"word2 common\",\"n\":1507}\n");
    assert_eq!(named("issue-7"), document);
    assert_eq!(named("7"), document);
    let past = ["get", "resource", "issue/7", "--at", "8"];
    assert_eq!(succeed(dir.path(), &past, b""), "{\"title\":\"word0 common\",\"n\":7}\n");
    let refused = || {
        for (args, code) in [
            (&["get", "resource", "issue/none"][..], 1),
            (&["get", "resource", "issue/7", "--at", "1"], 1),
            (&["get", "thing", "issue/7"], 2),
            (&["query", "title:("], 1),
            (&["query", "x", "--in", "nowhere"], 1),
        ] {
            let output = run_in(dir.path(), args, b"");
            assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        }
        let broken = run_in(dir.path(), &["query", "title:("], b"");
        assert!(text(&broken.stderr).contains("character"), "{}", text(&broken.stderr));
    };
    refused();
    let server = Server::start(dir.path());
    follows(&server);
    assert_eq!(answers(dir.path()), offline);
    assert_eq!(named("issue-7"), document);
    assert_eq!(succeed(dir.path(), &past, b""), "{\"title\":\"word0 common\",\"n\":7}\n");
    refused();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_was_folded_is_folded_again() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &["import", "-"], commits(3_000).as_bytes());
    let before = answers(dir.path());
    let document = succeed(dir.path(), &["get", "resource", "issue/9"], b"");
    for what in ["search", "rows", "index", "all"] {
        let said = succeed(dir.path(), &["rebuild", what], b"");
        assert!(said.contains("up to position 3000"), "{said}");
        assert_eq!(answers(dir.path()), before, "{what}");
        assert_eq!(succeed(dir.path(), &["get", "resource", "issue/9"], b""), document, "{what}");
    }
    let server = Server::start(dir.path());
    let refused = run_in(dir.path(), &["rebuild"], b"");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("stop the server"), "{said}");
    follows(&server);
    assert_eq!(answers(dir.path()), before, "nothing was touched");
}

#[test]
fn search_survives_a_kill_while_it_indexes() {
    // INV-4
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &["import", "-"], commits(60_000).as_bytes());
    let mut killed = 0;
    for _ in 0..4 {
        let server = Server::start(dir.path());
        let index = dir.path().join("search_index");
        // In the middle of it: files are there, and it is not done.
        until("it indexes", || fs::read_dir(&index).is_ok_and(|files| files.count() > 3));
        let (_, ready) = server.get("/health/ready", "application/json");
        let ready: Value = serde_json::from_str(&ready).unwrap();
        killed += usize::from(ready["search"]["folded"] != ready["search"]["head"]);
        server.kill();
    }
    assert!(killed > 0, "it was never in the middle");
    let server = Server::start(dir.path());
    follows(&server);
    let after = answers(dir.path());
    assert_eq!(server.stop(), Some(0));
    succeed(dir.path(), &["rebuild", "search"], b"");
    assert_eq!(answers(dir.path()), after);
}
