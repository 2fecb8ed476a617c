//! Which level wins, what is refused, and the exit codes that tell the difference.

use std::fs;

use crate::harness::{Server, annal, run, run_in, text};

#[test]
fn used_wrongly_is_two_and_failed_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nothing");
    let missing = missing.to_str().unwrap();
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["frobnicate"], 2),
        (&["tail", "--from", "yesterday"], 2),
        (&["serve", "--port", "eighty"], 2),
        (&["serve", "--url", "http://localhost:1"], 2),
        (&["verify", "--url", "http://localhost:1"], 2),
        (&["repair", "--url", "http://localhost:1", "--truncate-at", "1"], 2),
        (&["rebuild", "all", "--url", "http://localhost:1"], 2),
        (&["doctor", "--url", "http://localhost:1"], 2),
        (&["get", "1", "--url", "https://example.com"], 2),
        (&["get", "1", "--url", "somewhere"], 2),
        (&["serve", "--event-bytes-max", "1"], 2),
        (&["serve", "--callback-ca", missing], 2),
        (&["serve", "--callback-ca", "Cargo.toml"], 2),
        (&["get", "1", "--data-dir", missing], 1),
        (&["verify", "--data-dir", missing], 1),
        (&["get", "1", "--url", "http://127.0.0.1:1"], 1),
        (&["import", missing, "--data-dir", missing], 1),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        if code == 1 {
            assert!(text(&output.stderr).starts_with("error: "), "{args:?}");
        }
    }
    assert!(!dir.path().join("nothing").exists(), "looking makes nothing");
}

#[test]
fn a_key_that_does_not_exist_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    fs::write(&file, "prot = 8000\n").unwrap();
    let output = run(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("prot") && said.contains("settings.toml"), "{said}");
}

#[test]
fn flags_over_environment_over_file() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    let toml = format!("data_dir = {:?}\nport = 0\nbase_url = 'http://file.example:1'\n", a);
    fs::write(dir.path().join("annal.toml"), toml).unwrap();
    let start = |flags: &[&str], variable: Option<&str>| {
        let mut command = annal();
        command.arg("serve").args(flags).current_dir(dir.path());
        command.envs(variable.map(|value| ("DATA_DIR", value)));
        let server = Server::spawn(command);
        assert!(server.banner.contains("http://file.example:1"), "{}", server.banner);
    };
    start(&[], None);
    assert!(a.is_dir() && !b.exists());
    start(&[], b.to_str());
    assert!(b.is_dir() && !c.exists());
    start(&["--data-dir", c.to_str().unwrap()], b.to_str());
    assert!(c.is_dir());
}

#[test]
fn doctor_looks_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let output = run_in(dir.path(), &["doctor"], b"");
    let said = text(&output.stdout);
    for check in ["configuration", "data directory", "fdatasync", "disk space", "clock"] {
        assert!(said.contains(check), "{said}");
    }
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".annal"))
        .collect();
    assert_eq!(left, [""; 0]);
}
