//! The cases of the CloudEvents conformance repository, read from its own files.

use std::{collections::BTreeMap, fs};

use annal_event::{Event, Limits, http, json};

use crate::vectors;

/// One example of a scenario of a gherkin feature: its steps with the parameters filled in.
type Case = Vec<Step>;

#[derive(Clone, Debug, Default)]
struct Step {
    text: String,
    /// The block between `"""`.
    block: String,
    table: Vec<Vec<String>>,
}

fn filled(text: &str, parameters: &[(String, String)]) -> String {
    parameters
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The examples of every scenario outline.
fn cases(feature: &str) -> Vec<Case> {
    feature.split("Scenario Outline:").skip(1).flat_map(scenario).collect()
}

fn scenario(text: &str) -> Vec<Case> {
    let (steps, examples) = text.split_once("Examples:").expect("an outline has examples");
    let mut rows = examples.lines().map(str::trim).filter(|line| line.starts_with('|')).map(cells);
    let names = rows.next().expect("a header");
    let steps = read_steps(steps);
    rows.map(|row| {
        let parameters: Vec<_> = names.iter().cloned().zip(row).collect();
        let fill = |step: &Step| Step {
            text: step.text.clone(),
            block: filled(&step.block, &parameters),
            table: step
                .table
                .iter()
                .map(|row| row.iter().map(|cell| filled(cell, &parameters)).collect())
                .collect(),
        };
        steps.iter().map(fill).collect()
    })
    .collect()
}

fn read_steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_block = false;
    for line in text.lines().skip(1) {
        let trimmed = line.trim();
        if trimmed == "\"\"\"" {
            in_block = !in_block;
        } else if in_block {
            let step = steps.last_mut().expect("a block follows a step");
            step.block.push_str(line.strip_prefix("        ").unwrap_or(trimmed));
            step.block.push('\n');
        } else if trimmed.starts_with('|') {
            steps.last_mut().expect("a table follows a step").table.push(cells(trimmed));
        } else if !trimmed.is_empty() {
            steps.push(Step { text: trimmed.to_owned(), ..Step::default() });
        }
    }
    steps
}

/// Headers and body of a request, with a body of exactly the length it declares or less.
fn request(block: &str) -> (Vec<(String, String)>, String) {
    let (head, body) = block.split_once("\n\n").expect("a request has an empty line");
    let headers = head
        .lines()
        .skip(1)
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    (headers, body.to_owned())
}

fn parse<'a>(headers: &'a [(String, String)], body: &'a str) -> Event<'a> {
    let structured = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type")
            && value.starts_with("application/cloudevents+json")
    });
    let mut strict = json::Strictness::Strict;
    let event = if structured {
        json::parse_event(body.as_bytes(), &mut strict)
    } else {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        http::parse_event(pairs, body.as_bytes(), &mut strict)
    }
    .expect("an event");
    assert_eq!(event.validate(&Limits::default()), Ok(()));
    event
}

fn attribute(event: &Event<'_>, name: &str) -> Option<String> {
    Some(match name {
        "specversion" => "1.0".to_owned(),
        "id" => event.id.to_string(),
        "source" => event.source.to_string(),
        "type" => event.ty.to_string(),
        "subject" => event.subject.as_deref()?.to_owned(),
        "time" => event.time.as_deref()?.to_owned(),
        "datacontenttype" => event.datacontenttype.as_deref()?.to_owned(),
        _ => event.extension(name)?.canonical().into_owned(),
    })
}

fn run(case: &Case) {
    let (mut headers, mut body) = (Vec::new(), String::new());
    for step in case {
        match step.text.as_str() {
            "Given an HTTP request" => (headers, body) = request(&step.block),
            "When parsed as HTTP request" => drop(parse(&headers, &body)),
            "Then the attributes are:" => {
                let event = parse(&headers, &body);
                for row in &step.table[1..] {
                    assert_eq!(attribute(&event, &row[0]).as_ref(), Some(&row[1]), "{}", row[0]);
                }
            }
            "And the data is equal to the following JSON:" => {
                let event = parse(&headers, &body);
                let value =
                    |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
                assert_eq!(value(event.data.json().expect("JSON data")), value(&step.block));
            }
            other => panic!("step {other:?} is not known"),
        }
    }
}

#[test]
fn every_http_case() {
    let Some(vectors) = vectors("cloudevents-conformance") else { return };
    let path = vectors.join("features/http-protocol-binding.feature");
    let feature = fs::read_to_string(path).expect("the feature");
    let cases = cases(&feature);
    assert_eq!(cases.len(), 4, "two modes with two media types each");
    cases.iter().for_each(run);
}

/// An event of the YAML files, in the small part of YAML that they use.
fn yaml_event(document: &str) -> (BTreeMap<String, String>, String) {
    let (mut attributes, mut data, mut in_data) = (BTreeMap::new(), String::new(), false);
    for line in document.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(':') {
            _ if in_data => {
                data.push_str(line.trim_start());
                data.push('\n');
            }
            Some(("Data", " |")) => in_data = true,
            Some(("ContextAttributes", "")) | None => {}
            Some((name, value)) => {
                attributes.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
    (attributes, data)
}

#[test]
fn every_event_of_version_1_0() {
    let Some(vectors) = vectors("cloudevents-conformance") else { return };
    let directory = vectors.join("yaml/v1.0");
    let mut seen = 0;
    for file in fs::read_dir(directory).expect("the directory") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("its text");
        for document in text.split("\n---") {
            let (attributes, data) = yaml_event(document);
            check_in_both_modes(&attributes, &data);
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} events");
}

fn check_in_both_modes(attributes: &BTreeMap<String, String>, data: &str) {
    let headers: Vec<_> = attributes
        .iter()
        .map(|(name, value)| match name.as_str() {
            "datacontenttype" => ("content-type".to_owned(), value.clone()),
            _ => (format!("ce-{name}"), value.clone()),
        })
        .collect();
    let binary = parse(&headers, data);
    for (name, value) in attributes {
        assert_eq!(attribute(&binary, name).as_ref(), Some(value), "{name}");
    }
    assert_eq!(binary.data.bytes(), Some(data.as_bytes()));
    let text = crate::to_json(&binary);
    let structured = crate::strict(&text).expect("our own JSON");
    assert!(structured.content_eq(&binary), "{text}");
    let as_json = attributes["datacontenttype"].starts_with("application/json");
    assert_eq!(structured.data.json().is_some(), as_json, "{text}");
}
