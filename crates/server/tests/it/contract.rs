//! What is written about the server is what it does.

use std::{collections::BTreeSet, fs, path::Path};

use annal_server::{Code, OPENAPI, ROUTES};

use crate::fixture::Served;

fn repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn documented_routes_are_the_served_ones() {
    let reference: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut documented = BTreeSet::new();
    for (path, methods) in reference["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            documented.insert((path.clone(), method.to_uppercase()));
        }
    }
    let mut served = BTreeSet::new();
    for (_, path, methods) in ROUTES {
        for method in *methods {
            served.insert(((*path).to_owned(), method.to_string()));
        }
    }
    assert_eq!(documented, served);
}

#[test]
fn every_reference_leads_somewhere() {
    let reference: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut checked = 0;
    for part in OPENAPI.split("\"$ref\": \"#").skip(1) {
        let pointer = part.split('"').next().expect("a pointer");
        assert!(reference.pointer(pointer).is_some(), "{pointer}");
        checked += 1;
    }
    assert!(checked > 50, "only {checked} references");
}

#[test]
fn documented_parameters_are_taken_and_no_others() {
    let served = Served::new();
    served.seed(1);
    let reference: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    for (path, methods) in reference["paths"].as_object().expect("paths") {
        let parameters = methods["get"]["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters {
            let pointer = parameter["$ref"].as_str().expect("a reference");
            let parameter = reference.pointer(&pointer[1..]).expect("a parameter");
            if parameter["in"] != "query" {
                continue;
            }
            let mut name = parameter["name"].as_str().expect("a name").to_owned();
            if parameter["style"] == "deepObject" {
                name.push_str("[x]");
            }
            let path = path.replace("{position}", "1").replace("{id}", "e1");
            // A value that no parameter of any kind but text has, so that streams end at once.
            let answer = served.send(&format!("HEAD {path}?{name}=%00"));
            let get = format!("GET {path}?{name}=1&surely-unknown=1");
            let problem = served.send(&get).json();
            assert_ne!(answer.status, 500, "{path} {name}");
            if problem["code"] == "unknown-parameter" {
                assert_eq!(problem["parameters"], serde_json::json!(["surely-unknown"]), "{get}");
            } else {
                assert!(
                    ["invalid-parameter", "invalid-filter"]
                        .contains(&problem["code"].as_str().expect("a code")),
                    "{get}: {problem}"
                );
            }
        }
    }
}

#[test]
fn documented_codes_are_the_codes() {
    // INV-7
    let table = repository("docs/errors.md");
    let mut documented = Vec::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        documented.push((cells[0].trim_matches(['|', ' ', '`']).to_owned(), cells[1].to_owned()));
    }
    let codes: Vec<_> =
        Code::ALL.iter().map(|code| (code.text().to_owned(), code.status().to_string())).collect();
    assert_eq!(documented, codes);
}

/// Codes for which the engine or the disk would have to fail; the engine's own tests make it fail.
const NOT_BY_REQUEST: [&str; 5] =
    ["internal", "damaged", "unavailable", "outcome-unknown", "disk-full"];

#[test]
fn every_code_is_produced_by_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut text = String::new();
    let within =
        ["", "consumers", "grpc"].map(|dir| fs::read_dir(tests.join(dir)).expect("the tests"));
    for entry in within.into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name != "contract.rs") {
            text.push_str(&fs::read_to_string(path).expect("a test"));
        }
    }
    for code in Code::ALL.iter().map(|code| code.text()) {
        let produced = text.contains(&format!("\"{code}\""));
        assert!(produced || NOT_BY_REQUEST.contains(&code), "no test produces {code}");
    }
}

#[test]
fn pages_need_nothing_from_elsewhere() {
    let served = Served::new();
    for path in ["/", "/docs"] {
        let page = served.send(&format!("GET {path}"));
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let text = page.text();
        assert!(!text.contains("src=\"http") && !text.contains("href=\"http"), "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"));
    }
    assert_eq!(served.send("GET /openapi.json").text(), OPENAPI);
}
