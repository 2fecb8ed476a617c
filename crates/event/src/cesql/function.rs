//! The built-in functions (CESQL §3.5 and the casts of §3.7).

use super::{
    Failure,
    value::{Text, Type, Value, Work},
};

/// A function together with how many arguments it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Bool,
    Concat,
    ConcatWs,
    Int,
    Left,
    Length,
    Lower,
    Right,
    String,
    Substring,
    SubstringOfLength,
    Trim,
    Upper,
}

/// What a function returns beside its failure where that is not the zero value of its type.
pub(super) type Instead<'a> = Option<Value<'a>>;

impl Function {
    /// The function of this name that takes so many arguments.
    pub(super) fn find(name: &str, arguments: usize) -> Option<Function> {
        let function = match (name.to_ascii_uppercase().as_str(), arguments) {
            ("ABS", 1) => Function::Abs,
            ("BOOL", 1) => Function::Bool,
            ("CONCAT", _) => Function::Concat,
            ("CONCAT_WS", 1..) => Function::ConcatWs,
            ("INT", 1) => Function::Int,
            ("LEFT", 2) => Function::Left,
            ("LENGTH", 1) => Function::Length,
            ("LOWER", 1) => Function::Lower,
            ("RIGHT", 2) => Function::Right,
            ("STRING", 1) => Function::String,
            ("SUBSTRING", 2) => Function::Substring,
            ("SUBSTRING", 3) => Function::SubstringOfLength,
            ("TRIM", 1) => Function::Trim,
            ("UPPER", 1) => Function::Upper,
            _ => return None,
        };
        Some(function)
    }

    /// The type of what it returns.
    pub(super) fn returns(self) -> Type {
        match self {
            Function::Bool => Type::Boolean,
            Function::Abs | Function::Int | Function::Length => Type::Integer,
            Function::Concat
            | Function::ConcatWs
            | Function::Left
            | Function::Lower
            | Function::Right
            | Function::String
            | Function::Substring
            | Function::SubstringOfLength
            | Function::Trim
            | Function::Upper => Type::Text,
        }
    }

    /// Calls it. `arguments` are as many as it was found by.
    pub(super) fn call<'a>(
        self,
        arguments: &mut [Value<'a>],
        work: &mut Work,
    ) -> Result<Value<'a>, (Failure<'a>, Instead<'a>)> {
        let plain = |failure| (failure, None);
        match self {
            Function::Abs => abs(arguments[0].integer(work).map_err(plain)?),
            Function::Left | Function::Right => self.end_of(arguments, work),
            _ => self.plain(arguments, work).map_err(plain),
        }
    }

    /// Those functions that return nothing special when they fail.
    fn plain<'a>(
        self,
        arguments: &mut [Value<'a>],
        work: &mut Work,
    ) -> Result<Value<'a>, Failure<'a>> {
        match self {
            Function::Bool => return arguments[0].boolean().map(Value::Boolean),
            Function::Int => return arguments[0].integer(work).map(Value::Integer),
            Function::Concat => return concat("", arguments, work),
            Function::ConcatWs => {
                let between = take(&mut arguments[0]);
                return concat(&between, &mut arguments[1..], work);
            }
            _ => {}
        }
        let text = take(&mut arguments[0]);
        work.take(text.len())?;
        Ok(match self {
            Function::Length => {
                Value::Integer(i32::try_from(text.chars().count()).unwrap_or(i32::MAX))
            }
            // Some letters have longer counterparts: up to three characters for one.
            Function::Lower | Function::Upper => {
                work.take(3 * text.len())?;
                let lower = self == Function::Lower;
                let text = if lower { text.to_lowercase() } else { text.to_uppercase() };
                Value::Text(Text::owned(text))
            }
            Function::Trim => {
                let start = text.len() - text.trim_start().len();
                let end = text.trim_end().len().max(start);
                Value::Text(text.slice(start..end))
            }
            Function::Substring => substring(text, arguments[1].integer(work)?, None)?,
            Function::SubstringOfLength => {
                let (from, length) = (arguments[1].integer(work)?, arguments[2].integer(work)?);
                substring(text, from, Some(length))?
            }
            _ => Value::Text(text),
        })
    }

    /// `LEFT` and `RIGHT`: the whole text if there are fewer characters than asked for.
    fn end_of<'a>(
        self,
        arguments: &mut [Value<'a>],
        work: &mut Work,
    ) -> Result<Value<'a>, (Failure<'a>, Instead<'a>)> {
        let count = arguments[1].integer(work).map_err(|failure| (failure, None))?;
        let text = take(&mut arguments[0]);
        work.take(text.len()).map_err(|failure| (failure, None))?;
        let Ok(count) = usize::try_from(count) else {
            let failure = Failure::Function("the number of characters is below 0");
            return Err((failure, Some(Value::Text(text))));
        };
        let all = 0..text.len();
        let range = match self {
            Function::Left => 0..byte_of(&text, count).unwrap_or(all.end),
            _ => from_end(&text, count).unwrap_or(0)..all.end,
        };
        Ok(Value::Text(text.slice(range)))
    }
}

fn take<'a>(argument: &mut Value<'a>) -> Text<'a> {
    std::mem::replace(argument, Value::Boolean(false)).text()
}

fn abs<'a>(number: i32) -> Result<Value<'a>, (Failure<'a>, Instead<'a>)> {
    match number.checked_abs() {
        Some(number) => Ok(Value::Integer(number)),
        None => Err((Failure::OVERFLOW, Some(Value::Integer(i32::MAX)))),
    }
}

fn concat<'a>(
    between: &str,
    parts: &mut [Value<'a>],
    work: &mut Work,
) -> Result<Value<'a>, Failure<'a>> {
    let mut bytes = between.len().saturating_mul(parts.len().saturating_sub(1));
    for part in &mut *parts {
        let text = take(part);
        bytes = bytes.saturating_add(text.len());
        *part = Value::Text(text);
    }
    work.take(bytes)?;
    let mut whole = String::with_capacity(bytes);
    for (at, part) in parts.iter_mut().enumerate() {
        if at > 0 {
            whole.push_str(between);
        }
        whole.push_str(&take(part));
    }
    Ok(Value::Text(Text::owned(whole)))
}

/// Characters count from 1, or from the end where `from` is below 0; none stands at 0.
fn substring<'a>(text: Text<'a>, from: i32, length: Option<i32>) -> Result<Value<'a>, Failure<'a>> {
    let length = match length.map(usize::try_from) {
        None => usize::MAX,
        Some(Ok(length)) => length,
        Some(Err(_)) => return Err(Failure::Function("the length is below 0")),
    };
    let distance = from.unsigned_abs() as usize;
    let start = match from {
        0 => return Ok(Type::Text.zero()),
        1.. => byte_of(&text, distance - 1).filter(|at| *at < text.len()),
        _ => from_end(&text, distance),
    };
    let Some(start) = start else {
        return Err(Failure::Function("the position lies beyond the text"));
    };
    let end = byte_of(&text[start..], length).map_or(text.len(), |at| start + at);
    Ok(Value::Text(text.slice(start..end)))
}

/// Where the character stands that has `count` before it; the end if it has exactly so many.
fn byte_of(text: &str, count: usize) -> Option<usize> {
    let ends = std::iter::once(text.len());
    text.char_indices().map(|(at, _)| at).chain(ends).nth(count)
}

/// Where the last `count` characters begin.
fn from_end(text: &str, count: usize) -> Option<usize> {
    let ends = std::iter::once(text.len());
    ends.chain(text.char_indices().rev().map(|(at, _)| at)).nth(count)
}
