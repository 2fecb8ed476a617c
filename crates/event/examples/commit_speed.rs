//! How fast commits are read and applied on this machine, one core:
//! `cargo run --release -p annal-event --example commit_speed`.

use std::{fmt::Write, hint::black_box, time::Instant};

use annal_event::{
    Commit, CommitOutcome, Event,
    json::{Json, Patch},
};

const SECONDS_MIN: f64 = 0.7;
const MANY: usize = 100_000;

/// Runs `pass` until the clock says enough; prints microseconds a pass.
fn measure(name: &str, mut pass: impl FnMut()) {
    pass();
    let (begun, mut passes) = (Instant::now(), 0_u32);
    while begun.elapsed().as_secs_f64() < SECONDS_MIN {
        pass();
        passes += 1;
    }
    let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(passes);
    println!("{name:<58} {micros:>10.2} µs");
}

fn commit_event(data: String) -> Event<'static> {
    Event::new("1", "/issues", "nl.vng.zaken.json-commit.v1")
        .with_subject("issue/123")
        .with_json(data)
}

fn commit_text(members: &str) -> String {
    format!(
        r#"{{"schema":"http://localhost:8000/schemas/Issue","resource_id":"123","actor":"user@example.com","timestamp":"2026-01-15T10:30:00Z",{members}}}"#
    )
}

/// About 2 KB, as the documents of an issue tracker are.
fn document() -> String {
    let mut text = String::from(
        r#"{"id":"123","title":"The log in page does not load on older telephones","status":"open","priority":3,"#,
    );
    for n in 0..12 {
        let _ = write!(
            text,
            r#""field_{n}":{{"label":"Field number {n}","value":{n}.50,"tags":["one","two"],"required":true}},"#
        );
    }
    text.push_str(r#""description":"#);
    let _ = write!(text, "\"{}\"", "Words of a description, one after the other. ".repeat(18));
    text.push_str(r#","assignee":{"name":"A. Person","email":"a@example.com"},"closed":null}"#);
    text
}

fn apply(event: &Event<'_>, document: Option<&str>) -> CommitOutcome {
    let commit = Commit::of(event).expect("a commit").expect("of a commit's type");
    commit.apply(document).expect("it applies")
}

/// An object of many members, their names beginning with `prefix`.
fn many(prefix: &str) -> String {
    let members: Vec<String> = (0..MANY).map(|n| format!("\"{prefix}{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

fn main() {
    let document = document();
    let small = commit_event(commit_text(
        r#""resource_data":{"title":"The log in page does not load","status":"open","priority":3,"assignee":"a@example.com","description":"On older telephones the page stays white for a minute, and then it says that there is no network."}"#,
    ));
    let patch = commit_event(commit_text(
        r#""patch":{"status":"closed","priority":null,"field_3":{"value":7.25},"assignee":{"name":"B. Person"}}"#,
    ));
    let bytes = |event: &Event<'_>| event.data.bytes().map_or(0, <[u8]>::len);
    println!(
        "data of {} and {} bytes, a document of {}",
        bytes(&small),
        bytes(&patch),
        document.len()
    );

    measure("read a commit that replaces", || drop(black_box(Commit::of(&small))));
    measure("read and apply it", || drop(black_box(apply(&small, None))));
    measure("read a commit that patches", || drop(black_box(Commit::of(&patch))));
    measure("read and apply it to the document", || {
        drop(black_box(apply(&patch, Some(&document))));
    });
    measure("  of which reading the document into a tree", || {
        drop(black_box(Json::parse(&document)));
    });
    let tree = Json::parse(&document).expect("JSON");
    let mut out = Vec::new();
    measure("  of which writing it", || {
        out.clear();
        tree.write(&mut out);
        black_box(&out);
    });
    let operations = r#"[{"op":"test","path":"/status","value":"open"},{"op":"replace","path":"/status","value":"closed"},{"op":"move","from":"/field_3/tags/0","path":"/field_4/tags/-"},{"op":"remove","path":"/closed"}]"#;
    measure("read a JSON Patch of 4 and apply it to the tree's copy", || {
        let patch = Patch::parse(operations).expect("a patch");
        drop(black_box(patch.apply(tree.clone(), 1_000_000).expect("it applies")));
    });

    let (left, right) = (many("a"), many("b"));
    println!("objects of {MANY} members, {} bytes", left.len());
    measure("read one into a tree", || drop(black_box(Json::parse(&left))));
    let (left, right) = (Json::parse(&left).expect("JSON"), Json::parse(&right).expect("JSON"));
    measure("copy one", || drop(black_box(left.clone())));
    measure("copy both, merge them", || {
        let mut merged = left.clone();
        merged.merge(right.clone());
        drop(black_box(merged));
    });
    for members in [8, 16, 24, 32, 48, 64, 128] {
        let text: Vec<String> = (0..members).map(|n| format!("\"member_{n}\":{n}")).collect();
        let text = format!("{{{}}}", text.join(","));
        measure(&format!("read an object of {members} members"), || {
            drop(black_box(Json::parse(&text)));
        });
    }
}
