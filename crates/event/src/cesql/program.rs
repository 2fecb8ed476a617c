//! What expressions and filters are compiled to: operations in the order they are done, on a stack
//! of values. Forward jumps only, so that a program ends, and nothing to recurse into.

use super::{
    function::Function,
    like::Like,
    value::{Type, Work},
};

/// Attribute names that one program may use. Each is looked up once an evaluation.
pub(crate) const NAMES_MAX: usize = 64;
/// Operations of one program.
pub(crate) const OPS_MAX: usize = 16 * 1024;
/// Bytes that one evaluation may look at and make, of texts of the event and its own.
pub(super) const WORK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A compiled expression or filter.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) ops: Box<[Op]>,
    pub(super) names: Box<[Box<str>]>,
    pub(super) texts: Box<[Box<str>]>,
    pub(super) likes: Box<[Like]>,
    /// The type of its value, as far as it follows from the program; Boolean otherwise (§3.2).
    pub(super) ty: Type,
}

/// One operation. Operands are taken from the stack, the rightmost first; the result is put there.
/// Numbers are places in the tables of the program and, in jumps, in its operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    Boolean(bool),
    Integer(i32),
    Text(u32),
    Attribute(u16),
    Exists(u16),
    Not,
    Negate,
    Compare(Comparison),
    Arithmetic(Arithmetic),
    Xor,
    /// Whether an attribute equals a text: an attribute, a text and a comparison in one.
    Is {
        name: u16,
        text: u32,
        negated: bool,
    },
    /// Goes to the place with `false` if the operand is false; else drops it.
    And(u32),
    /// Goes to the place with `true` if the operand is true; else drops it.
    Or(u32),
    ToBoolean,
    Like {
        pattern: u32,
        negated: bool,
    },
    /// If the value below equals the operand: goes to `end` with the answer instead of both.
    InElement {
        end: u32,
        negated: bool,
    },
    /// No element was equal: the answer instead of the value.
    InEnd {
        negated: bool,
    },
    /// Whether the operand is one of these texts.
    InTexts {
        first: u32,
        count: u32,
        negated: bool,
    },
    Call {
        function: Function,
        arguments: u32,
    },
    MissingFunction {
        name: u32,
        arguments: u32,
    },
    /// How the text of an attribute compares; false if the event does not have it.
    Test {
        name: u16,
        test: Test,
        text: u32,
    },
    /// A failure between here and the place is no failure, but `false` there.
    Try(u32),
    /// Ends what [`Op::Try`] began: true if the operand is the Boolean true, else false.
    Settle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// How filter dialects compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Exact,
    Prefix,
    Suffix,
}

impl Test {
    pub(super) fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            Test::Exact => text == wanted,
            Test::Prefix => text.starts_with(wanted),
            Test::Suffix => text.ends_with(wanted),
        }
    }
}

impl Program {
    pub(super) fn work(&self) -> Work {
        Work::new(WORK_BYTES_MAX)
    }

    pub(super) fn name(&self, at: u16) -> &str {
        &self.names[usize::from(at)]
    }

    pub(super) fn text(&self, at: u32) -> &str {
        &self.texts[at as usize]
    }
}
