//! The vocabulary as its users see it: conformance, round trips, hostile input.

mod binary_mode;
mod commit;
mod conformance;
mod content;
mod examples;
mod hostile;
mod json_format;
mod json_merge;
mod json_patch;
mod json_patch_bounds;
mod json_text;
mod json_tree;
mod protobuf;
mod query;
mod round_trip;
mod splitter;
mod strategy;
mod validate;

use std::path::{Path, PathBuf};

use annal_event::{Event, EventError, Timestamp, json};

/// A directory of shared vectors, or `None` (with a word about it) where they are not at hand.
fn vectors(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("ANNAL_SHARED").map_or_else(beside, PathBuf::from);
    let directory = shared.join("vectors").join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{} is missing",
        directory.display()
    );
    println!("skipped: {} is missing", directory.display());
    None
}

/// Parses a JSON event strictly.
fn strict(text: &str) -> Result<Event<'_>, EventError> {
    json::parse_event(text.as_bytes(), &mut json::Strictness::Strict)
}

/// Parses a JSON event that may leave out what can be filled in.
fn lenient(text: &str) -> Result<Event<'_>, EventError> {
    let mut id = || "filled".to_owned();
    let fill = json::Fill { id: &mut id, now: Timestamp(1_500_000) };
    json::parse_event(text.as_bytes(), &mut json::Strictness::Lenient(fill))
}

fn to_json(event: &Event<'_>) -> String {
    let mut out = Vec::new();
    json::write_event(&mut out, event, None);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Says that an error has this pointer and mentions this.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, EventError>, pointer: &str, mentions: &str) {
    let error = result.expect_err("it should be refused");
    assert_eq!(error.pointer(), pointer, "{error}");
    assert!(error.detail().contains(mentions), "{error} does not mention {mentions:?}");
}
