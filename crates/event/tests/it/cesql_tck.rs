//! The test kit of CESQL, read from its own files: every case, on an event and on its record.

pub(crate) mod cases;

use std::fs;

use annal_event::{
    Event, Filter,
    cesql::{Evaluation, Expression, Failure, Value},
    json, proto,
};

use self::cases::{Case, Scalar, cases};
use crate::shared::vectors;

impl Case {
    fn check(&self, event: &Event<'_>, record: &[u8]) {
        if self.error.as_deref() == Some("parse") {
            let error = Expression::compile(&self.expression).expect_err("it is no expression");
            assert!(error.position().is_some());
            return;
        }
        let expression = Expression::compile(&self.expression).expect("an expression");
        let record = proto::Record(record);
        let outcomes = [expression.evaluate(event), expression.evaluate(&record)];
        for outcome in outcomes {
            let Evaluation { value, failure } = outcome.expect("attributes can be read");
            let wanted = self.result.as_ref().expect("a result");
            assert_eq!((typed(&value), value.to_string()), wanted.typed());
            assert_eq!(failure.as_ref().map(kind), self.error.as_deref());
        }
        let filter = Filter::expression(&self.expression).expect("a filter");
        let passes = self.passes();
        assert_eq!(filter.matches(event), Ok(passes));
        assert_eq!(filter.matches(&record), Ok(passes));
        assert!(!passes || filter.selector_hint().matches(event));
    }
}

impl Scalar {
    /// The type of a result, and its text.
    fn typed(&self) -> (&'static str, String) {
        let lower = self.text.to_ascii_lowercase();
        if self.quoted {
            return ("string", self.text.clone());
        }
        match lower.as_str() {
            "true" | "false" => ("boolean", lower),
            _ if self.text.parse::<i32>().is_ok() => ("integer", lower),
            _ => ("string", self.text.clone()),
        }
    }
}

fn typed(value: &Value<'_>) -> &'static str {
    match value {
        Value::Boolean(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Text(_) => "string",
    }
}

fn kind(failure: &Failure<'_>) -> &'static str {
    match failure {
        Failure::Math(_) => "math",
        Failure::Cast { .. } => "cast",
        Failure::MissingAttribute(_) => "missingAttribute",
        Failure::MissingFunction { .. } => "missingFunction",
        Failure::Function(_) => "functionEvaluation",
        _ => "generic",
    }
}

#[test]
fn every_case() {
    let Some(directory) = vectors("cesql_tck") else { return };
    let (mut seen, mut failed) = (0, Vec::new());
    for entry in fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for case in cases(&fs::read_to_string(&path).expect("a file")) {
            seen += 1;
            let text = case.event_json();
            let event = crate::strict(&text).expect("an event");
            let mut record = Vec::new();
            proto::encode_record(&event, &mut record);
            let checked = std::panic::catch_unwind(|| case.check(&event, &record));
            if checked.is_err() {
                failed.push(format!("{}: {}: {}", path.display(), case.name, case.expression));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {seen} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(seen, 275);
}

#[test]
fn scalars_are_read_as_they_stand() {
    let file = concat!(
        "name: A file\ntests:\n  - name: A case\n    expression: --'10'\n    result: FALSE\n",
        "  - name: Another\n    expression: \"'a\\\\%' LIKE \\\"b\\\"\"\n    result: '1'\n",
        "    event:\n      id: 1\n    eventOverrides:\n      x: \"2\"\n",
    );
    let [first, second] = &cases(file)[..] else { panic!("two cases") };
    assert_eq!(first.expression, "--'10'");
    assert_eq!(first.result.as_ref().map(Scalar::typed), Some(("boolean", "false".into())));
    assert_eq!(second.expression, "'a\\%' LIKE \"b\"");
    assert_eq!(second.result.as_ref().map(Scalar::typed), Some(("string", "1".into())));
    let json: serde_json::Value = serde_json::from_str(&second.event_json()).expect("JSON");
    assert_eq!(json, serde_json::json!({"id": 1, "specversion": "1.0", "x": "2"}));
    assert!(json::parse_filter(b"\"TRUE\"").is_ok());
}
