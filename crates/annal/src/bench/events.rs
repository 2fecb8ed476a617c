//! Events of 350 bytes, all different.

use annal_event::{
    Encoded, Limits,
    json::{self, Fill, Strictness},
};

/// Size of one event as JSON, in bytes.
pub(super) const EVENT_BYTES: usize = 350;

/// Event `number` of a series, as JSON on one line, without a line break.
pub(super) fn line(series: &str, number: usize) -> String {
    let mut mixed = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let head = format!(
        r#"{{"specversion":"1.0","id":"{series}-{number:09}","source":"/bench/shop","type":"com.example.order.placed","subject":"orders/{}","time":"2026-01-15T10:30:00.123Z","datacontenttype":"application/json","data":{{"customer":"c-{}","amount":{}.{:02},"currency":"EUR","note":""#,
        mixed % 100_000,
        mixed % 9_973,
        mixed % 500,
        mixed % 100,
    );
    let filler =
        "delivered to the neighbours at number twelve, who were kind enough to sign for it; ";
    let room = EVENT_BYTES.saturating_sub(head.len() + r#""}}"#.len());
    let note: String = filler.chars().cycle().take(room).collect();
    format!(r#"{head}{note}"}}}}"#)
}

/// What a request task does with an event's text: parse, validate, encode.
pub(super) fn encode(text: &str, encoded: &mut Encoded) -> anyhow::Result<()> {
    let mut no_id = String::new;
    let fill = Fill { id: &mut no_id, now: annal_event::Timestamp::default() };
    let event = json::parse_event(text.as_bytes(), &mut Strictness::Lenient(fill))?;
    event.validate(&Limits::default())?;
    encoded.push(&event);
    Ok(())
}

/// `count` events from `first` on, encoded in one batch.
pub(super) fn batch(series: &str, first: usize, count: usize) -> anyhow::Result<Encoded> {
    let mut encoded = Encoded::default();
    for number in first..first + count {
        encode(&line(series, number), &mut encoded)?;
    }
    Ok(encoded)
}

/// The same as events of a topic: with ids of their own, or to be named by the topic.
pub(super) fn topic_batch(
    topic: &str,
    series: &str,
    (first, count): (usize, usize),
    named: bool,
) -> anyhow::Result<Encoded> {
    let mut encoded = Encoded::default();
    for number in first..first + count {
        let text = line(series, number);
        let event = json::parse_event(text.as_bytes(), &mut Strictness::Strict)?;
        let mut event = event.with_extension("topic", topic);
        if named {
            encoded.push(&event);
        } else {
            event.id = format!("{topic}-{:020}", u64::MAX - encoded.len() as u64).into();
            event.source = format!("/topics/{topic}").into();
            encoded.push_unnamed(&event);
        }
    }
    Ok(encoded)
}

/// The same as NDJSON.
pub(super) fn ndjson(series: &str, first: usize, count: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(count * (EVENT_BYTES + 1));
    for number in first..first + count {
        body.extend_from_slice(line(series, number).as_bytes());
        body.push(b'\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::{EVENT_BYTES, batch, line};

    #[test]
    fn events_have_the_size_that_is_claimed() {
        for number in [0, 1, 7, 999_999_999] {
            assert_eq!(line("s", number).len(), EVENT_BYTES);
        }
        assert_eq!(batch("s", 0, 10).unwrap().len(), 10);
    }
}
