//! The language beyond its test kit: how things group, what is cast, what is refused and where.

use std::collections::HashSet;

use annal_event::{
    Event, EventErrorKind,
    cesql::{DEPTH_MAX, Expression, Failure, Type, Value},
};

fn event() -> Event<'static> {
    Event::new("e-1", "/shop", "com.example.placed")
        .with_subject("orders/42")
        .with_extension("count", 7)
        .with_extension("flag", true)
        .with_extension("digits", "5")
        .with_extension("1a", "one")
        .with_extension("bytes", annal_event::Value::Bytes(vec![0, 1, 2].into()))
}

/// The value an expression has and what failed, as text.
fn outcome(text: &str) -> (String, Option<String>) {
    let expression = Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let event = event();
    let evaluation = expression.evaluate(&event).expect("an event");
    let value = match &evaluation.value {
        Value::Text(text) => format!("{:?}", &**text),
        other => other.to_string(),
    };
    (value, evaluation.failure.map(|failure| failure.to_string()))
}

#[track_caller]
fn is(text: &str, value: &str) {
    assert_eq!(outcome(text), (value.to_owned(), None), "{text}");
}

#[track_caller]
fn fails(text: &str, value: &str, mentions: &str) {
    let (found, failure) = outcome(text);
    assert_eq!(found, value, "{text}");
    let failure = failure.unwrap_or_else(|| panic!("{text} should fail"));
    assert!(failure.contains(mentions), "{text}: {failure}");
}

#[test]
fn operators_group_as_the_grammar_has_it() {
    // AND, OR and XOR stand on one level and group to the right.
    is("FALSE AND FALSE OR TRUE", "false");
    is("(FALSE AND FALSE) OR TRUE", "true");
    is("TRUE OR FALSE AND FALSE", "true");
    is("TRUE XOR TRUE OR TRUE", "false");
    is("10 - 4 - 3", "3");
    is("20 / 2 / 5 * 3", "6");
    is("1 + 2 * 3 = 7 AND 7 > 2 + 4", "true");
    is("7 = 3 + 4", "true");
    is("1 = 1 XOR 2 = 2", "false");
    is("1 < 2 = TRUE", "true");
    is("2 * 3 % 4", "2");
    // NOT and - bind tighter than everything but functions.
    is("NOT FALSE = TRUE", "true");
    is("NOT TRUE LIKE 'fal%'", "true");
    is("-1 + 3", "2");
    is("-count * 2", "-14");
    is("- - 3", "3");
    is("NOT NOT flag", "true");
    // LIKE and IN bind tighter than arithmetic.
    is("1 + 2 IN (2)", "2");
    is("1 + '2' LIKE '2'", "2");
    is("5 IN (1, 5) AND 5 NOT IN (1)", "true");
    is("'a' LIKE 'a' LIKE 'tr%'", "true");
}

#[test]
fn signs_belong_to_numbers_where_a_value_is_due() {
    is("4-1", "3");
    is("4 -1", "3");
    is("4+-1", "3");
    is("count-1", "6");
    is("+5", "5");
    is("-2147483648", "-2147483648");
    fails("--2147483648", "0", "32-bit");
    fails("-1a", "0", "String is no Integer");
}

#[test]
fn names_and_keywords_are_written_in_either_case() {
    is("Count = 7 aNd EXISTS FLAG", "true");
    is("length(Subject)", "9");
    is("'A' = 'a'", "false");
    is("1a", "\"one\"");
    is("specversion", "\"1.0\"");
    is("bytes", "\"AAEC\"");
}

#[test]
fn string_literals() {
    is(r"'it''s'", "\"it's\"");
    is(r"'it\'s'", "\"it's\"");
    is(r#""say ""hi"" \"now\"""#, r#""say \"hi\" \"now\"""#);
    is(r#"'say "hi"'"#, r#""say \"hi\"""#);
    is(r"'a\nb'", r#""a\\nb""#);
    is(r"'a\\'", r#""a\\\\""#);
    is("''", "\"\"");
    is("LENGTH('é😀\n')", "3");
    is("CONCAT('', 'a','''')", "\"a'\"");
}

#[test]
fn casts() {
    is("TRUE = 'true' AND FALSE = 'false'", "true");
    is("TRUE = 'TRUE' OR FALSE = 'FALSE'", "false");
    is("10 = TRUE", "true");
    is("'+5' + '-03'", "2");
    is("1 AND 'tRue'", "true");
    is("0 OR 'FALSE'", "false");
}

#[test]
fn casts_that_fail() {
    fails("'' + 1", "0", "String is no Integer");
    fails("' 1' = 1", "false", "String is no Integer");
    fails("'2147483648' = 1", "false", "String is no Integer");
    fails("'yes' AND TRUE", "false", "String is no Boolean");
    fails("TRUE AND 'yes'", "false", "String is no Boolean");
    fails("NOT count", "true", "Integer is no Boolean");
    fails("NOT 'yes'", "true", "String is no Boolean");
    fails("NOT (NOT count)", "false", "Integer is no Boolean");
    fails("LEFT('abc', 'x')", "\"\"", "String is no Integer");
}

#[test]
fn numbers_stay_within_32_bits() {
    for text in
        ["2147483647 + 1", "-2147483648 - 1", "65536 * 32768", "-2147483648 / -1", "--2147483648"]
    {
        fails(text, "0", "32-bit");
    }
    is("-2147483648 % -1", "0");
    is("-7 / 2", "-3");
    is("-7 % 2", "-1");
    is("7 % -2", "1");
}

#[test]
fn the_first_failure_ends_it() {
    fails("missing / 0", "0", "no attribute missing");
    fails("1 / 0 + missing", "0", "divided by 0");
    fails("CONCAT('a', missing)", "\"\"", "no attribute missing");
    fails("missing", "false", "no attribute missing");
    fails("LENGTH(LEFT('abc', -1))", "0", "below 0");
    fails("LEFT('abc', -1) = 'abc'", "false", "below 0");
    fails("TRUE AND NOT count", "false", "Integer is no Boolean");
    fails("missing = 'a' OR TRUE", "false", "no attribute missing");
    is("TRUE OR missing = 'a'", "true");
    is("FALSE AND NOWHERE(missing)", "false");
    fails("NOWHERE(missing)", "false", "no function NOWHERE of 1 arguments");
    fails("ABS(1, 2)", "false", "no function ABS of 2 arguments");
    fails("length()", "false", "no function LENGTH of 0 arguments");
}

#[test]
fn sets_are_searched_up_to_the_first_equal_element() {
    is("1 IN (1, 1 / 0)", "true");
    fails("1 IN (2, 1 / 0)", "false", "divided by 0");
    fails("1 NOT IN ('a')", "false", "String is no Integer");
    fails("missing IN ('a')", "false", "no attribute missing");
    is("count IN ('5', '7')", "true");
    is("subject IN (type, subject)", "true");
    is("2 IN (1 IN (1), 2 IN (3), 2)", "true");
    is("5 IN (1 IN (1), 5 NOT IN (5))", "false");
    is("count IN (1, (2 IN (2)) + 6)", "true");
}

#[test]
fn patterns() {
    for (text, pattern, matches) in [
        ("", "", true),
        ("", "%", true),
        ("a", "", false),
        ("abc", "%%", true),
        ("aXbXc", "a%X%c", true),
        ("abab", "%ab", true),
        ("ab", "ab%ab", false),
        ("aab", "%a_", true),
        ("é😀x", "__x", true),
        ("é😀", "%_", true),
        ("xayaz", "%a_z", false),
        ("xayaaz", "%a_z", true),
        ("xabcy", "%a_c%", true),
        ("x_y", r"x\_y", true),
        ("xzy", r"x\_y", false),
        (r"a\b", r"a\b", true),
        (r"a\", r"a\", true),
        ("100%", r"100\%", true),
        ("1000", r"100\%", false),
        ("mississippi", "m%iss%pi", true),
        ("mississippi", "m%iss%iss%iss%", false),
        ("line\nbreak", "line%break", true),
    ] {
        let event = Event::new("1", "s", "t").with_subject(text);
        let quoted = pattern.replace('\'', "''");
        // A backslash at the end would escape the quote.
        let literal = if pattern.ends_with('\\') { continue } else { format!("'{quoted}'") };
        for (negation, wanted) in [("", matches), ("NOT ", !matches)] {
            let expression = format!("subject {negation}LIKE {literal}");
            let compiled = Expression::compile(&expression).expect("an expression");
            let evaluation = compiled.evaluate(&event).expect("an event");
            assert_eq!(evaluation.value, Value::Boolean(wanted), "{text:?} {expression}");
        }
    }
}

#[test]
fn functions() {
    is("CONCAT_WS(', ', 1, TRUE, 'x')", "\"1, true, x\"");
    is("UPPER('straße')", "\"STRASSE\"");
    is("LOWER('ÀÉ')", "\"àé\"");
    is("TRIM('\u{a0}\t a b \u{2003}')", "\"a b\"");
    is("TRIM('   ')", "\"\"");
    is("LEFT('é😀x', 2)", "\"é😀\"");
    is("RIGHT('é😀x', 2)", "\"😀x\"");
    is("LEFT(12345, 2) + 1", "13");
    is("RIGHT(CONCAT('ab', 'cd'), 3)", "\"bcd\"");
    is("SUBSTRING('é😀xy', 2, 2)", "\"😀x\"");
    is("SUBSTRING('abc', -3)", "\"abc\"");
    is("SUBSTRING('abc', 2, 0)", "\"\"");
    is("SUBSTRING('abc', 3, 2147483647)", "\"c\"");
    fails("SUBSTRING('abc', 4)", "\"\"", "beyond");
    fails("SUBSTRING('', 1)", "\"\"", "beyond");
    fails("SUBSTRING('abc', 1, -1)", "\"\"", "below 0");
    fails("SUBSTRING('abc', -2147483648)", "\"\"", "beyond");
    is("INT('-7') + INT(TRUE)", "-6");
    is("STRING(INT('007'))", "\"7\"");
}

#[test]
fn what_is_no_expression_says_where_and_why() {
    for (text, position, mentions) in [
        ("", 0, "a value is expected here, not the end"),
        ("type =", 6, "a value is expected here, not the end"),
        ("type = = 'a'", 7, "not ="),
        ("type 'a'", 5, "an operator is expected here, not the text \"a\""),
        ("é = 'a'", 0, "'é' has no meaning"),
        ("'é' = #", 6, "'#' has no meaning"),
        ("type = 'a", 7, "does not end; close it with '"),
        ("type = \"a\\\"", 7, "does not end; close it with \""),
        ("(type = 'a'", 0, "not closed"),
        ("LENGTH(type", 0, "not closed"),
        ("type IN ('a', 'b'", 8, "not closed"),
        ("type = 'a')", 10, "closes nothing"),
        ("type IN ()", 9, "a value is expected here, not )"),
        ("type IN 'a'", 8, "needs a list"),
        ("type LIKE subject", 10, "needs a string literal"),
        ("type LIKE (1)", 10, "needs a string literal"),
        ("type NOT = 'a'", 9, "needs LIKE or IN"),
        ("EXISTS 'a'", 7, "the name of an attribute"),
        ("EXISTS in", 7, "not IN"),
        ("2147483648", 0, "too large"),
        ("- 2147483648", 2, "too large"),
        ("-2147483649", 0, "too large"),
        ("1 + + type", 4, "stands before no number"),
        ("a, b", 1, "a comma"),
        ("(a, b)", 2, "a comma"),
        ("CONCAT('a',)", 11, "a value is expected here, not )"),
        ("my_name = 1", 2, "no _"),
        ("EXISTS my_name", 9, "no _"),
        ("F1(2)", 0, "no digits"),
        ("F_1(2)", 1, "no digits"),
        ("type ! 'a'", 5, "'!' has no meaning"),
        ("type == 'a'", 6, "not ="),
        ("type && subject", 5, "'&' has no meaning"),
    ] {
        let error = Expression::compile(text).expect_err(text);
        assert_eq!(error.kind(), EventErrorKind::Filter, "{text}");
        assert_eq!(error.code(), "invalid-filter");
        assert_eq!(error.position(), Some(position), "{text}: {error}");
        assert!(error.detail().contains(mentions), "{text}: {error}");
        assert_eq!(error.to_string(), format!("character {position}: {}", error.detail()));
    }
}

#[test]
fn nesting_is_bounded_and_chains_are_not() {
    let nested = |depth: usize| format!("{}TRUE{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::compile(&nested(DEPTH_MAX)).is_ok());
    let error = Expression::compile(&nested(DEPTH_MAX + 1)).expect_err("too deep");
    assert_eq!(error.position(), Some(DEPTH_MAX));
    is(&["TRUE"; 5_000].join(" AND "), "true");
    is(&["FALSE"; 5_001].join(" XOR "), "false");
    is(&["1"; 8_000].join("+"), "8000");
}

#[test]
fn expressions_compare_by_their_text() {
    let compile = |text| Expression::compile(text).expect("an expression");
    assert_eq!(compile("a = 1"), compile("a = 1"));
    assert_ne!(compile("a = 1"), compile("a  = 1"));
    let set: HashSet<_> = ["a", "b", "a"].map(compile).into();
    assert_eq!(set.len(), 2);
    assert_eq!(compile("a OR\tb").to_string(), "a OR\tb");
}

#[test]
fn failures_name_what_failed() {
    let event = event();
    let expression = Expression::compile("NOT count").expect("an expression");
    let failure = expression.evaluate(&event).expect("an event").failure;
    assert_eq!(failure, Some(Failure::Cast { from: Type::Integer, to: Type::Boolean }));
    let expression = Expression::compile("x = Missing").expect("an expression");
    let failure = expression.evaluate(&event).expect("an event").failure;
    assert_eq!(failure, Some(Failure::MissingAttribute("x")));
}
