//! Putting a program together, operand by operand, as a parser meets them.
//!
//! Beside the operations it keeps what is known of each operand that the program has on its stack
//! at that point: its type, and the facts that a hint for the index is made of.

use super::{
    facts::{Facts, Known},
    function::Function,
    like::Like,
    program::{Arithmetic, Comparison, NAMES_MAX, OPS_MAX, Op, Program, Test},
    value::Type,
};
use crate::Pattern;

/// A program larger than one may be.
#[derive(Debug)]
pub(crate) enum Excess {
    Names,
    Ops,
}

impl Excess {
    pub(crate) fn detail(&self) -> String {
        match self {
            Excess::Names => {
                format!("it uses more than {NAMES_MAX} different attributes; use fewer")
            }
            Excess::Ops => {
                format!("it has more than {OPS_MAX} operations; split it into several filters")
            }
        }
    }
}

/// A place to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u32);

/// A jump whose place is not known before it is reached.
const UNKNOWN: u32 = u32::MAX;

/// An operand on the stack of the program.
#[derive(Debug)]
struct Operand {
    shape: Shape,
    /// Not known of attributes.
    ty: Option<Type>,
    known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Attribute(u16),
    Text(u32),
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Builder {
    ops: Vec<Op>,
    names: Vec<Box<str>>,
    texts: Vec<Box<str>>,
    likes: Vec<Like>,
    operands: Vec<Operand>,
}

type Built = Result<(), Excess>;

impl Builder {
    /// The program, and what is known of the events for which it is true. It has one operand.
    pub(crate) fn finish(mut self) -> (Program, Facts) {
        let root = self.pop();
        let program = Program {
            ops: self.ops.into(),
            names: self.names.into(),
            texts: self.texts.into(),
            likes: self.likes.into(),
            ty: root.ty.unwrap_or(Type::Boolean),
        };
        (program, root.known.when_true)
    }

    pub(crate) fn boolean(&mut self, value: bool) -> Built {
        self.push(Shape::Other, Some(Type::Boolean), Known::constant(value));
        self.emit(Op::Boolean(value))
    }

    pub(super) fn integer(&mut self, value: i32) -> Built {
        self.push(Shape::Other, Some(Type::Integer), Known::NOTHING);
        self.emit(Op::Integer(value))
    }

    pub(super) fn text(&mut self, text: String) -> Built {
        let text = self.add_text(text);
        self.push(Shape::Text(text), Some(Type::Text), Known::NOTHING);
        self.emit(Op::Text(text))
    }

    pub(super) fn attribute(&mut self, name: &str) -> Built {
        let name = self.name(name)?;
        self.push(Shape::Attribute(name), None, Known::NOTHING);
        self.emit(Op::Attribute(name))
    }

    pub(super) fn exists(&mut self, name: &str) -> Built {
        let name = self.name(name)?;
        self.push(Shape::Other, Some(Type::Boolean), Known::NOTHING);
        self.emit(Op::Exists(name))
    }

    /// How the text of an attribute compares with another; false without the attribute.
    pub(crate) fn test(&mut self, name: &str, test: Test, text: String) -> Built {
        let facts = match test {
            Test::Exact => Facts::fits(name, vec![Pattern::Exact(text.clone())]),
            Test::Prefix => Facts::fits(name, vec![Pattern::Prefix(text.clone())]),
            Test::Suffix => Facts::All,
        };
        let (name, text) = (self.name(name)?, self.add_text(text));
        self.push(Shape::Other, Some(Type::Boolean), Known::if_true(facts));
        self.emit(Op::Test { name, test, text })
    }

    pub(crate) fn not(&mut self) -> Built {
        let known = self.pop().known.negated();
        self.push(Shape::Other, Some(Type::Boolean), known);
        self.emit(Op::Not)
    }

    pub(super) fn negate(&mut self) -> Built {
        self.pop();
        self.push(Shape::Other, Some(Type::Integer), Known::NOTHING);
        self.emit(Op::Negate)
    }

    pub(super) fn arithmetic(&mut self, operation: Arithmetic) -> Built {
        self.pop();
        self.pop();
        self.push(Shape::Other, Some(Type::Integer), Known::NOTHING);
        self.emit(Op::Arithmetic(operation))
    }

    pub(super) fn compare(&mut self, comparison: Comparison) -> Built {
        let (right, left) = (self.pop(), self.pop());
        let equal = self.equality(left.shape, right.shape);
        let known = match comparison {
            Comparison::Equal => equal,
            Comparison::NotEqual => equal.negated(),
            _ => Known::NOTHING,
        };
        self.push(Shape::Other, Some(Type::Boolean), known);
        let negated = comparison == Comparison::NotEqual;
        match (left.shape, right.shape, comparison) {
            (
                Shape::Attribute(name),
                Shape::Text(text),
                Comparison::Equal | Comparison::NotEqual,
            ) => {
                self.ops.truncate(self.ops.len() - 2);
                self.emit(Op::Is { name, text, negated })
            }
            _ => self.emit(Op::Compare(comparison)),
        }
    }

    /// An attribute compared with a text; types, subjects and sources are texts, so that it does
    /// not matter which side is cast.
    fn equality(&self, left: Shape, right: Shape) -> Known {
        match (left, right) {
            (Shape::Attribute(name), Shape::Text(text))
            | (Shape::Text(text), Shape::Attribute(name)) => {
                let text = self.texts[text as usize].to_string();
                Known::if_true(self.fits(name, vec![Pattern::Exact(text)]))
            }
            _ => Known::NOTHING,
        }
    }

    fn fits(&self, name: u16, patterns: Vec<Pattern>) -> Facts {
        Facts::fits(&self.names[usize::from(name)], patterns)
    }

    pub(super) fn xor(&mut self) -> Built {
        self.pop();
        self.pop();
        self.push(Shape::Other, Some(Type::Boolean), Known::NOTHING);
        self.emit(Op::Xor)
    }

    /// Between the operands of AND.
    pub(crate) fn and_then(&mut self) -> Result<Mark, Excess> {
        self.emit(Op::And(UNKNOWN))?;
        Ok(Mark(self.at() - 1))
    }

    /// After the operands of AND.
    pub(crate) fn and(&mut self, mark: Mark) -> Built {
        self.emit(Op::ToBoolean)?;
        self.ops[mark.0 as usize] = Op::And(self.at());
        let (right, left) = (self.pop(), self.pop());
        self.push(Shape::Other, Some(Type::Boolean), left.known.and(right.known));
        Ok(())
    }

    /// Between the operands of OR.
    pub(crate) fn or_else(&mut self) -> Result<Mark, Excess> {
        self.emit(Op::Or(UNKNOWN))?;
        Ok(Mark(self.at() - 1))
    }

    /// After the operands of OR.
    pub(crate) fn or(&mut self, mark: Mark) -> Built {
        self.emit(Op::ToBoolean)?;
        self.ops[mark.0 as usize] = Op::Or(self.at());
        let (right, left) = (self.pop(), self.pop());
        self.push(Shape::Other, Some(Type::Boolean), left.known.or(right.known));
        Ok(())
    }

    pub(super) fn like(&mut self, pattern: &str, negated: bool) -> Built {
        let like = Like::new(pattern);
        let known = match self.pop().shape {
            Shape::Attribute(name) => {
                let pattern = match like.only() {
                    Some(text) => Pattern::Exact(text.to_owned()),
                    None => Pattern::Prefix(like.prefix()),
                };
                Known::if_true(self.fits(name, vec![pattern]))
            }
            _ => Known::NOTHING,
        };
        self.push(Shape::Other, Some(Type::Boolean), known.negated_if(negated));
        self.likes.push(like);
        self.emit(Op::Like { pattern: self.likes.len() as u32 - 1, negated })
    }

    /// Where elements of IN or arguments of a function begin.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.at())
    }

    pub(super) fn in_element(&mut self, negated: bool) -> Built {
        self.emit(Op::InElement { end: UNKNOWN, negated })
    }

    /// After the last of `count` elements of IN.
    pub(super) fn in_end(&mut self, mark: Mark, count: usize, negated: bool) -> Built {
        let elements = self.operands.split_off(self.operands.len() - count);
        let left = self.pop().shape;
        let texts: Option<Vec<u32>> = elements.iter().map(|element| element.text()).collect();
        let known = match (left, &texts) {
            (Shape::Attribute(name), Some(texts)) => {
                let exact = |text: &u32| Pattern::Exact(self.texts[*text as usize].to_string());
                Known::if_true(self.fits(name, texts.iter().map(exact).collect()))
            }
            _ => Known::NOTHING,
        };
        self.push(Shape::Other, Some(Type::Boolean), known.negated_if(negated));
        let start = mark.0 as usize;
        if let Some([first, ..]) = texts.as_deref() {
            // Literals stand in the table one after the other.
            self.ops.truncate(start);
            return self.emit(Op::InTexts { first: *first, count: count as u32, negated });
        }
        self.emit(Op::InEnd { negated })?;
        let place = self.at();
        for op in &mut self.ops[start..] {
            match op {
                Op::InElement { end, .. } if *end == UNKNOWN => *end = place,
                _ => {}
            }
        }
        Ok(())
    }

    /// After the arguments of a function, which begin at the mark.
    pub(super) fn call(&mut self, name: &str, mark: Mark, count: usize) -> Built {
        self.operands.truncate(self.operands.len() - count);
        let arguments = count as u32;
        let Some(function) = Function::find(name, count) else {
            self.ops.truncate(mark.0 as usize);
            self.push(Shape::Other, Some(Type::Boolean), Known::NOTHING);
            let name = self.add_text(name.to_ascii_uppercase());
            return self.emit(Op::MissingFunction { name, arguments });
        };
        self.push(Shape::Other, Some(function.returns()), Known::NOTHING);
        self.emit(Op::Call { function, arguments })
    }

    /// Begins an operand that is true if it is the Boolean true without a failure, else false.
    pub(crate) fn settled(&mut self) -> Result<Mark, Excess> {
        self.emit(Op::Try(UNKNOWN))?;
        Ok(Mark(self.at() - 1))
    }

    /// Ends what [`Builder::settled`] began.
    pub(crate) fn settle(&mut self, mark: Mark) -> Built {
        self.emit(Op::Settle)?;
        self.ops[mark.0 as usize] = Op::Try(self.at());
        let known = Known::if_true(self.pop().known.when_true);
        self.push(Shape::Other, Some(Type::Boolean), known);
        Ok(())
    }

    fn at(&self) -> u32 {
        self.ops.len() as u32
    }

    fn emit(&mut self, op: Op) -> Built {
        if self.ops.len() == OPS_MAX {
            return Err(Excess::Ops);
        }
        self.ops.push(op);
        Ok(())
    }

    fn push(&mut self, shape: Shape, ty: Option<Type>, known: Known) {
        self.operands.push(Operand { shape, ty, known });
    }

    fn pop(&mut self) -> Operand {
        self.operands.pop().expect("an operation follows its operands")
    }

    fn name(&mut self, name: &str) -> Result<u16, Excess> {
        if let Some(at) = self.names.iter().position(|have| **have == *name) {
            return Ok(at as u16);
        }
        if self.names.len() == NAMES_MAX {
            return Err(Excess::Names);
        }
        self.names.push(name.into());
        Ok(self.names.len() as u16 - 1)
    }

    fn add_text(&mut self, text: String) -> u32 {
        self.texts.push(text.into());
        self.texts.len() as u32 - 1
    }
}

impl Operand {
    fn text(&self) -> Option<u32> {
        match self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }
}
