//! `cargo xtask tidy`, `api` and `ci`: the rules of the house, code made of protos, and everything a
//! change must pass.
//!
//! Needs nothing but the workspace and cargo. It never repairs: it names the file, the line and the
//! reason, and leaves the change to a person.

mod ci;
mod tidy;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: cargo xtask <tidy | api | ci>

  tidy   the import table, the shape of the sources, invariants, forbidden words
  api    the Rust code of api/*.proto, written anew
  ci     formatting, clippy, tidy, dependencies, tests: what ./test runs";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let root = root();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => exit(tidy::run(&root)),
        ["api"] => {
            exit(ci::cargo(&root, &["run", "--quiet", "--locked", "--package", "xtask-api"]))
        }
        ["ci"] => exit(ci::run(&root)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The workspace: the parent of this package.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
