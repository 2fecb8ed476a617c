//! Where a query's words stand in a document, as HTML.

use tantivy::tokenizer::TextAnalyzer;

use super::{
    content::Content,
    syntax::{Expr, Leaf, Occur, What, Words},
    target::Target,
};

/// Strings of one document that are shown.
const SNIPPETS_MAX: usize = 3;

/// Length of what is shown of a string, in bytes.
const SNIPPET_BYTES: usize = 240;

/// Words of context before the first one that matched, in bytes.
const LEAD_BYTES: usize = 60;

/// A piece of a string in which words of the query stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Path of the string, member names joined by `.`; empty for a document that is one string.
    pub path: String,
    /// HTML: the text escaped, matching words in `<em>`, `…` where it was cut.
    pub html: String,
}

/// Makes snippets of documents for one query.
#[derive(Clone)]
pub struct Highlighter {
    analyzer: TextAnalyzer,
    wanted: Vec<Wanted>,
}

impl std::fmt::Debug for Highlighter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Highlighter").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// Words that follow each other.
#[derive(Clone, Debug)]
struct Wanted {
    /// `None`: anywhere.
    path: Option<String>,
    words: Vec<String>,
    prefix: bool,
}

/// A word of a text.
struct Token {
    text: String,
    from: usize,
    to: usize,
}

/// Bytes of a text that matched, and which of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    from: usize,
    to: usize,
    wanted: usize,
}

impl Highlighter {
    pub(super) fn new(analyzer: TextAnalyzer, expr: &Expr) -> Highlighter {
        let mut highlighter = Highlighter { analyzer, wanted: Vec::new() };
        highlighter.collect(expr);
        highlighter
    }

    /// Everything the query wants to be there; what must not be there is nowhere to be shown.
    fn collect(&mut self, expr: &Expr) {
        match expr {
            Expr::All => {}
            Expr::Boost(expr, _) => self.collect(expr),
            Expr::Bool(members) => {
                let wanted = members.iter().filter(|(occur, _)| *occur != Occur::MustNot);
                wanted.for_each(|(_, expr)| self.collect(expr));
            }
            Expr::Leaf(leaf) => self.collect_leaf(leaf),
        }
    }

    fn collect_leaf(&mut self, leaf: &Leaf) {
        let path = match leaf.field.as_deref().map(Target::of) {
            Some(Target::Attribute(_)) => return,
            Some(Target::Path(path)) => Some(path),
            None => None,
        };
        match &leaf.what {
            What::Words(words) => self.want(path, words),
            What::Set(elements) => elements.iter().for_each(|words| self.want(path.clone(), words)),
            What::Range(..) | What::Exists => {}
        }
    }

    fn want(&mut self, path: Option<String>, words: &Words) {
        let tokens: Vec<String> =
            self.tokens(&words.text).into_iter().map(|token| token.text).collect();
        if words.slop > 0 {
            let single = |word| Wanted { path: path.clone(), words: vec![word], prefix: false };
            self.wanted.extend(tokens.into_iter().map(single));
        } else if !tokens.is_empty() {
            self.wanted.push(Wanted { path, words: tokens, prefix: words.prefix });
        }
    }

    fn tokens(&mut self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.analyzer.token_stream(text).process(&mut |token| {
            let (from, to) = (token.offset_from, token.offset_to);
            tokens.push(Token { text: token.text.clone(), from, to });
        });
        tokens
    }

    /// Snippets of a document, the strings that have most of the query first; at most three.
    /// `content` is what was indexed; text that is not JSON has none.
    pub fn snippets(&mut self, content: &str) -> Vec<Snippet> {
        let Ok(content) = Content::parse(content) else { return Vec::new() };
        let mut found = Vec::new();
        for (order, (path, text)) in content.strings().enumerate() {
            let matches = self.matches(path, text);
            if !matches.is_empty() {
                let mut wanted: Vec<usize> = matches.iter().map(|found| found.wanted).collect();
                wanted.sort_unstable();
                wanted.dedup();
                found.push((std::cmp::Reverse(wanted.len()), order, path, text, matches));
            }
        }
        found.sort();
        found.truncate(SNIPPETS_MAX);
        let snippet = |(_, _, path, text, matches): (_, _, &str, &str, Vec<Match>)| Snippet {
            path: path.to_owned(),
            html: render(text, &matches),
        };
        found.into_iter().map(snippet).collect()
    }

    fn matches(&mut self, path: &str, text: &str) -> Vec<Match> {
        if !self.wanted.iter().any(|wanted| wanted.is_in(path)) {
            return Vec::new();
        }
        let tokens = self.tokens(text);
        let mut matches = Vec::new();
        for (index, wanted) in self.wanted.iter().enumerate() {
            if !wanted.is_in(path) {
                continue;
            }
            let starts = tokens.windows(wanted.words.len());
            let found = starts.filter(|window| wanted.matches(window)).filter_map(|window| {
                Some(Match { from: window.first()?.from, to: window.last()?.to, wanted: index })
            });
            matches.extend(found);
        }
        matches.sort();
        matches
    }
}

impl Wanted {
    fn is_in(&self, path: &str) -> bool {
        self.path.as_deref().is_none_or(|wanted| wanted == path)
    }

    fn matches(&self, window: &[Token]) -> bool {
        let last = self.words.len() - 1;
        self.words.iter().zip(window).enumerate().all(|(index, (word, token))| {
            token.text == *word || self.prefix && index == last && token.text.starts_with(word)
        })
    }
}

/// The piece of the text with the most matches, in HTML.
fn render(text: &str, matches: &[Match]) -> String {
    let (from, to) = window(text, matches);
    let mut html = String::with_capacity(to - from + 64);
    if from > 0 {
        html.push('…');
    }
    let mut at = from;
    for (start, end) in merged(matches) {
        if start >= at && end <= to {
            escape(&text[at..start], &mut html);
            html.push_str("<em>");
            escape(&text[start..end], &mut html);
            html.push_str("</em>");
            at = end;
        }
    }
    escape(&text[at..to], &mut html);
    if to < text.len() {
        html.push('…');
    }
    html
}

/// Overlapping matches as one.
fn merged(matches: &[Match]) -> Vec<(usize, usize)> {
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(matches.len());
    for found in matches {
        match merged.last_mut() {
            Some((_, end)) if found.from < *end => *end = (*end).max(found.to),
            _ => merged.push((found.from, found.to)),
        }
    }
    merged
}

/// Which bytes are shown: those around the run of matches that holds most of what is wanted.
fn window(text: &str, matches: &[Match]) -> (usize, usize) {
    if text.len() <= SNIPPET_BYTES {
        return (0, text.len());
    }
    let mut best = (0, 0);
    for (index, first) in matches.iter().enumerate() {
        let near =
            matches[index..].iter().take_while(|next| next.to < first.from + SNIPPET_BYTES / 2);
        let mut wanted: Vec<usize> = near.map(|found| found.wanted).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.len() > best.0 {
            best = (wanted.len(), index);
        }
    }
    let Some(first) = matches.get(best.1) else { return (0, 0) };
    let lead = text.floor_char_boundary(first.from.saturating_sub(LEAD_BYTES));
    let from = match text[lead..first.from].find(char::is_whitespace) {
        Some(space) if lead > 0 => lead + space + 1,
        _ => lead,
    };
    // A match is shown whole, however long.
    let end = (from + SNIPPET_BYTES).max(first.to).min(text.len());
    let end = text.floor_char_boundary(end);
    let to = match text[first.to..end].rfind(char::is_whitespace) {
        Some(space) if end < text.len() => first.to + space,
        _ => end,
    };
    (text.floor_char_boundary(from), to)
}

fn escape(text: &str, html: &mut String) {
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            char => html.push(char),
        }
    }
}
