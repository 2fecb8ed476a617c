//! Schemas that documents are held to: JSON Schema draft 2020-12, and two keywords of our own.
//!
//! `x-unique` names members whose values only one resource of the type may have, `x-references`
//! members that hold ids of resources of another type. Nothing is ever fetched: a reference that
//! leaves the schema is refused when the schema comes in. Regular expressions run in linear time.

use std::{collections::HashMap, fmt, sync::Arc};

use annal_event::{Position, json::Json};
use jsonschema::{Draft, PatternOptions, Validator};
use parking_lot::RwLock;
use serde_json::Value;

/// Errors that are told of one document.
const ERRORS_MAX: usize = 32;

/// A compiled regular expression takes no more than so many bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// A schema may nest so deep, and a document that is held to one.
const DEPTH_MAX: u32 = 64;

/// Something that breaks a schema, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON Pointer into what was validated.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

/// A schema, ready to be used.
pub struct Schema {
    /// Its name, as it is registered.
    pub name: String,
    /// Its text, as it was registered.
    pub text: String,
    /// Position of the event that registered it.
    pub position: Position,
    validator: Validator,
    /// Members of which no two resources may have the same value.
    pub(super) unique: Vec<String>,
    /// Members that hold ids of resources of a type.
    pub(super) references: Vec<(String, String)>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} at {})", self.name, self.position)
    }
}

impl Schema {
    /// Compiles a schema; what is wrong with it otherwise.
    pub fn compile(name: &str, text: &str, position: Position) -> Result<Schema, SchemaError> {
        let wrong =
            |pointer: &str, message: String| SchemaError { pointer: pointer.to_owned(), message };
        let exact = Json::parse(text).map_err(|error| wrong("", error.to_string()))?;
        if exact.depth() > DEPTH_MAX {
            return Err(wrong("", format!("it nests deeper than {DEPTH_MAX} levels")));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| wrong("", error.to_string()))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(REGEX_BYTES_MAX))
            .should_validate_formats(true)
            .offline()
            .build(&value)
            .map_err(|error| wrong(error.instance_path().as_str(), error.to_string()))?;
        let unique = unique(&value)?;
        let references = references(&value)?;
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Schema { name, text, position, validator, unique, references })
    }

    /// What of a document breaks it; the first few.
    pub(super) fn errors(&self, document: &str) -> Vec<SchemaError> {
        let value: Value = match serde_json::from_str(document) {
            Ok(value) => value,
            // Lone surrogates: text that JSON allows and Unicode does not.
            Err(error) => {
                let message = format!("it cannot be validated: {error}");
                return vec![SchemaError { pointer: String::new(), message }];
            }
        };
        let errors = self.validator.iter_errors(&value).take(ERRORS_MAX);
        let told = errors.map(|error| SchemaError {
            pointer: error.instance_path().as_str().to_owned(),
            message: error.to_string(),
        });
        told.collect()
    }
}

fn unique(schema: &Value) -> Result<Vec<String>, SchemaError> {
    let Some(members) = schema.get("x-unique") else { return Ok(Vec::new()) };
    let wrong = || SchemaError {
        pointer: "/x-unique".to_owned(),
        message: "x-unique is an array of member names".to_owned(),
    };
    let members = members.as_array().ok_or_else(wrong)?;
    members.iter().map(|member| member.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn references(schema: &Value) -> Result<Vec<(String, String)>, SchemaError> {
    let Some(members) = schema.get("x-references") else { return Ok(Vec::new()) };
    let wrong = || SchemaError {
        pointer: "/x-references".to_owned(),
        message: "x-references is an object: from member names to resource types".to_owned(),
    };
    let members = members.as_object().ok_or_else(wrong)?;
    let each = members.iter().map(|(member, ty)| {
        let ty = ty.as_str().filter(|ty| !ty.is_empty() && !ty.contains('/')).ok_or_else(wrong)?;
        Ok((member.clone(), ty.to_lowercase()))
    });
    each.collect()
}

/// A schema at each position where it changed, oldest first.
type History = Vec<(Position, Option<Arc<Schema>>)>;

/// The registered schemas, compiled, as of any head that somebody may look from.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    /// By name in lower case: a resource type is the name of its schema in lower case.
    by_type: RwLock<HashMap<String, History>>,
}

impl Schemas {
    /// The schema of a type, as of a position.
    pub(super) fn of(&self, ty: &str, at: Position) -> Option<Arc<Schema>> {
        let by_type = self.by_type.read();
        let history = by_type.get(ty)?;
        let newest = history.iter().rev().find(|(position, _)| *position <= at)?;
        newest.1.clone()
    }

    /// All schemas as of a position, in order of name.
    pub(super) fn all(&self, at: Position) -> Vec<Arc<Schema>> {
        let by_type = self.by_type.read();
        let newest = |history: &History| {
            history.iter().rev().find(|(position, _)| *position <= at)?.1.clone()
        };
        let mut all: Vec<_> = by_type.values().filter_map(newest).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// From a position on this is the schema of a type. `visible`: nobody looks from before it.
    pub(super) fn set(
        &self,
        ty: &str,
        position: Position,
        schema: Option<Arc<Schema>>,
        visible: Position,
    ) {
        let mut by_type = self.by_type.write();
        let history = by_type.entry(ty.to_owned()).or_default();
        let landed = history.partition_point(|(position, _)| *position <= visible);
        history.drain(..landed.saturating_sub(1));
        history.push((position, schema));
    }

    /// Forgets what changed after a position.
    pub(super) fn rollback(&self, to: Position) {
        for history in self.by_type.write().values_mut() {
            history.retain(|(position, _)| *position <= to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<Schema, SchemaError> {
        Schema::compile("Issue", text, Position(1))
    }

    fn pointers(schema: &Schema, document: &str) -> Vec<String> {
        schema.errors(document).into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn errors_have_pointers_into_the_document() {
        let schema = compile(
            r#"{"type":"object","required":["title"],"properties":
               {"email":{"type":"string","format":"email"},"tags":{"items":{"minLength":2}}}}"#,
        )
        .expect("a schema");
        assert!(schema.errors(r#"{"title":"x","email":"a@b.example","tags":["ab"]}"#).is_empty());
        assert_eq!(
            pointers(&schema, r#"{"email":"nobody","tags":["ab","c"]}"#),
            ["", "/email", "/tags/1"]
        );
        assert!(schema.errors("{}")[0].message.contains("title"));
    }

    #[test]
    fn a_schema_that_is_none_says_where() {
        let pointer = |text: &str| compile(text).expect_err("no schema").pointer;
        assert_eq!(pointer(r#"{"type":"nothing"}"#), "/type");
        assert_eq!(pointer(r#"{"properties":{"a":{"minimum":"x"}}}"#), "/properties/a/minimum");
        assert_eq!(pointer(r#"{"x-unique":"email"}"#), "/x-unique");
        assert_eq!(pointer(r#"{"x-references":{"author":7}}"#), "/x-references");
        assert_eq!(pointer("{"), "");
        assert!(compile("true").is_ok());
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in
            ["http://127.0.0.1:1/x", "https://example.com/schema", "file:///etc/passwd"]
        {
            let text = format!(r#"{{"$ref":"{reference}"}}"#);
            assert!(compile(&text).is_err(), "{reference}");
        }
        assert!(compile(r##"{"$defs":{"a":{"type":"string"}},"$ref":"#/$defs/a"}"##).is_ok());
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let schema = compile(r#"{"pattern":"^(a+)+$"}"#).expect("a schema");
        let text = format!("\"{}!\"", "a".repeat(50_000));
        let begun = std::time::Instant::now();
        assert_eq!(schema.errors(&text).len(), 1);
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
        assert!(
            compile(r#"{"pattern":"(?=a)"}"#).is_err(),
            "look-around needs a backtracking engine"
        );
        assert!(compile(r#"{"pattern":"((a{1000}){1000}){1000}"}"#).is_err());
    }

    #[test]
    fn schemas_change_with_the_head() {
        let schemas = Schemas::default();
        let schema = |position| {
            Some(Arc::new(Schema::compile("Issue", "true", Position(position)).expect("a schema")))
        };
        schemas.set("issue", Position(5), schema(5), Position::ZERO);
        schemas.set("issue", Position(9), None, Position::ZERO);
        let seen = |at| schemas.of("issue", Position(at)).map(|schema| schema.position.get());
        assert_eq!([seen(4), seen(5), seen(9)], [None, Some(5), None]);
        schemas.rollback(Position(8));
        assert_eq!(seen(9), Some(5));
        assert_eq!(schemas.all(Position(9)).len(), 1);
    }
}
