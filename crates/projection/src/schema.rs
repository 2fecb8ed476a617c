//! JSON Schema, draft 2020-12 unless `$schema` names an older one, for whatever is held to one.
//!
//! `format` only annotates, as the draft has it; with `"x-formats": true` at the root of a schema it
//! is asserted.
//!
//! Nothing is ever fetched: a reference that leaves the schema is refused when the schema comes in.
//! Regular expressions run in linear time.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Display, Write},
};

use annal_event::json::Json;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

/// Errors that are told of one document.
const ERRORS_MAX: usize = 32;

/// A message has no more bytes, and a pointer neither: a document may be large, and many errors be
/// about the whole of it.
const MESSAGE_BYTES_MAX: usize = 300;
const POINTER_BYTES_MAX: usize = 1_000;

/// Stands for what is left out.
const ELLIPSIS: &str = "…";

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

impl From<ValidationError<'_>> for SchemaError {
    /// A message echoes the value that is wrong only where that is short.
    fn from(error: ValidationError<'_>) -> SchemaError {
        let pointer = whole_steps(error.instance_path().as_str()).to_owned();
        let message = Bounded::of(&error)
            .or_else(|_| Bounded::of(&error.masked()))
            .unwrap_or_else(|cut| cut + ELLIPSIS);
        SchemaError { pointer, message }
    }
}

/// A pointer; of a long one the steps that can be told, which lead to what holds the place.
fn whole_steps(pointer: &str) -> &str {
    if pointer.len() <= POINTER_BYTES_MAX {
        return pointer;
    }
    let told = &pointer[..pointer.floor_char_boundary(POINTER_BYTES_MAX + 1)];
    told.rsplit_once('/').map_or("", |(steps, _)| steps)
}

/// A text that takes no more bytes than a message may have, however long what is written to it.
struct Bounded(String);

impl Bounded {
    /// What is displayed; where it is too long, its beginning, and nothing of the rest is ever made.
    fn of(displayed: &impl Display) -> Result<String, String> {
        let mut text = Bounded(String::new());
        match write!(text, "{displayed}") {
            Ok(()) => Ok(text.0),
            Err(fmt::Error) => Err(text.0),
        }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let left = MESSAGE_BYTES_MAX - ELLIPSIS.len() - self.0.len();
        let fits = more.floor_char_boundary(left);
        self.0.push_str(&more[..fits]);
        if fits < more.len() { Err(fmt::Error) } else { Ok(()) }
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
const IN_PLACE: [&str; 10] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "$ref",
];

/// One part of a document may be looked at by so many schemas.
const SCHEMAS_MAX: u64 = 10_000;

/// So many schemas may stand in each other, or refer to each other, for one part: each is a step deeper
/// on the stack.
const CHAIN_MAX: usize = 256;

/// Where a document breaks its schema is told as long as its parts are looked at so often, at most.
/// Whether it does is known from far less work, since the validator remembers what it has seen.
const TOLD_MAX: u64 = 1_000_000;

/// A schema of so many, with all references written out, cannot do much work.
const WRITTEN_OUT_MAX: u64 = 100_000;

/// How often a part of a document is looked at: references may double that again and again, and
/// whoever appends would wait for it.
struct Work<'s> {
    root: &'s Value,
    most: u64,
    overlaps: u64,
    known: HashMap<*const Value, u64>,
    under_way: HashSet<*const Value>,
}

impl<'s> Work<'s> {
    fn new(root: &'s Value) -> Work<'s> {
        Work { root, most: 1, overlaps: 1, known: HashMap::new(), under_way: HashSet::new() }
    }

    /// How many schemas look at a part for each that looks at what it stands in, at most.
    fn check(mut self) -> Result<u64, SchemaError> {
        let mut all = vec![self.root];
        while let Some(value) = all.pop() {
            self.of(value)?;
            match value {
                Value::Object(members) => all.extend(members.values()),
                Value::Array(items) => all.extend(items),
                _ => {}
            }
        }
        Ok(self.most.saturating_mul(self.overlaps))
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
        if self.under_way.len() > CHAIN_MAX {
            let message = format!("it refers on and on, more than {CHAIN_MAX} times");
            return Err(SchemaError::of_root(message));
        }
        // What only refers is what it refers to.
        let mut work = u64::from(!members.contains_key("$ref"));
        for (keyword, value) in members.iter().filter(|(name, _)| IN_PLACE.contains(&&***name)) {
            work = work.saturating_add(match (keyword.as_str(), value) {
                ("$ref", Value::String(to)) => self.of_reference(to)?,
                (_, Value::Array(items)) => self.of_all(items.iter())?,
                ("dependentSchemas" | "dependencies", Value::Object(each)) => {
                    self.of_all(each.values())?
                }
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
        self.most = self.most.max(work);
        self.overlaps = self.overlaps.max(overlaps(members));
        Ok(work)
    }

    fn of_all(&mut self, schemas: impl Iterator<Item = &'s Value>) -> Result<u64, SchemaError> {
        schemas.map(|schema| self.of(schema)).sum()
    }

    /// What is not found here is refused when the schema is compiled, or is an anchor.
    fn of_reference(&mut self, to: &str) -> Result<u64, SchemaError> {
        target(self.root, to).map_or(Ok(1), |target| self.of(target))
    }
}

/// How many schemas one schema may hold one member, or one element, to.
fn overlaps(schema: &Map<String, Value>) -> u64 {
    let has = |name: &str| usize::from(schema.contains_key(name));
    let patterns = schema.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    let (members, elements) = (patterns + has("properties"), has("items") + has("contains"));
    members.max(elements).max(1) as u64
}

/// How many schemas there are when every reference is written out; `u64::MAX` if they never end. A
/// reference that is no pointer is taken for one that leads back.
fn written_out(root: &Value) -> u64 {
    let (mut known, mut open) = (HashMap::<*const Value, u64>::new(), HashSet::new());
    let mut steps = vec![(root, false)];
    while let Some((value, is_over)) = steps.pop() {
        let here: *const Value = value;
        if known.contains_key(&here) {
            continue;
        }
        let Some(parts) = parts(root, value) else { return u64::MAX };
        if is_over {
            let sizes = parts.iter().filter_map(|part| known.get(&std::ptr::from_ref(*part)));
            let size = sizes.fold(1_u64, |sum, size| sum.saturating_add(*size));
            open.remove(&here);
            known.insert(here, size);
            continue;
        }
        if !open.insert(here) {
            return u64::MAX;
        }
        steps.push((value, true));
        steps.extend(parts.into_iter().map(|part| (part, false)));
    }
    known.get(&std::ptr::from_ref(root)).copied().unwrap_or(u64::MAX)
}

/// What stands in a value of a schema, and what it refers to.
fn parts<'s>(root: &'s Value, value: &'s Value) -> Option<Vec<&'s Value>> {
    let part = |(name, value): (&String, &'s Value)| match (name.as_str(), value) {
        ("$dynamicRef" | "$recursiveRef", _) => None,
        ("$ref", Value::String(to)) => target(root, to),
        (_, value) => Some(value),
    };
    match value {
        Value::Object(members) => members.iter().map(part).collect(),
        Value::Array(items) => Some(items.iter().collect()),
        _ => Some(Vec::new()),
    }
}

/// What a reference refers to, if it is a pointer into the schema.
fn target<'s>(root: &'s Value, to: &str) -> Option<&'s Value> {
    root.pointer(&to.strip_prefix('#')?.replace("%25", "%"))
}

/// Keywords that are no draft's: they say something about a whole document.
const OWN: [&str; 3] = ["x-unique", "x-references", "x-formats"];

/// Keywords whose members are names of something, each with a schema.
const NAMES: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Keywords with values in which no schema stands.
const VALUES: [&str; 5] = ["const", "enum", "default", "examples", "dependentRequired"];

/// Refuses our own keywords anywhere but at the root, where alone they do something.
pub(crate) fn own_keywords_at_the_root(schema: &Value) -> Result<(), SchemaError> {
    let Value::Object(members) = schema else { return Ok(()) };
    let mut others = members.iter().filter(|(keyword, _)| !OWN.contains(&keyword.as_str()));
    others.try_for_each(|(keyword, value)| none_below(keyword, value, &step("", keyword)))
}

/// Looks through the value of a keyword.
fn none_below(keyword: &str, value: &Value, pointer: &str) -> Result<(), SchemaError> {
    match value {
        _ if VALUES.contains(&keyword) => Ok(()),
        Value::Object(each) if NAMES.contains(&keyword) => {
            each.iter().try_for_each(|(name, schema)| none_in(schema, &step(pointer, name)))
        }
        value => none_in(value, pointer),
    }
}

/// Looks through a schema, or several.
fn none_in(schema: &Value, pointer: &str) -> Result<(), SchemaError> {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                let pointer = step(pointer, keyword);
                if OWN.contains(&keyword.as_str()) {
                    let message = format!(
                        "{keyword} does nothing here; it stands at the root of a schema, and is about \
                         the members there"
                    );
                    return Err(SchemaError { pointer, message });
                }
                none_below(keyword, value, &pointer)?;
            }
            Ok(())
        }
        Value::Array(schemas) => {
            let mut each = schemas.iter().enumerate();
            each.try_for_each(|(place, schema)| none_in(schema, &format!("{pointer}/{place}")))
        }
        _ => Ok(()),
    }
}

fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What one append may spend on checking documents against schemas, in looks of a schema at a part of
/// a document: appends are judged one after the other, and all the others wait meanwhile.
const LOOKS_MAX: u64 = 1_000_000_000;

/// What is left of [`LOOKS_MAX`].
#[derive(Debug)]
pub struct Looks {
    left: u64,
}

impl Default for Looks {
    fn default() -> Looks {
        Looks { left: LOOKS_MAX }
    }
}

impl Looks {
    fn take(&mut self, looks: u64) -> bool {
        let left = self.left.checked_sub(looks);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// A schema, ready to be used.
pub(crate) struct Compiled {
    validator: Validator,
    /// How many schemas look at a part, at most.
    work: u64,
    /// How many schemas look at a part for each that looks at what it stands in, at most; 1 where
    /// references cannot multiply that.
    branches: u64,
}

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
        let work = Work::new(schema).check()?;
        let branches = if written_out(schema) > WRITTEN_OUT_MAX { work } else { 1 };
        let validator = jsonschema::options()
            .with_draft(draft)
            .with_pattern_options(PatternOptions::regex().size_limit(REGEX_BYTES_MAX))
            .should_validate_formats(schema.get("x-formats") == Some(&Value::Bool(true)))
            .offline()
            .build(schema);
        let compiled = |validator| Compiled { validator, work, branches };
        validator.map(compiled).map_err(SchemaError::from)
    }

    /// What of a document breaks it; the first few. That it is too much to look at breaks it, too.
    pub(crate) fn errors(&self, document: &str, looks: &mut Looks) -> Vec<SchemaError> {
        let value: Value = match serde_json::from_str(document) {
            Ok(value) => value,
            // Lone surrogates: text that JSON allows and Unicode does not.
            Err(error) => {
                return vec![SchemaError::of_root(format!("cannot be validated: {error}"))];
            }
        };
        let parts = parts_of(&value);
        if !looks.take(parts.saturating_mul(self.work)) {
            let message = format!(
                "it has {parts} parts, and up to {} schemas look at one: with what comes with it, that \
                 is too much to check; send less together, or simplify the schema",
                self.work
            );
            return vec![SchemaError::of_root(message)];
        }
        if self.validator.is_valid(&value) {
            return Vec::new();
        }
        if self.branches > 1 && looks_by_level(&value, self.branches) > TOLD_MAX {
            return vec![SchemaError::of_root(
                "it breaks the schema, whose branches refer on; where is told of smaller or flatter \
                 documents only",
            )];
        }
        self.validator.iter_errors(&value).take(ERRORS_MAX).map(SchemaError::from).collect()
    }
}

fn parts_of(value: &Value) -> u64 {
    match value {
        Value::Object(members) => 1 + members.values().map(parts_of).sum::<u64>(),
        Value::Array(items) => 1 + items.iter().map(parts_of).sum::<u64>(),
        _ => 1,
    }
}

/// How often parts of a document are looked at, if that multiplies with every level.
fn looks_by_level(value: &Value, branches: u64) -> u64 {
    let add = |sum: u64, part| sum.saturating_add(looks_by_level(part, branches));
    let parts = match value {
        Value::Object(members) => members.values().fold(0, add),
        Value::Array(items) => items.iter().fold(0, add),
        _ => 0,
    };
    parts.saturating_mul(branches).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn compiled(text: &str) -> Compiled {
        Compiled::of(&parse(text).expect("JSON")).expect("a schema")
    }

    fn nested(depth: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn branches_that_recur_do_not_double_the_work() {
        let one = r##"{"properties":{"a":{"$ref":"#/$defs/n"}},"required":["x"]}"##;
        let all = one.replace("\"x\"", "");
        for (branch, valid) in [(one, false), (&all, true)] {
            for keyword in ["allOf", "anyOf", "oneOf"] {
                let schema = compiled(&format!(
                    r##"{{"$defs":{{"n":{{"{keyword}":[{branch},{branch}]}}}},"$ref":"#/$defs/n"}}"##
                ));
                let begun = Instant::now();
                let errors = schema.errors(&nested(100), &mut Looks::default());
                assert!(begun.elapsed() < Duration::from_secs(2), "{keyword}");
                // Both branches of `oneOf` hold, or none.
                assert_eq!(errors.is_empty(), valid && keyword != "oneOf", "{keyword}: {errors:?}");
                assert!(
                    !valid
                        || keyword == "oneOf"
                        || schema.errors(&nested(3), &mut Looks::default()).is_empty()
                );
            }
            let told = compiled(&format!(
                r##"{{"$defs":{{"n":{{"allOf":[{branch},{branch}]}}}},"$ref":"#/$defs/n"}}"##
            ));
            let pointers: Vec<String> = told
                .errors(&nested(2), &mut Looks::default())
                .into_iter()
                .map(|error| error.pointer)
                .collect();
            assert_eq!(pointers.contains(&"/a".to_owned()), !valid, "{pointers:?}");
        }
        let to = r##"{"$ref":"#/$defs/n"}"##;
        for node in [
            format!(
                r#"{{"properties":{{"a":{to}}},"patternProperties":{{"a":{to}}},"type":"object"}}"#
            ),
            format!(
                r#"{{"dependencies":{{"a":{{"properties":{{"a":{to}}}}}}},"properties":{{"a":{to}}},
                   "type":"object"}}"#
            ),
        ] {
            let schema = compiled(&format!(r##"{{"$defs":{{"n":{node}}},"$ref":"#/$defs/n"}}"##));
            let begun = Instant::now();
            assert_eq!(schema.errors(&nested(100), &mut Looks::default()).len(), 1, "{node}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{node}");
        }
        let wide = format!("[{}]", vec![nested(9); 10_000].join(","));
        let schema = compiled(&format!(
            r##"{{"$defs":{{"n":{{"anyOf":[{one},{one}]}}}},"items":{{"$ref":"#/$defs/n"}}}}"##
        ));
        let begun = Instant::now();
        assert_eq!(schema.errors(&wide, &mut Looks::default()).len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let list = compiled(r##"{"properties":{"a":{"$ref":"#"}},"type":"object"}"##);
        let errors = list.errors(&nested(100), &mut Looks::default());
        assert_eq!(errors[0].pointer, "/a".repeat(100), "without branches all is told");
    }

    #[test]
    fn what_is_told_is_short_however_long_the_document() {
        let all: Vec<String> = (1..60).map(|n| format!("{{\"maxItems\":{n}}}")).collect();
        let schema = compiled(&format!("{{\"allOf\":[{}]}}", all.join(",")));
        let long = "é\\\"".repeat(200_000);
        let errors =
            schema.errors(&format!("[\"{long}\"{}]", ",1".repeat(60)), &mut Looks::default());
        assert_eq!(errors.len(), ERRORS_MAX);
        assert_eq!(errors[0].message, "value has more than 1 item", "the value is left out");
        let short = schema.errors("[1,2]", &mut Looks::default());
        assert_eq!(short[0].message, "[1,2] has more than 1 item");

        let names = compiled(&format!("{{\"required\":[\"{long}\"]}}"));
        let cut = &names.errors("{}", &mut Looks::default())[0].message;
        assert!(cut.len() <= MESSAGE_BYTES_MAX && cut.ends_with(ELLIPSIS), "{cut}");
        assert!(cut.len() > MESSAGE_BYTES_MAX - 4 && cut.starts_with("\"é"), "{cut}");

        let values =
            compiled(r#"{"additionalProperties":{"additionalProperties":{"type":"null"}}}"#);
        for (length, expected) in [(997, 1_000), (998, 2), (100_000, 2)] {
            let document = format!("{{\"a\":{{\"{}\":1}}}}", "k".repeat(length));
            assert_eq!(
                values.errors(&document, &mut Looks::default())[0].pointer.len(),
                expected,
                "{length}"
            );
        }
    }

    #[test]
    fn a_long_chain_is_refused() {
        for length in [100, 200, 300, 20_000] {
            let defs: Vec<String> = (0..length)
                .map(|n| format!(r##""a{n}":{{"$ref":"#/$defs/a{}"}}"##, n + 1))
                .collect();
            let text = format!(
                r##"{{"$defs":{{{},"a{length}":true}},"$ref":"#/$defs/a0"}}"##,
                defs.join(",")
            );
            let refused = Compiled::of(&parse(&text).expect("JSON")).is_err();
            assert_eq!(refused, length > 250, "{length}");
        }
    }

    #[test]
    fn what_would_take_too_long_is_refused() {
        let each: Vec<_> =
            (0..4_900).map(|n| format!(r#"{{"not":{{"contains":{{"const":{n}}}}}}}"#)).collect();
        let schema = compiled(&format!(r#"{{"allOf":[{}]}}"#, each.join(",")));
        let elements = |count| format!("[{}]", vec!["-1"; count].join(","));
        let mut looks = Looks::default();
        assert!(schema.errors(&elements(50_000), &mut looks).is_empty());
        let begun = Instant::now();
        let errors = schema.errors(&elements(250_000), &mut looks);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(errors[0].message.contains("250001 parts"), "{errors:?}");
        assert_eq!(schema.errors("[]", &mut looks).len(), 1, "nothing is left");
        // A simple one may look at as much as one sends.
        let simple = compiled(r#"{"type":"array","items":{"type":"number"}}"#);
        let mut looks = Looks::default();
        for _ in 0..64 {
            assert!(simple.errors(&elements(250_000), &mut looks).is_empty());
        }
    }
}
