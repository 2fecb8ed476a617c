//! What a request says about all of its events: who traces them, how they are named, how strictly
//! they are read.

use annal_engine::{AppendError, Engine, TopicRefusal};
use annal_event::{
    Encoded, Event, EventError, Limits, Publication, Timestamp, Value, is_topic_name,
    json::{Fill, Strictness},
};
use http::HeaderMap;

use super::answer;
use crate::problem::{Code, Problem};

/// Sources of events that topics have named.
const TOPIC_SOURCES: &str = "/topics/";

/// Longest `Idempotency-Key` and longest `tracestate` (W3C Trace Context §3.3.1.5), in bytes.
const KEY_BYTES_MAX: usize = 255;
const TRACE_STATE_BYTES_MAX: usize = 512;

/// Reads events of one request and encodes them.
pub(crate) struct Producer<'h> {
    limits: Limits,
    trace: Option<(&'h str, Option<&'h str>)>,
    namer: Namer<'h>,
    now: Timestamp,
    strict: bool,
}

/// Makes ids for events without one.
struct Namer<'h> {
    engine: &'h Engine,
    key: Option<&'h str>,
    named: usize,
}

impl Namer<'_> {
    fn next(&mut self) -> String {
        self.named += 1;
        match (self.key, self.named) {
            (None, _) => self.engine.new_id(),
            (Some(key), 1) => key.to_owned(),
            (Some(key), n) => format!("{key}-{n}"),
        }
    }
}

impl<'h> Producer<'h> {
    pub(crate) fn new(
        engine: &'h Engine,
        headers: &'h HeaderMap,
        strict: bool,
    ) -> Result<Producer<'h>, Problem> {
        let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default());
        if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
            let detail = format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} characters of ASCII");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(Producer {
            limits: *engine.limits(),
            trace: trace(headers),
            namer: Namer { engine, key, named: 0 },
            now: engine.now(),
            strict,
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Gives `read` the strictness that this request asks for.
    pub(super) fn with_strictness<T>(&mut self, read: impl FnOnce(&mut Strictness<'_>) -> T) -> T {
        if self.strict {
            return read(&mut Strictness::Strict);
        }
        let namer = &mut self.namer;
        let mut id = || namer.next();
        read(&mut Strictness::Lenient(Fill { id: &mut id, now: self.now }))
    }

    /// The id and the time of an event of the server's own making.
    pub(crate) fn name(&mut self) -> (String, Timestamp) {
        (self.namer.next(), self.now)
    }

    /// An event of the server's own making, with an id and a time.
    pub(crate) fn event(&mut self, source: &'static str, ty: &'static str) -> Event<'static> {
        Event::new(self.namer.next(), source, ty).with_time(self.now.to_string())
    }

    /// Reads one JSON event and encodes it.
    pub(super) fn json<'e>(
        &mut self,
        text: &'e [u8],
        encoded: &mut Encoded,
    ) -> Result<Event<'e>, EventError> {
        let event =
            self.with_strictness(|strictness| annal_event::json::parse_event(text, strictness))?;
        self.encode(event, encoded)
    }

    /// Reads an event for a topic, `{"topic","type","payload"}`, and encodes it; the topic gives it
    /// its id. `index`: its place in an array.
    pub(super) fn publication(
        &self,
        text: &[u8],
        encoded: &mut Encoded,
        index: Option<usize>,
    ) -> Result<(), Problem> {
        let at_index = |error: EventError| match index {
            Some(index) => error.at_index(index),
            None => error,
        };
        let Publication { topic, ty, payload } = Publication::parse(text).map_err(at_index)?;
        if !is_topic_name(&topic) {
            let refusal = TopicRefusal::UnknownTopic { topic: topic.into_owned() };
            let refused = AppendError::RefusedByTopic {
                index: index.unwrap_or_default(),
                refusal: Box::new(refusal),
            };
            return Err(answer::refused(refused, &[], index.is_some()));
        }
        // None is longer, and no other event of the append has it.
        let id = format!("{topic}-{:020}", u64::MAX - encoded.len() as u64);
        let mut event = Event::new(id, format!("{TOPIC_SOURCES}{topic}"), ty)
            .with_time(self.now.to_string())
            .with_extension("topic", topic.into_owned())
            .with_json(payload);
        self.trace(&mut event);
        event.validate(&self.limits).map_err(at_index)?;
        encoded.push_unnamed(&event);
        Ok(())
    }

    /// Refuses a name for events that get theirs from their topic.
    pub(super) fn refuse_key(&self) -> Result<(), Problem> {
        if self.namer.key.is_none() {
            return Ok(());
        }
        let detail = "an event published to a topic is named by the topic; leave Idempotency-Key \
                      out, or send a CloudEvent with `topic`";
        Err(Problem::new(Code::InvalidRequest, detail))
    }

    /// Checks an event and encodes it. Trace context of the request goes with an event that has none.
    pub(crate) fn encode<'e>(
        &self,
        event: Event<'e>,
        encoded: &mut Encoded,
    ) -> Result<Event<'e>, EventError> {
        event.validate_producer()?;
        self.encode_own(event, encoded)
    }

    /// As [`Producer::encode`], for an event with a source that only the store may use.
    pub(crate) fn encode_own<'e>(
        &self,
        mut event: Event<'e>,
        encoded: &mut Encoded,
    ) -> Result<Event<'e>, EventError> {
        self.trace(&mut event);
        encoded.push_valid(&event, &self.limits)?;
        Ok(event)
    }

    fn trace(&self, event: &mut Event<'_>) {
        if let Some((parent, state)) = self.trace
            && event.extension("traceparent").is_none()
        {
            event.set_extension("traceparent".into(), Value::String(parent.to_owned().into()));
            if let Some(state) = state {
                event.set_extension("tracestate".into(), Value::String(state.to_owned().into()));
            }
        }
    }
}

/// `traceparent` and `tracestate` (W3C Trace Context). What is not valid is passed over, as the
/// standard says.
fn trace(headers: &HeaderMap) -> Option<(&str, Option<&str>)> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = parent.split('-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (part.len() == length && part.bytes().all(digit)).then_some(part)
    };
    let (version, trace, span) = (hex(2)?, hex(32)?, hex(16)?);
    hex(2)?;
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    if version == "ff" || zero(trace) || zero(span) || (version == "00" && parent.len() != 55) {
        return None;
    }
    let state = headers.get("tracestate").and_then(|state| state.to_str().ok());
    Some((parent, state.filter(|state| !state.is_empty() && state.len() <= TRACE_STATE_BYTES_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_context_is_taken_only_when_valid() {
        let with = |parent: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", http::HeaderValue::from_static(parent));
            trace(&headers).is_some()
        };
        assert!(with("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(with("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
        assert!(!with("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
        assert!(!with("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
        assert!(!with("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(!with("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(!with("nonsense"));
    }
}
