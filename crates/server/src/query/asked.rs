//! What a request asks for: its parameters.

use annal_engine::{HitOrder, Interval, Operator, SEARCH_DEPTH_MAX, Scope, SearchQuery};
use annal_event::Timestamp;

use crate::{
    params::{Params, invalid},
    problem::Problem,
    resources::list::is_one_member,
};

/// Results on a page, unless asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Values that a facet lists; how many more there are is said.
const FACET_VALUES: usize = 100;

/// A query, borrowing from nothing.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) highlight: bool,
    scope: Scope,
    operator: Operator,
    doc_type: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    order: HitOrder,
    facets: Vec<String>,
    pub(super) histogram: Option<Interval>,
}

impl Asked {
    /// Takes the parameters of the route.
    pub(super) fn of(params: &mut Params<'_>) -> Result<Asked, Problem> {
        Ok(Asked {
            text: params.take("q")?.unwrap_or_default().into_owned(),
            limit: params.take_number("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
            offset: params.take_number("offset", SEARCH_DEPTH_MAX)?.unwrap_or(0),
            highlight: params.take("highlight")?.map_or(Ok(true), |text| flag(&text))?,
            scope: scope(params)?,
            operator: operator(params)?,
            doc_type: params.take("type")?.map(|ty| ty.into_owned()),
            since: params.take_as::<Timestamp>("since")?,
            until: params.take_as::<Timestamp>("until")?,
            order: order(params)?,
            facets: facets(params)?,
            histogram: histogram(params)?,
        })
    }

    /// Whether events are among what is searched.
    pub(super) fn wants_events(&self) -> bool {
        self.scope != Scope::Resources
    }

    /// Hands the query to `ask`.
    pub(super) fn with_query<T>(&self, ask: impl FnOnce(&SearchQuery<'_>) -> T) -> T {
        let facets: Vec<&str> = self.facets.iter().map(String::as_str).collect();
        ask(&SearchQuery {
            scope: self.scope,
            operator: self.operator,
            doc_type: self.doc_type.as_deref(),
            since: self.since,
            until: self.until,
            offset: self.offset,
            limit: self.limit,
            sort: self.order.clone(),
            facets: &facets,
            facet_values: FACET_VALUES,
            histogram: self.histogram,
            ..SearchQuery::new(&self.text)
        })
    }
}

fn flag(text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid("highlight", "`highlight` is `true` or `false`")),
    }
}

fn scope(params: &mut Params<'_>) -> Result<Scope, Problem> {
    match params.take("in")?.as_deref() {
        None | Some("resources") => Ok(Scope::Resources),
        Some("events") => Ok(Scope::Events),
        Some("all") => Ok(Scope::All),
        Some(_) => Err(invalid("in", "`in` is `resources`, `events` or `all`")),
    }
}

fn operator(params: &mut Params<'_>) -> Result<Operator, Problem> {
    match params.take("operator")?.as_deref() {
        None | Some("or" | "OR") => Ok(Operator::Or),
        Some("and" | "AND") => Ok(Operator::And),
        Some(_) => Err(invalid("operator", "`operator` is `and` or `or`")),
    }
}

fn order(params: &mut Params<'_>) -> Result<HitOrder, Problem> {
    let Some(text) = params.take("sort")? else { return Ok(HitOrder::default()) };
    if matches!(&*text, "" | "-" | "+") || !is_one_member(&text) {
        let detail = "`sort` is one path of members, or _score, _time or _position, with `-` before \
                      it for descending";
        return Err(invalid("sort", detail));
    }
    Ok(HitOrder::parse(&text))
}

/// `status,type`
fn facets(params: &mut Params<'_>) -> Result<Vec<String>, Problem> {
    let Some(text) = params.take("facets")? else { return Ok(Vec::new()) };
    let mut facets: Vec<String> = Vec::new();
    for name in text.split(',') {
        if name.is_empty() {
            return Err(invalid("facets", "`facets` is a list of paths, such as status,type"));
        }
        if !facets.iter().any(|have| have == name) {
            facets.push(name.to_owned());
        }
    }
    Ok(facets)
}

fn histogram(params: &mut Params<'_>) -> Result<Option<Interval>, Problem> {
    match params.take("histogram")?.as_deref() {
        None => Ok(None),
        Some("hour") => Ok(Some(Interval::Hour)),
        Some("day") => Ok(Some(Interval::Day)),
        Some("month") => Ok(Some(Interval::Month)),
        Some("year") => Ok(Some(Interval::Year)),
        Some(_) => Err(invalid("histogram", "`histogram` is `hour`, `day`, `month` or `year`")),
    }
}
