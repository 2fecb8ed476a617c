//! Numbers of a query, and ranges of them.
//!
//! A path has one numeric column in each segment, of the narrowest type that its numbers there have in
//! common: `i64`, else `u64`, else `f64`. tantivy's own range converts bounds to it by saturating and
//! truncating, which finds what lies beside the range; so bounds are made of the column's type here,
//! both inclusive.
//!
//! Columns of integers are compared exactly. In a column of `f64` (one number of it has a fraction or
//! an exponent, or there are both negative ones and some of `i64::MAX` or more) integers past 2^53 have been
//! rounded, and so are those of the query: an inclusive range never misses a number, but may find its
//! nearest neighbours.

use std::ops::Bound;

use tantivy::{
    DocId, DocSet, Score, SegmentReader, TantivyError, Term,
    columnar::ColumnType,
    query::{
        BoundsRange, EmptyScorer, EnableScoring, Explanation, FastFieldRangeWeight, Query, Scorer,
        Weight,
    },
};

/// A number as a query says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

pub(super) fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|char: char| char.is_ascii_digit()) {
        return None;
    }
    if let Ok(value) = text.parse() {
        return Some(Number::Integer(value));
    }
    // The numbers of documents are read by the same reader, whose last bit may differ from others'.
    let float = serde_json::from_str(text).ok().or_else(|| text.parse().ok());
    float.filter(|value: &f64| value.is_finite()).map(Number::Float)
}

/// Documents with a number between two bounds at a path.
#[derive(Clone, Debug)]
pub(super) struct NumberRange {
    pub(super) column: String,
    /// A term of the path, still without its value.
    pub(super) term: Term,
    pub(super) from: Bound<Number>,
    pub(super) to: Bound<Number>,
}

impl NumberRange {
    /// The range as terms of a column's type; nothing if no number of it is in the range.
    fn terms(&self, of: ColumnType) -> Option<(Term, Term)> {
        match of {
            ColumnType::I64 => {
                let (from, to) = self.integers(i64::MIN.into(), i64::MAX.into())?;
                // Both are within the limits just given.
                Some((self.term(from as i64), self.term(to as i64)))
            }
            ColumnType::U64 => {
                let (from, to) = self.integers(u64::MIN.into(), u64::MAX.into())?;
                Some((self.term(from as u64), self.term(to as u64)))
            }
            ColumnType::F64 => {
                let (from, to) = self.floats();
                (from <= to).then(|| (self.term(from), self.term(to)))
            }
            _ => None,
        }
    }

    fn term<T: tantivy::fastfield::FastValue>(&self, value: T) -> Term {
        let mut term = self.term.clone();
        term.append_type_and_fast_value(value);
        term
    }

    fn integers(&self, min: i128, max: i128) -> Option<(i128, i128)> {
        // Floats past any integer here become the largest and smallest there are.
        let from = match self.from {
            Bound::Included(Number::Integer(value)) => value,
            Bound::Included(Number::Float(value)) => value.ceil() as i128,
            Bound::Excluded(Number::Integer(value)) => value.saturating_add(1),
            Bound::Excluded(Number::Float(value)) => (value.floor() as i128).saturating_add(1),
            Bound::Unbounded => min,
        };
        let to = match self.to {
            Bound::Included(Number::Integer(value)) => value,
            Bound::Included(Number::Float(value)) => value.floor() as i128,
            Bound::Excluded(Number::Integer(value)) => value.saturating_sub(1),
            Bound::Excluded(Number::Float(value)) => (value.ceil() as i128).saturating_sub(1),
            Bound::Unbounded => max,
        };
        let (from, to) = (from.max(min), to.min(max));
        (from <= to).then_some((from, to))
    }

    fn floats(&self) -> (f64, f64) {
        let float = |number: Number| match number {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        };
        let from = match self.from.map(float) {
            // The column has -0 below 0.
            Bound::Included(0.0) => -0.0,
            Bound::Included(value) => value,
            Bound::Excluded(value) => value.next_up(),
            Bound::Unbounded => f64::NEG_INFINITY,
        };
        let to = match self.to.map(float) {
            Bound::Included(0.0) => 0.0,
            Bound::Included(value) => value,
            Bound::Excluded(value) => value.next_down(),
            Bound::Unbounded => f64::INFINITY,
        };
        (from, to)
    }
}

impl Query for NumberRange {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(NumberWeight(self.clone())))
    }
}

struct NumberWeight(NumberRange);

impl Weight for NumberWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let columns = reader.fast_fields().dynamic_column_handles(&self.0.column)?;
        let Some((from, to)) = columns.iter().find_map(|column| self.0.terms(column.column_type()))
        else {
            return Ok(Box::new(EmptyScorer));
        };
        let range = BoundsRange::new(Bound::Included(from), Bound::Included(to));
        FastFieldRangeWeight::new(range).scorer(reader, boost)
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.seek(doc) != doc {
            return Err(TantivyError::InvalidArgument(format!("document {doc} does not match")));
        }
        Ok(Explanation::new("number in a range", scorer.score()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Number, number};

    #[test]
    fn numbers_are_read_as_json_has_them() {
        assert_eq!(number("-5"), Some(Number::Integer(-5)));
        assert_eq!(number("18446744073709551615"), Some(Number::Integer(u64::MAX.into())));
        assert_eq!(number("1.5e3"), Some(Number::Float(1500.0)));
        for text in ["", "-", "inf", "nan", "1e999", "5a", "+-5", "0x10", "-x"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
