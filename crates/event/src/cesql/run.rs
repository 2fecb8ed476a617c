//! Evaluating a program on an event.
//!
//! The first failure ends the evaluation ("fail fast mode", CESQL §4.1): the value is then the zero
//! value of the program's type, unless the last operation itself failed and has another to offer.

use super::{
    Evaluation, Failure, Type,
    function::Function,
    program::{Arithmetic, Comparison, NAMES_MAX, Op, Program, Test},
    value::{Text, Value, Work, same_text},
};
use crate::{Attribute, Attributes, EventError};

/// Values and attributes up to which an evaluation needs no memory of its own.
const STACK_FEW: usize = 4;
const NAMES_FEW: usize = 4;

/// Why an evaluation stopped.
enum Stop<'a> {
    Failure(Failure<'a>),
    /// With the value that the failed operation returns all the same.
    FailureWith(Failure<'a>, Value<'a>),
    Event(EventError),
}

impl<'a> From<Failure<'a>> for Stop<'a> {
    fn from(failure: Failure<'a>) -> Stop<'a> {
        Stop::Failure(failure)
    }
}

/// What is known of an attribute during one evaluation.
#[derive(Clone, Copy)]
enum Known<'a> {
    Unread,
    Missing,
    Found(Attribute<'a>),
}

impl Program {
    /// Evaluates it. Fails only where the attributes cannot be read.
    pub(crate) fn run<'a, A: Attributes + ?Sized>(
        &'a self,
        event: &'a A,
    ) -> Result<Evaluation<'a>, EventError> {
        let mut few = [Known::Unread; NAMES_FEW];
        let mut many = Vec::new();
        let known = match few.get_mut(..self.names.len()) {
            Some(known) => known,
            None => {
                many.resize(self.names.len().min(NAMES_MAX), Known::Unread);
                many.as_mut_slice()
            }
        };
        let stack = Stack::new();
        Machine { program: self, event, known, stack, work: self.work(), guard: None }.run()
    }
}

struct Machine<'a, 'k, A: ?Sized> {
    program: &'a Program,
    event: &'a A,
    known: &'k mut [Known<'a>],
    stack: Stack<'a>,
    work: Work,
    /// Within [`Op::Try`]: where to go on after a failure, and with how many values.
    guard: Option<(usize, usize)>,
}

impl<'a, A: Attributes + ?Sized> Machine<'a, '_, A> {
    fn run(mut self) -> Result<Evaluation<'a>, EventError> {
        let ops = &self.program.ops;
        let mut at = 0;
        while let Some(op) = ops.get(at) {
            let stop = match self.step(*op, at + 1) {
                Ok(next) => {
                    at = next;
                    continue;
                }
                Err(stop) => stop,
            };
            if let (Some((end, height)), false) = (self.guard.take(), stop.is_of_event()) {
                self.stack.truncate(height);
                self.stack.push(Value::Boolean(false));
                at = end;
                continue;
            }
            let zero = self.program.ty.zero();
            return match stop {
                Stop::Failure(failure) => Ok(Evaluation { value: zero, failure: Some(failure) }),
                Stop::FailureWith(failure, value) => {
                    let value = if at + 1 == ops.len() { value } else { zero };
                    Ok(Evaluation { value, failure: Some(failure) })
                }
                Stop::Event(error) => Err(error),
            };
        }
        let value = self.stack.pop();
        debug_assert_eq!(self.stack.len(), 0, "a program leaves its value and nothing else");
        Ok(Evaluation { value, failure: None })
    }

    /// Does one operation; gives the place of the next.
    #[inline]
    fn step(&mut self, op: Op, next: usize) -> Result<usize, Stop<'a>> {
        let value = match op {
            Op::Boolean(value) => Value::Boolean(value),
            Op::Integer(value) => Value::Integer(value),
            Op::Text(text) => Value::Text(Text::borrowed(self.program.text(text))),
            Op::Attribute(name) => match self.attribute(name)? {
                Some(attribute) => Value::of(attribute, &mut self.work)?,
                None => return Err(Failure::MissingAttribute(self.program.name(name)).into()),
            },
            Op::Exists(name) => Value::Boolean(self.attribute(name)?.is_some()),
            Op::Compare(comparison) => {
                let (right, left) = (self.stack.pop(), self.stack.pop());
                Value::Boolean(compare(comparison, left, &right, &mut self.work)?)
            }
            Op::And(end) => return self.either(false, end, next),
            Op::Or(end) => return self.either(true, end, next),
            Op::ToBoolean => Value::Boolean(self.stack.pop().boolean()?),
            Op::Not => Value::Boolean(!negatable(&self.stack.pop())?),
            Op::Xor => {
                let (right, left) = (self.stack.pop(), self.stack.pop());
                Value::Boolean(left.boolean()? != right.boolean()?)
            }
            Op::Like { pattern, negated } => {
                let text = self.stack.pop().text();
                let like = &self.program.likes[pattern as usize];
                Value::Boolean(like.matches(&text, &mut self.work)? != negated)
            }
            Op::Is { name, text, negated } => match self.attribute(name)? {
                Some(found) => Value::Boolean(self.test(&found, Test::Exact, text)? != negated),
                None => return Err(Failure::MissingAttribute(self.program.name(name)).into()),
            },
            Op::Test { name, test, text } => match self.attribute(name)? {
                Some(found) => Value::Boolean(self.test(&found, test, text)?),
                None => Value::Boolean(false),
            },
            Op::InElement { end, negated } => {
                let (element, value) = (self.stack.pop(), self.stack.pop());
                if !element.equals(&value, &mut self.work)? {
                    self.stack.push(value);
                    return Ok(next);
                }
                self.stack.push(Value::Boolean(!negated));
                return Ok(end as usize);
            }
            Op::Try(end) => {
                self.guard = Some((end as usize, self.stack.len()));
                return Ok(next);
            }
            Op::Negate => Value::Integer(self.negated()?),
            Op::Arithmetic(operation) => Value::Integer(self.calculate(operation)?),
            Op::InTexts { first, count, negated } => {
                let value = self.stack.pop();
                Value::Boolean(self.is_one_of(value, first, count)? != negated)
            }
            Op::InEnd { negated } => {
                self.stack.pop();
                Value::Boolean(negated)
            }
            Op::Call { function, arguments } => self.call(function, arguments as usize)?,
            Op::MissingFunction { name, arguments } => {
                let name = self.program.text(name);
                return Err(Failure::MissingFunction { name, arguments }.into());
            }
            Op::Settle => {
                self.guard = None;
                Value::Boolean(self.stack.pop() == Value::Boolean(true))
            }
        };
        self.stack.push(value);
        Ok(next)
    }

    fn negated(&mut self) -> Result<i32, Failure<'a>> {
        let number = self.stack.pop().integer(&mut self.work)?;
        number.checked_neg().ok_or(Failure::OVERFLOW)
    }

    /// Division is cut off towards 0, and the remainder has the sign of the left operand.
    fn calculate(&mut self, operation: Arithmetic) -> Result<i32, Failure<'a>> {
        let (right, left) = (self.stack.pop(), self.stack.pop());
        let (left, right) = (left.integer(&mut self.work)?, right.integer(&mut self.work)?);
        let divides = matches!(operation, Arithmetic::Divide | Arithmetic::Remainder);
        if divides && right == 0 {
            return Err(Failure::Math("a number is divided by 0"));
        }
        let result = match operation {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            // The one remainder that overflows in the machine is 0.
            Arithmetic::Remainder => Some(left.checked_rem(right).unwrap_or(0)),
        };
        result.ok_or(Failure::OVERFLOW)
    }

    /// AND and OR after their left operand, which decides if it is `decisive`.
    #[inline]
    fn either(&mut self, decisive: bool, end: u32, next: usize) -> Result<usize, Stop<'a>> {
        if self.stack.pop().boolean()? != decisive {
            return Ok(next);
        }
        self.stack.push(Value::Boolean(decisive));
        Ok(end as usize)
    }

    #[inline]
    fn attribute(&mut self, name: u16) -> Result<Option<Attribute<'a>>, Stop<'a>> {
        let known = &mut self.known[usize::from(name)];
        match *known {
            Known::Found(attribute) => Ok(Some(attribute)),
            Known::Missing => Ok(None),
            Known::Unread => {
                let name = self.program.name(name);
                let found = self.event.attribute(name).map_err(Stop::Event)?;
                *known = found.map_or(Known::Missing, Known::Found);
                Ok(found)
            }
        }
    }

    #[inline]
    fn test(&mut self, found: &Attribute<'a>, test: Test, text: u32) -> Result<bool, Stop<'a>> {
        let wanted = self.program.text(text);
        self.work.take(wanted.len())?;
        match found {
            Attribute::Text(text) => Ok(test.holds(text, wanted)),
            other => Ok(test.holds(&Value::of(*other, &mut self.work)?.text(), wanted)),
        }
    }

    fn call(&mut self, function: Function, count: usize) -> Result<Value<'a>, Stop<'a>> {
        let mut few = [const { Value::Boolean(false) }; 3];
        let mut many = Vec::new();
        let arguments = match few.get_mut(..count) {
            Some(arguments) => arguments,
            None => {
                many.resize(count, Value::Boolean(false));
                many.as_mut_slice()
            }
        };
        for argument in arguments.iter_mut().rev() {
            *argument = self.stack.pop();
        }
        function.call(arguments, &mut self.work).map_err(|(failure, instead)| match instead {
            Some(value) => Stop::FailureWith(failure, value),
            None => Stop::Failure(failure),
        })
    }

    fn is_one_of(&mut self, value: Value<'a>, first: u32, count: u32) -> Result<bool, Stop<'a>> {
        for text in first..first + count {
            let text = self.program.text(text);
            let same = match &value {
                Value::Text(value) => same_text(value, text, &mut self.work)?,
                _ => Value::Text(Text::borrowed(text)).equals(&value, &mut self.work)?,
            };
            if same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Stop<'_> {
    fn is_of_event(&self) -> bool {
        matches!(self, Stop::Event(_))
    }
}

#[inline]
fn compare<'a>(
    comparison: Comparison,
    left: Value<'a>,
    right: &Value<'a>,
    work: &mut Work,
) -> Result<bool, Failure<'a>> {
    Ok(match comparison {
        Comparison::Equal => left.equals(right, work)?,
        Comparison::NotEqual => !left.equals(right, work)?,
        _ => {
            let (left, right) = (left.integer(work)?, right.integer(work)?);
            match comparison {
                Comparison::Less => left < right,
                Comparison::LessOrEqual => left <= right,
                Comparison::Greater => left > right,
                _ => left >= right,
            }
        }
    })
}

/// The operand of NOT. The test kit has it that an Integer is none, although it can be cast, and
/// that NOT is true beside the failure of its cast (`not_operator.yaml`).
fn negatable<'a>(value: &Value<'a>) -> Result<bool, Stop<'a>> {
    let cast = match value {
        Value::Integer(_) => Err(Failure::Cast { from: value.ty(), to: Type::Boolean }),
        _ => value.boolean(),
    };
    cast.map_err(|failure| Stop::FailureWith(failure, Value::Boolean(true)))
}

/// The values between operations; only programs that nest deeply make it take memory.
struct Stack<'a> {
    few: [Value<'a>; STACK_FEW],
    more: Vec<Value<'a>>,
    len: usize,
}

impl<'a> Stack<'a> {
    fn new() -> Stack<'a> {
        Stack { few: [const { Value::Boolean(false) }; STACK_FEW], more: Vec::new(), len: 0 }
    }

    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn push(&mut self, value: Value<'a>) {
        match self.few.get_mut(self.len) {
            Some(slot) => *slot = value,
            None => self.more.push(value),
        }
        self.len += 1;
    }

    /// The topmost value. A program takes no more than it has put there.
    #[inline]
    fn pop(&mut self) -> Value<'a> {
        self.len -= 1;
        match self.few.get_mut(self.len) {
            Some(slot) => std::mem::replace(slot, Value::Boolean(false)),
            None => self.more.pop().expect("a program takes what it has put"),
        }
    }

    fn truncate(&mut self, len: usize) {
        while self.len > len {
            self.pop();
        }
    }
}
