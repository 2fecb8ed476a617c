//! The pages: where to look, and the reference. Self-contained; they load nothing from elsewhere.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::reply::{self, Reply};

/// The reference (OpenAPI 3.1).
pub const OPENAPI: &str = include_str!("../../../api/openapi.json");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Own styles and scripts stand in the page; it talks to nobody but this server.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

pub(crate) fn landing() -> Response<Reply> {
    page(include_str!("pages/landing.html"))
}

pub(crate) fn docs() -> Response<Reply> {
    page(include_str!("pages/docs.html"))
}

pub(crate) fn openapi() -> Response<Reply> {
    reply::whole(StatusCode::OK, reply::JSON, Bytes::from_static(OPENAPI.as_bytes()))
}

fn page(html: &'static str) -> Response<Reply> {
    let mut response = reply::whole(StatusCode::OK, HTML, Bytes::from_static(html.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
