//! Handing stored records on as they are.
//!
//! A record is nearly what is sent: only where its `time` is text, or where it says of its own what
//! its data is, does it have to be written anew. Otherwise the attributes that the store adds are put
//! behind it, which in protobuf is the same as anywhere else in the message.

use super::read::{damaged, decode_record, entry};
use super::wire::{Malformed, Reader};
use super::write::{put_place, write_event};
use super::{DATA_KIND, number};
use crate::{EventError, Position, Timestamp};

/// Appends a stored record as it goes over the wire, with its place; as [`write_event`] would, but
/// without decoding it where that is not needed.
pub fn write_record(
    out: &mut Vec<u8>,
    record: &[u8],
    position: Position,
    recorded: Timestamp,
) -> Result<(), EventError> {
    if is_sent_as_stored(record).map_err(damaged)? {
        out.extend_from_slice(record);
        put_place(out, position, recorded);
    } else {
        write_event(out, &decode_record(record)?, Some((position, recorded)));
    }
    Ok(())
}

fn is_sent_as_stored(record: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(record);
    while let Some((number, field)) = reader.next()? {
        if number == DATA_KIND {
            return Ok(false);
        }
        if number == number::ATTRIBUTES {
            let (name, value) = entry(field.bytes()?)?;
            let is_text = || Reader::new(value).next().map(|first| first.map(|(number, _)| number));
            if name == b"time" && is_text()? == Some(number::CE_STRING) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, Event, Value, proto};

    #[test]
    fn a_record_handed_on_says_what_would_be_written() {
        let (position, recorded) = (Position(42), Timestamp(1_768_473_000_123_456));
        let plain = || Event::new("e", "/s", "t").with_subject("a/b");
        let all = [
            (plain(), true),
            (plain().with_time("2026-01-15T10:30:00Z").with_json("{\"n\": 0.10}"), true),
            (plain().with_time("2026-01-15T10:30:00+01:00").with_json("1"), false),
            (plain().with_data(Data::Text("plain".into())), false),
            (plain().with_content_type("text/plain").with_data(Data::Text("x".into())), true),
            (plain().with_content_type("text/plain").with_json("{}"), false),
            (plain().with_data(Data::Bytes(vec![0, 255].into())), true),
            (plain().with_extension("level", 7).with_extension("tags", "a b"), true),
            (plain().with_extension("when", Value::Timestamp("2026-01-15T10:30:00Z".into())), true),
        ];
        for (event, as_stored) in all {
            let (mut record, mut sent, mut written) = (Vec::new(), Vec::new(), Vec::new());
            proto::encode_record(&event, &mut record);
            assert_eq!(is_sent_as_stored(&record), Ok(as_stored), "{event:?}");
            write_record(&mut sent, &record, position, recorded).expect("a record");
            let stored = decode_record(&record).expect("a record");
            write_event(&mut written, &stored, Some((position, recorded)));
            assert_eq!(decode_record(&sent), decode_record(&written), "{event:?}");
            assert_eq!(proto::parse_event(&sent), proto::parse_event(&written), "{event:?}");
        }
        assert!(write_record(&mut Vec::new(), &[0x0a, 9], position, recorded).is_err());
    }
}
