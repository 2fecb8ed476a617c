//! Any text as an expression, any size of it, on any event: an error or an answer, in bounded time.

use std::time::{Duration, Instant};

use annal_event::{
    Data, Event, EventError, EventErrorKind, Filter,
    cesql::{EXPRESSION_BYTES_MAX, Expression, Failure},
    json, proto,
};
use proptest::prelude::*;

use crate::strategy;

/// Long enough for a busy machine, and far too short for anything that grows beyond bounds.
const MOMENT: Duration = Duration::from_secs(20);

/// Tokens that are often an expression when they stand in a row.
fn tokens() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "AND",
        "OR",
        "xor",
        "NOT",
        "LIKE",
        "EXISTS",
        "IN",
        "TRUE",
        "false",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "!=",
        "<>",
        "<=",
        ">",
        "type",
        "subject",
        "missing",
        "1",
        "-7",
        "2147483648",
        "'a'",
        "\"b\"",
        "'%a_'",
        "''",
        "'",
        "CONCAT(",
        "LEFT(",
        "SUBSTRING(",
        "é",
        "x_",
        "_",
        "0x",
        "\\",
        "\u{0}",
        "#",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.join(" "))
}

fn try_it(text: &str, event: &Event<'_>) {
    let expression = match Expression::compile(text) {
        Ok(expression) => expression,
        Err(error) => {
            assert_eq!(error.kind(), EventErrorKind::Filter);
            let position = error.position().expect("a position");
            assert!(position <= text.chars().count(), "{error}");
            assert!(error.detail().len() < 500, "{error}");
            return;
        }
    };
    let mut record = Vec::new();
    proto::encode_record(event, &mut record);
    let record = proto::Record(&record);
    let evaluation = expression.evaluate(event).expect("an event");
    assert_eq!(expression.evaluate(&record).as_ref(), Ok(&evaluation));
    let filter = Filter::expression(text).expect("it compiled before");
    assert_eq!(filter.matches(event), Ok(evaluation.holds()));
    assert_eq!(filter.matches(&record), Ok(evaluation.holds()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text(text: String, event in strategy::event()) {
        try_it(&text, &event);
    }

    #[test]
    fn any_tokens(text in tokens(), event in strategy::event()) {
        try_it(&text, &event);
    }

    #[test]
    fn any_bytes_as_json(bytes: Vec<u8>) {
        let _ = json::parse_filter(&bytes);
    }
}

/// Runs it in a thread with little stack, so that recursion over input would be seen.
fn with_little_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run);
    thread.expect("a thread").join().expect("it does not panic");
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    with_little_stack(|| {
        for count in [1_000, 2_000, 10_000, 100_000] {
            for open in ["(", "NOT ", "- ", "ABS(", "1 IN (", "1 + (", "TRUE AND ("] {
                let text = open.repeat(count);
                for text in [text.clone(), format!("{text}TRUE")] {
                    match Expression::compile(&text) {
                        Ok(expression) => _ = expression.evaluate(&Event::new("1", "s", "t")),
                        Err(error) => assert!(error.position().is_some()),
                    }
                }
            }
        }
        for open in ["[{\"all\":", "[{\"not\":{\"not\":", "[{\"any\":[{\"all\":[", "[", "[{"] {
            assert!(json::parse_filter(open.repeat(5_000).as_bytes()).is_err());
            assert!(json::parse_filter(open.repeat(100_000).as_bytes()).is_err());
        }
    });
}

#[test]
fn long_chains_are_compiled_and_evaluated() {
    with_little_stack(|| {
        let event = Event::new("1", "s", "t");
        for (operand, operator, holds) in [
            ("type='t'", " AND ", true),
            ("type='u'", " OR ", false),
            ("TRUE", " XOR ", false),
            ("1", "=", true),
        ] {
            let text = vec![operand; 4_000].join(operator);
            let filter = Filter::expression(&text).expect("an expression");
            assert_eq!(filter.matches(&event), Ok(holds), "{operator}");
        }
        let elements: Vec<_> = (0..8_000).map(|n| format!("'{n}'")).collect();
        let text = format!("type IN ({}, 't')", elements.join(","));
        let filter = Filter::expression(&text).expect("an expression");
        assert_eq!(filter.matches(&event), Ok(true));
    });
}

#[test]
fn sizes_are_bounded() {
    let refused = |result: Result<Expression, EventError>, position: usize, mentions: &str| {
        let error = result.expect_err("it is too large");
        assert_eq!(error.position(), Some(position), "{error}");
        assert!(error.detail().contains(mentions), "{error}");
    };
    let literal = |bytes: usize| format!("'{}'", "é".repeat(bytes / 2 - 1));
    assert!(Expression::compile(&literal(EXPRESSION_BYTES_MAX)).is_ok());
    let too_long = literal(EXPRESSION_BYTES_MAX + 2);
    refused(Expression::compile(&too_long), EXPRESSION_BYTES_MAX / 2, "at most 65536 bytes");
    let names = |count: usize| (0..count).map(|n| format!("a{n}")).collect::<Vec<_>>().join("+");
    assert!(Expression::compile(&names(64)).is_ok());
    refused(Expression::compile(&names(65)), names(65).len() - 3, "more than 64 different");
    let many = vec!["1"; 10_000].join("+");
    refused(Expression::compile(&many), 2 * 8_192 + 1, "more than 16384 operations");
    let list = format!("[{}]", vec!["{\"exact\":{\"id\":\"a\"}}"; 4_000].join(","));
    let error = json::parse_filter(list.as_bytes()).expect_err("it is too large");
    assert!(error.detail().contains("at most 65536 bytes"), "{error}");
}

/// Evaluates and gives the failure, if any; never longer than a moment.
fn within_a_moment(text: &str, event: &Event<'_>) -> Option<String> {
    let expression = Expression::compile(text).unwrap_or_else(|error| panic!("{error}"));
    let begun = Instant::now();
    let evaluation = expression.evaluate(event).expect("an event");
    assert!(begun.elapsed() < MOMENT, "{:?}", begun.elapsed());
    evaluation.failure.map(|failure| failure.to_string())
}

#[test]
fn patterns_take_no_exponential_time() {
    let text = "a".repeat(1_000_000);
    let event = Event::new("1", "s", "t").with_subject(text);
    let many = "%a".repeat(20_000);
    assert_eq!(within_a_moment(&format!("subject LIKE '{many}%b'"), &event), None);
    assert_eq!(within_a_moment(&format!("subject LIKE '{many}%'"), &event), None);
    let long = "a".repeat(30_000);
    assert_eq!(within_a_moment(&format!("subject LIKE '%{long}b%'"), &event), None);
    assert_eq!(within_a_moment(&format!("subject LIKE '%{long}%{long}'"), &event), None);
    // With _ it is the text times the pattern, up to what an evaluation may do.
    assert_eq!(within_a_moment("subject LIKE '%_a_aab%'", &event), None);
    let failure = within_a_moment(&format!("subject LIKE '%_{long}b%'"), &event);
    assert_eq!(failure, Some(Failure::TooMuchWork.to_string()));
}

#[test]
fn texts_do_not_grow_without_bound() {
    let event = Event::new("1", "s", "t")
        .with_subject("a".repeat(1_000_000))
        .with_extension("bytes", annal_event::Value::Bytes(vec![0; 1_000_000].into()));
    let too_much = Some(Failure::TooMuchWork.to_string());
    let subjects = vec!["subject"; 1_000].join(",");
    assert_eq!(within_a_moment(&format!("CONCAT({subjects})"), &event), too_much);
    assert_eq!(within_a_moment(&format!("CONCAT_WS(subject,{subjects})"), &event), too_much);
    let compared = vec!["subject = id"; 3_000].join(" OR ");
    assert_eq!(within_a_moment(&compared, &event), None);
    for each in ["UPPER(subject) = 'b'", "bytes = 'b'", "LENGTH(subject) = 1", "subject = subject"]
    {
        let joined = vec![each; 400].join(" XOR ");
        assert_eq!(within_a_moment(&joined, &event), too_much, "{each}");
        assert_eq!(within_a_moment(each, &event), None, "{each}");
    }
    let zeros = Event::new("1", "s", "t").with_subject("0".repeat(1_000_000));
    assert_eq!(within_a_moment(&vec!["subject"; 8_000].join("+"), &zeros), too_much);
    assert_eq!(within_a_moment("subject = 0", &zeros), None);
    let nested = format!("{}subject{}", "CONCAT(subject,".repeat(900), ")".repeat(900));
    assert_eq!(within_a_moment(&nested, &event), too_much);
}

#[test]
fn work_that_runs_out_ends_all_of_a_filter() {
    let event = Event::new("e", "s", "t")
        .with_subject("a".repeat(1_000_000))
        .with_extension("bytes", annal_event::Value::Bytes(vec![0; 1_500_000].into()));
    let costly = vec!["LENGTH(subject) = 1000000"; 15].join(" AND ");
    let all = format!(r#"{{"all":[{{"sql":"{costly}"}},{{"exact":{{"bytes":"AAAA"}}}}]}}"#);
    let filter = format!(r#"[{{"any":[{all},{{"exact":{{"id":"e"}}}}]}}]"#);
    let filter = json::parse_filter(filter.as_bytes()).expect("a filter");
    assert_eq!(filter.matches(&event), Ok(false));
    let filter = format!(r#"[{{"any":[{{"sql":"NOT ({costly})"}},{{"exact":{{"id":"e"}}}}]}}]"#);
    let filter = json::parse_filter(filter.as_bytes()).expect("a filter");
    assert_eq!(filter.matches(&event), Ok(true));
}

#[test]
fn many_attributes_are_looked_through_once_a_name() {
    let mut event = Event::new("1", "s", "t").with_data(Data::None);
    for n in 0..60_000 {
        event.extensions.push((format!("x{n:05}").into(), annal_event::Value::Boolean(true)));
    }
    let mut record = Vec::new();
    proto::encode_record(&event, &mut record);
    let names: Vec<_> = (0..5_000).map(|n| format!("x{:05}", 59_937 + n % 63)).collect();
    let filter = Filter::expression(&names.join(" AND ")).expect("an expression");
    let begun = Instant::now();
    assert_eq!(filter.matches(&proto::Record(&record)), Ok(true));
    assert!(begun.elapsed() < MOMENT, "{:?}", begun.elapsed());
}

#[test]
fn compilation_takes_a_moment() {
    let list = |attribute: &str, from: usize, to: usize| {
        let texts: Vec<_> = (from..to).map(|n| format!("'{n}'")).collect();
        format!("{attribute} IN ({})", texts.join(","))
    };
    let either = "(type='a' OR subject='b')";
    for text in [
        [list("type", 0, 800).as_str(); 10].join(" AND "),
        vec![list("type", 0, 60).as_str(); 150].join(" OR "),
        vec![either; 1_900].join(" AND "),
        vec![either; 1_900].join(" OR "),
        format!("{} AND {}", vec![either; 1_600].join(" AND "), list("source", 0, 1_000)),
        (0..1_700).map(|n| format!("(type='{n}' OR source='a')")).collect::<Vec<_>>().join(" AND "),
        (0..2_500).map(|n| format!("NOT type='{n}'")).collect::<Vec<_>>().join(" OR "),
        format!("{}1{}", "1 IN (1,".repeat(990), ")".repeat(990)),
        format!("type LIKE '{}'", "_%".repeat(30_000)),
    ] {
        let begun = Instant::now();
        let compiled = Filter::expression(&text);
        assert!(compiled.is_ok(), "{:?}", compiled.err());
        assert!(begun.elapsed() < MOMENT, "{:?}", begun.elapsed());
    }
}
