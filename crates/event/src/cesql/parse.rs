//! From text to program, by operator precedence, without recursion.
//!
//! The grammar is that of CESQL 1.0.0. From the tightest: functions; NOT and `-`; LIKE and IN; `*`,
//! `/`, `%`; `+`, `-`; comparisons; AND, OR and XOR, which stand on one level and group to the
//! right, so that `a AND b OR c` is `a AND (b OR c)`. All others group to the left.
//!
//! A sign directly before digits where a value is due belongs to the number; everywhere else it is
//! an operator, so that `4-1` is 3.

use super::{
    DEPTH_MAX,
    build::{Builder, Excess, Mark},
    program::{Arithmetic, Comparison},
    token::{Fault, Token, Tokens},
};

/// Reads an expression, up to its end, into a builder.
pub(super) fn parse(text: &str, builder: &mut Builder) -> Result<(), Fault> {
    let mut parser =
        Parser { tokens: Tokens::new(text), builder, open: Vec::new(), depth: 0, at: 0 };
    loop {
        parser.operand()?;
        if parser.after_operand()? == Next::End {
            return Ok(());
        }
    }
}

struct Parser<'t, 'b> {
    tokens: Tokens<'t>,
    builder: &'b mut Builder,
    /// What has begun and waits for operands.
    open: Vec<Open<'t>>,
    /// How many of `open` are nested in one another: all but binary operators.
    depth: usize,
    /// Where the last token began.
    at: usize,
}

enum Open<'t> {
    Not,
    Negate,
    Binary { operator: Binary, mark: Option<Mark> },
    Group { at: usize },
    Call { at: usize, name: &'t str, mark: Mark, count: usize },
    Set { at: usize, negated: bool, mark: Mark, count: usize },
}

#[derive(Clone, Copy, PartialEq)]
enum Binary {
    And,
    Or,
    Xor,
    Compare(Comparison),
    Arithmetic(Arithmetic),
}

#[derive(PartialEq)]
enum Next {
    Operand,
    End,
}

impl Binary {
    fn of(token: &Token<'_>) -> Option<Binary> {
        Some(match token {
            Token::And => Binary::And,
            Token::Or => Binary::Or,
            Token::Xor => Binary::Xor,
            Token::Symbol("=") => Binary::Compare(Comparison::Equal),
            Token::Symbol("!=" | "<>") => Binary::Compare(Comparison::NotEqual),
            Token::Symbol("<") => Binary::Compare(Comparison::Less),
            Token::Symbol("<=") => Binary::Compare(Comparison::LessOrEqual),
            Token::Symbol(">") => Binary::Compare(Comparison::Greater),
            Token::Symbol(">=") => Binary::Compare(Comparison::GreaterOrEqual),
            Token::Symbol("+") => Binary::Arithmetic(Arithmetic::Add),
            Token::Symbol("-") => Binary::Arithmetic(Arithmetic::Subtract),
            Token::Symbol("*") => Binary::Arithmetic(Arithmetic::Multiply),
            Token::Symbol("/") => Binary::Arithmetic(Arithmetic::Divide),
            Token::Symbol("%") => Binary::Arithmetic(Arithmetic::Remainder),
            _ => return None,
        })
    }

    fn binds(self) -> u8 {
        match self {
            Binary::And | Binary::Or | Binary::Xor => 1,
            Binary::Compare(_) => 2,
            Binary::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => 3,
            Binary::Arithmetic(_) => 4,
        }
    }

    fn groups_right(self) -> bool {
        matches!(self, Binary::And | Binary::Or | Binary::Xor)
    }
}

impl<'t> Parser<'t, '_> {
    /// Reads prefixes and opening brackets up to and including one whole operand.
    fn operand(&mut self) -> Result<(), Fault> {
        loop {
            let (at, token) = self.next()?;
            let built = match token {
                Token::Not => {
                    self.nest(Open::Not)?;
                    continue;
                }
                Token::Symbol("(") => {
                    self.nest(Open::Group { at })?;
                    continue;
                }
                Token::Symbol(sign @ ("-" | "+")) => match self.tokens.digits() {
                    Some(digits) => self.integer(sign, digits)?,
                    None if sign == "-" => {
                        self.nest(Open::Negate)?;
                        continue;
                    }
                    None => return Err(Fault::new(at, "a + stands before no number; remove it")),
                },
                Token::Digits(digits) => self.integer("", digits)?,
                Token::True => self.builder.boolean(true),
                Token::False => self.builder.boolean(false),
                Token::Text(text) => self.builder.text(text),
                Token::Exists => {
                    let name = self.attribute_after_exists()?;
                    self.builder.exists(&name)
                }
                Token::Name(name) if self.tokens.take('(') => {
                    if name.bytes().any(|byte| byte.is_ascii_digit()) {
                        let detail = "a function name has no digits; use letters and _ only";
                        return Err(Fault::new(at, detail));
                    }
                    let mark = self.builder.mark();
                    if self.tokens.take(')') {
                        self.builder.call(name, mark, 0)
                    } else {
                        self.nest(Open::Call { at, name, mark, count: 0 })?;
                        continue;
                    }
                }
                Token::Name(name) => {
                    let name = attribute_name(at, name)?;
                    self.builder.attribute(&name)
                }
                other => {
                    let detail = format!(
                        "a value is expected here, not {}; write an attribute, a literal, a \
                         function or (",
                        described(&other)
                    );
                    return Err(Fault::new(at, detail));
                }
            };
            return self.built(built);
        }
    }

    /// Reads operators and closing brackets until another operand is due, or the end.
    fn after_operand(&mut self) -> Result<Next, Fault> {
        loop {
            self.close_prefixes()?;
            let (at, token) = self.next()?;
            if let Some(operator) = Binary::of(&token) {
                self.close_binaries(operator.binds(), operator.groups_right())?;
                let mark = match operator {
                    Binary::And => Some(self.builder.and_then()),
                    Binary::Or => Some(self.builder.or_else()),
                    _ => None,
                };
                let mark = mark.transpose().map_err(|excess| self.excess(&excess))?;
                self.open.push(Open::Binary { operator, mark });
                return Ok(Next::Operand);
            }
            match token {
                Token::Like => self.like(false)?,
                Token::In => {
                    self.open_set(false)?;
                    return Ok(Next::Operand);
                }
                Token::Not => match self.next()? {
                    (_, Token::Like) => self.like(true)?,
                    (_, Token::In) => {
                        self.open_set(true)?;
                        return Ok(Next::Operand);
                    }
                    (at, other) => {
                        let detail = format!(
                            "NOT between two values needs LIKE or IN after it, not {}",
                            described(&other)
                        );
                        return Err(Fault::new(at, detail));
                    }
                },
                Token::Symbol(",") => {
                    self.close_binaries(0, false)?;
                    self.item_ends(at)?;
                    return Ok(Next::Operand);
                }
                Token::Symbol(")") => {
                    self.close_binaries(0, false)?;
                    self.close_bracket(at)?;
                }
                Token::End => {
                    self.close_binaries(0, false)?;
                    return self.end();
                }
                other => {
                    let detail = format!(
                        "an operator is expected here, not {}; join values with AND, OR, = or \
                         another operator",
                        described(&other)
                    );
                    return Err(Fault::new(at, detail));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(usize, Token<'t>), Fault> {
        let (at, token) = self.tokens.next()?;
        self.at = at;
        Ok((at, token))
    }

    fn integer(&mut self, sign: &str, digits: &str) -> Result<Result<(), Excess>, Fault> {
        match format!("{sign}{digits}").parse() {
            Ok(number) => Ok(self.builder.integer(number)),
            Err(_) => {
                let detail = "the number is too large; an integer is within -2147483648 and \
                              2147483647";
                Err(Fault::new(self.at, detail))
            }
        }
    }

    fn attribute_after_exists(&mut self) -> Result<String, Fault> {
        match self.next()? {
            (at, Token::Name(name)) => attribute_name(at, name),
            (at, other) => {
                let detail =
                    format!("EXISTS needs the name of an attribute, not {}", described(&other));
                Err(Fault::new(at, detail))
            }
        }
    }

    fn like(&mut self, negated: bool) -> Result<(), Fault> {
        match self.next()? {
            (_, Token::Text(pattern)) => {
                let built = self.builder.like(&pattern, negated);
                self.built(built)
            }
            (at, other) => {
                let detail = format!(
                    "LIKE needs a string literal as its pattern, not {}; put it in quotes",
                    described(&other)
                );
                Err(Fault::new(at, detail))
            }
        }
    }

    fn open_set(&mut self, negated: bool) -> Result<(), Fault> {
        match self.next()? {
            (at, Token::Symbol("(")) => {
                let mark = self.builder.mark();
                self.nest(Open::Set { at, negated, mark, count: 0 })
            }
            (at, other) => {
                let detail = format!(
                    "IN needs a list of values in brackets, as IN ('a', 'b'), not {}",
                    described(&other)
                );
                Err(Fault::new(at, detail))
            }
        }
    }

    /// NOT and `-` take the operand that was just read: nothing binds tighter.
    fn close_prefixes(&mut self) -> Result<(), Fault> {
        loop {
            let built = match self.open.last() {
                Some(Open::Not) => self.builder.not(),
                Some(Open::Negate) => self.builder.negate(),
                _ => return Ok(()),
            };
            self.open.pop();
            self.depth -= 1;
            self.built(built)?;
        }
    }

    /// Closes binary operators that bind tighter than `binds`, and as tight unless that `waits`.
    fn close_binaries(&mut self, binds: u8, waits: bool) -> Result<(), Fault> {
        while let Some(Open::Binary { operator, mark }) = self.open.last() {
            let tighter = operator.binds() > binds || operator.binds() == binds && !waits;
            if !tighter {
                break;
            }
            let built = match (*operator, *mark) {
                (Binary::And, Some(mark)) => self.builder.and(mark),
                (Binary::Or, Some(mark)) => self.builder.or(mark),
                (Binary::Compare(comparison), _) => self.builder.compare(comparison),
                (Binary::Arithmetic(operation), _) => self.builder.arithmetic(operation),
                _ => self.builder.xor(),
            };
            self.open.pop();
            self.built(built)?;
        }
        Ok(())
    }

    /// An argument or an element has ended.
    fn item_ends(&mut self, at: usize) -> Result<(), Fault> {
        let built = match self.open.last_mut() {
            Some(Open::Call { count, .. }) => {
                *count += 1;
                Ok(())
            }
            Some(Open::Set { count, negated, .. }) => {
                *count += 1;
                self.builder.in_element(*negated)
            }
            _ => {
                let detail = "a comma stands outside of a function and of a list; remove it";
                return Err(Fault::new(at, detail));
            }
        };
        self.built(built)
    }

    fn close_bracket(&mut self, at: usize) -> Result<(), Fault> {
        if !matches!(self.open.last(), Some(Open::Group { .. })) {
            match self.open.last() {
                Some(_) => self.item_ends(at)?,
                None => {
                    let detail = "a ) closes nothing; remove it, or open it with ( before";
                    return Err(Fault::new(at, detail));
                }
            }
        }
        self.depth -= 1;
        let built = match self.open.pop() {
            Some(Open::Call { name, mark, count, .. }) => self.builder.call(name, mark, count),
            Some(Open::Set { negated, mark, count, .. }) => {
                self.builder.in_end(mark, count, negated)
            }
            _ => Ok(()),
        };
        self.built(built)
    }

    fn end(&self) -> Result<Next, Fault> {
        match self.open.last() {
            Some(Open::Group { at } | Open::Call { at, .. } | Open::Set { at, .. }) => {
                Err(Fault::new(*at, "what begins here is not closed; add a )"))
            }
            _ => Ok(Next::End),
        }
    }

    fn nest(&mut self, open: Open<'t>) -> Result<(), Fault> {
        if self.depth == DEPTH_MAX {
            let detail = format!("it nests deeper than {DEPTH_MAX} levels; flatten it");
            return Err(Fault::new(self.at, detail));
        }
        self.depth += 1;
        self.open.push(open);
        Ok(())
    }

    fn built(&self, built: Result<(), Excess>) -> Result<(), Fault> {
        built.map_err(|excess| self.excess(&excess))
    }

    fn excess(&self, excess: &Excess) -> Fault {
        Fault::new(self.at, excess.detail())
    }
}

fn attribute_name(at: usize, name: &str) -> Result<String, Fault> {
    match name.find('_') {
        Some(before) => {
            let detail = "an attribute name has no _; use letters and digits only";
            Err(Fault::new(at + before, detail))
        }
        None => Ok(name.to_ascii_lowercase()),
    }
}

fn described(token: &Token<'_>) -> String {
    match token {
        Token::And => "AND".to_owned(),
        Token::Or => "OR".to_owned(),
        Token::Xor => "XOR".to_owned(),
        Token::Not => "NOT".to_owned(),
        Token::Like => "LIKE".to_owned(),
        Token::Exists => "EXISTS".to_owned(),
        Token::In => "IN".to_owned(),
        Token::True => "TRUE".to_owned(),
        Token::False => "FALSE".to_owned(),
        Token::Name(word) | Token::Digits(word) => shortened(word),
        Token::Text(text) => format!("the text {}", shortened(text)),
        Token::Symbol(symbol) => (*symbol).to_owned(),
        Token::End => "the end".to_owned(),
    }
}

/// Errors quote a little of what they are about.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
