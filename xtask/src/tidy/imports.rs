//! Who may import whom: the table of `ARCHITECTURE.md`, checked against what cargo resolved.
//!
//! Only what ships counts (normal and build dependencies); tests may use what they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

use super::Finding;

/// What a crate of ours may import of ours, and whether an async runtime may come with it.
struct Row {
    name: &'static str,
    may_import: &'static [&'static str],
    runtime: bool,
}

/// Arrows point down only. `authority`, `projection` and `delivery` never meet.
const TABLE: [Row; 9] = [
    Row { name: "event", may_import: &[], runtime: false },
    Row { name: "storage", may_import: &[], runtime: false },
    Row { name: "log", may_import: &["event", "storage"], runtime: false },
    Row { name: "authority", may_import: &["event", "log"], runtime: true },
    Row { name: "projection", may_import: &["event", "storage"], runtime: false },
    Row { name: "delivery", may_import: &["event", "log"], runtime: false },
    Row {
        name: "engine",
        may_import: &["event", "storage", "log", "authority", "projection", "delivery"],
        // Its own code needs none; an authority's client may bring one.
        runtime: true,
    },
    Row { name: "server", may_import: &["event", "engine"], runtime: true },
    Row {
        // The last three for the commands that look at a stopped directory file by file.
        name: "annal",
        may_import: &["engine", "server", "authority", "event", "log", "storage"],
        runtime: true,
    },
];

/// Crates that do not ship may import everything.
const TOOLS: [&str; 3] = ["sim", "bench", "fuzz"];

/// Third-party crates that cost build time, or that would tie a crate to a world it must not know.
struct Heavy {
    name: &'static str,
    users: &'static [&'static str],
    reason: &'static str,
}

const fn heavy(name: &'static str, users: &'static [&'static str], reason: &'static str) -> Heavy {
    Heavy { name, users, reason }
}

const WIRE: &str = "only the wire and the binary know sockets";
const BINARY: &str = "only the binary reads flags, environment and files of configuration";

const HEAVY: [Heavy; 25] = [
    heavy("tokio", &["authority", "server", "annal"], WIRE),
    heavy("hyper", &["server", "annal"], WIRE),
    heavy("hyper-util", &["server", "annal"], WIRE),
    heavy(
        "axum",
        &["server", "annal"],
        "HTTP is the server's; the binary measures against it bare",
    ),
    heavy("tower-http", &["server"], WIRE),
    heavy(
        "tonic",
        &["server", "annal"],
        "gRPC is the server's; the binary measures against it bare",
    ),
    heavy("prost", &["server", "annal"], "messages of gRPC; events have a codec of their own"),
    heavy(
        "protox",
        &[],
        "the committed code of `cargo xtask api` is there so that nobody needs it",
    ),
    heavy("rustls", &["server"], WIRE),
    heavy("reqwest", &["server"], WIRE),
    heavy("clap", &["annal"], BINARY),
    heavy("anyhow", &["annal"], "a library says what went wrong with a type"),
    heavy("toml", &["annal"], BINARY),
    heavy(
        "mimalloc",
        &["annal", "bench"],
        "the allocator is the program's choice, not a library's",
    ),
    heavy("indicatif", &["annal"], "only the binary has a terminal"),
    heavy("redb", &["projection"], "kept behind `store.rs`"),
    heavy("tantivy", &["projection"], "kept in `search/`"),
    heavy("jsonschema", &["projection"], "kept in `topics/` and `resources/`"),
    heavy("fst", &["projection"], "the index's dictionary"),
    heavy("roaring", &["projection"], "the index's bitmaps"),
    heavy("crc32c", &["log", "projection", "engine"], "files of ours and nothing else"),
    heavy("mysql_async", &["authority"], "a client of one authority"),
    heavy("mongodb", &["authority"], "a client of one authority"),
    heavy("async-nats", &["authority"], "a client of one authority"),
    heavy("rustix", &["storage", "annal"], "system calls: the disk, and what `doctor` asks"),
];

/// Checks the workspace under `root`.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    match metadata(root) {
        Ok(metadata) => judge(&metadata),
        Err(reason) => vec![Finding::failure("cargo metadata", reason)],
    }
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Judges what `cargo metadata` said.
pub(super) fn judge(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let reached = Reached::new(metadata);
    for package in members(metadata) {
        let Some(name) = text(package, "name").strip_prefix("annal-").or(short(package)) else {
            continue;
        };
        if TOOLS.contains(&name) {
            continue;
        }
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            findings.push(Finding::failure(name, "this crate is not in the import table"));
            continue;
        };
        findings.extend(own_imports(row, package));
        findings.extend(heavy_imports(row, package));
        if !row.runtime && reached.reaches(text(package, "id"), "tokio") {
            findings.push(Finding::failure(name, "an async runtime comes in; this crate has none"));
        }
    }
    findings
}

/// The binary's crate is called like the program; anything else outside `crates/` is a tool.
fn short(package: &Value) -> Option<&'static str> {
    (text(package, "name") == "annal").then_some("annal")
}

fn own_imports(row: &Row, package: &Value) -> Vec<Finding> {
    shipped(package)
        .filter_map(|name| name.strip_prefix("annal-"))
        .filter(|name| !row.may_import.contains(name))
        .map(|name| Finding::failure(row.name, format!("may not import {name} (the import table)")))
        .collect()
}

fn heavy_imports(row: &Row, package: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in shipped(package) {
        let Some(heavy) = HEAVY.iter().find(|heavy| heavy.name == name) else { continue };
        if !heavy.users.contains(&row.name) {
            let text = format!("may not use {name}: {}", heavy.reason);
            findings.push(Finding::failure(row.name, text));
        }
    }
    findings
}

/// Names of the direct dependencies that end up in the program.
fn shipped(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().into_iter().flatten();
    all.filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(dependency, "name"))
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.filter(move |package| ids.contains(text(package, "id")))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The resolved graph without dev-dependencies: package id to the ids it needs.
struct Reached<'a> {
    needs: BTreeMap<&'a str, Vec<&'a str>>,
    names: BTreeMap<&'a str, &'a str>,
}

impl<'a> Reached<'a> {
    fn new(metadata: &'a Value) -> Reached<'a> {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let names = packages.map(|package| (text(package, "id"), text(package, "name"))).collect();
        let mut needs = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
            let all = node["deps"].as_array().into_iter().flatten();
            let kept = all.filter(|dep| ships(dep)).map(|dep| text(dep, "pkg"));
            needs.insert(text(node, "id"), kept.collect());
        }
        Reached { needs, names }
    }

    fn reaches(&self, from: &'a str, name: &str) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            if self.names.get(id) == Some(&name) {
                return true;
            }
            for next in self.needs.get(id).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    }
}

fn ships(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
}
