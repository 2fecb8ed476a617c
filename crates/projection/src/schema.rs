//! JSON Schema, draft 2020-12 unless `$schema` names an older one, for whatever is held to one.
//!
//! `format` only annotates, as the draft has it; with `"x-formats": true` at the root of a schema it
//! is asserted.
//!
//! Nothing is ever fetched: a reference that leaves the schema is refused when the schema comes in.
//! Regular expressions run in linear time.

use std::fmt;

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
