//! A gRPC client in another language against the binary: what the protos say is what is served.

use std::{path::Path, process::Command};

use crate::harness::{Server, text};

/// Where `./test` puts a Python that has grpcio.
const PYTHON: &str = "../../target/grpc-venv/bin/python";

#[test]
fn a_generated_client_in_python() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join(PYTHON);
    if !python.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{PYTHON} is missing");
        println!("skipped: {PYTHON} is missing; `CI=true ./test` makes it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let line = server.banner.lines().find(|line| line.trim_start().starts_with("grpc ")).unwrap();
    let address = line.split_whitespace().last().unwrap();
    let output = Command::new(python)
        .arg(here.join("tests/python/grpc_client.py"))
        .arg(address)
        .arg(here.join("../../api"))
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("passed"), "{said}");
}
