//! Every door against every other: what is published through one comes back through all.
//!
//! The formats are read and written here without the server's codecs: JSON by `serde_json`, protobuf
//! by generated code, headers by hand. What a door cannot carry by its specification is a [`Loss`]
//! with a name and a reason; everything else must be the same, with its type.

mod event;
mod read;
mod write;

use event::{Attribute, Data, Event, Loss, json_bytes_are_json};

use crate::grpc::World;

/// A door, and what it cannot carry.
struct Door<F> {
    name: &'static str,
    losses: &'static [Loss],
    pass: F,
}

/// What is published, without ids.
fn samples() -> Vec<Event> {
    let event = || Event::new("/doors", "door.tried").with("subject", "a/b");
    let of = |media_type: &str, data: Data| event().with("datacontenttype", media_type).data(data);
    let json = |text: &str| Data::Json(text.to_owned());
    let text = |text: &str| Data::Text(text.to_owned());
    let bytes = |bytes: &[u8]| Data::Bytes(bytes.to_vec());
    vec![
        of("application/json", json("{\"n\": 12345678901234567890, \"d\":0.10,\"b\":1,\"a\":2}"))
            .with("count", Attribute::Integer(-7))
            .with("least", Attribute::Integer(i32::MIN))
            .with("on", Attribute::Boolean(true))
            .with("off", Attribute::Boolean(false))
            .with("word", "7"),
        event().data(json("{\"no\":\"media type\"}")),
        of("application/json", json("\"a string \u{e9} \u{2028}\\n\"")),
        of("application/json", json("null")),
        of("application/vnd.door+json; charset=utf-8", json("[1.0e2]")),
        of("text/xml", json("{\"json\":\"all the same\"}")),
        event(),
        Event::new("/doors", "bare"),
        of("text/plain", text("two lines,\n\u{65e5}\u{672c} and \u{2029} \"quotes\"")),
        of("text/plain", text("\"looks like JSON\"")),
        of("text/plain", text("")),
        of("application/octet-stream", bytes(b"\x00\xff\xfe\r\n\r\n\xc3\x28%41")),
        of("application/octet-stream", bytes(b"{\"looks\":\"like JSON\"}")),
        of("application/octet-stream", bytes(b"")),
        of("application/json", bytes(b"{\"bytes\":\"that are JSON\"}")),
        of("application/json", bytes(b"{\"bytes\":\"that are not")),
        event().data(bytes(b"no media type")),
        event()
            .with("subject", "\u{dc}n\u{ef}/\u{65e5}\u{672c} \u{1f600}/100%/%41")
            .with("type", "door.\u{e9}")
            .with("dataschema", "https://example.com/s?a=b#c")
            .with("quoted", " \"in\\quotes\" ")
            .with("unicode", "\u{43a}\u{43b}\u{44e}\u{447} \u{2028}."),
        event()
            .with("bytes", Attribute::Bytes(vec![0, 255, 7]))
            .with("uri", Attribute::Uri("https://example.com/x".to_owned()))
            .with("uriref", Attribute::Reference("../x?y".to_owned()))
            .with("when", Attribute::Time("2026-01-15T09:30:00.500Z".to_owned())),
        event().with("time", "2026-01-15T10:30:00Z"),
        event().with("time", "2026-01-15T10:30:00.123456789Z"),
        event().with("time", "2026-01-15T10:30:00.5+01:00"),
    ]
}

#[test]
fn what_one_door_takes_all_doors_give_back() {
    let world = World::new();
    let mut stored: Vec<(String, Event)> = Vec::new();
    for door in write::DOORS {
        for (number, sample) in samples().into_iter().enumerate() {
            // With what a path, a header and JSON each write another way.
            let id = format!("{}/{number} %\u{e9}", door.name);
            let event = sample.with("id", &*id);
            (door.pass)(&world, &event);
            let kept =
                door.losses.iter().fold(json_bytes_are_json(event), |event, lost| lost(event));
            stored.push((id, kept));
        }
    }
    assert_eq!(world.served.engine().head().0, stored.len() as u64);
    let log = read::identities(&world);
    for door in read::DOORS {
        let read = (door.pass)(&world, &log);
        assert_eq!(read.len(), stored.len(), "{}", door.name);
        for ((id, kept), mut back) in stored.iter().zip(read) {
            let expected = door.losses.iter().fold(kept.clone(), |event, lost| lost(event));
            for (name, value) in &expected.attributes {
                if *value == Attribute::Made && back.attribute(name).is_some() {
                    back = back.with(name, Attribute::Made);
                }
            }
            assert_eq!(back, expected, "written by {id}, read by {}", door.name);
        }
    }
}
