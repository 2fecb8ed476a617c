//! Ranges of a query: over numbers, over dates, over words.
//!
//! Numbers and dates are compared in columns. Words are compared in the dictionary, word by word of a
//! text, and how many a range may stand for is bounded.

use std::ops::Bound;

use tantivy::{
    Term,
    query::{BooleanQuery, ExistsQuery, FastFieldRangeQuery, InvertedIndexRangeQuery, Query},
};

use super::{
    QueryError, content, dates,
    lower::{Lowered, Lowering},
    number::{Number, NumberRange, number},
    syntax::Words,
    target::{column, values_term, words_term},
    words,
};

/// Words that one prefix or one range of words may stand for, over all segments.
pub(super) const EXPANSIONS_MAX: usize = 65_536;

pub(super) type TermRange = (Bound<Term>, Bound<Term>);

/// Terms that begin with this one.
pub(super) fn starting_with(term: &Term) -> TermRange {
    let mut end = term.serialized_value_bytes().to_vec();
    // Text is UTF-8, whose bytes are never 255.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let mut after = term.clone();
    after.truncate_value_bytes(0);
    after.append_bytes(&end);
    (Bound::Included(term.clone()), Bound::Excluded(after))
}

impl Lowering<'_> {
    pub(super) fn range(
        &mut self,
        path: &str,
        from: &Bound<Words>,
        to: &Bound<Words>,
        position: usize,
    ) -> Lowered {
        if matches!((from, to), (Bound::Unbounded, Bound::Unbounded)) {
            return Ok(Box::new(ExistsQuery::new(column(self.kind, path), true)));
        }
        let mut any: Vec<Box<dyn Query>> = Vec::new();
        let unquoted = |words: &Words| if words.quoted { None } else { number(&words.text) };
        if let Some((from, to)) = both(from, to, unquoted) {
            any.push(self.number_range(path, from, to));
        }
        if let Some((from, to)) = both(from, to, |words| dates::period(&words.text)) {
            any.push(self.date_range(path, from, to));
        }
        if !any.is_empty() {
            return Ok(Box::new(BooleanQuery::union(any)));
        }
        self.word_range(path, from, to, position)
    }

    pub(super) fn number_range(
        &self,
        path: &str,
        from: Bound<Number>,
        to: Bound<Number>,
    ) -> Box<dyn Query> {
        let column = column(self.kind, path);
        let term = values_term(self.fields.content(self.kind), path);
        Box::new(NumberRange { column, term, from, to })
    }

    fn date_range(
        &self,
        path: &str,
        from: Bound<dates::Period>,
        to: Bound<dates::Period>,
    ) -> Box<dyn Query> {
        let path = format!("{path}.{}", content::INSTANT);
        let own = self.fields.content(self.kind);
        let term = |micros: i64| {
            let mut term = values_term(own, &path);
            term.append_type_and_fast_value(micros);
            term
        };
        // All of a day is in a range that begins or ends with it.
        let from = match from {
            Bound::Included(period) => Bound::Included(term(period.start)),
            Bound::Excluded(period) => Bound::Included(term(period.end)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let to = match to {
            Bound::Included(period) => Bound::Excluded(term(period.end)),
            Bound::Excluded(period) => Bound::Excluded(term(period.start)),
            Bound::Unbounded => Bound::Unbounded,
        };
        Box::new(FastFieldRangeQuery::new(from, to))
    }

    fn word_range(
        &mut self,
        path: &str,
        from: &Bound<Words>,
        to: &Bound<Words>,
        position: usize,
    ) -> Lowered {
        let own = self.fields.content(self.kind);
        let term = |words: &Words| {
            let text = words.text.to_lowercase();
            if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
                let message = "a range goes over numbers, dates or single words, both ends alike";
                return Err(QueryError::text(position, message));
            }
            let mut term = words_term(own, path);
            term.append_type_and_str(&text);
            Ok(term)
        };
        // An open end is open within the words of this path.
        let mut floor = words_term(own, path);
        floor.append_type_and_str("");
        let from = match from {
            Bound::Included(words) => Bound::Included(term(words)?),
            // Whole values that begin with the word come right after it.
            Bound::Excluded(words) => {
                let mut after = term(words)?;
                after.append_bytes(b"\x02");
                Bound::Included(after)
            }
            Bound::Unbounded => Bound::Included(floor.clone()),
        };
        let to = match to {
            Bound::Included(words) => Bound::Included(term(words)?),
            Bound::Excluded(words) => Bound::Excluded(term(words)?),
            Bound::Unbounded => starting_with(&floor).1,
        };
        let range = (from, to);
        let count = self.count_words(&range, EXPANSIONS_MAX)?;
        self.check_expansions(count, EXPANSIONS_MAX, position)?;
        Ok(Box::new(InvertedIndexRangeQuery::new(range.0, range.1)))
    }

    pub(super) fn check_expansions(
        &self,
        count: usize,
        max: usize,
        at: usize,
    ) -> Result<(), QueryError> {
        if count <= max {
            return Ok(());
        }
        let message = format!("this stands for more than {max} words; make it longer or narrower");
        Err(QueryError::text(at, message))
    }

    /// How many words lie in a range, counted no further than just past `max`.
    pub(super) fn count_words(&self, range: &TermRange, max: usize) -> Result<usize, QueryError> {
        let mut count = 0;
        self.each_word(range, |_| {
            count += 1;
            count <= max
        })?;
        Ok(count)
    }

    /// The different words in a range, without the `skip` bytes before them; at most one past `max`.
    pub(super) fn list_words(
        &self,
        range: &TermRange,
        skip: usize,
        max: usize,
    ) -> Result<Vec<String>, QueryError> {
        let mut found = std::collections::BTreeSet::new();
        self.each_word(range, |key| {
            let word = String::from_utf8_lossy(key.get(skip..).unwrap_or_default());
            // Whole values are no words.
            if !word.contains(words::MARK) {
                found.insert(word.into_owned());
            }
            found.len() <= max
        })?;
        Ok(found.into_iter().collect())
    }

    fn each_word(
        &self,
        (from, to): &TermRange,
        mut more: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), QueryError> {
        let bounded = [from, to].into_iter().find_map(|bound| match bound {
            Bound::Included(term) | Bound::Excluded(term) => Some(term),
            Bound::Unbounded => None,
        });
        let Some(term) = bounded else { return Ok(()) };
        for reader in self.searcher.segment_readers() {
            let index = reader.inverted_index(term.field())?;
            let mut range = index.terms().range();
            range = match from {
                Bound::Included(term) => range.ge(term.serialized_value_bytes()),
                Bound::Excluded(term) => range.gt(term.serialized_value_bytes()),
                Bound::Unbounded => range,
            };
            range = match to {
                Bound::Included(term) => range.le(term.serialized_value_bytes()),
                Bound::Excluded(term) => range.lt(term.serialized_value_bytes()),
                Bound::Unbounded => range,
            };
            let mut stream = range.into_stream()?;
            while stream.advance() {
                if !more(stream.key()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Both ends read alike; an open end is like any.
fn both<T>(
    from: &Bound<Words>,
    to: &Bound<Words>,
    read: impl Fn(&Words) -> Option<T>,
) -> Option<(Bound<T>, Bound<T>)> {
    let read = |bound: &Bound<Words>| {
        Some(match bound {
            Bound::Included(words) => Bound::Included(read(words)?),
            Bound::Excluded(words) => Bound::Excluded(read(words)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    };
    Some((read(from)?, read(to)?))
}
