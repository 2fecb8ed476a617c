//! `GET /events`: a page, in the form the client likes best.

use std::sync::Arc;

use annal_engine::{Engine, Order, Page, ReadError};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{encode, export, failed, link::Link, off_the_reactor, select, wait_for_position};
use crate::{
    json_text::{push_position, push_string},
    negotiate::{self, Encoding},
    params::Params,
    problem::{Code, Problem},
    reply::{self, Reply},
    shared::Shared,
    stream,
};

/// A page ends early when it has so many bytes of records.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

const OFFERS: [&str; 5] = [
    "application/json",
    "application/cloudevents-batch+json",
    "application/x-ndjson",
    "application/cloudevents-batch+protobuf",
    "text/event-stream",
];

/// The forms of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Batch,
    ProtoBatch,
}

/// Serves what is asked for.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let offer = negotiate::media_type(&head.headers, &OFFERS).ok_or_else(not_acceptable)?;
    let form = match offer {
        "text/event-stream" => return stream::open(shared, engine, head).await,
        "application/cloudevents-batch+json" => Form::Batch,
        "application/cloudevents-batch+protobuf" => Form::ProtoBatch,
        "application/x-ndjson" => return export(shared, engine, head).await,
        _ => Form::Page,
    };
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let mut spec = select::spec(&mut params)?;
    spec.limit = select::limit(&mut params, select::LIMIT_MAX)?.unwrap_or(select::LIMIT_DEFAULT);
    spec.bytes_max = PAGE_BYTES_MAX;
    params.finish()?;
    let link = Link::of(head);
    let view = Arc::clone(engine.view());
    let encoding = negotiate::encoding(&head.headers);
    let page = off_the_reactor(move || {
        let page = view.read(&spec)?;
        let body = encode_page(form, &page)?;
        let moving = match spec.order {
            Order::Ascending => "after",
            Order::Descending => "before",
        };
        let next = page.next.map(|next| link.next(moving, &next.to_string()));
        Ok((export::compressed(body, encoding), next))
    });
    let ((body, encoding), next) = page.await?.map_err(|error: ReadError| failed(&error))?;
    Ok(response(offer, body, encoding, next))
}

async fn export(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let mut spec = select::spec(&mut params)?;
    spec.limit = select::limit(&mut params, usize::MAX)?.unwrap_or(usize::MAX);
    params.finish()?;
    let encoding = negotiate::encoding(&head.headers);
    export::response(Arc::clone(engine.view()), spec, encoding).await
}

fn response(
    media_type: &str,
    body: Vec<u8>,
    encoding: Encoding,
    next: Option<String>,
) -> Response<Reply> {
    let content_type = HeaderValue::from_str(media_type).unwrap_or(reply::JSON);
    let mut response = reply::whole(StatusCode::OK, content_type, body);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(name) = export::encoding_name(encoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        headers.insert(header::LINK, next);
    }
    response
}

fn encode_page(form: Form, page: &Page) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::with_capacity(64 + page.events.len() * 512);
    match form {
        Form::Batch => {
            out.push(b'[');
            encode::push_json_list(&mut out, &page.events)?;
            out.push(b']');
        }
        Form::ProtoBatch => {
            for stored in &page.events {
                encode::push_proto_item(&mut out, stored)?;
            }
        }
        Form::Page => push_page(&mut out, page)?,
    }
    Ok(out)
}

fn push_page(out: &mut Vec<u8>, page: &Page) -> Result<(), ReadError> {
    out.extend_from_slice(b"{\"events\":[");
    encode::push_json_list(out, &page.events)?;
    out.extend_from_slice(b"],\"next\":");
    match page.next {
        Some(next) => push_position(out, next),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"has_more\":");
    out.extend_from_slice(if page.next.is_some() { b"true" } else { b"false" });
    out.extend_from_slice(b",\"head\":");
    push_position(out, page.head);
    out.push(b'}');
    Ok(())
}

fn not_acceptable() -> Problem {
    let mut list = Vec::new();
    for offer in OFFERS {
        list.push(if list.is_empty() { b'[' } else { b',' });
        push_string(&mut list, offer);
    }
    list.push(b']');
    let detail = format!("accept one of {}", OFFERS.join(", "));
    Problem::new(Code::NotAcceptable, detail).with_json("available", &list)
}
