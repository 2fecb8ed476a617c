//! From a query's text to its tree.
//!
//! Every failure says at which character it stands and what to do. Length, nesting and the number
//! of things to look for are bounded, so no text can exhaust the stack or the processor.

use std::ops::Bound;

use super::{
    QueryError,
    syntax::{Element, Expr, Joint, Leaf, Occur, Operator, What, Words, join, not},
};

/// Longest query, in characters.
pub(super) const CHARS_MAX: usize = 4_096;

/// How deep parentheses may nest.
const DEPTH_MAX: usize = 32;

/// How many words, phrases and ranges one query may have.
const LEAVES_MAX: usize = 256;

const NOT_FUZZY: &str = "fuzzy search is not supported; to look for the sign ~ itself, quote it";

/// Parses a query. An empty text asks for everything.
pub(super) fn parse(text: &str, operator: Operator) -> Result<Expr, QueryError> {
    let chars: Vec<char> = text.chars().take(CHARS_MAX + 1).collect();
    if chars.len() > CHARS_MAX {
        let message = format!("the query is longer than {CHARS_MAX} characters; shorten it");
        return Err(QueryError::text(CHARS_MAX, message));
    }
    let mut parser = Parser { chars: &chars, at: 0, operator, leaves: 0 };
    parser.space();
    if parser.peek().is_none() {
        return Ok(Expr::All);
    }
    let expr = parser.list(None, 0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => parser.fail(parser.at, "this parenthesis closes nothing; leave it out"),
    }
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    operator: Operator,
    leaves: usize,
}

type Parsed<T> = Result<T, QueryError>;

impl Parser<'_> {
    fn fail<T>(&self, position: usize, message: impl Into<String>) -> Parsed<T> {
        Err(QueryError::text(position, message))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn ahead(&self, offset: usize) -> Option<char> {
        self.chars.get(self.at + offset).copied()
    }

    fn take(&mut self, char: char) -> bool {
        let found = self.peek() == Some(char);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Takes a keyword that stands by itself, and the space after it.
    fn keyword(&mut self, word: &str) -> bool {
        let length = word.len();
        let matches = word.chars().enumerate().all(|(index, char)| self.ahead(index) == Some(char));
        let ends = self.ahead(length).is_none_or(|char| char.is_whitespace() || char == '(');
        if matches && ends {
            self.at += length;
            self.space();
        }
        matches && ends
    }

    /// Elements up to a closing parenthesis or the end.
    fn list(&mut self, field: Option<&str>, depth: usize) -> Parsed<Expr> {
        let mut elements: Vec<Element> = Vec::new();
        loop {
            self.space();
            if matches!(self.peek(), None | Some(')')) {
                break;
            }
            let start = self.at;
            let joint = self.joint();
            if joint != Joint::Space && elements.is_empty() {
                return self.fail(start, "nothing stands before this operator; put a word there");
            }
            let joint = match (joint, self.operator) {
                (Joint::Space, Operator::And) if !elements.is_empty() => Joint::And,
                (joint, _) => joint,
            };
            elements.push(self.element(joint, field, depth, start)?);
        }
        if elements.is_empty() && depth > 0 {
            return self
                .fail(self.at, "there is nothing between the parentheses; put a word there");
        }
        Ok(join(elements))
    }

    fn joint(&mut self) -> Joint {
        if self.keyword("AND") {
            Joint::And
        } else if self.keyword("OR") {
            Joint::Or
        } else {
            Joint::Space
        }
    }

    fn element(
        &mut self,
        joint: Joint,
        field: Option<&str>,
        depth: usize,
        start: usize,
    ) -> Parsed<Element> {
        let sign = match self.peek() {
            Some('+') => Some(Occur::Must),
            Some('-') if !self.at_negative_number(field) => Some(Occur::MustNot),
            _ => None,
        };
        self.at += usize::from(sign.is_some());
        let mut negated = false;
        while self.keyword("NOT") {
            negated = !negated;
        }
        match self.peek() {
            None | Some(')') => {
                return self.fail(start, "nothing follows this operator; put a word after it");
            }
            Some(char) if char.is_whitespace() => {
                return self.fail(start, "a word must follow this sign without a space");
            }
            _ => {}
        }
        if self.joint() != Joint::Space {
            return self.fail(start, "two operators stand side by side; leave one out");
        }
        let expr = self.boosted(field, depth)?;
        Ok((joint, sign, if negated { not(expr) } else { expr }))
    }

    /// `-5` inside a field's parentheses is a number, elsewhere a word to leave out.
    fn at_negative_number(&self, field: Option<&str>) -> bool {
        field.is_some() && self.ahead(1).is_some_and(|char| char.is_ascii_digit())
    }

    fn boosted(&mut self, field: Option<&str>, depth: usize) -> Parsed<Expr> {
        let expr = self.primary(field, depth)?;
        let start = self.at;
        if self.peek() == Some('~') {
            return self.fail(start, NOT_FUZZY);
        }
        if !self.take('^') {
            return Ok(expr);
        }
        let number = self.run(|char| char.is_ascii_digit() || char == '.');
        match number.parse::<f32>() {
            Ok(boost) if boost > 0.0 && boost <= 1e6 => Ok(Expr::Boost(Box::new(expr), boost)),
            _ => self.fail(start, "after ^ stands a weight, a number above 0 such as ^2"),
        }
    }

    fn run(&mut self, part: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&part) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn primary(&mut self, field: Option<&str>, depth: usize) -> Parsed<Expr> {
        let start = self.at;
        match self.peek() {
            Some('(') => {
                self.at += 1;
                self.group(field, depth, start)
            }
            Some('*') if self.ends_word(1) && field.is_none() => {
                self.at += 1;
                Ok(Expr::All)
            }
            Some('[' | '{' | ']' | '}') if field.is_none() => self.fail(
                start,
                "a range needs a field before it, as in price:[1 TO 5]; to look for brackets, \
                 quote them",
            ),
            _ if field.is_none() => match self.field_name() {
                Some(name) => self.of_field(&name, depth, start),
                None => self.words_leaf(None, start),
            },
            // In a field's parentheses another field may stand.
            _ => match self.field_name() {
                Some(name) => self.of_field(&name, depth, start),
                None => self.of_field(field.unwrap_or_default(), depth, start),
            },
        }
    }

    fn group(&mut self, field: Option<&str>, depth: usize, start: usize) -> Parsed<Expr> {
        if depth >= DEPTH_MAX {
            let message = format!("parentheses nest deeper than {DEPTH_MAX}; leave some out");
            return self.fail(start, message);
        }
        let expr = self.list(field, depth + 1)?;
        if !self.take(')') {
            return self.fail(start, "this parenthesis is not closed; put ) at its end");
        }
        Ok(expr)
    }

    /// Takes `name:` if it stands here, and the space after it.
    fn field_name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut offset = 0;
        loop {
            match self.ahead(offset)? {
                '\\' => {
                    offset += 1;
                    name.push(self.ahead(offset)?);
                }
                ':' => break,
                char if char.is_whitespace() || "()[]{}\"'^*".contains(char) => return None,
                char => name.push(char),
            }
            offset += 1;
        }
        // `10:30` is a time and `https://…` an address.
        let number = name.chars().all(|char| char.is_ascii_digit());
        let address = self.ahead(offset + 1) == Some('/') && self.ahead(offset + 2) == Some('/');
        if number || address {
            return None;
        }
        self.at += offset + 1;
        self.space();
        Some(name)
    }

    fn of_field(&mut self, field: &str, depth: usize, start: usize) -> Parsed<Expr> {
        match self.peek() {
            None | Some(')') => {
                let message =
                    format!("nothing follows {field}:; put a value after it, or * for any");
                self.fail(start, message)
            }
            Some('(') => {
                let open = self.at;
                self.at += 1;
                self.group(Some(field), depth, open)
            }
            Some('[' | '{') => {
                let what = self.range()?;
                self.leaf(Some(field), what, start)
            }
            Some('<' | '>') => {
                let what = self.comparison()?;
                self.leaf(Some(field), what, start)
            }
            Some('*') if self.ends_word(1) => {
                self.at += 1;
                self.leaf(Some(field), What::Exists, start)
            }
            Some('I') if self.at_set() => {
                let what = self.set()?;
                self.leaf(Some(field), what, start)
            }
            _ => self.words_leaf(Some(field), start),
        }
    }

    fn leaf(&mut self, field: Option<&str>, what: What, position: usize) -> Parsed<Expr> {
        self.leaves += match &what {
            What::Set(elements) => elements.len(),
            _ => 1,
        };
        if self.leaves > LEAVES_MAX {
            let message = format!("the query asks for more than {LEAVES_MAX} things; shorten it");
            return self.fail(position, message);
        }
        Ok(Expr::Leaf(Leaf { field: field.map(str::to_owned), what, position }))
    }

    fn words_leaf(&mut self, field: Option<&str>, start: usize) -> Parsed<Expr> {
        let words = self.words(field.is_some())?;
        self.leaf(field, What::Words(words), start)
    }

    /// Whether a word would end `offset` characters from here.
    fn ends_word(&self, offset: usize) -> bool {
        self.ahead(offset).is_none_or(|char| char.is_whitespace() || matches!(char, ')' | '^'))
    }

    fn words(&mut self, in_field: bool) -> Parsed<Words> {
        let start = self.at;
        let quote = match self.peek() {
            Some('"') => Some('"'),
            Some('\'') if self.closes('\'') => Some('\''),
            _ => None,
        };
        if let Some(quote) = quote {
            return self.quoted(quote);
        }
        let mut words = Words::plain(String::new());
        while let Some(char) = self.peek() {
            match char {
                '\\' if self.ahead(1).is_some() => {
                    words.text.extend(self.ahead(1));
                    self.at += 2;
                    continue;
                }
                '*' if self.ends_word(1) && !words.text.is_empty() => {
                    words.prefix = true;
                    self.at += 1;
                    break;
                }
                '*' => {
                    let message = "* may only end a word; to look for the sign itself, quote it";
                    return self.fail(self.at, message);
                }
                '^' if self.ahead(1).is_some_and(|next| next.is_ascii_digit()) => break,
                '~' if self.at_fuzzy(&words.text) => return self.fail(self.at, NOT_FUZZY),
                '(' | ')' | '"' => break,
                '[' | ']' | '{' | '}' if in_field => {
                    let message = "a bracket stands in a value; quote the value";
                    return self.fail(self.at, message);
                }
                char if char.is_whitespace() => break,
                char => words.text.push(char),
            }
            self.at += 1;
        }
        if words.text.is_empty() {
            return self.fail(start, "a word is missing here");
        }
        Ok(words)
    }

    /// Whether here, after this part of a word, stands `~` or `~1` and then nothing: elsewhere asked
    /// for words that are nearly this one. In `/~ann/x` it is part of the word.
    fn at_fuzzy(&self, before: &str) -> bool {
        let mut offset = 1;
        while self.ahead(offset).is_some_and(|char| char.is_ascii_digit() || char == '.') {
            offset += 1;
        }
        before.ends_with(char::is_alphanumeric) && self.ends_word(offset)
    }

    /// Whether a quotation that begins here ends at the end of a word.
    fn closes(&self, quote: char) -> bool {
        let rest = &self.chars[self.at + 1..];
        (0..rest.len()).any(|index| {
            let next = rest.get(index + 1);
            rest[index] == quote
                && next.is_none_or(|char| char.is_whitespace() || ")^~*".contains(*char))
        })
    }

    fn quoted(&mut self, quote: char) -> Parsed<Words> {
        let start = self.at;
        self.at += 1;
        let mut words = Words { quoted: true, ..Words::plain(String::new()) };
        loop {
            match self.peek() {
                None => {
                    return self
                        .fail(start, "this quotation is not closed; put a quote at its end");
                }
                Some('\\') if self.ahead(1).is_some() => {
                    words.text.extend(self.ahead(1));
                    self.at += 1;
                }
                Some(char) if char == quote => break,
                Some(char) => words.text.push(char),
            }
            self.at += 1;
        }
        self.at += 1;
        if self.take('*') {
            words.prefix = true;
        } else if self.peek() == Some('~') {
            let at = self.at;
            self.at += 1;
            words.slop = match self.run(|char| char.is_ascii_digit()).parse() {
                Ok(slop) if slop <= 100 => slop,
                _ => return self.fail(at, "after ~ stands how many words may lie between, to 100"),
            };
        }
        Ok(words)
    }

    /// `[a TO b]`, `{a TO b}`, either end open with `*`.
    fn range(&mut self) -> Parsed<What> {
        let start = self.at;
        let open = self.take('[');
        self.at += usize::from(!open);
        self.space();
        let lower = self.bound_value(start)?;
        self.space();
        if !self.keyword("TO") {
            return self.fail(self.at, "a range reads [from TO to]; TO is missing here");
        }
        let upper = self.bound_value(start)?;
        self.space();
        let closed = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return self.fail(start, "this range is not closed; put ] or } at its end"),
        };
        self.at += 1;
        Ok(What::Range(bound(lower, open), bound(upper, closed)))
    }

    /// A value in a range; `None` is `*`.
    fn bound_value(&mut self, range: usize) -> Parsed<Option<Words>> {
        if self.peek() == Some('"') {
            return self.quoted('"').map(Some);
        }
        let start = self.at;
        let mut text = String::new();
        while let Some(char) = self.peek() {
            if char.is_whitespace() || "]}[{()\"".contains(char) {
                break;
            }
            let escaped = char == '\\' && self.ahead(1).is_some();
            self.at += usize::from(escaped);
            text.extend(self.peek());
            self.at += 1;
        }
        match text.as_str() {
            "" if self.peek().is_none() => {
                self.fail(range, "this range is not closed; put ] or } at its end")
            }
            "" => self.fail(start, "a value is missing in this range; * leaves an end open"),
            "*" => Ok(None),
            _ => Ok(Some(Words::plain(text))),
        }
    }

    /// `>5`, `<=2021-01-01`
    fn comparison(&mut self) -> Parsed<What> {
        let start = self.at;
        let less = self.take('<');
        self.at += usize::from(!less);
        let equal = self.take('=');
        self.space();
        let Some(value) = self.bound_value(start)? else {
            return self.fail(start, "a comparison needs a value; for any value write field:*");
        };
        let bound = bound(Some(value), equal);
        Ok(if less {
            What::Range(Bound::Unbounded, bound)
        } else {
            What::Range(bound, Bound::Unbounded)
        })
    }

    fn at_set(&self) -> bool {
        let mut offset = 2;
        while self.ahead(offset).is_some_and(char::is_whitespace) {
            offset += 1;
        }
        self.ahead(1) == Some('N') && offset > 2 && self.ahead(offset) == Some('[')
    }

    /// `IN [a b c]`
    fn set(&mut self) -> Parsed<What> {
        let start = self.at;
        self.at += 2;
        self.space();
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            self.space();
            match self.peek() {
                None => return self.fail(start, "this set is not closed; put ] at its end"),
                Some(']') => break,
                _ => elements.extend(self.bound_value(start)?),
            }
        }
        self.at += 1;
        if elements.is_empty() {
            return self.fail(start, "this set is empty; put values between the brackets");
        }
        Ok(What::Set(elements))
    }
}

fn bound(value: Option<Words>, inclusive: bool) -> Bound<Words> {
    match value {
        None => Bound::Unbounded,
        Some(value) if inclusive => Bound::Included(value),
        Some(value) => Bound::Excluded(value),
    }
}
