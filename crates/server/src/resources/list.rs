//! `GET /resources`: lists.

use std::sync::Arc;

use annal_engine::{Engine, FieldFilter, List, ListSpec, Order, Sort};
use annal_event::ResourceKey;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::push_name;
use crate::{
    json_text::{push_position, push_string},
    negotiate,
    params::{Params, invalid},
    problem::Problem,
    read::{export, failed, link::Link, off_the_reactor, select, wait_for_position},
    reply::{self, Reply},
    shared::Shared,
};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Farther in, a list is read part by part with `after`.
const OFFSET_MAX: usize = 100_000;

/// A part ends early when its documents have so many bytes.
const PART_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `GET /resources`
pub(crate) async fn list(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let spec = spec(&mut params)?;
    params.finish()?;
    let link = Link::of(head);
    let (view, asked) = (Arc::clone(engine.view()), spec.clone());
    let encoding = negotiate::encoding(&head.headers);
    let read = move || {
        let list = view.resource_list(&asked)?;
        let body = export::compressed(encode(&list), encoding);
        Ok::<_, annal_engine::ReadError>((body, next(&list, &asked), list.total))
    };
    let read = off_the_reactor(read).await?;
    let ((body, encoding), next, total) = read.map_err(|error| failed(&error))?;
    let mut response = reply::json(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert("x-total-count", HeaderValue::from(total));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(name) = export::encoding_name(encoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some((moving, value)) = next
        && let Ok(next) = HeaderValue::from_str(&link.next(moving, &value))
    {
        headers.insert(header::LINK, next);
    }
    Ok(response)
}

/// Where the list goes on: in order of key after the last, else further in.
fn next(list: &List, spec: &ListSpec) -> Option<(&'static str, String)> {
    let last = list.resources.last().filter(|_| list.more)?;
    let further = spec.offset + list.resources.len();
    if spec.sort == Sort::Key && spec.offset == 0 {
        return Some(("after", last.key.to_string()));
    }
    (further <= OFFSET_MAX).then(|| ("offset", further.to_string()))
}

fn spec(params: &mut Params<'_>) -> Result<ListSpec, Problem> {
    let sort = match params.take("sort")? {
        Some(text) => sort(&text)?,
        None => Sort::Key,
    };
    let offset = match params.take("offset")? {
        Some(text) => offset(&text)?,
        None => 0,
    };
    let wrong = || invalid("after", "`after` is `type/id`, as the Link of the part before has it");
    let after = match params.take("after")? {
        Some(text) => Some(ResourceKey::from_text(&text).ok_or_else(wrong)?.into_owned()),
        None => None,
    };
    if after.is_some() && (sort != Sort::Key || offset > 0) {
        let detail = "`after` goes with the order of keys; leave out `sort` and `offset`";
        return Err(invalid("after", detail));
    }
    let filters = params.take_bracketed("filter");
    Ok(ListSpec {
        ty: params.take("type")?.map(|ty| ty.into_owned()),
        filters: filters.into_iter().map(|(name, value)| filter(&name, value)).collect(),
        sort,
        offset,
        limit: select::limit(params, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
        after,
        bytes_max: PART_BYTES_MAX,
    })
}

fn offset(text: &str) -> Result<usize, Problem> {
    let offset = text.parse().ok().filter(|offset| *offset <= OFFSET_MAX);
    offset.ok_or_else(|| {
        let detail = format!(
            "`offset` is a whole number from 0 to {OFFSET_MAX}; deep lists go on with `after`"
        );
        invalid("offset", detail)
    })
}

fn path(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn filter(name: &str, value: String) -> FieldFilter {
    FieldFilter { path: path(name), value }
}

/// `title`, `-title`; `revision` is not a member but what stands beside the document.
fn sort(text: &str) -> Result<Sort, Problem> {
    let (name, order) = match text.strip_prefix('-') {
        Some(name) => (name, Order::Descending),
        None => (text, Order::Ascending),
    };
    match name {
        name if name.is_empty() || !is_one_member(name) => {
            let detail = "`sort` is one path of members, with `-` before it for descending";
            Err(invalid("sort", detail))
        }
        "revision" => Ok(Sort::Revision(order)),
        name => Ok(Sort::Field(path(name), order)),
    }
}

/// Whether an order does not ask for several members, or for a direction, in the way of others:
/// `a,b`, `a:desc`. It would be taken for a member that no document has.
pub(crate) fn is_one_member(sort: &str) -> bool {
    let directed = sort.rsplit_once([':', ' ']).is_some_and(|(_, word)| {
        word.eq_ignore_ascii_case("asc") || word.eq_ignore_ascii_case("desc")
    });
    !directed && !sort.contains(',')
}

fn encode(list: &List) -> Vec<u8> {
    let bytes: usize =
        list.resources.iter().filter_map(|found| found.document.text()).map(str::len).sum();
    let mut out = Vec::with_capacity(bytes + 160 * list.resources.len() + 2);
    out.push(b'[');
    for (place, resource) in list.resources.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_name(&mut out, &resource.key);
        if let Some(subject) = resource.document.subject() {
            out.extend_from_slice(b",\"subject\":");
            push_string(&mut out, subject);
        }
        out.extend_from_slice(b",\"revision\":");
        push_position(&mut out, resource.document.revision());
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(resource.document.text().unwrap_or("null").as_bytes());
        out.push(b'}');
    }
    out.push(b']');
    out
}
