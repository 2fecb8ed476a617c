//! Registering consumers: reading what is asked for, judging the callback, making the secret.

use annal_engine::{Called, Engine, View};
use annal_event::{
    ConsumerEvent, ConsumerSpec, Format, Ordering, Position, Retry, Timestamp, TopicStart,
    json::{Json, Object, parse_filter},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{
    append,
    members::{Members, number, text, wrong},
    parse,
};
use crate::{
    json_text::push_string,
    problem::{Code, Problem},
    read::{failed, off_the_reactor},
    reply::{self, Reply},
    shared::Shared,
    topics::events::not_one,
    webhook::{
        USER_AGENT,
        callback::Callback,
        keys::Keys,
        sender::{Outgoing, SendError},
        sign::Secret,
    },
};

/// Events of one delivery, unless asked otherwise, and at most.
const BATCH_DEFAULT: u64 = 100;
const BATCH_MAX: u64 = 1_000;

const TOPICS_MAX: usize = 100;
const RETRIES_MAX: usize = 50;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
const TIMEOUT_MS_MAX: u64 = 60_000;
const MAX_AGE_MS_MAX: u64 = 365 * DAY_MS;
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 4_096;
/// Longest id of an event to begin after.
const EVENT_ID_BYTES_MAX: usize = 1_024;

/// How long an ephemeral consumer may take to answer.
const EPHEMERAL_TIMEOUT_MS: u64 = 30_000;

/// How long an endpoint may take to say that it wants deliveries.
const VALIDATION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Whether an endpoint is asked if it wants deliveries (CloudEvents, HTTP 1.1 Web Hooks §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Validate {
    #[default]
    Off,
    Optional,
    Required,
}

const VALIDATE: [(&str, Validate); 3] =
    [("off", Validate::Off), ("optional", Validate::Optional), ("required", Validate::Required)];

/// `POST /consumers/register`
pub(super) async fn ephemeral(
    shared: &Shared,
    engine: &Engine,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    let json = parse(body)?;
    let mut members = Members::of(&json, "")?;
    let callback = callback(&mut members)?;
    let topics = topics(engine, &mut members).await?;
    members.finish()?;
    if topics.is_empty() {
        let detail = "name the topics: {\"user-events\":null} is all its events, and the id of an \
                      event in place of null those after it";
        return Err(wrong("/topics", detail));
    }
    let spec = ConsumerSpec {
        id: engine.new_id(),
        callback: callback.0,
        durable: false,
        from: begin(&topics),
        topics,
        filter: None,
        format: Format::Batch,
        batch_size: BATCH_DEFAULT as u32,
        ordering: Ordering::Log,
        retry: Retry {
            schedule_ms: Vec::new(),
            timeout_ms: EPHEMERAL_TIMEOUT_MS,
            max_age_ms: None,
        },
        headers: Vec::new(),
    };
    vet(shared, &callback.1).await?;
    let id = spec.id.clone();
    let secret = Secret::new(|| engine.random());
    begin_consumer(shared, engine, spec, Keys::new(secret, Vec::new())).await?;
    let mut out = b"{\"consumerId\":".to_vec();
    push_string(&mut out, &id);
    out.push(b'}');
    Ok(created(&id, out))
}

/// `POST /consumers`
pub(super) async fn durable(
    shared: &Shared,
    engine: &Engine,
    body: &str,
) -> Result<Response<Reply>, Problem> {
    let json = parse(body)?;
    let mut members = Members::of(&json, "")?;
    let (callback, target) = callback(&mut members)?;
    let topics = topics(engine, &mut members).await?;
    let filter = members.take("filter").map(Json::to_string);
    if let Some(filter) = &filter {
        parse_filter(filter.as_bytes())?;
    }
    let from = match members.take("from") {
        Some(json) => position(engine, json, "/from").await?,
        // A topic that says where it begins says it for all.
        None if topics.is_empty() => engine.head(),
        None => begin(&topics),
    };
    let format = members.word("format", &Format::NAMES)?.unwrap_or_default();
    let batch_size = match (members.number("batch_size", 1, BATCH_MAX)?, format) {
        (Some(2..), Format::CloudEvents) => {
            let detail = "`cloudevents` sends one event a request; `cloudevents-batch` sends more";
            return Err(wrong("/batch_size", detail));
        }
        (Some(size), _) => size,
        (None, Format::CloudEvents) => 1,
        (None, _) => BATCH_DEFAULT,
    };
    let ordering = members.word("ordering", &Ordering::NAMES[..2])?.unwrap_or_default();
    let retry = retry(&mut members)?;
    let secret = secret(engine, &mut members)?;
    let headers = headers(&mut members)?;
    let validate = members.word("validate", &VALIDATE)?.unwrap_or_default();
    members.finish()?;
    vet(shared, &target).await?;
    if validate != Validate::Off {
        validated(shared, &target, &headers, validate).await?;
    }
    let spec = ConsumerSpec {
        id: engine.new_id(),
        callback,
        durable: true,
        topics,
        filter,
        from,
        format,
        batch_size: batch_size as u32,
        ordering,
        retry,
        headers: headers.iter().map(|(name, _)| name.clone()).collect(),
    };
    let (id, shown) = (spec.id.clone(), secret.text());
    begin_consumer(shared, engine, spec, Keys::new(secret, headers)).await?;
    let mut out = b"{\"consumerId\":".to_vec();
    push_string(&mut out, &id);
    out.extend_from_slice(b",\"secret\":");
    push_string(&mut out, &shown);
    out.push(b'}');
    Ok(created(&id, out))
}

fn created(id: &str, body: Vec<u8>) -> Response<Reply> {
    let mut response = reply::json(StatusCode::CREATED, body);
    if let Ok(location) = HeaderValue::from_str(&format!("/consumers/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Keeps the secrets, then says that there is one more. A crash between the two leaves a register
/// that nobody knows of, which goes at the next start.
async fn begin_consumer(
    shared: &Shared,
    engine: &Engine,
    spec: ConsumerSpec,
    keys: Keys,
) -> Result<(), Problem> {
    let most = shared.options.consumers_max;
    let there = engine.view().consumers().list(engine.head(), most);
    if there.map_err(|error| failed(&error.into()))?.len() >= most {
        let detail = format!("there are {most} consumers, as many as may be; remove one first");
        return Err(Problem::new(Code::TooManyConsumers, detail));
    }
    save(engine, &spec.id, keys).await?;
    append(engine, ConsumerEvent::Registered(Box::new(spec))).await
}

/// Keeps the secrets of a consumer, durably.
pub(super) async fn save(engine: &Engine, id: &str, keys: Keys) -> Result<(), Problem> {
    let (engine, id) = (engine.clone(), id.to_owned());
    let saved = off_the_reactor(move || keys.save(&engine, &id)).await?;
    saved.map_err(|error| {
        tracing::error!(%error, "the secrets of a consumer could not be written");
        match error.kind() {
            std::io::ErrorKind::StorageFull => {
                Problem::new(Code::DiskFull, "make room on the server's disk and try again")
            }
            _ => Problem::new(Code::Internal, "the server's log says what could not be written"),
        }
    })
}

fn callback(members: &mut Members<'_, '_>) -> Result<(String, Callback), Problem> {
    let text = members.text("callback")?;
    let text = text.ok_or_else(|| wrong("/callback", "say where deliveries go"))?;
    let callback = Callback::parse(&text).map_err(|what| wrong("/callback", what))?;
    Ok((text, callback))
}

/// INV-6: refuses a callback that leads where requests may not go.
pub(super) async fn vet(shared: &Shared, callback: &Callback) -> Result<(), Problem> {
    let Err(error) = shared.webhooks.sender.vet(callback).await else { return Ok(()) };
    let detail = match &error {
        SendError::Refused(address) => {
            tracing::warn!(%address, host = callback.host, "a callback is refused");
            "it leads to an address of this machine, its network or its provider; the operator \
             allows such with --webhook-allow-cidr"
        }
        _ => "its name could not be resolved; give one that can",
    };
    Err(Problem::new(Code::CallbackRefused, detail).with_text("pointer", "/callback"))
}

/// Asks an endpoint whether it wants deliveries.
async fn validated(
    shared: &Shared,
    callback: &Callback,
    own: &[(String, String)],
    validate: Validate,
) -> Result<(), Problem> {
    let base = shared.options.base_url.as_str();
    let origin = Callback::parse(base).map_or_else(|_| base.to_owned(), |url| url.host);
    let mut headers = HeaderMap::new();
    for (name, value) in own {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        {
            headers.insert(name, value);
        }
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Ok(origin) = HeaderValue::try_from(origin.as_str()) {
        headers.insert("webhook-request-origin", origin);
    }
    let outgoing = Outgoing {
        callback: callback.clone().into(),
        method: Method::OPTIONS,
        headers,
        body: Bytes::new(),
        timeout: VALIDATION_TIMEOUT,
    };
    let answer = shared.webhooks.sender.send(outgoing).await;
    let allowed = answer.as_ref().ok().filter(|answered| answered.status.is_success());
    let allowed = allowed.and_then(|answered| answered.headers.get("webhook-allowed-origin"));
    let granted = allowed.is_some_and(|allowed| {
        allowed
            .to_str()
            .is_ok_and(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(&origin))
    });
    // One that says nothing is not asked further where that is optional; one that names somebody
    // else has answered.
    if granted || validate == Validate::Optional && allowed.is_none() {
        return Ok(());
    }
    let said = match &answer {
        Ok(answered) if allowed.is_none() => {
            format!("answered {} without WebHook-Allowed-Origin", answered.status.as_u16())
        }
        Ok(_) => "allows another origin only".to_owned(),
        Err(error) => error.to_string(),
    };
    let detail = format!(
        "asked by OPTIONS with WebHook-Request-Origin: {origin} whether it wants deliveries, the \
         endpoint: {said}; let it answer with WebHook-Allowed-Origin, or register without `validate`"
    );
    Err(Problem::new(Code::CallbackNotValidated, detail).with_text("pointer", "/callback"))
}

/// The secret that is given, or a new one.
pub(super) fn secret(engine: &Engine, members: &mut Members<'_, '_>) -> Result<Secret, Problem> {
    let Some(text) = members.text("secret")? else { return Ok(Secret::new(|| engine.random())) };
    Secret::parse(&text).ok_or_else(|| {
        let detail = "a secret is `whsec_` and the base64 of 24 to 64 random bytes; leave it out to \
                      get one";
        wrong("/secret", detail)
    })
}

async fn topics(
    engine: &Engine,
    members: &mut Members<'_, '_>,
) -> Result<Vec<TopicStart>, Problem> {
    let Some(json) = members.take("topics") else { return Ok(Vec::new()) };
    let Json::Object(object) = json else {
        return Err(wrong("/topics", "this is an object: {\"user-events\":null}"));
    };
    if object.len() > TOPICS_MAX {
        return Err(wrong("/topics", format!("a consumer has at most {TOPICS_MAX} topics")));
    }
    let starts = read_topics(object)?;
    let view = std::sync::Arc::clone(engine.view());
    off_the_reactor(move || {
        let start = |(topic, since): (String, Option<String>)| {
            if view.topic(&topic).map_err(|error| failed(&error))?.is_none() {
                let detail = format!("there is no topic {topic}; POST /topics makes one");
                return Err(Problem::new(Code::TopicNotFound, detail).with_text("topic", &topic));
            }
            let after = match &since {
                Some(id) => after_event(&view, &topic, id)?,
                None => Position::ZERO,
            };
            Ok(TopicStart { topic, after })
        };
        starts.into_iter().map(start).collect()
    })
    .await?
}

fn read_topics(object: &Object<'_>) -> Result<Vec<(String, Option<String>)>, Problem> {
    let one = |(name, since): (annal_event::json::Text<'_>, &Json<'_>)| {
        let pointer = || format!("/topics/{}", name.raw());
        let topic = name.decode().map(|name| name.into_owned());
        let topic = topic.filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| wrong(pointer(), "a topic has a name"))?;
        let since = match since {
            Json::Null => None,
            json => {
                Some(text(json).filter(|id| id.len() <= EVENT_ID_BYTES_MAX).ok_or_else(|| {
                    wrong(pointer(), "this is null, or the id of the topic's event to go on after")
                })?)
            }
        };
        Ok((topic, since))
    };
    object.iter().map(one).collect()
}

fn after_event(view: &View, topic: &str, id: &str) -> Result<Position, Problem> {
    match view.topic_event(topic, id).map_err(|error| failed(&error))? {
        Called::One(position) => Ok(position),
        called => Err(not_one(topic, id, called, Code::InvalidConsumer)
            .with_text("pointer", &format!("/topics/{topic}"))),
    }
}

fn begin(topics: &[TopicStart]) -> Position {
    topics.iter().map(|start| start.after).min().unwrap_or_default()
}

/// `earliest`, `latest`, a position, or a time: the position to go on after.
pub(super) async fn position(
    engine: &Engine,
    json: &Json<'_>,
    pointer: &'static str,
) -> Result<Position, Problem> {
    let head = engine.head();
    let what = "this is `earliest`, `latest`, a position as a decimal string, or a time such as \
                2026-01-15T10:30:00Z";
    if let Some(position) = number(json, 0, u64::MAX) {
        return within(Position(position), head, pointer);
    }
    let text = text(json).ok_or_else(|| wrong(pointer, what))?;
    match text.as_str() {
        "earliest" => return Ok(Position::ZERO),
        "latest" => return Ok(head),
        _ => {}
    }
    if let Ok(position) = text.parse::<Position>() {
        return within(position, head, pointer);
    }
    let time: Timestamp = text.parse().map_err(|_| wrong(pointer, what))?;
    if time > engine.now() {
        let detail = format!("{time} is yet to come; `latest` is what is appended from now on");
        return Err(wrong(pointer, detail));
    }
    let view = std::sync::Arc::clone(engine.view());
    let found = off_the_reactor(move || view.position_at(time)).await?;
    Ok(found.map_err(|error| failed(&error))?.prev().min(head))
}

fn within(position: Position, head: Position, pointer: &str) -> Result<Position, Problem> {
    if position > head {
        let detail = format!("position {position} is ahead of the head, which is {head}");
        return Err(wrong(pointer, detail));
    }
    Ok(position)
}

fn retry(members: &mut Members<'_, '_>) -> Result<Retry, Problem> {
    let mut retry = Retry::default();
    let Some(json) = members.take("retry") else { return Ok(retry) };
    let mut members = Members::of(json, "/retry")?;
    if let Some(schedule) = members.take("schedule_ms") {
        let numbers = match schedule {
            Json::Array(items) if items.len() <= RETRIES_MAX => {
                items.iter().map(|item| number(item, 0, DAY_MS)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        retry.schedule_ms = numbers.ok_or_else(|| {
            let detail = format!(
                "this is an array of at most {RETRIES_MAX} waits in milliseconds, each at most a day"
            );
            wrong("/retry/schedule_ms", detail)
        })?;
    }
    if let Some(timeout) = members.number("timeout_ms", 1, TIMEOUT_MS_MAX)? {
        retry.timeout_ms = timeout;
    }
    retry.max_age_ms = members.number("max_age_ms", 1, MAX_AGE_MS_MAX)?;
    members.finish()?;
    Ok(retry)
}

/// Names that are the connection's, or ours.
fn is_taken(name: &str) -> bool {
    const TAKEN: [&str; 17] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    TAKEN.contains(&name) || name.starts_with("webhook-")
}

fn headers(members: &mut Members<'_, '_>) -> Result<Vec<(String, String)>, Problem> {
    let Some(json) = members.take("headers") else { return Ok(Vec::new()) };
    let Json::Object(object) = json else {
        return Err(wrong("/headers", "this is an object of names and values"));
    };
    if object.len() > HEADERS_MAX {
        return Err(wrong("/headers", format!("a consumer has at most {HEADERS_MAX} headers")));
    }
    let mut headers = Vec::new();
    for (name, value) in object.iter() {
        let pointer = format!("/headers/{}", name.raw());
        let header = name.decode().and_then(|name| HeaderName::try_from(name.as_ref()).ok());
        let header = header.ok_or_else(|| wrong(&pointer, "this is no name of a header"))?;
        if is_taken(header.as_str()) {
            return Err(wrong(&pointer, "this header is the connection's or Annal's own"));
        }
        let value = text(value).filter(|value| {
            value.len() <= HEADER_BYTES_MAX && HeaderValue::try_from(value.as_str()).is_ok()
        });
        let value = value.ok_or_else(|| {
            let detail = format!("the value is visible text of at most {HEADER_BYTES_MAX} bytes");
            wrong(&pointer, detail)
        })?;
        if headers.iter().any(|(have, _)| have == header.as_str()) {
            return Err(wrong(&pointer, "this header stands twice"));
        }
        headers.push((header.as_str().to_owned(), value));
    }
    Ok(headers)
}
