//! What must not take memory: the filters that most subscribers have, on every event.

use annal_event::{Attributes, Event, Filter, json, proto};

fn event() -> Event<'static> {
    Event::new("e-1", "https://shop.example.com/orders", "com.example.order.placed")
        .with_subject("orders/42")
        .with_time("2026-01-15T10:30:00Z")
        .with_extension("priority", 7)
        .with_extension("urgent", true)
        .with_json("{\"n\":1}")
}

#[track_caller]
fn allocations(filter: &Filter, event: &impl Attributes, matches: bool) -> u64 {
    let counted = allocation_counter::measure(|| {
        assert_eq!(filter.matches(event), Ok(matches), "{filter}");
    });
    counted.count_total
}

#[test]
fn simple_filters_take_no_memory() {
    let event = event();
    let mut record = Vec::new();
    proto::encode_record(&event, &mut record);
    for (text, matches) in [
        ("type = 'com.example.order.placed'", true),
        ("type = 'com.example.order.paid'", false),
        ("source = 'https://shop.example.com/orders' AND subject = 'orders/42'", true),
        ("subject = 'a' OR subject = 'b' OR subject = 'orders/42'", true),
        ("type IN ('a', 'com.example.order.placed')", true),
        ("subject LIKE 'orders/%' AND type LIKE '%.order.%' AND type LIKE '%p_aced'", true),
        ("EXISTS priority AND NOT EXISTS nothing AND priority > 6 AND priority = '7'", true),
        ("time = '2026-01-15T10:30:00Z' AND urgent AND priority * 2 + 1 = 15", true),
        ("INT(priority) = 7 AND LENGTH(type) > 3 AND LEFT(subject, 6) = 'orders'", true),
        ("missing = 'a'", false),
        ("type = 'a' OR missing = 'a'", false),
    ] {
        let filter = Filter::expression(text).expect(text);
        assert_eq!(allocations(&filter, &event, matches), 0, "{text}");
        assert_eq!(allocations(&filter, &proto::Record(&record), matches), 0, "{text}");
    }
    let dialects = br#"[{"exact":{"subject":"orders/42"}},{"not":{"prefix":{"type":"org."}}},
        {"any":[{"suffix":{"type":".paid"}},{"sql":"missing = 1"},{"sql":"priority = 7"}]}]"#;
    let filter = json::parse_filter(dialects).expect("a filter");
    assert_eq!(allocations(&filter, &proto::Record(&record), true), 0);
}

#[test]
fn the_counter_counts() {
    let filter = Filter::expression("CONCAT(type, 'a') = 'ta'").expect("an expression");
    assert!(allocations(&filter, &Event::new("1", "s", "t"), true) > 0);
}

#[test]
fn an_attribute_of_a_record_takes_no_memory() {
    let mut record = Vec::new();
    proto::encode_record(&event(), &mut record);
    for name in ["id", "type", "subject", "time", "priority", "urgent", "missing"] {
        let counted = allocation_counter::measure(|| {
            let found = proto::attribute(&record, name).expect("a record");
            assert_eq!(found.is_none(), name == "missing");
        });
        assert_eq!(counted.count_total, 0, "{name}");
    }
}
