//! The vocabulary as its users see it: conformance, round trips, hostile input.

mod allocations;
mod attributes;
mod binary_mode;
mod cesql;
mod cesql_hostile;
mod cesql_model;
mod cesql_tck;
mod commit;
mod conformance;
mod content;
mod examples;
mod filter;
mod filter_hint;
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
mod shared;
mod splitter;
mod strategy;
mod validate;

use annal_event::{Event, EventError, Timestamp, json};

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
