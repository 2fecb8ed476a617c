//! How fast filters are on this machine, one core:
//! `cargo run --release -p annal-event --example cesql_speed`.

use std::{hint::black_box, time::Instant};

use annal_event::{Attributes, Event, Filter, cesql::Expression, json, proto};

const EVENTS: usize = 1_000;
const SECONDS_MIN: f64 = 0.5;

fn event(n: usize) -> Event<'static> {
    Event::new(format!("order-{n:08}"), "https://shop.example.com/orders", TYPES[n % TYPES.len()])
        .with_subject(format!("orders/{n}"))
        .with_time(format!("2026-01-15T10:30:00.{:06}Z", n % 1_000_000))
        .with_content_type("application/json")
        .with_extension("priority", (n % 10) as i32)
        .with_extension("tags", "customer:7 urgent")
        .with_json(r#"{"customer":"customer-7","items":[{"sku":"A-1","n":2,"price":12.50}]}"#)
}

const TYPES: [&str; 2] = ["com.example.order.placed", "com.example.order.shipped"];

const EXPRESSIONS: [&str; 10] = [
    "type = 'com.example.order.placed'",
    "source = 'https://shop.example.com/orders' AND subject = 'orders/123500'",
    "subject = 'orders/123500' OR type = 'com.example.order.shipped' OR priority > 8",
    "type IN ('com.example.order.paid', 'com.example.order.shipped')",
    "subject LIKE 'orders/%'",
    "type LIKE '%.order.%ed'",
    "type LIKE '%.o____.%'",
    "EXISTS priority AND priority * 2 >= 10",
    "missing = 'x'",
    "LEFT(UPPER(subject), 6) = 'ORDERS'",
];

/// Runs `pass` over all events until the clock says enough; prints nanoseconds an event.
fn measure(name: &str, mut pass: impl FnMut()) {
    pass();
    let (begun, mut passes) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < SECONDS_MIN {
        pass();
        passes += 1;
    }
    let nanos = begun.elapsed().as_nanos() as f64 / (passes * EVENTS) as f64;
    println!("{name:<90} {nanos:>7.1} ns");
}

fn matches(filter: &Filter, event: &impl Attributes) -> bool {
    filter.matches(black_box(event)).expect("a filter of what can be read")
}

fn main() {
    let events: Vec<Event<'_>> = (123_456..123_456 + EVENTS).map(event).collect();
    let records: Vec<Vec<u8>> = events
        .iter()
        .map(|event| {
            let mut record = Vec::new();
            proto::encode_record(event, &mut record);
            record
        })
        .collect();
    println!("{EVENTS} events, records of {} bytes", records[0].len());
    for text in EXPRESSIONS {
        let filter = Filter::expression(text).expect("an expression");
        measure(text, || events.iter().for_each(|event| _ = black_box(matches(&filter, event))));
        measure("    the same from records", || {
            for record in &records {
                black_box(matches(&filter, &proto::Record(record)));
            }
        });
    }
    let dialects =
        br#"[{"prefix":{"type":"com.example."}},{"not":{"exact":{"source":"elsewhere"}}}]"#;
    let filter = json::parse_filter(dialects).expect("a filter");
    measure(&format!("{filter}"), || {
        for record in &records {
            black_box(matches(&filter, &proto::Record(record)));
        }
    });
    for name in ["type", "subject", "tags", "missing"] {
        measure(&format!("attribute {name} of a record"), || {
            for record in &records {
                _ = black_box(proto::attribute(black_box(record), name));
            }
        });
    }
    measure("compile the second of the expressions", || {
        (0..EVENTS).for_each(|_| _ = black_box(Expression::compile(black_box(EXPRESSIONS[1]))));
    });
}
