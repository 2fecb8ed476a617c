//! Refusals: RFC 9457 problem documents with stable codes (INV-7).
//!
//! Every refusal that leaves this server is one of [`Code`]; `docs/errors.md` lists them for those
//! who write clients, and a test compares the two. A detail says what to do. What only the operator
//! may know goes to the log, not into a detail.

use std::{borrow::Cow, fmt};

use annal_event::EventError;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::json_text::push_string;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// What kind of refusal it is. Codes are never reused and never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the table in `docs/errors.md`.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The stable text, last part of the problem's `type`.
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $code,)+ }
            }

            /// The status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status,)+ }
            }

            /// The same sentence for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request line, a header or the framing is not HTTP, or a header has a wrong value.
    InvalidRequest = "invalid-request", 400, "The request is not well formed";
    /// A query parameter, or a part of the path, has a value that cannot be read.
    InvalidParameter = "invalid-parameter", 400, "A parameter has a value that cannot be used";
    /// A query parameter that this route does not have.
    UnknownParameter = "unknown-parameter", 400, "The route has no such parameter";
    /// The body is not JSON, not protobuf, not UTF-8, or ends too early.
    MalformedBody = "malformed-body", 400, "The body cannot be read";
    /// Compressed bytes that do not decompress.
    MalformedEncoding = "malformed-encoding", 400, "The body cannot be decompressed";
    /// An event breaks a rule of CloudEvents.
    InvalidEvent = "invalid-event", 400, "The event is not a valid CloudEvent";
    /// An event uses what the store keeps for itself.
    Reserved = "reserved", 400, "The event uses a name that the store keeps for itself";
    /// A query has another form than the documented one, or does not parse.
    InvalidQuery = "invalid-query", 400, "The query cannot be read";
    /// A precondition has another form than the documented one.
    InvalidPrecondition = "invalid-precondition", 400, "The precondition cannot be read";
    /// A filter is no CESQL expression, or no list of filter dialects.
    InvalidFilter = "invalid-filter", 400, "The filter cannot be read";
    /// What is said about a consumer cannot be used.
    InvalidConsumer = "invalid-consumer", 400, "The consumer cannot be registered or moved like this";
    /// A callback that leads where requests may not go.
    CallbackRefused = "callback-refused", 400, "The callback may not be called";
    /// An endpoint that does not say that it wants deliveries.
    CallbackNotValidated = "callback-not-validated", 400, "The endpoint does not agree to deliveries";
    /// A patch that is none.
    InvalidPatch = "invalid-patch", 400, "The patch cannot be read";
    /// What is asked of a topic has another form than the documented one.
    InvalidTopic = "invalid-topic", 400, "The topic cannot be read";
    /// A message to realtime clients, or a checkpoint of one, that is not what it should be.
    InvalidMessage = "invalid-message", 400, "The message is not what this route takes";
    /// A page of a foreign origin asks for a change.
    OriginRefused = "origin-refused", 403, "The page's origin may not change anything here";
    /// No such route.
    NotFound = "not-found", 404, "There is nothing at this path";
    /// No such event.
    EventNotFound = "event-not-found", 404, "There is no such event";
    /// No such resource.
    ResourceNotFound = "resource-not-found", 404, "There is no such resource";
    /// No such schema.
    SchemaNotFound = "schema-not-found", 404, "There is no such schema";
    /// No such topic.
    TopicNotFound = "topic-not-found", 404, "There is no such topic";
    /// No such consumer.
    ConsumerNotFound = "consumer-not-found", 404, "There is no such consumer";
    /// A client that has set no checkpoint.
    CheckpointNotFound = "checkpoint-not-found", 404, "There is no such checkpoint";
    /// No such tenant.
    TenantNotFound = "tenant-not-found", 404, "There is no such tenant";
    /// The route exists, but not with this method.
    MethodNotAllowed = "method-not-allowed", 405, "The route does not take this method";
    /// None of the accepted media types can be made.
    NotAcceptable = "not-acceptable", 406, "None of the accepted media types is available";
    /// The body stopped coming.
    RequestTimeout = "request-timeout", 408, "The body did not arrive in time";
    /// The same identity with other content.
    IdentityConflict = "identity-conflict", 409, "The identity belongs to another event";
    /// A precondition does not hold.
    PreconditionFailed = "precondition-failed", 409, "A precondition does not hold";
    /// A patch that the document does not allow.
    PatchFailed = "patch-failed", 409, "The patch cannot be applied";
    /// A unique value that another has, or a reference that leads nowhere, or would.
    ConstraintViolation = "constraint-violation", 409, "A constraint would be broken";
    /// There is a topic of this name.
    TopicExists = "topic-exists", 409, "There is such a topic already";
    /// Stored events of a topic break what is to become its schema.
    StoredEventsBreak = "stored-events-break", 409, "Stored events break the schema";
    /// The secret of a consumer is not there any more.
    SecretLost = "secret-lost", 409, "The consumer's secret is lost";
    /// A user has deleted the event.
    EventDeleted = "event-deleted", 410, "The event has been deleted";
    /// The resource was there and is not any more.
    ResourceDeleted = "resource-deleted", 410, "The resource has been deleted";
    /// One event is larger than one may be.
    EventTooLarge = "event-too-large", 413, "The event is too large";
    /// A document would become larger than one may be.
    DocumentTooLarge = "document-too-large", 413, "The document would be too large";
    /// A batch holds more events than one may.
    BatchTooLarge = "batch-too-large", 413, "The batch holds too many events";
    /// A body is larger than one may be, as it came or after decompression.
    RequestTooLarge = "request-too-large", 413, "The body is too large";
    /// The request target is longer than it may be.
    UriTooLong = "uri-too-long", 414, "The request target is too long";
    /// The body is of a media type that this route does not take.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body's media type is not taken here";
    /// The body is encoded in a way that is not understood.
    UnsupportedEncoding = "unsupported-encoding", 415, "The body's encoding is not understood";
    /// An expectation other than `100-continue`.
    ExpectationFailed = "expectation-failed", 417, "The expectation cannot be met";
    /// An event of a commit type that is no commit, or patches nothing.
    InvalidCommit = "invalid-commit", 422, "The event is not a commit that can be applied";
    /// A document or a payload that its schema refuses.
    SchemaViolation = "schema-violation", 422, "The document breaks its schema";
    /// A topic that lists other types than the event's.
    TypeNotListed = "type-not-listed", 422, "The topic does not list the type";
    /// A schema that nobody has registered.
    UnknownSchema = "unknown-schema", 422, "The schema is not registered";
    /// A schema that is none.
    InvalidSchema = "invalid-schema", 422, "The schema is not a valid JSON Schema";
    /// A precondition that this server cannot judge.
    UnsupportedPrecondition = "unsupported-precondition", 422, "The precondition cannot be judged";
    /// A topic would list more than one may, or there would be more topics than may be.
    TopicTooLarge = "topic-too-large", 422, "The topic would grow beyond its bounds";
    /// Search, or search over events, is switched off.
    SearchNotAvailable = "search-not-available", 422, "This is not searched here";
    /// More clients follow than may.
    TooManyClients = "too-many-clients", 429, "There are too many clients";
    /// More consumers than there may be.
    TooManyConsumers = "too-many-consumers", 429, "There are too many consumers";
    /// A consumer's secret was rotated so often that too many sign along.
    TooManySecrets = "too-many-secrets", 429, "Too many of the consumer's secrets sign";
    /// More checkpoints than there is room for.
    TooManyCheckpoints = "too-many-checkpoints", 429, "There are too many checkpoints";
    /// The headers are larger than they may be.
    HeadersTooLarge = "headers-too-large", 431, "The headers are too large";
    /// Something that should not happen did.
    Internal = "internal", 500, "The server failed";
    /// What is stored cannot be read back.
    Damaged = "damaged", 500, "Stored data cannot be read";
    /// The server is recovering its data directory.
    Starting = "starting", 503, "The server is starting";
    /// The server ends its streams because it stops.
    Stopping = "stopping", 503, "The server is stopping";
    /// More is waiting than may wait.
    Busy = "busy", 503, "The server is busy";
    /// More live streams than there may be.
    TooManyStreams = "too-many-streams", 503, "There are too many live streams";
    /// The position asked for has not been reached.
    PositionNotReached = "position-not-reached", 503, "The position has not been reached";
    /// The search index is being built.
    Rebuilding = "rebuilding", 503, "The search index is being built";
    /// Search did not come to what was appended before the query in time.
    SearchLag = "search-lag", 503, "Search has not caught up";
    /// Appends are not possible; nothing was stored.
    Unavailable = "unavailable", 503, "Appends are not possible";
    /// Nobody knows whether the events were stored.
    OutcomeUnknown = "outcome-unknown", 504, "It is not known whether the events were stored";
    /// No room on the disk; nothing was stored.
    DiskFull = "disk-full", 507, "The disk is full";
}

impl From<annal_event::EventErrorKind> for Code {
    fn from(kind: annal_event::EventErrorKind) -> Code {
        // The vocabulary names the code; `Code::ALL` says what it answers.
        let text = kind.code();
        Code::ALL.iter().copied().find(|code| code.text() == text).unwrap_or(Code::Internal)
    }
}

/// A refusal on its way to a client.
pub(crate) struct Problem(Box<Inner>);

struct Inner {
    code: Code,
    status: u16,
    detail: Cow<'static, str>,
    /// More members, each `,"name":value`.
    members: Vec<u8>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Inner {
            code,
            status: code.status(),
            detail: detail.into(),
            members: Vec::new(),
            headers: Vec::new(),
        }))
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// What to do about it.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The further members of the document: each `,"name":value`.
    pub(crate) fn members(&self) -> &[u8] {
        &self.0.members
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same refusal under another status, where a standard asks for one.
    pub(crate) fn with_status(mut self, status: u16) -> Problem {
        self.0.status = status;
        self
    }

    /// Adds a member whose value is JSON text already.
    pub(crate) fn with_json(mut self, name: &str, json: &[u8]) -> Problem {
        let members = &mut self.0.members;
        members.push(b',');
        push_string(members, name);
        members.push(b':');
        members.extend_from_slice(json);
        self
    }

    pub(crate) fn with_number(self, name: &str, number: u64) -> Problem {
        self.with_json(name, itoa::Buffer::new().format(number).as_bytes())
    }

    pub(crate) fn with_text(self, name: &str, text: &str) -> Problem {
        let mut json = Vec::with_capacity(text.len() + 2);
        push_string(&mut json, text);
        self.with_json(name, &json)
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.push((name, value));
        self
    }

    /// Tells the client when to come back.
    pub(crate) fn retry_after(self, seconds: u32) -> Problem {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The problem document.
    pub(crate) fn body(&self) -> Vec<u8> {
        let Inner { code, status, detail, members, .. } = &*self.0;
        let mut out = Vec::with_capacity(192 + detail.len() + members.len());
        out.extend_from_slice(b"{\"type\":\"urn:annal:problem:");
        out.extend_from_slice(code.text().as_bytes());
        out.extend_from_slice(b"\",\"title\":");
        push_string(&mut out, code.title());
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(itoa::Buffer::new().format(*status).as_bytes());
        out.extend_from_slice(b",\"detail\":");
        push_string(&mut out, detail);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(code.text().as_bytes());
        out.push(b'"');
        out.extend_from_slice(members);
        out.push(b'}');
        out
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Problem {
        let code = Code::from(error.kind());
        let mut problem = Problem::new(code, error.detail().to_owned());
        if let Some(index) = error.index() {
            problem = problem.with_number("index", index as u64);
        }
        if let Some(position) = error.position() {
            problem = problem.with_number("position", position as u64);
        }
        if error.pointer().is_empty() {
            return problem;
        }
        problem.with_text("pointer", error.pointer())
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.text(), self.0.detail)
    }
}

#[cfg(test)]
mod tests {
    use annal_event::json;

    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_says_where() {
        let error = json::parse_filter(br#"[{"sql":"type ="}]"#).expect_err("no filter");
        let body = Problem::from(error).body();
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(document["code"], "invalid-filter");
        assert_eq!(document["pointer"], "/0/sql");
        assert_eq!(document["position"], 6);
    }
}
