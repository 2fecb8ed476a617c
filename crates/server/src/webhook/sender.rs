//! The seam between webhooks and the network: one request out, one answer back.

use std::{fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::callback::Callback;

/// A request on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) callback: Arc<Callback>,
    pub(crate) method: Method,
    /// Without `Host` and `Content-Length`.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Everything together takes no longer.
    pub(crate) timeout: Duration,
}

/// An answer. Its body is of no interest.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// Why there is no answer. The texts are for those who run the endpoint too: they name no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The callback leads where requests may not go. The address is for the operator.
    #[error("the callback leads to an address that may not be called")]
    Refused(IpAddr),
    #[error("the callback's name could not be resolved")]
    Unresolved(String),
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("no TLS: {0}")]
    NoTls(String),
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the connection broke: {0}")]
    Broken(String),
}

pub(crate) type Sending<'s> =
    Pin<Box<dyn Future<Output = Result<Answered, SendError>> + Send + 's>>;
pub(crate) type Resolving<'s> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 's>>;

/// Sends requests.
pub(crate) trait HttpSender: fmt::Debug + Send + Sync {
    /// Sends one request. Follows no redirect.
    fn send(&self, outgoing: Outgoing) -> Sending<'_>;

    /// Whether requests may go where a callback leads now.
    fn vet<'s>(&'s self, callback: &'s Callback) -> Resolving<'s>;

    /// Closes connections that have idled for long.
    fn sweep(&self);
}
