//! How text becomes words: the same way when it is indexed, asked for and highlighted.
//!
//! A word is a run of letters and digits, lower-cased. Chinese and Japanese are written without
//! spaces, so there each character is a word and what is asked for becomes a phrase. Nothing is
//! dropped: no stop words, and a very long word is cut, not left out.
//!
//! In the field of all text a string begins with a mark that names its path; see `field_phrase`.

use tantivy::tokenizer::{
    BoxTokenStream, Language, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer,
    TokenizerManager,
};
use xxhash_rust::xxh3::xxh3_64;

/// The analyzer of text by path: its words, and a short text as a whole.
pub(super) const WHOLE: &str = "words_and_whole";

/// The analyzer of text that begins with a mark.
pub(super) const MARKED: &str = "marked_words";

/// A text of so many words is also one word of its own, by which a value like
/// `memory-corruption` is found without looking at positions.
const WHOLE_WORDS: std::ops::RangeInclusive<usize> = 2..=4;

/// Longer words are told apart by so many bytes only (base64, minified code).
pub(super) const WORD_BYTES_MAX: usize = 128;

/// Stands before and after the name in a mark; in no word.
pub(super) const MARK: char = '\u{1}';

/// The word that stands at the beginning of every string.
pub(super) const ANY_MARK: &str = "\u{1}";

/// The word that stands at the beginning of every string of a path. Digits, because stemming
/// leaves them alone.
pub(super) fn mark(path: &str) -> String {
    format!("{MARK}{}", xxh3_64(path.as_bytes()))
}

/// A text of these words, and nothing else, as a word of its own.
pub(super) fn whole(words: &[String]) -> Option<String> {
    let joined = || words.iter().flat_map(|word| [word.as_str(), ANY_MARK]).collect();
    WHOLE_WORDS.contains(&words.len()).then(joined)
}

/// The analyzer of queries.
pub(super) fn plain(stemming: Option<Language>) -> TextAnalyzer {
    analyzer(Words::default(), stemming)
}

/// The analyzers an index needs.
pub(super) fn tokenizers(stemming: Option<Language>) -> TokenizerManager {
    let manager = TokenizerManager::default();
    let whole = Whole { words: plain(stemming), token: Token::default() };
    manager.register(WHOLE, TextAnalyzer::builder(whole).build());
    manager.register(MARKED, analyzer(Words { marked: true, ..Words::default() }, stemming));
    manager
}

fn analyzer(words: Words, stemming: Option<Language>) -> TextAnalyzer {
    let builder = TextAnalyzer::builder(words);
    match stemming {
        Some(language) => builder.filter(Stemmer::new(language)).build(),
        None => builder.build(),
    }
}

#[derive(Clone, Default)]
struct Words {
    marked: bool,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        let mark = if self.marked { Mark::Path } else { Mark::None };
        WordStream { text, at: 0, mark, token: &mut self.token }
    }
}

/// Which mark comes next.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Path,
    Any,
    None,
}

struct WordStream<'a> {
    text: &'a str,
    at: usize,
    mark: Mark,
    token: &'a mut Token,
}

impl WordStream<'_> {
    /// Both marks share a position, right before the first word's.
    fn advance_mark(&mut self) -> bool {
        self.token.position = 0;
        let end = self.text.get(1..).and_then(|rest| rest.find(MARK)).map(|end| end + 1);
        match (self.mark, end) {
            (Mark::Path, Some(end)) => {
                self.token.text.push_str(&self.text[..end]);
                self.mark = Mark::Any;
            }
            (_, end) => {
                self.token.text.push_str(ANY_MARK);
                self.at = end.map_or(0, |end| end + 1);
                self.mark = Mark::None;
            }
        }
        true
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        self.token.text.clear();
        if self.mark != Mark::None {
            return self.advance_mark();
        }
        let rest = &self.text[self.at..];
        let Some(from) = rest.find(starts_word) else {
            self.at = self.text.len();
            return false;
        };
        let mut to = rest.len();
        for (offset, char) in rest[from..].char_indices() {
            if offset > 0 && !continues_word(char) {
                to = from + offset;
                break;
            }
            push_lower(&mut self.token.text, char);
            if stands_alone(char) {
                to = from + offset + char.len_utf8();
                break;
            }
        }
        self.token.offset_from = self.at + from;
        self.token.offset_to = self.at + to;
        self.token.position = self.token.position.wrapping_add(1);
        self.at += to;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Adds the whole to the words of short texts.
#[derive(Clone)]
struct Whole {
    words: TextAnalyzer,
    token: Token,
}

impl Tokenizer for Whole {
    type TokenStream<'a> = WholeStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WholeStream<'a> {
        self.token.reset();
        let words = self.words.token_stream(text);
        WholeStream { words, seen: 0, at_whole: false, token: &mut self.token }
    }
}

struct WholeStream<'a> {
    words: BoxTokenStream<'a>,
    seen: usize,
    /// Whether the words are through.
    at_whole: bool,
    /// Grows into the whole.
    token: &'a mut Token,
}

impl TokenStream for WholeStream<'_> {
    fn advance(&mut self) -> bool {
        if self.words.advance() {
            self.seen += 1;
            if self.seen <= *WHOLE_WORDS.end() {
                self.token.text.push_str(&self.words.token().text);
                self.token.text.push(MARK);
            }
            return true;
        }
        let again = std::mem::replace(&mut self.at_whole, true);
        self.token.position = self.seen;
        !again && WHOLE_WORDS.contains(&self.seen)
    }

    fn token(&self) -> &Token {
        if self.at_whole { self.token } else { self.words.token() }
    }

    fn token_mut(&mut self) -> &mut Token {
        if self.at_whole { self.token } else { self.words.token_mut() }
    }
}

fn starts_word(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_alphanumeric() } else { char.is_alphanumeric() }
}

fn continues_word(char: char) -> bool {
    starts_word(char) && !stands_alone(char) || is_combining_mark(char)
}

/// Accents that are written after their letter.
fn is_combining_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}')
}

/// Scripts without spaces between words: Han, Hiragana, Katakana.
fn stands_alone(char: char) -> bool {
    matches!(char,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn push_lower(word: &mut String, char: char) {
    if word.len() + 4 > WORD_BYTES_MAX {
        return;
    }
    if char.is_ascii() {
        word.push(char.to_ascii_lowercase());
    } else {
        word.extend(char.to_lowercase());
    }
}
