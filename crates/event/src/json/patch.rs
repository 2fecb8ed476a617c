//! JSON Patch (RFC 6902): operations on a document, all of them or none.
//!
//! Applying takes the document by value and gives back another or none, so that nobody can go on
//! with half a patch. It is bounded in everything that a small patch could blow up: copying doubles
//! a document each time, moving nests it into itself, and inserting at the front of a long array
//! moves all of it. Refused beyond the RFC: members of an operation that stand twice, and removing
//! the whole document.

mod apply;

use std::borrow::Cow;

use super::{Json, JsonError, pointer, scan::Cursor, text::Text, tree::Measure, write_string};
pub use apply::{PatchFailed, PatchFailure};

/// A JSON Patch that is well formed; whether it can be applied, only a document can tell.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    operations: Vec<Operation<'a>>,
}

#[derive(Clone, Debug)]
enum Operation<'a> {
    Add { path: Pointer<'a>, value: Value<'a> },
    Remove { path: Pointer<'a> },
    Replace { path: Pointer<'a>, value: Value<'a> },
    Move { from: Pointer<'a>, path: Pointer<'a> },
    Copy { from: Pointer<'a>, path: Pointer<'a> },
    Test { path: Pointer<'a>, value: Value<'a> },
}

#[derive(Clone, Debug)]
struct Value<'a> {
    json: Json<'a>,
    measure: Measure,
}

/// A JSON Pointer that is well formed.
#[derive(Clone, Debug)]
struct Pointer<'a> {
    text: Cow<'a, str>,
    /// The last name as it must be written in a document, if not as it stands in `text`.
    literal: Option<String>,
}

/// Why a text is no JSON Patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPatch {
    /// It is no JSON.
    #[error(transparent)]
    NotJson(#[from] JsonError),
    /// It is no array.
    #[error("a JSON Patch is an array of operations")]
    NotArray,
    /// It has too many operations.
    #[error("the patch has more than {max} operations; send several, or the whole document")]
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// An operation has another form than RFC 6902 gives it.
    #[error("operation {operation}: {what}")]
    Operation {
        /// Which one, from 0.
        operation: usize,
        /// What is wrong with it and what to do.
        what: Cow<'static, str>,
    },
}

impl<'a> Patch<'a> {
    /// How many operations a patch may have.
    pub const OPERATIONS_MAX: usize = 10_000;

    /// Reads a patch. Members that RFC 6902 does not know are passed over, as it says.
    pub fn parse(text: &'a str) -> Result<Patch<'a>, MalformedPatch> {
        let mut cursor = Cursor::new(text);
        if !cursor.take(b'[') {
            // What is no JSON at all should be called that.
            cursor.value().map_err(JsonError::from)?;
            return Err(MalformedPatch::NotArray);
        }
        let mut operations = Vec::new();
        while cursor.item(operations.is_empty()).map_err(JsonError::from)? {
            if operations.len() == Patch::OPERATIONS_MAX {
                return Err(MalformedPatch::TooMany { max: Patch::OPERATIONS_MAX });
            }
            let draft = Draft::read(&mut cursor, operations.len())?;
            operations.push(draft.finish().map_err(|what| wrong(operations.len(), what))?);
        }
        cursor.end().map_err(JsonError::from)?;
        Ok(Patch { operations })
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

fn wrong(operation: usize, what: impl Into<Cow<'static, str>>) -> MalformedPatch {
    MalformedPatch::Operation { operation, what: what.into() }
}

/// An operation while its members are being read.
#[derive(Default)]
struct Draft<'a> {
    op: Option<Text<'a>>,
    path: Option<Pointer<'a>>,
    from: Option<Pointer<'a>>,
    value: Option<Value<'a>>,
}

impl<'a> Draft<'a> {
    fn read(cursor: &mut Cursor<'a>, operation: usize) -> Result<Draft<'a>, MalformedPatch> {
        if !cursor.take(b'{') {
            cursor.value().map_err(JsonError::from)?;
            return Err(wrong(operation, "is no object; send one with op and path"));
        }
        let mut draft = Draft::default();
        let mut first = true;
        while let Some(name) = cursor.raw_member(first).map_err(JsonError::from)? {
            first = false;
            let name = Text::of(name);
            let known = ["op", "path", "from", "value"].into_iter().find(|known| name.is(known));
            let Some(name) = known else {
                cursor.value().map_err(JsonError::from)?;
                continue;
            };
            if draft.has(name) {
                return Err(wrong(operation, format!("{name} stands there twice; send it once")));
            }
            draft.member(name, cursor, operation)?;
        }
        Ok(draft)
    }

    fn has(&self, name: &str) -> bool {
        match name {
            "op" => self.op.is_some(),
            "path" => self.path.is_some(),
            "from" => self.from.is_some(),
            _ => self.value.is_some(),
        }
    }

    fn member(
        &mut self,
        name: &'static str,
        cursor: &mut Cursor<'a>,
        operation: usize,
    ) -> Result<(), MalformedPatch> {
        if name == "value" {
            let json = Json::read(cursor).map_err(JsonError::from)?;
            self.value = Some(Value { measure: json.measure(), json });
            return Ok(());
        }
        if cursor.peek() != b'"' {
            cursor.value().map_err(JsonError::from)?;
            return Err(wrong(operation, format!("{name} is not text; send a JSON string")));
        }
        if name == "op" {
            self.op = Some(Text::read(cursor).map_err(JsonError::from)?);
            return Ok(());
        }
        let pointer = Pointer::new(cursor.string().map_err(JsonError::from)?)
            .map_err(|what| wrong(operation, format!("{name} {what}")))?;
        *(if name == "path" { &mut self.path } else { &mut self.from }) = Some(pointer);
        Ok(())
    }

    fn finish(self) -> Result<Operation<'a>, &'static str> {
        let op = self.op.ok_or("op is missing; send add, remove, replace, move, copy or test")?;
        let path = self.path.ok_or("path is missing; every operation has one");
        let value = self.value.ok_or("value is missing; add, replace and test have one");
        let from = self.from.ok_or("from is missing; move and copy have one");
        match op.raw() {
            "add" => Ok(Operation::Add { path: path?, value: value? }),
            "remove" => Ok(Operation::Remove { path: path? }),
            "replace" => Ok(Operation::Replace { path: path?, value: value? }),
            "move" => {
                let (from, path) = (from?, path?);
                match path.is_inside(&from) {
                    true => Err("path is inside from, and nothing can be moved into itself"),
                    false => Ok(Operation::Move { from, path }),
                }
            }
            "copy" => Ok(Operation::Copy { from: from?, path: path? }),
            "test" => Ok(Operation::Test { path: path?, value: value? }),
            _ => Err("op is unknown; send add, remove, replace, move, copy or test"),
        }
    }
}

impl<'a> Pointer<'a> {
    fn new(text: Cow<'a, str>) -> Result<Pointer<'a>, &'static str> {
        pointer::check(&text)?;
        let last = pointer::tokens(&text).next_back().unwrap_or_default();
        let plain = matches!(last, Cow::Borrowed(name) if Text::plain(name).is_some());
        let literal = (!plain).then(|| {
            let mut literal = Vec::new();
            write_string(&mut literal, &last);
            String::from_utf8(literal).unwrap_or_default()
        });
        Ok(Pointer { text, literal })
    }

    /// How many names it has.
    fn len(&self) -> usize {
        self.text.matches('/').count()
    }

    /// The pointer to what holds this, and the last name; `None` for the whole document.
    fn split(&self) -> Option<(&str, Cow<'_, str>)> {
        let (parent, _) = self.text.rsplit_once('/')?;
        Some((parent, pointer::tokens(&self.text).next_back()?))
    }

    /// The last name, to be put into a document.
    fn name(&self) -> Option<Text<'_>> {
        match &self.literal {
            Some(literal) => Text::read(&mut Cursor::new(literal)).ok(),
            None => Text::plain(self.text.rsplit_once('/')?.1),
        }
    }

    /// What the last name takes at most in an object: itself, quotes, colon and comma.
    fn member_bytes_max(&self) -> usize {
        4 + self.literal.as_ref().map_or(self.text.len(), String::len)
    }

    fn is_inside(&self, other: &Pointer<'_>) -> bool {
        self.text.strip_prefix(other.text.as_ref()).is_some_and(|rest| rest.starts_with('/'))
    }
}
