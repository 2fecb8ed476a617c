//! From a query to its answer: what matches, in which order, how much of it, and of what kinds.

use std::ops::Bound;

use annal_event::{Position, Timestamp};
use tantivy::{
    Searcher, Term,
    columnar::StrColumn,
    query::{
        BooleanQuery, BoostQuery, EnableScoring, FastFieldRangeQuery, Occur, Query, TermQuery,
    },
    schema::IndexRecordOption,
    tokenizer::TextAnalyzer,
};

use super::{
    Facet, Key, Kind, QueryError,
    document::attribute,
    facets::Counter,
    histogram::{BUCKETS_MAX, Bucket, Histogram, Interval},
    lower::Lowering,
    parse::parse,
    rank::{self, Ranked, Sort, SortBy, each_alive},
    schema::{self, Fields},
    syntax::{Expr, Operator},
};

/// How deep into the results a page may reach: largest `offset` + `limit`.
pub const DEPTH_MAX: usize = 10_000;

/// How many facets one query may ask for.
pub const FACETS_MAX: usize = 20;

/// How many values one facet may list.
pub const FACET_VALUES_MAX: usize = 1_000;

/// Which documents are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Resources as they are.
    #[default]
    Resources,
    /// Events as they came.
    Events,
    /// Both.
    All,
}

impl Scope {
    pub(super) fn kinds(self) -> &'static [Kind] {
        match self {
            Scope::Resources => &[Kind::Resource],
            Scope::Events => &[Kind::Event],
            Scope::All => &[Kind::Resource, Kind::Event],
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery<'a> {
    /// What to look for, in the language that the [module](super) describes. Empty: everything.
    pub text: &'a str,
    /// Which documents.
    pub scope: Scope,
    /// How words side by side are joined.
    pub operator: Operator,
    /// Only documents of this type.
    pub doc_type: Option<&'a str>,
    /// Only documents of this time or later.
    pub since: Option<Timestamp>,
    /// Only documents of this time or earlier.
    pub until: Option<Timestamp>,
    /// How many of the first hits are passed over.
    pub offset: usize,
    /// How many hits are wanted; 0 counts only.
    pub limit: usize,
    /// Their order.
    pub sort: Sort,
    /// Fields whose values are counted.
    pub facets: &'a [&'a str],
    /// How many values a facet lists, at most [`FACET_VALUES_MAX`].
    pub facet_values: usize,
    /// Counts by time.
    pub histogram: Option<Interval>,
}

impl<'a> SearchQuery<'a> {
    /// The first ten resources that match, best first.
    pub fn new(text: &'a str) -> SearchQuery<'a> {
        SearchQuery {
            text,
            scope: Scope::default(),
            operator: Operator::default(),
            doc_type: None,
            since: None,
            until: None,
            offset: 0,
            limit: 10,
            sort: Sort::default(),
            facets: &[],
            facet_values: 10,
            histogram: None,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Everything up to here was in the index.
    pub folded: Position,
    /// How many documents match, exactly.
    pub count: u64,
    /// The page that was asked for.
    pub hits: Vec<Hit>,
    /// In the order they were asked for.
    pub facets: Vec<Facet>,
    /// Buckets that are not empty, in the order of time; empty unless asked for.
    pub histogram: Vec<Bucket>,
}

/// A document that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub key: Key<'static>,
    /// Its position, or the resource's revision, as it was indexed.
    pub position: Position,
    /// How well it matches; `None` if the order is by something else.
    pub score: Option<f32>,
}

/// Answers a query.
pub(super) fn answer(
    searcher: &Searcher,
    fields: &Fields,
    analyzer: &TextAnalyzer,
    query: &SearchQuery<'_>,
) -> Result<Found, QueryError> {
    let depth = query.offset.saturating_add(query.limit);
    if depth > DEPTH_MAX {
        return Err(QueryError::TooDeep { max: DEPTH_MAX });
    }
    if query.facets.len() > FACETS_MAX {
        return Err(QueryError::TooManyFacets { asked: query.facets.len(), max: FACETS_MAX });
    }
    let expr = parse(query.text, query.operator)?;
    let (lowered, positions) = lower(searcher, fields, analyzer, query, &expr)?;
    let kinds = query.scope.kinds();
    let wanted = if query.limit == 0 { 0 } else { depth };
    // Without a text nothing matches better than anything else.
    let sort = match (&query.sort.by, &expr) {
        (SortBy::Score, Expr::All) => &Sort { by: SortBy::Position, descending: true },
        _ => &query.sort,
    };
    let counts_only = query.facets.is_empty() && query.histogram.is_none();
    let (ranked, mut found) = if positions && counts_only && sort.by == SortBy::Score && wanted > 0
    {
        let (ranked, count) = rank::best_and_count(searcher, &*lowered, wanted)?;
        (ranked, Found { count, ..Found::default() })
    } else {
        let ranked = rank::first(searcher, &*lowered, sort, kinds, wanted)?;
        (ranked, count(searcher, &*lowered, query)?)
    };
    for ranked in ranked.into_iter().skip(query.offset) {
        found.hits.push(hit(searcher, ranked)?);
    }
    Ok(found)
}

/// The query as it is run, and whether it looks at positions.
fn lower(
    searcher: &Searcher,
    fields: &Fields,
    analyzer: &TextAnalyzer,
    query: &SearchQuery<'_>,
    expr: &Expr,
) -> Result<(Box<dyn Query>, bool), QueryError> {
    let (mut any, mut positions) = (Vec::new(), false);
    for kind in query.scope.kinds() {
        let mut lowering = Lowering {
            searcher,
            fields,
            analyzer: analyzer.clone(),
            kind: *kind,
            positions: false,
        };
        any.push(lowering.lower(expr)?);
        positions |= lowering.positions;
    }
    let lowered = match any.len() {
        1 => any.pop().unwrap_or_else(|| Box::new(BooleanQuery::union(Vec::new()))),
        _ => Box::new(BooleanQuery::union(any)),
    };
    let mut filters: Vec<Box<dyn Query>> = Vec::new();
    if let Some(doc_type) = query.doc_type {
        let term = Term::from_field_text(fields.ty, attribute(doc_type));
        filters.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
    }
    if query.since.is_some() || query.until.is_some() {
        let bound = |time: Option<Timestamp>| {
            let time = time.map(|time| Term::from_field_i64(fields.time, time.micros()));
            time.map_or(Bound::Unbounded, Bound::Included)
        };
        let (since, until) = (bound(query.since), bound(query.until));
        filters.push(Box::new(FastFieldRangeQuery::new(since, until)));
    }
    if filters.is_empty() {
        return Ok((lowered, positions));
    }
    // A filter does not make one document better than another.
    let silent = |filter| (Occur::Must, Box::new(BoostQuery::new(filter, 0.0)) as Box<dyn Query>);
    let filters = filters.into_iter().map(silent);
    let all = [(Occur::Must, lowered)].into_iter().chain(filters).collect();
    Ok((Box::new(BooleanQuery::new(all)), positions))
}

/// Counts what matches; by value and by time where that is asked for.
fn count(
    searcher: &Searcher,
    lowered: &dyn Query,
    query: &SearchQuery<'_>,
) -> Result<Found, QueryError> {
    let mut found = Found::default();
    let weight = lowered.weight(EnableScoring::disabled_from_searcher(searcher))?;
    if query.facets.is_empty() && query.histogram.is_none() {
        for reader in searcher.segment_readers() {
            found.count += u64::from(weight.count(reader)?);
        }
        return Ok(found);
    }
    let kinds = query.scope.kinds();
    let mut facets: Vec<Counter<'_>> =
        query.facets.iter().map(|path| Counter::new(path, kinds)).collect();
    let mut histogram = query.histogram.map(Histogram::new);
    for reader in searcher.segment_readers() {
        for facet in &mut facets {
            facet.begin(reader)?;
        }
        let times = reader.fast_fields().column_opt::<i64>(schema::TIME)?;
        each_alive(&*weight, reader, &mut |doc| {
            found.count += 1;
            for facet in &mut facets {
                facet.count(doc);
            }
            let time = times.as_ref().and_then(|times| times.first(doc));
            if let (Some(histogram), Some(time)) = (&mut histogram, time) {
                histogram.add(time);
            }
        })?;
        facets.iter_mut().for_each(Counter::end);
    }
    let values = query.facet_values.min(FACET_VALUES_MAX);
    for facet in facets {
        found.facets.push(facet.finish(values)?);
    }
    if let Some(histogram) = histogram {
        found.histogram =
            histogram.finish().ok_or(QueryError::TooManyBuckets { max: BUCKETS_MAX })?;
    }
    Ok(found)
}

fn hit(searcher: &Searcher, ranked: Ranked) -> Result<Hit, QueryError> {
    let position = ranked.place.position();
    let key = match ranked.place.kind() {
        Kind::Event => Key::Event(position),
        Kind::Resource => {
            let reader = searcher.segment_reader(ranked.address.segment_ord);
            let column: Option<StrColumn> = reader.fast_fields().str(schema::KEY)?;
            let mut key = String::new();
            if let Some(column) = column
                && let Some(ord) = column.term_ords(ranked.address.doc_id).next()
            {
                column.ord_to_str(ord, &mut key)?;
            }
            Key::Resource(key.into())
        }
    };
    Ok(Hit { key, position, score: ranked.score })
}
