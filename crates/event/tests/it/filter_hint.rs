//! What an index may leave out for a filter: never an event that matches.

use annal_event::{Event, Filter, Pattern, Query, Selector, json, proto};
use proptest::prelude::*;

fn exact(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::Exact((*text).to_owned())).collect()
}

fn types(texts: &[&str]) -> Selector {
    Selector { types: exact(texts), ..Selector::default() }
}

fn subjects(texts: &[&str]) -> Selector {
    Selector { subjects: exact(texts), ..Selector::default() }
}

/// The hint with its texts in order, which is of no importance.
fn hint(filter: &Filter) -> Query {
    let mut query = filter.selector_hint().clone();
    for selector in &mut query.any {
        selector.types.sort_by_key(|pattern| format!("{pattern:?}"));
        selector.subjects.sort_by_key(|pattern| format!("{pattern:?}"));
        selector.sources.sort();
    }
    query.any.sort_by_key(|selector| format!("{selector:?}"));
    query
}

#[track_caller]
fn of_expression(text: &str, any: Vec<Selector>) {
    let filter = Filter::expression(text).expect(text);
    assert_eq!(hint(&filter).any, any, "{text}");
}

#[test]
fn hints_of_expressions() {
    of_expression("type = 'a'", vec![types(&["a"])]);
    of_expression("'a' = type", vec![types(&["a"])]);
    of_expression("type = 'a' OR type = 'b' OR (type = 'c')", vec![types(&["a", "b", "c"])]);
    of_expression("type IN ('a', 'b')", vec![types(&["a", "b"])]);
    of_expression(
        "source IN ('s')",
        vec![Selector { sources: vec!["s".into()], ..Selector::default() }],
    );
    of_expression("subject LIKE 'orders/42'", vec![subjects(&["orders/42"])]);
    let orders = vec![Pattern::Prefix("orders/".into())];
    let orders = Selector { subjects: orders, ..Selector::default() };
    of_expression("subject LIKE 'orders/%'", vec![orders.clone()]);
    of_expression("subject LIKE 'orders/_%x'", vec![orders.clone()]);
    of_expression("subject LIKE 'orders/%' AND missing > 1", vec![orders.clone()]);
    of_expression("subject LIKE 'orders/%' AND subject LIKE '%/items'", vec![orders]);
    let both = Selector { subjects: exact(&["b"]), ..types(&["a"]) };
    of_expression("type = 'a' AND subject = 'b' AND EXISTS x", vec![both]);
    of_expression("type = 'a' OR subject = 'b'", vec![subjects(&["b"]), types(&["a"])]);
    of_expression("NOT (type != 'a')", vec![types(&["a"])]);
    of_expression(
        "NOT (type != 'a' OR subject NOT IN ('b'))",
        vec![Selector { subjects: exact(&["b"]), ..types(&["a"]) }],
    );
    of_expression("(type = 'a' OR type = 'b') AND type LIKE 'b%'", vec![types(&["b"])]);
    of_expression("TRUE AND type = 'a'", vec![types(&["a"])]);
    let prefix = |text: &str| Selector {
        types: vec![Pattern::Prefix(text.to_owned())],
        ..Selector::default()
    };
    of_expression("type LIKE 'a%' AND type LIKE 'ab%'", vec![prefix("ab")]);
    of_expression("type LIKE 'ab%' AND type LIKE 'a%'", vec![prefix("ab")]);
    let narrow = Selector { subjects: exact(&["b"]), ..types(&["a"]) };
    let either = vec![narrow, types(&["a"])];
    of_expression("type = 'a' OR (type = 'a' AND subject = 'b')", either.clone());
    of_expression("(type = 'a' AND subject = 'b') OR type = 'a'", either);
    // No event has an empty type.
    of_expression("type LIKE 'a%' AND type LIKE 'b%'", vec![types(&[""])]);
    of_expression("type = 'a' AND type = 'b'", vec![types(&[""])]);
    of_expression("FALSE OR FALSE", vec![types(&[""])]);
}

#[test]
fn where_nothing_can_be_said_everything_is_looked_at() {
    for text in [
        "TRUE",
        "id = 'a'",
        "topic = 'a'",
        "type != 'a'",
        "type = 5",
        "type = 'a' OR id = 'b'",
        "type = 'a' XOR type = 'b'",
        "NOT (type = 'a')",
        "type LIKE '%a'",
        "type NOT LIKE 'a%'",
        "source LIKE 'a%'",
        "type IN ('a', subject)",
        "UPPER(type) = 'A'",
        "(type = 'a') = TRUE",
        "type = 'a' OR TRUE",
    ] {
        let filter = Filter::expression(text).expect(text);
        assert!(filter.selector_hint().is_all(), "{text}: {:?}", filter.selector_hint());
    }
    let many: Vec<_> = (0..2_000).map(|n| format!("type = 't{n}'")).collect();
    let filter = Filter::expression(&many.join(" OR ")).expect("an expression");
    assert!(filter.selector_hint().is_all());
    let filter = Filter::expression(&many[..500].join(" OR ")).expect("an expression");
    assert_eq!(filter.selector_hint().any[0].types.len(), 500);
    let kinds: Vec<_> = (0..20).map(|n| format!("(type = 't{n}' AND subject = 's{n}')")).collect();
    let filter = Filter::expression(&kinds.join(" OR ")).expect("an expression");
    assert!(filter.selector_hint().is_all());
    let filter = Filter::expression(&kinds[..16].join(" OR ")).expect("an expression");
    assert_eq!(filter.selector_hint().any.len(), 16);
}

#[test]
fn hints_of_dialects() {
    let of = |text: &str| hint(&json::parse_filter(text.as_bytes()).expect(text)).any;
    assert_eq!(of(r#"[{"exact":{"type":"a","id":"x"}}]"#), [types(&["a"])]);
    assert_eq!(
        of(r#"[{"prefix":{"type":"a."}}]"#),
        [Selector { types: vec![Pattern::Prefix("a.".into())], ..Selector::default() }]
    );
    assert_eq!(
        of(r#"[{"any":[{"exact":{"subject":"a"}},{"sql":"subject = 'b'"}]}]"#),
        [subjects(&["a", "b"])]
    );
    // A missing attribute and a failure are false, so that `not` of it says nothing.
    assert_eq!(of(r#"[{"not":{"not":{"exact":{"subject":"a"}}}}]"#), [subjects(&["a"])]);
    assert_eq!(of(r#"[{"not":{"sql":"subject != 'a'"}}]"#), []);
    assert_eq!(of("[]"), []);
}

const TEXTS: [&str; 6] = ["a", "ab", "b", "a/b", "abc", "true"];
const NAMES: [&str; 6] = ["type", "subject", "source", "topic", "flag", "missing"];

/// Expressions over few texts, so that they often hold.
fn expression() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(NAMES.to_vec());
    let text = || prop::sample::select(TEXTS.to_vec());
    let pattern = prop::sample::select(vec!["a%", "%", "%b", "a_%", "ab", "a/%", "_"]);
    let equal = prop::sample::select(vec!["=", "!=", "<>"]);
    let not = || prop::sample::select(vec!["", "NOT "]);
    let leaf = prop_oneof![
        4 => (name(), equal, text()).prop_map(|(name, op, text)| format!("{name} {op} '{text}'")),
        1 => (name(), text()).prop_map(|(name, text)| format!("'{text}' = {name}")),
        2 => (name(), not(), text(), text())
            .prop_map(|(name, not, one, two)| format!("{name} {not}IN ('{one}', '{two}')")),
        1 => (name(), name(), text())
            .prop_map(|(name, one, two)| format!("{name} IN ({one}, '{two}')")),
        2 => (name(), not(), pattern)
            .prop_map(|(name, not, pattern)| format!("{name} {not}LIKE '{pattern}'")),
        1 => name().prop_map(|name| format!("EXISTS {name}")),
        1 => prop::sample::select(vec!["TRUE", "FALSE", "flag", "'true'", "1", "1 / 0 = 1"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        let operator = prop::sample::select(vec!["AND", "OR", "OR", "XOR", "=", "!="]);
        prop_oneof![
            5 => (inner.clone(), operator, inner.clone())
                .prop_map(|(left, op, right)| format!("({left}) {op} ({right})")),
            2 => inner.prop_map(|inner| format!("NOT ({inner})")),
        ]
    })
}

/// Dialects over the same texts.
fn dialect() -> impl Strategy<Value = String> {
    let name = prop::sample::select(NAMES.to_vec());
    let text = prop::sample::select(TEXTS.to_vec());
    let kind = prop::sample::select(vec!["exact", "prefix", "suffix"]);
    let leaf = prop_oneof![
        3 => (kind, name, text)
            .prop_map(|(kind, name, text)| format!(r#"{{"{kind}":{{"{name}":"{text}"}}}}"#)),
        2 => expression().prop_map(|sql| format!(r#"{{"sql":"{sql}"}}"#)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            3 => (prop::sample::select(vec!["all", "any"]), several)
                .prop_map(|(join, list)| format!(r#"{{"{join}":[{}]}}"#, list.join(","))),
            1 => inner.prop_map(|inner| format!(r#"{{"not":{inner}}}"#)),
        ]
    })
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        expression().prop_map(|sql| format!("\"{sql}\"")),
        prop::collection::vec(dialect(), 0..3).prop_map(|list| format!("[{}]", list.join(","))),
    ]
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let text = || prop::sample::select(TEXTS.to_vec());
    let some = || prop::option::of(text());
    (text(), some(), text(), some(), prop::option::of(any::<bool>())).prop_map(
        |(ty, subject, source, topic, flag)| {
            let mut event = Event::new("1", source, ty);
            event.subject = subject.map(Into::into);
            if let Some(topic) = topic {
                event.set_extension("topic".into(), annal_event::Value::UriRef(topic.into()));
            }
            if let Some(flag) = flag {
                event.set_extension("flag".into(), flag.into());
            }
            event
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_matching_event_is_left_out(
        filter in filter(), events in prop::collection::vec(event(), 8),
    ) {
        let text = filter;
        let filter = json::parse_filter(text.as_bytes()).expect("a filter");
        for event in events {
            let mut record = Vec::new();
            proto::encode_record(&event, &mut record);
            let matches = filter.matches(&proto::Record(&record)).expect("a record");
            prop_assert_eq!(filter.matches(&event), Ok(matches));
            let keys = proto::keys(&record).expect("a record");
            let hint = filter.selector_hint();
            prop_assert!(!matches || hint.matches_keys(&keys), "{} {:?} {:?}", text, event, hint);
        }
    }

    #[test]
    fn filters_come_back_as_they_were_written(filter in filter()) {
        let parsed = json::parse_filter(filter.as_bytes()).expect("a filter");
        let mut out = Vec::new();
        json::write_filter(&mut out, &parsed);
        prop_assert_eq!(json::parse_filter(&out), Ok(parsed));
    }
}
