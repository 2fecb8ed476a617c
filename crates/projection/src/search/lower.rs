//! From a query's tree to what tantivy runs, for one kind of document.
//!
//! Words meet words the way they were indexed; a value that is written like a number or a boolean
//! meets those too. What cannot be done is refused where it stands in the text; nothing is left
//! out silently.

use std::ops::Bound;

use tantivy::{
    Searcher, Term,
    query::{
        AllQuery, BooleanQuery, BoostQuery, EmptyQuery, ExistsQuery, FastFieldRangeQuery,
        InvertedIndexRangeQuery, Occur, PhrasePrefixQuery, PhraseQuery, Query, TermQuery,
    },
    schema::{Field, IndexRecordOption},
    tokenizer::TextAnalyzer,
};

use super::{
    Kind, QueryError,
    document::{attribute, id_of},
    field_phrase::{FieldPhrase, Slot},
    number::number,
    range::{EXPANSIONS_MAX, starting_with},
    schema::{Fields, kind_term},
    steady::steady,
    syntax::{Expr, Leaf, What, Words},
    target::{Attribute, Target, column, words_term},
    words,
};

/// Words that the prefix at the end of a phrase may stand for.
const PHRASE_EXPANSIONS_MAX: usize = 1_000;

pub(super) type Lowered = Result<Box<dyn Query>, QueryError>;

/// Lowers trees over one kind of document.
pub(super) struct Lowering<'a> {
    pub(super) searcher: &'a Searcher,
    pub(super) fields: &'a Fields,
    pub(super) analyzer: TextAnalyzer,
    pub(super) kind: Kind,
    /// Whether something was lowered that looks at positions, which nobody wants to do twice.
    pub(super) positions: bool,
}

impl Lowering<'_> {
    pub(super) fn lower(&mut self, expr: &Expr) -> Lowered {
        match expr {
            Expr::All => Ok(self.all()),
            Expr::Leaf(leaf) => self.leaf(leaf),
            Expr::Boost(expr, boost) => Ok(Box::new(BoostQuery::new(self.lower(expr)?, *boost))),
            Expr::Bool(members) => {
                let mut lowered = Vec::with_capacity(members.len() + 1);
                for (occur, expr) in members {
                    let member = self.lower(expr)?;
                    let excluded = *occur == Occur::MustNot;
                    lowered.push((*occur, if excluded { steady(member) } else { member }));
                }
                if lowered.iter().all(|(occur, _)| *occur == Occur::MustNot) {
                    lowered.push((Occur::Must, self.all()));
                }
                Ok(Box::new(BooleanQuery::new(lowered)))
            }
        }
    }

    fn all(&self) -> Box<dyn Query> {
        let term = Term::from_field_text(self.fields.kind, kind_term(self.kind));
        Box::new(TermQuery::new(term, IndexRecordOption::Basic))
    }

    fn leaf(&mut self, leaf: &Leaf) -> Lowered {
        let target = leaf.field.as_deref().map(Target::of);
        if matches!(&target, Some(Target::Path(path)) if path.contains('\0')) {
            // No document has such a path, and tantivy cannot ask for one.
            return Ok(Box::new(EmptyQuery));
        }
        match (&leaf.what, target) {
            (What::Words(words), target) => self.words(words, target.as_ref(), leaf.position),
            (What::Set(elements), target) => {
                let mut any = Vec::with_capacity(elements.len());
                for words in elements {
                    any.push(self.words(words, target.as_ref(), leaf.position)?);
                }
                Ok(Box::new(BooleanQuery::union(any)))
            }
            (What::Exists, Some(Target::Path(path))) => {
                Ok(Box::new(ExistsQuery::new(column(self.kind, &path), true)))
            }
            (What::Exists, Some(Target::Attribute(which))) => self.has_attribute(which),
            (What::Exists, None) => Ok(self.all()),
            (What::Range(from, to), Some(Target::Path(path))) => {
                self.range(&path, from, to, leaf.position)
            }
            (What::Range(from, to), Some(Target::Attribute(which))) => {
                Ok(self.attribute_range(which, from, to))
            }
            (What::Range(..), None) => Err(QueryError::text(
                leaf.position,
                "a range needs a field before it, as in price:[1 TO 5]",
            )),
        }
    }

    fn words(&mut self, words: &Words, target: Option<&Target>, position: usize) -> Lowered {
        match target {
            None => self.anywhere(words, position),
            Some(Target::Attribute(which)) => Ok(self.attribute_is(*which, words)),
            Some(Target::Path(path)) => self.in_path(words, path, position),
        }
    }

    fn tokens(&mut self, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        self.analyzer.token_stream(text).process(&mut |token| tokens.push(token.text.clone()));
        tokens
    }

    /// Words in any string of the document; or a whole id or subject.
    fn anywhere(&mut self, words: &Words, position: usize) -> Lowered {
        let field = self.fields.content(self.kind).text;
        let tokens = self.tokens(&words.text);
        let terms: Vec<Term> =
            tokens.iter().map(|token| Term::from_field_text(field, token)).collect();
        let found: Box<dyn Query> = match (terms.as_slice(), words.prefix) {
            ([], _) => return self.no_word(words, position),
            ([term], true) => {
                let prefix = tokens.first().map(String::as_str).unwrap_or_default();
                self.prefix(term, prefix, &words.text, position)?
            }
            ([term], false) => Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)),
            (_, true) => {
                let last =
                    terms.last().cloned().unwrap_or_else(|| Term::from_field_text(field, ""));
                let count = self.count_words(&starting_with(&last), PHRASE_EXPANSIONS_MAX)?;
                self.check_expansions(count, PHRASE_EXPANSIONS_MAX, position)?;
                let mut phrase = PhrasePrefixQuery::new(terms);
                phrase.set_max_expansions(PHRASE_EXPANSIONS_MAX as u32);
                self.positions = true;
                Box::new(phrase)
            }
            (_, false) => {
                let mut phrase = PhraseQuery::new(terms);
                phrase.set_slop(words.slop);
                self.positions = true;
                Box::new(phrase)
            }
        };
        let mut any = self.as_identifier(words)?;
        if any.is_empty() {
            return Ok(found);
        }
        any.push(found);
        Ok(Box::new(BooleanQuery::union(any)))
    }

    fn no_word(&self, words: &Words, position: usize) -> Lowered {
        let message = format!(
            "{:?} has no letter and no digit, so it cannot be looked for; leave it out",
            words.text
        );
        Err(QueryError::text(position, message))
    }

    /// What is typed may be a whole id or subject; few are, so only those that exist are asked.
    fn as_identifier(&self, words: &Words) -> Result<Vec<Box<dyn Query>>, QueryError> {
        if words.prefix || words.text.contains(char::is_whitespace) {
            return Ok(Vec::new());
        }
        let text = words.text.as_str();
        let mut terms = vec![self.attribute_term(self.fields.subject, text)];
        if self.kind == Kind::Resource {
            terms.push(self.attribute_term(self.fields.key, text));
            if !text.contains('/') {
                terms.push(Term::from_field_text(self.fields.id, &id_of(text)));
            }
        }
        let mut any: Vec<Box<dyn Query>> = Vec::new();
        for term in terms {
            if self.searcher.doc_freq(&term)? > 0 {
                let is = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
                // A subject may belong to the other kind.
                let of_kind = vec![(Occur::Must, is as Box<dyn Query>), (Occur::Must, self.all())];
                any.push(Box::new(BooleanQuery::new(of_kind)));
            }
        }
        Ok(any)
    }

    fn in_path(&mut self, words: &Words, path: &str, position: usize) -> Lowered {
        let own = self.fields.content(self.kind);
        let plain = !words.quoted && !words.prefix;
        let number = if plain { number(&words.text) } else { None };
        let mut any: Vec<Box<dyn Query>> = Vec::new();
        if let Some(number) = number {
            let is = Bound::Included(number);
            any.push(self.number_range(path, is, is));
        }
        if plain && let Ok(flag) = words.text.parse::<bool>() {
            let mut term = words_term(own, path);
            term.append_type_and_fast_value(flag);
            any.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
        }
        let tokens = self.tokens(&words.text);
        // The minus of a number is no word.
        let negative = number.is_some() && words.text.starts_with('-');
        if tokens.is_empty() && any.is_empty() {
            return self.no_word(words, position);
        }
        if !tokens.is_empty() && !negative {
            any.push(self.text_in_path(words, tokens, path, position)?);
        }
        match any.len() {
            1 => any.pop().map_or_else(|| self.no_word(words, position), Ok),
            _ => Ok(Box::new(BooleanQuery::union(any))),
        }
    }

    fn text_in_path(
        &mut self,
        words: &Words,
        tokens: Vec<String>,
        path: &str,
        position: usize,
    ) -> Lowered {
        let own = self.fields.content(self.kind);
        let term = |token: &str| {
            let mut term = words_term(own, path);
            term.append_type_and_str(token);
            term
        };
        if let [token] = tokens.as_slice() {
            let term = term(token);
            return match words.prefix {
                true => self.prefix(&term, token, &words.text, position),
                false => Ok(Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))),
            };
        }
        if words.slop > 0 {
            let message = "~ is not possible in a field; leave out the field or the ~";
            return Err(QueryError::text(position, message));
        }
        let whole = words::whole(&tokens).filter(|_| !words.prefix).map(|whole| term(&whole));
        let mut slots: Vec<Slot> = tokens
            .iter()
            .map(|token| Slot { terms: vec![term(token)], words: vec![token.clone()] })
            .collect();
        if words.prefix
            && let Some(last) = slots.last_mut()
        {
            let token = last.words.pop().unwrap_or_default();
            let range = starting_with(&term(&token));
            last.words = self.list_words(&range, term("").len_bytes(), PHRASE_EXPANSIONS_MAX)?;
            self.check_expansions(last.words.len(), PHRASE_EXPANSIONS_MAX, position)?;
            last.terms = last.words.iter().map(|word| term(word)).collect();
        }
        self.positions = true;
        Ok(Box::new(FieldPhrase { text: own.text, path: path.to_owned(), slots, whole }))
    }

    /// Words that begin so; and the word itself, which stemming may have made shorter.
    fn prefix(&mut self, term: &Term, token: &str, written: &str, position: usize) -> Lowered {
        let unstemmed = written.to_lowercase();
        let mut begins = term.clone();
        if unstemmed != token && unstemmed.chars().all(char::is_alphanumeric) {
            begins.truncate_value_bytes(term.len_bytes() - token.len());
            begins.append_bytes(unstemmed.as_bytes());
        }
        let range = starting_with(&begins);
        let count = self.count_words(&range, EXPANSIONS_MAX)?;
        self.check_expansions(count, EXPANSIONS_MAX, position)?;
        let begin = Box::new(InvertedIndexRangeQuery::new(range.0, range.1));
        if begins == *term {
            return Ok(begin);
        }
        let is = Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs));
        Ok(Box::new(BooleanQuery::union(vec![begin, is])))
    }

    fn of_kind(&self, query: Box<dyn Query>) -> Box<dyn Query> {
        Box::new(BooleanQuery::intersection(vec![query, self.all()]))
    }

    fn has_attribute(&self, which: Attribute) -> Lowered {
        Ok(match (which, self.kind) {
            (Attribute::Type, _) | (Attribute::Subject, Kind::Resource) => self.all(),
            _ => self.of_kind(Box::new(ExistsQuery::new(which.column().to_owned(), false))),
        })
    }

    /// A resource whose subject is its key has it there only.
    fn attribute_fields(&self, which: Attribute) -> Vec<Field> {
        let mut fields = vec![which.field(self.fields)];
        if (which, self.kind) == (Attribute::Subject, Kind::Resource) {
            fields.push(self.fields.key);
        }
        fields
    }

    /// Attributes are cut where they are indexed, keys are not.
    fn attribute_term(&self, field: Field, text: &str) -> Term {
        let text = if field == self.fields.key { text } else { attribute(text) };
        Term::from_field_text(field, text)
    }

    fn attribute_is(&self, which: Attribute, words: &Words) -> Box<dyn Query> {
        let one = |field| -> Box<dyn Query> {
            let term = self.attribute_term(field, &words.text);
            match words.prefix {
                false => Box::new(TermQuery::new(term, IndexRecordOption::Basic)),
                true => {
                    let last = self.attribute_term(field, &format!("{}\u{10ffff}", words.text));
                    let (from, to) = (Bound::Included(term), Bound::Excluded(last));
                    Box::new(FastFieldRangeQuery::new(from, to))
                }
            }
        };
        let any = self.attribute_fields(which).into_iter().map(one).collect();
        self.of_kind(Box::new(BooleanQuery::union(any)))
    }

    fn attribute_range(
        &self,
        which: Attribute,
        from: &Bound<Words>,
        to: &Bound<Words>,
    ) -> Box<dyn Query> {
        let one = |field| -> Box<dyn Query> {
            let bound = |bound: &Bound<Words>| {
                bound.as_ref().map(|words| self.attribute_term(field, &words.text))
            };
            match (bound(from), bound(to)) {
                (Bound::Unbounded, Bound::Unbounded) => Box::new(AllQuery),
                (from, to) => Box::new(FastFieldRangeQuery::new(from, to)),
            }
        };
        let any = self.attribute_fields(which).into_iter().map(one).collect();
        self.of_kind(Box::new(BooleanQuery::union(any)))
    }
}
