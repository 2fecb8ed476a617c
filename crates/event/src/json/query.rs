//! Queries and preconditions in the forms of API.md §2. Members that a form does not have are
//! refused by name: a misspelt condition must not hold by accident.

use std::borrow::Cow;

use super::read::{duplicate, not_json, pointer, utf8};
use super::scan::Cursor;
use super::write::write_string;
use crate::{
    Comparison, EventError, EventErrorKind, Pattern, Position, Precondition, Query, Selector,
    SubjectCheck,
};

/// Reads a query: an object, or an array of objects of which any may match.
pub fn parse_query(text: &[u8]) -> Result<Query, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    let query = query(&mut cursor)?;
    cursor.end().map_err(not_json)?;
    Ok(query)
}

/// Reads one precondition.
pub fn parse_precondition(text: &[u8]) -> Result<Precondition, EventError> {
    let mut cursor = Cursor::new(utf8(text)?);
    let condition = precondition(&mut cursor)?;
    cursor.end().map_err(not_json)?;
    Ok(condition)
}

fn wrong(
    pointer: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> EventError {
    EventError::new(EventErrorKind::Precondition, pointer, detail)
}

fn query(cursor: &mut Cursor<'_>) -> Result<Query, EventError> {
    let wrong = |detail| Err(EventError::new(EventErrorKind::Query, "", detail));
    match cursor.peek() {
        b'{' => selector(cursor).map(Query::one),
        b'[' => {
            cursor.take(b'[');
            let mut any = Vec::new();
            while cursor.item(any.is_empty()).map_err(not_json)? {
                let parent = format!("/{}", any.len());
                any.push(selector(cursor).map_err(|error| error.under(&parent))?);
            }
            if any.is_empty() {
                return wrong(
                    "an array of no queries matches nothing; name a query, or {} for all",
                );
            }
            Ok(Query { any })
        }
        _ => wrong("a query is an object with types, subjects, tags, or an array of such"),
    }
}

fn selector(cursor: &mut Cursor<'_>) -> Result<Selector, EventError> {
    let error = |pointer: String, detail: String| {
        Err(EventError::new(EventErrorKind::Query, pointer, detail))
    };
    if !cursor.take(b'{') {
        return error(String::new(), "a query is an object with types, subjects, tags".to_owned());
    }
    let (mut types, mut subjects, mut tags) = (None, None, None);
    let mut first = true;
    while let Some(name) = cursor.member(first).map_err(not_json)? {
        first = false;
        let slot = match name.as_ref() {
            "types" => &mut types,
            "subjects" => &mut subjects,
            "tags" => &mut tags,
            _ => {
                let detail = format!("{name:?} is unknown; a query has types, subjects, tags");
                return error(pointer(&name), detail);
            }
        };
        if slot.is_some() {
            return Err(duplicate(&name).with_kind(EventErrorKind::Query));
        }
        *slot = Some(texts(&name, cursor)?);
    }
    Ok(Selector {
        types: types.unwrap_or_default().into_iter().map(Pattern::Exact).collect(),
        subjects: subjects.unwrap_or_default().iter().map(|s| Pattern::subject(s)).collect(),
        tags: tags.unwrap_or_default(),
        ..Selector::default()
    })
}

/// A list of texts with something in it: an empty one could mean anything or nothing.
fn texts(name: &str, cursor: &mut Cursor<'_>) -> Result<Vec<String>, EventError> {
    let error = |at: Option<usize>| {
        let at = at.map(|at| format!("/{at}")).unwrap_or_default();
        let detail = format!("{name} is an array of texts, at least one; leave it out for any");
        Err(EventError::new(EventErrorKind::Query, format!("/{name}{at}"), detail))
    };
    if !cursor.take(b'[') {
        return error(None);
    }
    let mut texts = Vec::new();
    while cursor.item(texts.is_empty()).map_err(not_json)? {
        if cursor.peek() != b'"' {
            return error(Some(texts.len()));
        }
        texts.push(cursor.string().map_err(not_json)?.into_owned());
    }
    if texts.is_empty() { error(None) } else { Ok(texts) }
}

/// The value of one member of a precondition.
enum Member<'a> {
    Text(Cow<'a, str>),
    Null,
    Boolean(bool),
    Number(&'a str),
    Query(Query),
}

/// The members of a precondition, in the order they came, each taken once by the form it has.
struct Members<'a>(Vec<(Cow<'a, str>, Member<'a>)>);

/// Every member that some form has; bounds the members of one object, too.
const KNOWN: [&str; 16] = [
    "absent",
    "after",
    "count",
    "head",
    "id",
    "is",
    "n",
    "op",
    "position",
    "present",
    "recursive",
    "resource",
    "revision",
    "source",
    "subject",
    "version",
];

pub(super) fn precondition(cursor: &mut Cursor<'_>) -> Result<Precondition, EventError> {
    if !cursor.take(b'{') {
        return Err(wrong("", "a precondition is an object"));
    }
    let mut members = Members(Vec::new());
    let mut first = true;
    while let Some(name) = cursor.member(first).map_err(not_json)? {
        first = false;
        if !KNOWN.contains(&name.as_ref()) {
            let detail = format!("{name:?} is unknown in a precondition; remove it");
            return Err(wrong(pointer(&name), detail));
        }
        if members.0.iter().any(|(have, _)| *have == name) {
            return Err(duplicate(&name).with_kind(EventErrorKind::Precondition));
        }
        let value = member(cursor).map_err(|error| error.under(&pointer(&name)))?;
        members.0.push((name, value));
    }
    let condition = form(&mut members)?;
    match members.0.first() {
        None => Ok(condition),
        Some((name, _)) => {
            let detail = format!("{name:?} does not belong to this precondition; remove it");
            Err(wrong(pointer(name), detail))
        }
    }
}

fn member<'a>(cursor: &mut Cursor<'a>) -> Result<Member<'a>, EventError> {
    Ok(match cursor.peek() {
        b'"' => Member::Text(cursor.string().map_err(not_json)?),
        b'{' | b'[' => Member::Query(query(cursor)?),
        _ => match cursor.value().map_err(not_json)? {
            "null" => Member::Null,
            "true" => Member::Boolean(true),
            "false" => Member::Boolean(false),
            number => Member::Number(number),
        },
    })
}

fn form(members: &mut Members<'_>) -> Result<Precondition, EventError> {
    if members.has("subject") {
        let subject = members.text("subject")?;
        let recursive = members.flag("recursive")?;
        return Ok(Precondition::Subject { subject, recursive, is: subject_check(members)? });
    }
    if members.has("absent") {
        let query = members.query("absent")?;
        let after = if members.has("after") { members.position("after")? } else { Position::ZERO };
        return Ok(Precondition::Absent { query, after });
    }
    if members.has("present") {
        return Ok(Precondition::Present { query: members.query("present")? });
    }
    if members.has("count") {
        let query = members.query("count")?;
        return Ok(Precondition::Count { query, op: members.op()?, n: members.number("n")? });
    }
    if members.has("resource") {
        let id = members.text("resource")?;
        return Ok(Precondition::Resource { id, revision: members.revision()? });
    }
    if members.has("head") {
        return Ok(Precondition::Head { position: members.position("head")? });
    }
    Err(wrong("", "a precondition names one of subject, absent, present, count, resource, head"))
}

fn subject_check(members: &mut Members<'_>) -> Result<SubjectCheck, EventError> {
    match members.text("is")?.as_str() {
        "none" => Ok(SubjectCheck::None),
        "exists" => Ok(SubjectCheck::Exists),
        "version" => Ok(SubjectCheck::Version(members.number("version")?)),
        "last_position" => Ok(SubjectCheck::LastPosition(members.position("position")?)),
        "last_event" => {
            let id = members.text("id")?;
            let source = members.has("source").then(|| members.text("source")).transpose()?;
            Ok(SubjectCheck::LastEvent { id, source })
        }
        other => {
            let detail = format!(
                "{other:?} is unknown; is is none, exists, version, last_position or last_event"
            );
            Err(wrong("/is", detail))
        }
    }
}

impl<'a> Members<'a> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(have, _)| have == name)
    }

    fn take(&mut self, name: &str) -> Result<Member<'a>, EventError> {
        match self.0.iter().position(|(have, _)| have == name) {
            Some(at) => Ok(self.0.remove(at).1),
            None => Err(wrong(pointer(name), format!("{name} is missing in this precondition"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, EventError> {
        match self.take(name)? {
            Member::Text(text) => Ok(text.into_owned()),
            _ => Err(wrong(pointer(name), format!("{name} is a text; send a JSON string"))),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, EventError> {
        if !self.has(name) {
            return Ok(false);
        }
        match self.take(name)? {
            Member::Boolean(value) => Ok(value),
            _ => Err(wrong(pointer(name), format!("{name} is true or false"))),
        }
    }

    fn number(&mut self, name: &str) -> Result<u64, EventError> {
        match self.take(name)? {
            Member::Number(number) => number.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| wrong(pointer(name), format!("{name} is a whole number, not below 0")))
    }

    fn position(&mut self, name: &str) -> Result<Position, EventError> {
        let value = self.take(name)?;
        position(name, &value)
    }

    fn revision(&mut self) -> Result<Option<Position>, EventError> {
        match self.take("revision")? {
            Member::Null => Ok(None),
            value => position("revision", &value).map(Some),
        }
    }

    fn query(&mut self, name: &str) -> Result<Query, EventError> {
        match self.take(name)? {
            Member::Query(query) => Ok(query),
            _ => Err(wrong(pointer(name), format!("{name} is a query: an object or an array"))),
        }
    }

    fn op(&mut self) -> Result<Comparison, EventError> {
        match self.text("op")?.as_str() {
            "<" => Ok(Comparison::Less),
            "<=" => Ok(Comparison::LessOrEqual),
            "=" => Ok(Comparison::Equal),
            ">=" => Ok(Comparison::GreaterOrEqual),
            ">" => Ok(Comparison::Greater),
            other => {
                Err(wrong("/op", format!("{other:?} is unknown; op is one of <, <=, =, >=, >")))
            }
        }
    }
}

fn position(name: &str, value: &Member<'_>) -> Result<Position, EventError> {
    match value {
        Member::Text(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| {
        wrong(pointer(name), format!("{name} is a position: a decimal number as text, as \"41\""))
    })
}

/// Appends a precondition in the form it is read in.
///
/// Patterns that JSON has no form for (prefixes of a type) are written as their text.
pub fn write_precondition(out: &mut Vec<u8>, precondition: &Precondition) {
    match precondition {
        Precondition::Subject { subject, recursive, is } => {
            put_text(out, b"{\"subject\":", subject);
            if *recursive {
                out.extend_from_slice(b",\"recursive\":true");
            }
            put_check(out, is);
        }
        Precondition::Absent { query, after } => {
            out.extend_from_slice(b"{\"absent\":");
            write_query(out, query);
            if *after > Position::ZERO {
                put_position(out, b",\"after\":", *after);
            }
        }
        Precondition::Present { query } => {
            out.extend_from_slice(b"{\"present\":");
            write_query(out, query);
        }
        Precondition::Count { query, op, n } => {
            out.extend_from_slice(b"{\"count\":");
            write_query(out, query);
            put_text(out, b",\"op\":", op_text(*op));
            put_number(out, b",\"n\":", *n);
        }
        Precondition::Resource { id, revision } => {
            put_text(out, b"{\"resource\":", id);
            match revision {
                Some(revision) => put_position(out, b",\"revision\":", *revision),
                None => out.extend_from_slice(b",\"revision\":null"),
            }
        }
        Precondition::Head { position } => put_position(out, b"{\"head\":", *position),
    }
    out.push(b'}');
}

fn put_check(out: &mut Vec<u8>, is: &SubjectCheck) {
    let word = match is {
        SubjectCheck::None => "none",
        SubjectCheck::Exists => "exists",
        SubjectCheck::Version(_) => "version",
        SubjectCheck::LastPosition(_) => "last_position",
        SubjectCheck::LastEvent { .. } => "last_event",
    };
    put_text(out, b",\"is\":", word);
    match is {
        SubjectCheck::None | SubjectCheck::Exists => {}
        SubjectCheck::Version(n) => put_number(out, b",\"version\":", *n),
        SubjectCheck::LastPosition(position) => put_position(out, b",\"position\":", *position),
        SubjectCheck::LastEvent { id, source } => {
            put_text(out, b",\"id\":", id);
            if let Some(source) = source {
                put_text(out, b",\"source\":", source);
            }
        }
    }
}

/// Appends a query in the form it is read in.
pub fn write_query(out: &mut Vec<u8>, query: &Query) {
    match query.any.as_slice() {
        [] => out.extend_from_slice(b"{}"),
        [one] => put_selector(out, one),
        several => {
            out.push(b'[');
            separated(out, several, put_selector);
            out.push(b']');
        }
    }
}

fn put_selector(out: &mut Vec<u8>, selector: &Selector) {
    let texts = |patterns: &[Pattern]| patterns.iter().map(pattern_text).collect::<Vec<_>>();
    let lists = [
        ("types", texts(&selector.types)),
        ("subjects", texts(&selector.subjects)),
        ("tags", selector.tags.clone()),
    ];
    let present: Vec<_> = lists.iter().filter(|(_, texts)| !texts.is_empty()).collect();
    out.push(b'{');
    separated(out, &present, |out, (name, texts)| {
        write_string(out, name);
        out.extend_from_slice(b":[");
        separated(out, texts, |out, text| write_string(out, text));
        out.push(b']');
    });
    out.push(b'}');
}

fn pattern_text(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) | Pattern::Prefix(text) => text.clone(),
        Pattern::Tree(root) => format!("{root}/*"),
    }
}

fn separated<T>(out: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, item);
    }
}

fn op_text(op: Comparison) -> &'static str {
    match op {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Equal => "=",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Greater => ">",
    }
}

fn put_text(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    write_string(out, text);
}

fn put_number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_position(out: &mut Vec<u8>, name: &[u8], position: Position) {
    out.extend_from_slice(name);
    write_string(out, itoa::Buffer::new().format(position.0));
}
