//! The commands, on a stopped directory and on a running server: they say the same.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::harness::{PATIENCE, Server, annal, events, run_in, sample, succeed, text, until};

#[test]
fn append_and_get_say_the_same_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let commands = |n: u64| {
        let args = [
            "append",
            "--type",
            "t",
            "--source",
            "/s",
            "--subject",
            "a/b",
            "--data",
            "{\"x\":0.10}",
        ];
        let flags: Value = serde_json::from_str(&succeed(dir.path(), &args, b"")).unwrap();
        assert_eq!(flags["position"], n.to_string());
        let one = format!(r#"{{"source":"/s","type":"t","id":"id-{n}"}}"#);
        let stdin: Value =
            serde_json::from_str(&succeed(dir.path(), &["append"], one.as_bytes())).unwrap();
        assert_eq!(
            stdin,
            serde_json::json!({"id": format!("id-{n}"), "source": "/s", "position": (n + 1).to_string(), "duplicate": false})
        );
        let again: Value =
            serde_json::from_str(&succeed(dir.path(), &["append"], one.as_bytes())).unwrap();
        assert_eq!(again["duplicate"], true);
        let batch = format!("[{one},{{\"source\":\"/s\",\"type\":\"u\"}}]");
        let batch: Value =
            serde_json::from_str(&succeed(dir.path(), &["append"], batch.as_bytes())).unwrap();
        assert_eq!(batch["events"][1]["position"], (n + 2).to_string());

        let event: Value =
            serde_json::from_str(&succeed(dir.path(), &["get", &n.to_string()], b"")).unwrap();
        assert_eq!((&event["subject"], &event["position"]), (&"a/b".into(), &n.to_string().into()));
        let by_id = succeed(dir.path(), &["get", &format!("id-{n}")], b"");
        assert_eq!(serde_json::from_str::<Value>(&by_id).unwrap()["position"], (n + 1).to_string());
        for missing in [&["get", "999"][..], &["get", "no-such-id"]] {
            assert_eq!(run_in(dir.path(), missing, b"").status.code(), Some(1), "{missing:?}");
        }
        let conflict = format!(r#"{{"source":"/s","type":"other","id":"id-{n}"}}"#);
        assert_eq!(run_in(dir.path(), &["append"], conflict.as_bytes()).status.code(), Some(1));
        let unmet = r#"{"events":[{"source":"/s","type":"t"}],"preconditions":[{"head":"1000"}]}"#;
        assert_eq!(run_in(dir.path(), &["append"], unmet.as_bytes()).status.code(), Some(1));
    };
    commands(1);
    let server = Server::start(dir.path());
    commands(4);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_id_that_several_sources_use_asks_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let two = br#"[{"id":"x","source":"/a","type":"t"},{"id":"x","source":"/b","type":"t"}]"#;
    succeed(dir.path(), &["append"], two);
    let check = || {
        let several = run_in(dir.path(), &["get", "x"], b"");
        assert_eq!(several.status.code(), Some(1));
        let said = text(&several.stderr);
        assert!(said.contains("/a") && said.contains("/b") && said.contains("--source"), "{said}");
        assert!(succeed(dir.path(), &["get", "x", "--source", "/b"], b"").contains("\"/b\""));
    };
    check();
    let _server = Server::start(dir.path());
    check();
}

#[test]
fn importing_twice_is_once_and_an_export_comes_back_identical() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lines = sample(2_500);
    let said = succeed(first.path(), &["import", "-"], lines.as_bytes());
    assert!(said.starts_with("2500 events stored, 0 were"), "{said}");
    let said = succeed(first.path(), &["import", "-"], lines.as_bytes());
    assert!(said.starts_with("0 events stored, 2500 were"), "{said}");
    let exported = succeed(first.path(), &["export"], b"");
    for name in ["all.ndjson", "all.ndjson.gz", "all.ndjson.zst"] {
        let file = first.path().join(name);
        let file = file.to_str().unwrap();
        succeed(first.path(), &["export", "-o", file], b"");
        assert!(!fs::exists(format!("{file}.partial")).unwrap());
        succeed(second.path(), &["import", file], b"");
    }
    let without_time = |lines: &str| -> Vec<Value> {
        let mut events = events(lines);
        for event in &mut events {
            assert!(event.as_object_mut().unwrap().remove("recordedtime").is_some());
        }
        events
    };
    let copy = succeed(second.path(), &["export"], b"");
    assert_eq!(without_time(&copy), without_time(&exported));
    assert!(copy.lines().next().unwrap().contains(r#""price":0.10,"text":"#), "digits are kept");

    // The same over HTTP, both ways.
    let third = tempfile::tempdir().unwrap();
    let _server = Server::start(third.path());
    succeed(third.path(), &["import", "-"], exported.as_bytes());
    let said = succeed(third.path(), &["import", "-"], exported.as_bytes());
    assert!(said.starts_with("0 events stored, 2500 were"), "{said}");
    assert_eq!(without_time(&succeed(third.path(), &["export"], b"")), without_time(&exported));
}

#[test]
fn a_bad_line_is_named_and_what_came_before_it_stays() {
    let lines = sample(1_200);
    let mut lines: Vec<&str> = lines.lines().collect();
    lines[1_100] = "{\"source\":\"/s\"}";
    let bad = lines.join("\n");
    let good = lines[0].replace("\"type\":\"t.0\"", "\"type\":\"other\"");
    let mut conflicting: Vec<&str> = lines[..1_100].to_vec();
    conflicting[1_050] = &good;
    let conflicting = conflicting.join("\n");
    for serving in [false, true] {
        for (input, line, stored) in [(&bad, 1_101, 1_100), (&conflicting, 1_051, 1_050)] {
            let dir = tempfile::tempdir().unwrap();
            let server = serving.then(|| Server::start(dir.path()));
            let output = run_in(dir.path(), &["import", "-"], input.as_bytes());
            assert_eq!(output.status.code(), Some(1));
            let said = text(&output.stderr);
            let tally = format!("{stored} events stored");
            assert!(said.contains(&format!("line {line}")) && said.contains(&tally), "{said}");
            drop(server);
            let exported = succeed(dir.path(), &["export"], b"");
            assert_eq!(exported.lines().count(), stored, "serving: {serving}");
        }
    }
}

#[test]
fn filters_mean_the_same_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &["import", "-"], sample(100).as_bytes());
    let all = |args: &[&str]| succeed(dir.path(), args, b"");
    let commands: [&[&str]; 9] = [
        &["export", "--type", "t.1"],
        &["export", "--type-prefix", "t."],
        &["export", "--subject", "s/3"],
        &["export", "--subject", "s", "--recursive"],
        &["export", "--source", "/other"],
        &["export", "--after", "10", "--before", "20"],
        &["tail", "--no-follow", "-n", "5", "--subject", "s/3"],
        &["tail", "--no-follow", "--from", "90"],
        &["tail", "--no-follow", "--from", "earliest", "--type", "t.2"],
    ];
    let stopped: Vec<_> = commands.iter().map(|args| all(args)).collect();
    let counts: Vec<_> = stopped.iter().map(|lines| lines.lines().count()).collect();
    assert_eq!(counts, [33, 100, 14, 100, 0, 9, 5, 10, 33]);
    let _server = Server::start(dir.path());
    let running: Vec<_> = commands.iter().map(|args| all(args)).collect();
    assert_eq!(running, stopped);
}

#[test]
fn tail_sees_what_comes_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    server.post("application/x-ndjson", sample(20).as_bytes());
    let mut tail = annal()
        .args(["tail", "-n", "3", "--url", &server.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(tail.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            // The test may be over.
            let _ = sender.send(line);
        }
    });
    let next = || {
        let line = lines.recv_timeout(PATIENCE).expect("a line");
        serde_json::from_str::<Value>(&line).unwrap()["position"].as_str().unwrap().to_owned()
    };
    assert_eq!([next(), next(), next()], ["18", "19", "20"]);
    server.post("application/json", br#"{"source":"/s","type":"t"}"#);
    assert_eq!(next(), "21");
    server.kill();
    let server = Server::with(dir.path(), &["--port", &port]);
    server.post("application/json", br#"[{"source":"/s","type":"t"},{"source":"/s","type":"t"}]"#);
    assert_eq!([next(), next()], ["22", "23"]);
    tail.kill().unwrap();
    tail.wait().unwrap();
    until("the stream is gone", || lines.try_recv().is_err());
}

#[test]
fn verify_names_file_offset_and_position() {
    let dir = tempfile::tempdir().unwrap();
    for part in sample(300).lines().collect::<Vec<_>>().chunks(100) {
        succeed(dir.path(), &["import", "-"], part.join("\n").as_bytes());
    }
    let said = succeed(dir.path(), &["verify"], b"");
    assert!(said.starts_with("300 events in 3 batches"), "{said}");
    let cat = succeed(dir.path(), &["log", "cat", dir.path().to_str().unwrap()], b"");
    assert_eq!(cat, succeed(dir.path(), &["export"], b""));

    let log = dir.path().join("log");
    let file = fs::read_dir(&log).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.windows(7).position(|window| window == b"\"n\":150").unwrap();
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let output = run_in(dir.path(), &["verify"], b"");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        said.contains(name) && said.contains("byte") && said.contains("position 101"),
        "{said}"
    );
    // Nothing damaged is served.
    assert_eq!(run_in(dir.path(), &["serve", "--port", "0"], b"").status.code(), Some(1));
}

#[test]
fn verify_misses_the_end_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &["import", "-"], sample(300).as_bytes());
    succeed(dir.path(), &["verify"], b"");
    let log = dir.path().join("log");
    let file = fs::read_dir(&log).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(file).unwrap();
    for command in [&["verify"][..], &["serve", "--port", "0"]] {
        let output = run_in(dir.path(), command, b"");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = text(&output.stderr);
        assert!(said.contains("position 300 was durable"), "{command:?}: {said}");
    }
}

#[test]
fn repair_keeps_what_comes_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=5 {
        let one = format!(r#"{{"source":"/s","type":"t","id":"id-{n}"}}"#);
        succeed(dir.path(), &["append"], one.as_bytes());
    }
    assert_eq!(run_in(dir.path(), &["repair"], b"").status.code(), Some(2), "only when told where");
    let said = succeed(dir.path(), &["repair", "--truncate-at", "3"], b"");
    assert_eq!(said.trim(), "the log ends at position 3");
    succeed(dir.path(), &["verify"], b"");
    succeed(dir.path(), &["get", "3"], b"");
    assert_eq!(run_in(dir.path(), &["get", "4"], b"").status.code(), Some(1));
    let again = succeed(dir.path(), &["append"], br#"{"source":"/s","type":"t","id":"id-4"}"#);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["position"], &again["duplicate"]), (&"4".into(), &false.into()));
}
