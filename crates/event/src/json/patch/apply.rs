//! Applying a JSON Patch, within bounds.

use super::{Operation, Patch, Pointer, Value};
use crate::json::{
    Json,
    pointer::{child_mut, find, index, tokens},
    tree::{Measure, same_value},
};

/// What one patch may cost: a value looked at or copied is [`WORK_PER_VALUE`], an item moved along
/// in its array 1. Some tenths of a second.
const WORK_MAX: u64 = 200_000_000;
const WORK_PER_VALUE: u64 = 8;

/// How much of a pointer an error shows.
const SHOWN_BYTES_MAX: usize = 200;

/// A patch that this document does not let happen; nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {operation}: {why}")]
pub struct PatchFailed {
    /// Which operation, from 0.
    pub operation: usize,
    /// Why.
    pub why: PatchFailure,
}

/// Why an operation cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFailure {
    /// The pointer points at nothing.
    #[error("the document has nothing at {pointer:?}; read it again")]
    NotFound {
        /// The pointer, shortened if it is long.
        pointer: String,
    },
    /// The parent of what is to be added is neither an object nor an array.
    #[error(
        "nothing can be added at {pointer:?}: what it would be in has no members; replace that"
    )]
    NoMembers {
        /// The pointer, shortened if it is long.
        pointer: String,
    },
    /// An array has no such place.
    #[error(
        "an array of {items} has no place {pointer:?}; use an index up to that, or - for the end"
    )]
    NoPlace {
        /// The pointer, shortened if it is long.
        pointer: String,
        /// How many items the array has.
        items: usize,
    },
    /// A test found another value.
    #[error("the value at {pointer:?} is another one; read the document again")]
    TestFailed {
        /// The pointer, shortened if it is long.
        pointer: String,
    },
    /// The whole document would be removed.
    #[error("a patch cannot remove the whole document; delete it, or replace it with null")]
    RemovesAll,
    /// The document would be too large.
    #[error("the document would take more than {bytes_max} bytes; leave something out")]
    TooLarge {
        /// How large it may be.
        bytes_max: usize,
    },
    /// The document would nest too deeply.
    #[error("the document would nest deeper than 100 levels; flatten it")]
    TooDeep,
    /// The patch moves and copies more than one may.
    #[error("the patch moves and copies too much; send the whole document")]
    TooMuchWork,
}

impl Patch<'_> {
    /// Applies all operations to a document, and lets go of it if one of them cannot be applied.
    ///
    /// After an operation that lets it grow, the document takes at most `bytes_max` bytes as compact
    /// text and nests at most [`Json::DEPTH_MAX`] levels.
    pub fn apply<'p>(
        &'p self,
        document: Json<'p>,
        bytes_max: usize,
    ) -> Result<Json<'p>, PatchFailed> {
        let bytes = document.measure().bytes;
        let mut run = Run { document, bytes, bytes_max, work: 0 };
        for (number, operation) in self.operations.iter().enumerate() {
            run.step(operation).map_err(|why| PatchFailed { operation: number, why })?;
        }
        Ok(run.document)
    }
}

struct Run<'d> {
    document: Json<'d>,
    /// At least what the document takes; exact when it was last measured.
    bytes: usize,
    bytes_max: usize,
    work: u64,
}

impl<'d> Run<'d> {
    fn step(&mut self, operation: &'d Operation<'_>) -> Result<(), PatchFailure> {
        match operation {
            Operation::Add { path, value } => self.put_value(path, value, Run::add)?,
            Operation::Remove { path } => drop(self.take(path)?),
            Operation::Replace { path, value } => self.put_value(path, value, Run::replace)?,
            Operation::Move { from, path } => self.shift(from, path)?,
            Operation::Copy { from, path } => self.copy(from, path)?,
            Operation::Test { path, value } => self.test(path, value)?,
        }
        if self.work > WORK_MAX { Err(PatchFailure::TooMuchWork) } else { Ok(()) }
    }

    fn put_value(
        &mut self,
        path: &'d Pointer<'_>,
        value: &'d Value<'_>,
        put: fn(&mut Run<'d>, &'d Pointer<'_>, Json<'d>) -> Result<(), PatchFailure>,
    ) -> Result<(), PatchFailure> {
        self.check_growth(path, value.measure)?;
        put(self, path, value.json.clone())?;
        self.check_size()
    }

    fn add(&mut self, path: &'d Pointer<'_>, value: Json<'d>) -> Result<(), PatchFailure> {
        let Some((parent, last)) = path.split() else {
            self.document = value;
            return Ok(());
        };
        match self.find_mut(parent)? {
            Json::Object(object) => {
                // Only a pointer to the whole has no name, and that is no member.
                let name = path.name().ok_or_else(|| not_found(parent))?;
                object.put(name, value);
            }
            Json::Array(items) => {
                let place = if last == "-" { Some(items.len()) } else { index(&last) };
                let place = place.filter(|place| *place <= items.len());
                let Some(place) = place else {
                    let pointer = shown(&path.text);
                    return Err(PatchFailure::NoPlace { pointer, items: items.len() });
                };
                let moved = (items.len() - place) as u64;
                items.insert(place, value);
                self.work += moved;
            }
            _ => return Err(PatchFailure::NoMembers { pointer: shown(&path.text) }),
        }
        Ok(())
    }

    fn replace(&mut self, path: &'d Pointer<'_>, value: Json<'d>) -> Result<(), PatchFailure> {
        *self.find_mut(&path.text)? = value;
        Ok(())
    }

    fn take(&mut self, path: &Pointer<'_>) -> Result<Json<'d>, PatchFailure> {
        let (parent, last) = path.split().ok_or(PatchFailure::RemovesAll)?;
        let mut moved = 0;
        let taken = match self.find_mut(parent)? {
            Json::Object(object) => object.remove(&last),
            Json::Array(items) => {
                let place = index(&last).filter(|place| *place < items.len());
                place.map(|place| {
                    moved = (items.len() - place) as u64;
                    items.remove(place)
                })
            }
            _ => None,
        };
        self.work += moved;
        taken.ok_or_else(|| not_found(&path.text))
    }

    fn shift(&mut self, from: &Pointer<'_>, path: &'d Pointer<'_>) -> Result<(), PatchFailure> {
        if from.text == path.text {
            return self.find(&path.text).map(drop);
        }
        let value = self.take(from)?;
        // Walking what is moved costs more than moving it, and higher up it cannot be too deep.
        if path.len() > from.len() {
            let measure = self.measure(&value);
            self.check_depth(path, measure)?;
        }
        self.bytes += path.member_bytes_max();
        self.add(path, value)?;
        self.check_size()
    }

    fn copy(&mut self, from: &Pointer<'_>, path: &'d Pointer<'_>) -> Result<(), PatchFailure> {
        let value = self.find(&from.text)?;
        let measure = value.measure();
        self.work += 2 * WORK_PER_VALUE * measure.values as u64;
        self.check_growth(path, measure)?;
        let value = self.find(&from.text)?.clone();
        self.add(path, value)?;
        self.check_size()
    }

    fn test(&mut self, path: &Pointer<'_>, value: &Value<'_>) -> Result<(), PatchFailure> {
        let mut work = 0;
        let same = same_value(self.find(&path.text)?, &value.json, &mut work);
        self.work += WORK_PER_VALUE * work;
        match same {
            true => Ok(()),
            false => Err(PatchFailure::TestFailed { pointer: shown(&path.text) }),
        }
    }

    fn find(&self, pointer: &str) -> Result<&Json<'d>, PatchFailure> {
        find(&self.document, pointer).ok_or_else(|| not_found(pointer))
    }

    fn find_mut(&mut self, pointer: &str) -> Result<&mut Json<'d>, PatchFailure> {
        tokens(pointer)
            .try_fold(&mut self.document, |json, token| child_mut(json, &token))
            .ok_or_else(|| not_found(pointer))
    }

    fn measure(&mut self, value: &Json<'_>) -> Measure {
        let measure = value.measure();
        self.work += WORK_PER_VALUE * measure.values as u64;
        measure
    }

    /// Before a value comes in: whether it nests too deeply there, and what it adds at most.
    fn check_growth(&mut self, path: &Pointer<'_>, value: Measure) -> Result<(), PatchFailure> {
        self.check_depth(path, value)?;
        self.bytes += value.bytes + path.member_bytes_max();
        Ok(())
    }

    fn check_depth(&self, path: &Pointer<'_>, value: Measure) -> Result<(), PatchFailure> {
        let depth = path.len() + value.depth as usize;
        if depth > Json::DEPTH_MAX as usize { Err(PatchFailure::TooDeep) } else { Ok(()) }
    }

    /// After a value came in: whether the document is within its size. It is measured only when it
    /// might not be; what went out in between is counted then.
    fn check_size(&mut self) -> Result<(), PatchFailure> {
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let measure = self.document.measure();
        self.work += WORK_PER_VALUE * measure.values as u64;
        self.bytes = measure.bytes;
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        Err(PatchFailure::TooLarge { bytes_max: self.bytes_max })
    }
}

fn not_found(pointer: &str) -> PatchFailure {
    PatchFailure::NotFound { pointer: shown(pointer) }
}

fn shown(pointer: &str) -> String {
    if pointer.len() <= SHOWN_BYTES_MAX {
        return pointer.to_owned();
    }
    let end = (0..=SHOWN_BYTES_MAX).rev().find(|at| pointer.is_char_boundary(*at));
    format!("{}…", &pointer[..end.unwrap_or_default()])
}
