//! Tokens of the language (CESQL §2 and its grammar). Keywords, function names and attribute names
//! may be written in either case.

use std::borrow::Cow;

/// Why a text is no expression, and the byte where that shows.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) detail: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(at: usize, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { at, detail: detail.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    And,
    Or,
    Xor,
    Not,
    Like,
    Exists,
    In,
    True,
    False,
    /// The name of an attribute or a function: letters, digits, `_`.
    Name(&'t str),
    /// Digits without a sign.
    Digits(&'t str),
    /// A string literal, without its quotes and escapes.
    Text(String),
    /// `(`, `)`, `,` or an operator.
    Symbol(&'static str),
    End,
}

/// Longer ones first.
const SYMBOLS: [&str; 15] =
    ["!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","];

const KEYWORDS: [(&str, Token<'static>); 9] = [
    ("AND", Token::And),
    ("OR", Token::Or),
    ("XOR", Token::Xor),
    ("NOT", Token::Not),
    ("LIKE", Token::Like),
    ("EXISTS", Token::Exists),
    ("IN", Token::In),
    ("TRUE", Token::True),
    ("FALSE", Token::False),
];

/// Reads a text token by token.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Tokens<'t> {
        Tokens { text, at: 0 }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'t>), Fault> {
        self.skip_space();
        let start = self.at;
        let rest = &self.text[start..];
        let token = match rest.as_bytes().first() {
            None => Token::End,
            Some(b'\'' | b'"') => Token::Text(self.string()?),
            Some(byte) if byte.is_ascii_alphanumeric() => self.word()?,
            Some(_) => {
                let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
                    return Err(unexpected(start, rest));
                };
                self.at += symbol.len();
                Token::Symbol(symbol)
            }
        };
        Ok((start, token))
    }

    /// Digits that follow at once, as after a sign; nothing is passed if there are none.
    pub(super) fn digits(&mut self) -> Option<&'t str> {
        let word = word_at(self.text, self.at);
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| {
            self.at += word.len();
            word
        })
    }

    /// Passes a symbol if it comes next.
    pub(super) fn take(&mut self, symbol: char) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(symbol);
        self.at += if found { symbol.len_utf8() } else { 0 };
        found
    }

    fn skip_space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at += self.text.as_bytes()[self.at..].iter().take_while(|byte| space(byte)).count();
    }

    fn word(&mut self) -> Result<Token<'t>, Fault> {
        let (start, word) = (self.at, word_at(self.text, self.at));
        self.at += word.len();
        if let Some((_, keyword)) =
            KEYWORDS.iter().find(|(text, _)| word.eq_ignore_ascii_case(text))
        {
            return Ok(keyword.clone());
        }
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Token::Digits(word));
        }
        match word.find('_') {
            Some(at) if word.bytes().any(|byte| byte.is_ascii_digit()) => Err(Fault::new(
                start + at,
                "a name with _ is a function and has no digits; use letters and _ only",
            )),
            _ => Ok(Token::Name(word)),
        }
    }

    /// A string literal up to its closing quote. Within it, a backslash or another quote makes the
    /// quote a part of the text; before anything else a backslash is a backslash, so that `\%` comes
    /// to LIKE as it is.
    fn string(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let quote = self.text.as_bytes()[start];
        let mut text = String::new();
        let mut at = start + 1;
        loop {
            let rest = &self.text[at..];
            let special = |byte: u8| byte == quote || byte == b'\\';
            let Some(plain) = rest.bytes().position(special) else {
                let quote = char::from(quote);
                let detail = format!("the string literal does not end; close it with {quote}");
                return Err(Fault::new(start, detail));
            };
            text.push_str(&rest[..plain]);
            let special = &rest.as_bytes()[plain..];
            at += plain;
            match (special[0], special.get(1)) {
                (_, Some(second)) if *second == quote => {
                    text.push(char::from(quote));
                    at += 2;
                }
                // Both stay, and the second escapes nothing.
                (b'\\', Some(b'\\')) => {
                    text.push_str("\\\\");
                    at += 2;
                }
                (b'\\', _) => {
                    text.push('\\');
                    at += 1;
                }
                _ => {
                    self.at = at + 1;
                    return Ok(text);
                }
            }
        }
    }
}

fn word_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let length = rest.bytes().take_while(|byte| part(*byte)).count();
    &rest[..length]
}

fn unexpected(at: usize, rest: &str) -> Fault {
    let character = rest.chars().next().unwrap_or_default();
    let detail = format!(
        "the character {character:?} has no meaning outside of a string literal; remove or quote it"
    );
    Fault::new(at, detail)
}
