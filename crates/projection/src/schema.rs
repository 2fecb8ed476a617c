//! JSON Schema, draft 2020-12 unless `$schema` names an older one, for whatever is held to one.
//!
//! `format` only annotates, as the draft has it; with `"x-formats": true` at the root of a schema it
//! is asserted.
//!
//! Nothing is ever fetched: a reference that leaves the schema is refused when the schema comes in.
//! Regular expressions run in linear time.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use annal_event::json::Json;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// Errors that are told of one document.
const ERRORS_MAX: usize = 32;

/// A compiled regular expression takes no more than so many bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// A schema may nest so deep.
const DEPTH_MAX: u32 = 64;

/// Something that breaks a schema, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON Pointer into what was validated.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl SchemaError {
    /// An error that is about the whole.
    pub(crate) fn of_root(message: impl Into<String>) -> SchemaError {
        SchemaError { pointer: String::new(), message: message.into() }
    }
}

/// The value of a schema's text.
pub(crate) fn parse(text: &str) -> Result<Value, SchemaError> {
    let wrong = |message: String| SchemaError::of_root(message);
    let exact = Json::parse(text).map_err(|error| wrong(error.to_string()))?;
    if exact.depth() > DEPTH_MAX {
        return Err(wrong(format!("it nests deeper than {DEPTH_MAX} levels")));
    }
    serde_json::from_str(text).map_err(|error| wrong(error.to_string()))
}

fn unknown_dialect() -> SchemaError {
    SchemaError {
        pointer: "/$schema".to_owned(),
        message: "not known here; https://json-schema.org/draft/2020-12/schema and the published \
                  drafts before it are"
            .to_owned(),
    }
}

/// Keywords whose schemas are about the same part of a document as the one they stand in.
const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref"];

/// One part of a document may be looked at by so many schemas.
const SCHEMAS_MAX: u64 = 10_000;

/// How often a part of a document is looked at: references may double that again and again, and
/// whoever appends would wait for it.
struct Work<'s> {
    root: &'s Value,
    known: HashMap<*const Value, u64>,
    under_way: HashSet<*const Value>,
}

impl<'s> Work<'s> {
    fn new(root: &'s Value) -> Work<'s> {
        Work { root, known: HashMap::new(), under_way: HashSet::new() }
    }

    fn check(mut self) -> Result<(), SchemaError> {
        let mut all = vec![self.root];
        while let Some(value) = all.pop() {
            self.of(value)?;
            match value {
                Value::Object(members) => all.extend(members.values()),
                Value::Array(items) => all.extend(items),
                _ => {}
            }
        }
        Ok(())
    }

    fn of(&mut self, schema: &'s Value) -> Result<u64, SchemaError> {
        let Value::Object(members) = schema else { return Ok(1) };
        let here: *const Value = schema;
        if let Some(work) = self.known.get(&here) {
            return Ok(*work);
        }
        if !self.under_way.insert(here) {
            return Err(SchemaError::of_root("it refers to itself without looking at a part"));
        }
        let mut work = 1_u64;
        for (keyword, value) in members.iter().filter(|(name, _)| IN_PLACE.contains(&&***name)) {
            work = work.saturating_add(match (keyword.as_str(), value) {
                ("$ref", Value::String(to)) => self.of_reference(to)?,
                (_, Value::Array(items)) => self.of_all(items.iter())?,
                ("dependentSchemas", Value::Object(each)) => self.of_all(each.values())?,
                (_, value) => self.of(value)?,
            });
        }
        self.under_way.remove(&here);
        if work > SCHEMAS_MAX {
            let message = format!(
                "a part of a document would be looked at by more than {SCHEMAS_MAX} schemas"
            );
            return Err(SchemaError::of_root(message));
        }
        self.known.insert(here, work);
        Ok(work)
    }

    fn of_all(&mut self, schemas: impl Iterator<Item = &'s Value>) -> Result<u64, SchemaError> {
        schemas.map(|schema| self.of(schema)).sum()
    }

    /// What is not found here is refused when the schema is compiled, or is an anchor.
    fn of_reference(&mut self, to: &str) -> Result<u64, SchemaError> {
        let target = match to.strip_prefix('#') {
            Some(pointer) => self.root.pointer(&pointer.replace("%25", "%")),
            None => None,
        };
        target.map_or(Ok(1), |target| self.of(target))
    }
}

/// A schema, ready to be used.
pub(crate) struct Compiled(Validator);

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compiled")
    }
}

impl Compiled {
    /// Compiles a schema; what is wrong with it otherwise.
    pub(crate) fn of(schema: &Value) -> Result<Compiled, SchemaError> {
        let draft = match Draft::Draft202012.detect(schema) {
            Draft::Unknown => return Err(unknown_dialect()),
            draft => draft,
        };
        Work::new(schema).check()?;
        let validator = jsonschema::options()
            .with_draft(draft)
            .with_pattern_options(PatternOptions::regex().size_limit(REGEX_BYTES_MAX))
            .should_validate_formats(schema.get("x-formats") == Some(&Value::Bool(true)))
            .offline()
            .build(schema);
        validator.map(Compiled).map_err(|error| SchemaError {
            pointer: error.instance_path().as_str().to_owned(),
            message: error.to_string(),
        })
    }

    /// What of a document breaks it; the first few.
    pub(crate) fn errors(&self, document: &str) -> Vec<SchemaError> {
        let value: Value = match serde_json::from_str(document) {
            Ok(value) => value,
            // Lone surrogates: text that JSON allows and Unicode does not.
            Err(error) => {
                return vec![SchemaError::of_root(format!("cannot be validated: {error}"))];
            }
        };
        let errors = self.0.iter_errors(&value).take(ERRORS_MAX);
        let told = errors.map(|error| SchemaError {
            pointer: error.instance_path().as_str().to_owned(),
            message: error.to_string(),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        for text in [
            r##"{"$ref":"#"}"##,
            r##"{"allOf":[{"$ref":"#"}]}"##,
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
            r##"{"not":{"$ref":"#"}}"##,
            r##"{"$dynamicAnchor":"a","anyOf":[{"$dynamicRef":"#a"}]}"##,
        ] {
            let value = parse(text).expect("JSON");
            if let Ok(compiled) = Compiled::of(&value) {
                compiled.errors(r#"{"a":1}"#);
            }
        }
    }
}
