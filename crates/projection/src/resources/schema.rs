//! Schemas that documents are held to: JSON Schema, and two keywords of our own.
//!
//! `x-unique` names members whose values only one resource of the type may have, `x-references`
//! members that hold ids of resources of another type.

use std::{fmt, sync::Arc};

use annal_event::Position;
use serde_json::Value;

use crate::{
    schema::{Compiled, Looks, SchemaError, own_keywords_at_the_root, parse},
    versions::Versions,
};

/// A schema, ready to be used.
pub struct Schema {
    /// Its name, as it is registered.
    pub name: String,
    /// Its text, as it was registered.
    pub text: String,
    /// Position of the event that registered it.
    pub position: Position,
    compiled: Compiled,
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
    /// Compiles a schema that is to be registered. What is registered already may say what does
    /// nothing where it stands; it holds documents to the rest.
    pub fn register(name: &str, text: &str, position: Position) -> Result<Schema, SchemaError> {
        let schema = Schema::compile(name, text, position)?;
        own_keywords_at_the_root(&parse(text)?)?;
        Ok(schema)
    }

    /// Compiles a schema; what is wrong with it otherwise.
    pub fn compile(name: &str, text: &str, position: Position) -> Result<Schema, SchemaError> {
        let value = parse(text)?;
        let compiled = Compiled::of(&value)?;
        let unique = unique(&value)?;
        let references = references(&value)?;
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Schema { name, text, position, compiled, unique, references })
    }

    /// What of a document breaks it; the first few.
    pub(super) fn errors(&self, document: &str, looks: &mut Looks) -> Vec<SchemaError> {
        self.compiled.errors(document, looks)
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

/// The registered schemas by name in lower case: a resource type is the name of its schema in lower
/// case.
pub(super) type Schemas = Versions<Schema>;

impl Schemas {
    /// All schemas as of a position, in order of name.
    pub(super) fn in_order(&self, at: Position) -> Vec<Arc<Schema>> {
        let mut all = self.all(at);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<Schema, SchemaError> {
        Schema::register("Issue", text, Position(1))
    }

    fn pointers(schema: &Schema, document: &str) -> Vec<String> {
        schema
            .errors(document, &mut Looks::default())
            .into_iter()
            .map(|error| error.pointer)
            .collect()
    }

    #[test]
    fn errors_have_pointers_into_the_document() {
        let schema = compile(
            r#"{"x-formats":true,"type":"object","required":["title"],"properties":
               {"email":{"type":"string","format":"email"},"tags":{"items":{"minLength":2}}}}"#,
        )
        .expect("a schema");
        assert!(
            schema
                .errors(
                    r#"{"title":"x","email":"a@b.example","tags":["ab"]}"#,
                    &mut Looks::default()
                )
                .is_empty()
        );
        assert_eq!(
            pointers(&schema, r#"{"email":"nobody","tags":["ab","c"]}"#),
            ["", "/email", "/tags/1"]
        );
        assert!(schema.errors("{}", &mut Looks::default())[0].message.contains("title"));
    }

    #[test]
    fn a_schema_that_is_none_says_where() {
        let pointer = |text: &str| compile(text).expect_err("no schema").pointer;
        assert_eq!(pointer(r#"{"type":"nothing"}"#), "/type");
        assert_eq!(pointer(r#"{"properties":{"a":{"minimum":"x"}}}"#), "/properties/a/minimum");
        assert_eq!(pointer(r#"{"x-unique":"email"}"#), "/x-unique");
        assert_eq!(pointer(r#"{"x-references":{"author":7}}"#), "/x-references");
        assert_eq!(
            pointer(r#"{"properties":{"k":{"properties":{"l":{"x-unique":true}}}}}"#),
            "/properties/k/properties/l/x-unique"
        );
        assert_eq!(pointer("{"), "");
        assert!(compile("true").is_ok());
    }

    #[test]
    fn own_keywords_stand_where_they_do_something() {
        for place in [
            "/allOf/0",
            "/items",
            "/prefixItems/1/not",
            "/$defs/x-unique",
            "/definitions/const",
            "/properties/enum",
            "/patternProperties/a~1b~0/then",
            "/dependentSchemas/a",
            "/additionalProperties",
            "/x-parts/a",
        ] {
            for (keyword, value) in
                [("x-unique", "[\"f\"]"), ("x-references", "{\"f\":\"t\"}"), ("x-formats", "true")]
            {
                let mut text = format!("{{\"{keyword}\":{value}}}");
                for step in place.rsplit('/').filter(|step| !step.is_empty()) {
                    let step = step.replace("~1", "/").replace("~0", "~");
                    text = match step.as_str() {
                        "0" => format!("[{text}]"),
                        "1" => format!("[true,{text}]"),
                        step => format!("{{\"{step}\":{text}}}"),
                    };
                }
                let error = compile(&text).expect_err(place);
                assert_eq!(error.pointer, format!("{place}/{keyword}"), "{text}");
                let stored = Schema::compile("Issue", &text, Position(1));
                assert!(stored.is_ok(), "what is stored goes on holding documents: {text}");
            }
        }
        for text in [
            r#"{"x-unique":["x-references"],"x-references":{"x-unique":"team"},"x-formats":true}"#,
            r#"{"properties":{"x-unique":{"type":"array"},"x-formats":true}}"#,
            r#"{"$defs":{"x-references":{}},"patternProperties":{"x-unique":{}}}"#,
            r#"{"dependentSchemas":{"x-unique":{}},"dependentRequired":{"x-unique":["a"]}}"#,
            r#"{"const":{"x-unique":["f"]},"enum":[{"x-formats":true}]}"#,
            r#"{"default":{"x-references":{}},"examples":[{"x-unique":[]}]}"#,
        ] {
            assert!(compile(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn nobody_waits_for_a_schema_that_doubles() {
        let doubling = |levels: usize| {
            let defs: Vec<String> = (0..=levels)
                .map(|n| match n {
                    0 => "\"a0\":{\"type\":\"string\"}".to_owned(),
                    n => {
                        let to = format!("{{\"$ref\":\"#/$defs/a{}\"}}", n - 1);
                        format!("\"a{n}\":{{\"anyOf\":[{to},{to}]}}")
                    }
                })
                .collect();
            format!("{{\"$defs\":{{{}}},\"$ref\":\"#/$defs/a{levels}\"}}", defs.join(","))
        };
        assert!(compile(&doubling(8)).is_ok());
        assert!(compile(&doubling(22)).is_err() && compile(&doubling(60)).is_err());
        assert!(compile(r##"{"$ref":"#"}"##).is_err(), "for ever");
        assert!(compile(r##"{"properties":{"next":{"$ref":"#"}}}"##).is_ok(), "a list");
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
        assert_eq!(schema.errors(&text, &mut Looks::default()).len(), 1);
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
        assert_eq!(schemas.in_order(Position(9)).len(), 1);
    }
}
