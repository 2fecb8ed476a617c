//! Which events a request asks for: the parameters that pages, exports and streams share.

use std::sync::Arc;

use annal_engine::{Order, ReadSpec};
use annal_event::{Filter, Interest, Pattern, Position, Query, Selector};

use crate::{
    params::{Params, invalid},
    problem::Problem,
};

/// Filters of one request; any of them lets an event through.
const FILTERS_MAX: usize = 64;

/// Events on one page, unless asked otherwise, and at most.
pub(crate) const LIMIT_DEFAULT: usize = 100;
pub(crate) const LIMIT_MAX: usize = 10_000;

/// The parameters that say which events: subject, type, source, topic, tag, filter, since, until,
/// system.
pub(crate) fn interest(params: &mut Params<'_>) -> Result<Interest, Problem> {
    let query = query(params)?;
    Ok(Interest {
        filters: filters(params)?,
        since: params.take_as("since")?,
        until: params.take_as("until")?,
        system: params.take_flag("system")?,
        query,
    })
}

fn filters(params: &mut Params<'_>) -> Result<Vec<Arc<Filter>>, Problem> {
    let texts = params.take_all("filter");
    if texts.len() > FILTERS_MAX {
        let detail = format!("a request has at most {FILTERS_MAX} filters");
        return Err(invalid("filter", detail));
    }
    let compile = |text: String| {
        let filter = Filter::expression(&text).map_err(Problem::from)?;
        Ok(Arc::new(filter))
    };
    let compiled: Result<Vec<_>, Problem> = texts.into_iter().map(compile).collect();
    compiled.map_err(|problem| problem.with_text("parameter", "filter"))
}

fn query(params: &mut Params<'_>) -> Result<Query, Problem> {
    let recursive = params.take_flag("recursive")?;
    let subjects = params.take_all("subject");
    if recursive && subjects.is_empty() {
        return Err(invalid("recursive", "`recursive` goes with `subject`"));
    }
    let subject = |text| if recursive { tree(text) } else { Pattern::Exact(text) };
    let selector = Selector {
        subjects: subjects.into_iter().map(subject).collect(),
        types: types(params)?,
        sources: params.take_all("source"),
        topics: params.take_all("topic"),
        tags: params.take_all("tag"),
    };
    Ok(if selector.is_all() { Query::all() } else { Query::one(selector) })
}

/// The tree under a subject.
pub(crate) fn tree(mut root: String) -> Pattern {
    // `orders/` means the same as `orders`.
    root.truncate(root.trim_end_matches('/').len());
    Pattern::Tree(root)
}

fn types(params: &mut Params<'_>) -> Result<Vec<Pattern>, Problem> {
    let exact = params.take_all("type");
    let prefixes = params.take_all("type_prefix");
    match (exact.is_empty(), prefixes.is_empty()) {
        (false, false) => Err(invalid("type_prefix", "give `type` or `type_prefix`, not both")),
        (false, true) => Ok(exact.into_iter().map(Pattern::Exact).collect()),
        (true, _) => Ok(prefixes.into_iter().map(Pattern::Prefix).collect()),
    }
}

/// A whole selection without its limit, which pages and exports read differently.
pub(crate) fn spec(params: &mut Params<'_>) -> Result<ReadSpec, Problem> {
    let order = match params.take("order")?.as_deref() {
        None | Some("asc") => Order::Ascending,
        Some("desc") => Order::Descending,
        Some(_) => return Err(invalid("order", "`order` is `asc` or `desc`")),
    };
    Ok(ReadSpec {
        interest: interest(params)?,
        after: params.take_as::<Position>("after")?,
        before: params.take_as::<Position>("before")?,
        order,
        ..ReadSpec::default()
    })
}

/// `limit`, from 1.
pub(crate) fn limit(params: &mut Params<'_>, most: usize) -> Result<Option<usize>, Problem> {
    let range = || invalid("limit", format_args!("`limit` is a whole number from 1 to {most}"));
    let Some(text) = params.take("limit")? else { return Ok(None) };
    match text.parse() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(Some(limit)),
        _ => Err(range()),
    }
}
