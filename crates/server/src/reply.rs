//! What goes back: responses and the few kinds of bodies they have.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use crate::{
    eventsdb::EventsBody, problem::Problem, read::export::ExportBody, stream::body::StreamBody,
};

/// A response body. No boxes and no dynamic dispatch on the way to the socket.
pub(crate) enum Reply {
    /// All of it, or nothing once it has been handed on.
    Whole(Option<Bytes>),
    /// Events, written while they are read.
    Export(Box<ExportBody>),
    /// A live stream.
    Stream(Box<StreamBody>),
    /// A subject, for a client of Events-DB.
    Events(Box<EventsBody>),
}

/// Why a body broke off. The connection is closed, which tells the client.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl Reply {
    pub(crate) fn none() -> Reply {
        Reply::Whole(None)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Reply::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reply::Export(body) => body.poll(context).map(framed),
            Reply::Stream(body) => body.poll(context).map(framed),
            Reply::Events(body) => body.poll(context).map(framed),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Whole(bytes) => bytes.is_none(),
            Reply::Export(_) | Reply::Stream(_) | Reply::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Reply::Export(_) | Reply::Stream(_) | Reply::Events(_) => SizeHint::default(),
        }
    }
}

fn framed(next: Option<Result<Bytes, BodyError>>) -> Option<Result<Frame<Bytes>, BodyError>> {
    next.map(|bytes| bytes.map(Frame::data))
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A response with all of its body.
pub(crate) fn whole(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Some(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<Reply> {
    whole(status, JSON, body)
}

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::none());
    *response.status_mut() = status;
    response
}

impl From<Problem> for Response<Reply> {
    fn from(problem: Problem) -> Response<Reply> {
        let mut response = whole(problem.status(), PROBLEM, problem.body());
        for (name, value) in problem.headers() {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}
