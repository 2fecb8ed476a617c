//! A phrase within one field.
//!
//! Positions are kept once, for all text of a document together, with a mark before each string
//! that names its path. So a phrase of a field is: the words are in the field, they follow each
//! other somewhere, and the nearest mark before them is the field's. Keeping positions a second
//! time by path would cost a sixth of the raw data more. Where the phrase is all there is of a short
//! value, a term says so and no position is looked at.

use tantivy::{
    BitSet, DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError, Term,
    postings::{Postings, SegmentPostings},
    query::{
        BitSetDocSet, Bm25Weight, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight,
    },
    schema::{Field, IndexRecordOption},
};

use super::words::{ANY_MARK, mark};

/// Looks for words that follow each other in one field.
#[derive(Clone, Debug)]
pub(super) struct FieldPhrase {
    /// Where positions are.
    pub(super) text: Field,
    pub(super) path: String,
    /// The words in order.
    pub(super) slots: Vec<Slot>,
    /// The term of values that are the phrase and nothing else.
    pub(super) whole: Option<Term>,
}

/// What may stand in one place of the phrase: one word, or all that a prefix stands for.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) words: Vec<String>,
    /// The same words as terms of the field.
    pub(super) terms: Vec<Term>,
}

impl Query for FieldPhrase {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let terms: Vec<Term> =
            self.slots.iter().filter_map(|slot| slot.terms.first().cloned()).collect();
        let bm25 = match scoring {
            EnableScoring::Enabled { statistics_provider, .. } if !terms.is_empty() => {
                Some(Bm25Weight::for_terms(statistics_provider, &terms)?)
            }
            _ => None,
        };
        Ok(Box::new(FieldPhraseWeight { query: self.clone(), bm25 }))
    }
}

struct FieldPhraseWeight {
    query: FieldPhrase,
    bm25: Option<Bm25Weight>,
}

impl FieldPhraseWeight {
    fn open(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Option<PhraseScorer>> {
        let text = reader.inverted_index(self.query.text)?;
        let positions = |word: &str| {
            let term = Term::from_field_text(self.query.text, word);
            text.read_postings(&term, IndexRecordOption::WithFreqsAndPositions)
        };
        let mark = mark(&self.query.path);
        let (Some(own), Some(any)) = (positions(&mark)?, positions(ANY_MARK)?) else {
            return Ok(None);
        };
        let mut filters: Vec<Box<dyn DocSet>> = Vec::with_capacity(self.query.slots.len());
        let mut words = Vec::with_capacity(self.query.slots.len());
        for slot in &self.query.slots {
            let Some(filter) = documents(reader, &slot.terms)? else { return Ok(None) };
            filters.push(filter);
            let mut postings = Vec::with_capacity(slot.words.len());
            for word in &slot.words {
                postings.extend(positions(word)?);
            }
            words.push(postings);
        }
        let whole = match &self.query.whole {
            Some(term) => {
                let index = reader.inverted_index(term.field())?;
                index.read_postings(term, IndexRecordOption::Basic)?
            }
            None => None,
        };
        filters.sort_by_key(|filter| filter.size_hint());
        let bm25 = self.bm25.as_ref().map(|bm25| bm25.boost_by(boost));
        let mut scorer = PhraseScorer {
            filters,
            words,
            own,
            any,
            whole,
            bm25,
            found: 0,
            buffers: [const { Vec::new() }; 3],
        };
        scorer.settle();
        Ok(Some(scorer))
    }
}

/// The documents that have any of these terms.
fn documents(reader: &SegmentReader, terms: &[Term]) -> tantivy::Result<Option<Box<dyn DocSet>>> {
    let Some(first) = terms.first() else { return Ok(None) };
    let index = reader.inverted_index(first.field())?;
    if terms.len() == 1 {
        let postings = index.read_postings(first, IndexRecordOption::Basic)?;
        return Ok(postings.map(|postings| Box::new(postings) as Box<dyn DocSet>));
    }
    let mut found = BitSet::with_max_value(reader.max_doc());
    for term in terms {
        let Some(mut postings) = index.read_postings(term, IndexRecordOption::Basic)? else {
            continue;
        };
        while postings.doc() != TERMINATED {
            found.insert(postings.doc());
            postings.advance();
        }
    }
    Ok(Some(Box::new(BitSetDocSet::from(found))))
}

impl Weight for FieldPhraseWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self.open(reader, boost)? {
            Some(scorer) => Box::new(scorer),
            None => Box::new(EmptyScorer),
        })
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.seek(doc) != doc {
            return Err(TantivyError::InvalidArgument(format!("document {doc} does not match")));
        }
        Ok(Explanation::new("phrase in a field", scorer.score()))
    }
}

struct PhraseScorer {
    /// Documents that have each word in the field, the rarest first; they stand on one document.
    filters: Vec<Box<dyn DocSet>>,
    /// Per place of the phrase, its words in the text.
    words: Vec<Vec<SegmentPostings>>,
    /// Marks of the field, and of all fields.
    own: SegmentPostings,
    any: SegmentPostings,
    whole: Option<SegmentPostings>,
    bm25: Option<Bm25Weight>,
    /// How often the phrase stands in the field of the current document.
    found: u32,
    buffers: [Vec<u32>; 3],
}

impl PhraseScorer {
    /// Moves on, from the current document inclusive, to one that has the phrase.
    fn settle(&mut self) -> DocId {
        loop {
            let doc = self.align();
            if doc == TERMINATED {
                return doc;
            }
            let whole = self.whole.as_mut().is_some_and(|whole| seek(whole, doc) == doc);
            self.found = if whole { 1 } else { self.count(doc) };
            if self.found > 0 {
                return doc;
            }
            self.filters[0].advance();
        }
    }

    /// Moves on until every filter stands on the same document.
    fn align(&mut self) -> DocId {
        let mut doc = self.filters[0].doc();
        'next: loop {
            if doc == TERMINATED {
                return doc;
            }
            for index in 1..self.filters.len() {
                let other = seek(&mut *self.filters[index], doc);
                if other > doc {
                    doc = self.filters[0].seek(other);
                    continue 'next;
                }
            }
            return doc;
        }
    }

    fn count(&mut self, doc: DocId) -> u32 {
        let [starts, next, some] = &mut self.buffers;
        starts.clear();
        for (offset, postings) in self.words.iter_mut().enumerate() {
            next.clear();
            for postings in postings {
                if seek(postings, doc) == doc {
                    postings.positions(some);
                    next.extend(some.iter().map(|position| position.wrapping_sub(offset as u32)));
                }
            }
            next.sort_unstable();
            if offset == 0 {
                std::mem::swap(starts, next);
            } else {
                starts.retain(|start| next.binary_search(start).is_ok());
            }
            if starts.is_empty() {
                return 0;
            }
        }
        if seek(&mut self.own, doc) != doc || seek(&mut self.any, doc) != doc {
            return 0;
        }
        let (own, any) = (next, some);
        self.own.positions(own);
        self.any.positions(any);
        let in_field = |start: &&u32| {
            let marks = any.partition_point(|mark| mark <= *start);
            marks.checked_sub(1).is_some_and(|last| own.binary_search(&any[last]).is_ok())
        };
        starts.iter().filter(in_field).count() as u32
    }
}

/// Postings must not be asked to go back.
fn seek<D: DocSet + ?Sized>(docs: &mut D, target: DocId) -> DocId {
    if docs.doc() < target { docs.seek(target) } else { docs.doc() }
}

impl DocSet for PhraseScorer {
    fn advance(&mut self) -> DocId {
        self.filters[0].advance();
        self.settle()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() < target {
            self.filters[0].seek(target);
            return self.settle();
        }
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.filters[0].doc()
    }

    fn size_hint(&self) -> u32 {
        self.filters[0].size_hint() / 2 + 1
    }
}

impl Scorer for PhraseScorer {
    fn score(&mut self) -> Score {
        // Fields have no lengths: one word counts as much as the next.
        self.bm25.as_ref().map_or(1.0, |bm25| bm25.score(1, self.found))
    }
}
