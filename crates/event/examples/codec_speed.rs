//! How fast the codecs are on this machine, one core:
//! `cargo run --release -p annal-event --example codec_speed`.

use std::{hint::black_box, time::Instant};

use annal_event::{
    Encoded, Event, Identity, Limits, Position, Timestamp, event_digest, json, merkle_root, proto,
};

const EVENTS: usize = 1_000;
const SECONDS_MIN: f64 = 0.7;

fn event_text(n: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"order-{n:08}","source":"https://shop.example.com/orders","type":"com.example.order.placed","subject":"orders/{n}","time":"2026-01-15T10:30:00.{:06}Z","datacontenttype":"application/json","data":{{"customer":"customer-{n}","items":[{{"sku":"A-{n}","n":2,"price":12.50}}],"note":"leave at the door","total":25.00}}}}"#,
        n % 1_000_000
    )
}

/// Runs `pass` over all events until the clock says enough; prints events a second.
fn measure(name: &str, mut pass: impl FnMut()) -> f64 {
    pass();
    let (begun, mut passes) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < SECONDS_MIN {
        pass();
        passes += 1;
    }
    let nanos = begun.elapsed().as_nanos() as f64 / (passes * EVENTS) as f64;
    println!("{name:<44} {:>9.0} events/s {nanos:>8.0} ns", 1e9 / nanos);
    nanos
}

fn main() {
    let texts: Vec<String> = (123_456..123_456 + EVENTS).map(event_text).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{EVENTS} events of {} bytes of JSON", bytes / EVENTS);
    let limits = Limits::default();
    let parse = |text: &'static str| -> Event<'static> {
        json::parse_event(text.as_bytes(), &mut json::Strictness::Strict).expect("an event")
    };
    let texts: &'static [String] = Vec::leak(texts);
    let events: Vec<Event<'_>> = texts.iter().map(|text| parse(text)).collect();
    let mut encoded = Encoded::default();
    events.iter().for_each(|event| encoded.push(event));
    let records: Vec<&[u8]> = (0..EVENTS).map(|n| encoded.record(n)).collect();
    println!("records of {} bytes", encoded.payload().len() / EVENTS - 4);

    measure("parse JSON", || texts.iter().for_each(|text| drop(black_box(parse(text)))));
    measure("validate", || {
        events.iter().for_each(|event| black_box(event.validate(&limits)).expect("valid"));
    });
    let mut record = Vec::new();
    measure("encode record", || {
        for event in &events {
            record.clear();
            proto::encode_record(event, &mut record);
            black_box(&record);
        }
    });
    let digest = measure("digest (BLAKE3)", || {
        records.iter().for_each(|record| _ = black_box(event_digest(record)));
    });
    measure("identity", || {
        events.iter().for_each(|event| _ = black_box(Identity::of(&event.source, &event.id)));
    });
    let mut scratch = Encoded::default();
    let whole = measure("parse JSON + validate + push", || {
        scratch.clear();
        texts.iter().for_each(|text| scratch.push_valid(&parse(text), &limits).expect("valid"));
    });
    println!("  of which the digest takes {:.0} %", 100.0 * digest / whole);
    measure("Merkle root", || _ = black_box(merkle_root(encoded.digests())));
    measure("decode record", || {
        records.iter().for_each(|record| drop(black_box(proto::decode_record(record))));
    });
    measure("keys of a record", || {
        records.iter().for_each(|record| _ = black_box(proto::keys(record)));
    });
    let stored = Some((Position(123_456_789), Timestamp(1_768_473_000_123_456)));
    let mut out = Vec::new();
    measure("decode record + write JSON", || {
        out.clear();
        for record in &records {
            let event = proto::decode_record(record).expect("a record");
            json::write_event(&mut out, &event, stored);
            out.push(b'\n');
        }
        black_box(&out);
    });
    measure("decode record + write protobuf", || {
        out.clear();
        for record in &records {
            proto::write_event(&mut out, &proto::decode_record(record).expect("a record"), stored);
        }
        black_box(&out);
    });
}
