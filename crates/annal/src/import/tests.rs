//! Every form that events are found in, and what is refused.

use std::{fs, io::Write, path::Path};

use annal_event::{Event, Limits, json};
use flate2::{Compression, write::GzEncoder};

use super::{Format, formats::Reading, open};

/// Reads everything; events as JSON text, errors as text.
fn read(from: &Path, format: Format) -> Result<Vec<String>, String> {
    let limits = Limits::default();
    let show = |error: anyhow::Error| format!("{error:#}");
    let mut input = open(from, format, "/import", limits).map_err(show)?;
    let reading = Reading { source: "/import".to_owned(), limits, now: Default::default() };
    let mut found = Vec::new();
    while let Some(piece) = input.next().map_err(show)? {
        let event =
            reading.event(&piece).map_err(|error| format!("{}: {}", piece.place, show(error)))?;
        found.push(text(&event));
    }
    Ok(found)
}

fn text(event: &Event<'_>) -> String {
    let mut out = Vec::new();
    json::write_event(&mut out, event, None);
    String::from_utf8(out).unwrap()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":0.10}}"#;
const ENVELOPE: &str = r#"{"event_type":"ArticleCreated","event_id":"a-1","timestamp":"2026-01-15T10:30:00Z","payload":"{\"title\":\"x\"}"}"#;

#[test]
fn the_same_lines_plain_and_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let lines = format!("\u{FEFF}{EVENT}\r\n\n  {EVENT}\n{EVENT}");
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(lines.as_bytes()).unwrap();
    let plain = file(dir.path(), "plain", lines.as_bytes());
    let gz = file(dir.path(), "gz", &gz.finish().unwrap());
    let zst = file(dir.path(), "zst", &zstd::encode_all(lines.as_bytes(), 1).unwrap());
    let expected = read(&plain, Format::Auto).unwrap();
    assert_eq!(expected.len(), 3);
    assert!(expected[0].contains(r#""data":{"a":0.10}"#), "{}", expected[0]);
    assert_eq!(read(&gz, Format::Auto).unwrap(), expected);
    assert_eq!(read(&zst, Format::Auto).unwrap(), expected);
}

#[test]
fn a_bad_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "bad", format!("{EVENT}\n\nnot json\n").as_bytes());
    assert!(read(&path, Format::Auto).unwrap_err().starts_with("line 3: "));
    let path = file(dir.path(), "reserved", EVENT.replace("/s", "/annal").as_bytes());
    assert!(read(&path, Format::Auto).unwrap_err().starts_with("line 1: "));
}

#[test]
fn envelopes_with_and_without_a_crc() {
    let dir = tempfile::tempdir().unwrap();
    let crc = format!("{:08x}:{ENVELOPE}\n", crc32fast::hash(ENVELOPE.as_bytes()));
    let with = read(&file(dir.path(), "with", crc.as_bytes()), Format::Auto).unwrap();
    let without = read(&file(dir.path(), "without", ENVELOPE.as_bytes()), Format::Auto).unwrap();
    assert_eq!(with, without);
    assert_eq!(
        with,
        [
            r#"{"specversion":"1.0","id":"a-1","source":"/import","type":"ArticleCreated","time":"2026-01-15T10:30:00Z","datacontenttype":"application/json","data":{"title":"x"}}"#
        ]
    );
    let damaged = crc.replace("ArticleCreated", "ArticleDeleted");
    let error = read(&file(dir.path(), "damaged", damaged.as_bytes()), Format::Auto).unwrap_err();
    assert!(error.starts_with("line 1: the CRC says"), "{error}");
}

#[test]
fn what_names_no_id_gets_the_same_one_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let line = r#"{"source":"/s","type":"t"}"#;
    let path = file(dir.path(), "no-ids", format!("{line}\n{line}\n").as_bytes());
    let first = read(&path, Format::Auto).unwrap();
    assert_eq!(first, read(&path, Format::Auto).unwrap());
    assert_ne!(first[0], first[1], "two lines are two events");
}

#[test]
fn trees_keep_the_order_of_their_topics() {
    let dir = tempfile::tempdir().unwrap();
    let event = |ty: &str| {
        format!(
            r#"{{"id":"x-{ty}","timestamp":"2026-01-15T10:30:00Z","type":"{ty}","payload":{{"n":1}}}}"#
        )
    };
    for (path, ty) in [
        ("orders/2026-01-01/0/orders-2.json", "b"),
        ("orders/2026-01-01/0/orders-10.json", "c"),
        ("orders/2026-01-01/1/orders-1.json", "a"),
        ("users/2025-12-31/0/users-1.json", "z"),
    ] {
        file(dir.path(), path, event(ty).as_bytes());
    }
    let found = read(dir.path(), Format::Auto).unwrap();
    let ids: Vec<_> = found.iter().map(|text| text.split('"').nth(7).unwrap()).collect();
    assert_eq!(ids, ["x-z", "x-a", "x-b", "x-c"]);
    assert!(
        found[1].contains(r#""source":"/import/orders""#)
            && found[1].contains(r#""topic":"orders""#)
    );
    file(dir.path(), "orders/2026-01-01/0/notes.txt", b"?");
    assert!(read(dir.path(), Format::Auto).unwrap_err().contains("notes.txt"));
}

#[test]
fn a_line_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { event_bytes_max: 100, ..Limits::default() };
    let path = file(dir.path(), "long", &[b'x'; 10_000]);
    let mut input = open(&path, Format::Auto, "/import", limits).unwrap();
    assert!(input.next().unwrap_err().to_string().contains("line 1 is longer"));
}

#[test]
fn plain_text_in_an_envelope_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let line = r#"{"event_type":"t","event_id":"1","timestamp":1768473000,"payload":"hello"}"#;
    let path = file(dir.path(), "text", line.as_bytes());
    let found = read(&path, Format::Envelopes).unwrap();
    assert!(found[0].contains(r#""data":"hello""#) && found[0].contains("2026-01-15T10:30:00"));
}
