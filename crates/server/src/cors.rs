//! Cross-origin requests (WHATWG Fetch §3.2): off unless origins are given.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderValue, Method, Response, Uri, header, request::Parts, uri::Authority};

use crate::{
    ServerOptions,
    problem::{Code, Problem},
    reply::Reply,
    route::Route,
    service::no_content,
    shared::Shared,
};

/// What a script may read besides the simple headers.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, Link, ETag, Retry-After, X-Request-Id, X-Total-Count, Content-Location",
);

/// What a script may send, unless it names headers itself.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "Accept, Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-Match, \
     If-None-Match, Last-Event-ID, Traceparent, Tracestate, X-API-Key, X-Request-Id",
);

const MAX_AGE_S: HeaderValue = HeaderValue::from_static("86400");

/// Answers `OPTIONS`: what the route takes, and a preflight where one is allowed.
pub(crate) fn options(shared: &Shared, asked: &HeaderMap, route: Route) -> Response<Reply> {
    let mut response = no_content();
    let headers = response.headers_mut();
    let Ok(allow) = HeaderValue::from_str(&route.allow()) else { return response };
    headers.insert(header::ALLOW, allow.clone());
    let preflight = asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if preflight && allowed(&shared.options, asked.get(header::ORIGIN)).is_some() {
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow);
        let wanted = wanted.cloned().unwrap_or(ALLOWED);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    }
    response
}

/// Lets the origin of a request read the answer, if it is one that may.
pub(crate) fn allow(
    options: &ServerOptions,
    origin: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) {
    if options.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed(options, origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// Refuses changes that a page from elsewhere asks for: a browser sends simple requests without
/// asking first, and says whose they are (WHATWG Fetch §3.1).
pub(crate) fn check(options: &ServerOptions, head: &Parts) -> Result<(), Problem> {
    let Some(origin) = head.headers.get(header::ORIGIN) else { return Ok(()) };
    if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| head.uri.authority().map(|host| host.as_str().as_bytes()));
    let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let same = own.is_some_and(|(_, authority)| {
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_bytes()))
            && is_own(authority, options)
    });
    if same || allowed(options, Some(origin)).is_some() {
        return Ok(());
    }
    let detail = "pages of this origin may not change anything here; --base-url says under which \
                  name this server is reached, and --cors-origin allows pages from elsewhere";
    Err(Problem::new(Code::OriginRefused, detail))
}

/// Whether a name is nobody else's: any other may be made to lead here by whoever owns it, after a
/// page was loaded from there (DNS rebinding).
fn is_own(authority: &str, options: &ServerOptions) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || name.parse::<Ipv4Addr>().is_ok();
    let configured = options.base_url.parse::<Uri>().ok();
    let configured = configured.as_ref().and_then(Uri::host);
    is_address
        || name == "localhost"
        || name.ends_with(".localhost")
        || configured.is_some_and(|configured| configured.eq_ignore_ascii_case(&name))
}

fn allowed<'h>(
    options: &ServerOptions,
    origin: Option<&'h HeaderValue>,
) -> Option<&'h HeaderValue> {
    let origin = origin?;
    let may = |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
    options.cors_origins.iter().any(may).then_some(origin)
}
