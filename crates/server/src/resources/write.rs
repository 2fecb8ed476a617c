//! `PUT`, `PATCH`, `DELETE /resources/{id}`: each appends a commit.

use std::sync::Arc;

use annal_engine::{Append, AppendError, Checks, Engine, Lookup};
use annal_event::{
    Encoded, EventError, Position, Precondition, ResourceKey,
    json::{Json, Patch},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};
use hyper::body::Incoming;

use super::{
    condition::{Conditions, TRIES_MAX},
    deleted, etag, not_found, path_of, push_name,
};
use crate::{
    append::{answer, producer::Producer},
    intake::Intake,
    json_text::{push_position, push_string},
    negotiate::essence,
    params::Params,
    problem::{Code, Problem},
    read::failed,
    reply::{self, Reply},
    shared::Shared,
};

/// Source and type of the commits that this route makes.
const SOURCE: &str = "/resources";
const TYPE: &str = "json.commit";

/// A document stands in the data of an event, which may nest one level deeper than it.
const DEPTH_MAX: u32 = Json::DEPTH_MAX - 1;

const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

/// What a request does to a resource.
enum Change {
    Replace(Bytes),
    Merge(Bytes),
    Patch(Bytes),
    Delete { force: bool },
}

/// `PUT`, `PATCH` and `DELETE`.
pub(crate) async fn write(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
    body: Incoming,
) -> Result<Response<Reply>, Problem> {
    let conditions = Conditions::of(&head.headers)?;
    let mut params = Params::parse(head.uri.query())?;
    let force = head.method == Method::DELETE && params.take_flag("force")?;
    params.finish()?;
    let idle = shared.options.body_idle_timeout;
    let mut intake = Intake::new(&head.headers, body, idle).map_err(|(_, problem)| problem)?;
    let change = match read(engine, head, force, &mut intake).await {
        Ok(change) => change,
        Err(problem) => {
            intake.drain();
            return Err(problem);
        }
    };
    let request = Request { engine, headers: &head.headers, conditions, change };
    request.carry_out(name).await
}

async fn read(
    engine: &Engine,
    head: &Parts,
    force: bool,
    intake: &mut Intake,
) -> Result<Change, Problem> {
    if head.method == Method::DELETE {
        return Ok(Change::Delete { force });
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let media_type = match content_type {
        Some(Ok(text)) => essence(text).to_ascii_lowercase(),
        _ => String::new(),
    };
    let patches = head.method == Method::PATCH;
    let make: fn(Bytes) -> Change = match media_type.as_str() {
        MERGE_PATCH if patches => Change::Merge,
        JSON_PATCH if patches => Change::Patch,
        "application/json" if !patches => Change::Replace,
        other if !patches && other.ends_with("+json") => Change::Replace,
        other => return Err(wrong_media_type(other, patches)),
    };
    intake.limit(engine.limits().event_bytes_max, Code::EventTooLarge)?;
    Ok(make(intake.whole(Code::EventTooLarge).await?))
}

fn wrong_media_type(media_type: &str, patches: bool) -> Problem {
    let taken = match patches {
        true => "application/merge-patch+json or application/json-patch+json",
        false => "application/json",
    };
    let detail = match media_type {
        "" => format!("say what it is by Content-Type: {taken}"),
        other => format!("{other} is not taken here; send {taken}"),
    };
    let problem = Problem::new(Code::UnsupportedMediaType, detail);
    if !patches {
        return problem;
    }
    let accepted =
        HeaderValue::from_static("application/merge-patch+json, application/json-patch+json");
    problem.with_header(HeaderName::from_static("accept-patch"), accepted)
}

/// A change on its way.
struct Request<'r> {
    engine: &'r Engine,
    headers: &'r HeaderMap,
    conditions: Conditions,
    change: Change,
}

/// What stands there before the change.
struct Before {
    key: ResourceKey<'static>,
    /// Revision and document, where there is one.
    there: Option<(Position, String)>,
    was_deleted: bool,
}

impl Request<'_> {
    async fn carry_out(&self, name: &str) -> Result<Response<Reply>, Problem> {
        for _ in 0..TRIES_MAX {
            let before = self.before(name)?;
            let revision = before.there.as_ref().map(|(revision, _)| *revision);
            self.conditions.check("resource", revision)?;
            let data = self.data(&before)?;
            match self.append(&before, data).await {
                Ok(appended) => return Ok(self.answer(&before, appended)),
                Err(Refused::Append(AppendError::PreconditionFailed { .. })) => {}
                Err(Refused::Append(error)) => return Err(answer::refused(error, &[], false)),
                Err(Refused::Request(problem)) => return Err(problem),
            }
        }
        let detail = "others change the resource faster than this change can be worked out";
        Err(Problem::new(Code::Busy, detail).retry_after(1))
    }

    fn before(&self, name: &str) -> Result<Before, Problem> {
        let found = self.engine.view().resource(name).map_err(|error| failed(&error))?;
        // `type/id` is that and nothing else, where something is written.
        let exact = ResourceKey::from_text(name);
        match found {
            Lookup::One(resource) if exact.as_ref().is_none_or(|key| *key == resource.key) => {
                let revision = resource.document.revision();
                let there = resource.document.text().map(|text| (revision, text.to_owned()));
                Ok(Before { key: resource.key, was_deleted: there.is_none(), there })
            }
            Lookup::Several(_) if exact.is_none() => {
                let detail = format!("several resources are called {name}; name one as type/id");
                Err(Problem::new(Code::InvalidRequest, detail))
            }
            Lookup::Nothing | Lookup::One(_) | Lookup::Several(_) => {
                let key = exact.ok_or_else(|| {
                    let detail =
                        format!("there is no resource {name}; to make one, name it as type/id");
                    Problem::new(Code::ResourceNotFound, detail)
                })?;
                Ok(Before { key: key.into_owned(), there: None, was_deleted: false })
            }
        }
    }

    /// The members of the commit's data that say what changes.
    fn data(&self, before: &Before) -> Result<Vec<u8>, Problem> {
        let mut data = b"{\"resource_id\":".to_vec();
        push_string(&mut data, before.key.id());
        match (&self.change, &before.there) {
            (Change::Replace(body), _) => {
                data.extend_from_slice(b",\"resource_data\":");
                data.extend_from_slice(document(body, Code::MalformedBody)?.as_bytes());
            }
            (_, None) => {
                let gone = before.was_deleted;
                return Err(if gone {
                    deleted(&before.key)
                } else {
                    not_found(&before.key.to_string())
                });
            }
            (Change::Merge(body), Some(_)) => {
                data.extend_from_slice(b",\"patch\":");
                data.extend_from_slice(document(body, Code::InvalidPatch)?.as_bytes());
            }
            (Change::Patch(body), Some((_, text))) => {
                data.extend_from_slice(b",\"resource_data\":");
                data.extend_from_slice(self.patched(body, text)?.as_bytes());
            }
            (Change::Delete { .. }, Some(_)) => data.extend_from_slice(b",\"deleted\":true"),
        }
        data.push(b'}');
        Ok(data)
    }

    /// What a JSON Patch makes of a document.
    fn patched(&self, body: &[u8], text: &str) -> Result<String, Problem> {
        let patch = Patch::parse(utf8(body, Code::InvalidPatch)?)
            .map_err(|error| Problem::new(Code::InvalidPatch, error.to_string()))?;
        let document = Json::parse(text).map_err(|error| {
            tracing::error!(%error, "a stored document is no JSON");
            Problem::new(Code::Damaged, "the stored document cannot be read; run `annal verify`")
        })?;
        let patched = patch.apply(document, self.engine.limits().event_bytes_max);
        let patched = patched.map_err(|failed| {
            Problem::new(Code::PatchFailed, failed.to_string())
                .with_number("operation", failed.operation as u64)
        })?;
        if patched.depth() > DEPTH_MAX {
            let detail = format!("the document would nest deeper than {DEPTH_MAX} levels");
            return Err(Problem::new(Code::PatchFailed, detail));
        }
        Ok(patched.to_string())
    }

    async fn append(&self, before: &Before, data: Vec<u8>) -> Result<Position, Refused> {
        let subject = before.key.to_string();
        let mut producer = Producer::new(self.engine, self.headers, false)?;
        let text = String::from_utf8(data).unwrap_or_default();
        let event = producer.event(SOURCE, TYPE).with_subject(subject.clone()).with_json(text);
        let mut events = Encoded::default();
        producer.encode(event, &mut events)?;
        let revision = before.there.as_ref().map(|(revision, _)| *revision);
        let exact = matches!(self.change, Change::Patch(_)) || !self.conditions.is_empty();
        let unchanged = Precondition::Resource { id: subject, revision };
        let force = matches!(self.change, Change::Delete { force: true });
        let append = Append {
            preconditions: if exact { vec![unchanged] } else { Vec::new() },
            checks: Checks { force },
            ..Append::of(events)
        };
        let ticket = self.engine.append(append).map_err(answer::busy)?;
        let appended = ticket.await?;
        appended.outcomes.first().map(|outcome| outcome.position).ok_or_else(|| {
            Problem::new(Code::Internal, "the change was answered without an outcome").into()
        })
    }

    fn answer(&self, before: &Before, revision: Position) -> Response<Reply> {
        let mut response = match (&self.change, &before.there) {
            (Change::Delete { .. }, _) => reply::empty(StatusCode::NO_CONTENT),
            (_, None) => reply::json(StatusCode::CREATED, said(&before.key, revision)),
            (_, Some(_)) => reply::json(StatusCode::OK, said(&before.key, revision)),
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag(revision));
        if let Ok(path) = HeaderValue::from_str(&path_of(&before.key)) {
            let name = match before.there {
                None => header::LOCATION,
                Some(_) => header::CONTENT_LOCATION,
            };
            headers.insert(name, path);
        }
        response
    }
}

/// What stands there now, without the document.
fn said(key: &ResourceKey<'_>, revision: Position) -> Vec<u8> {
    let mut body = Vec::new();
    push_name(&mut body, key);
    body.extend_from_slice(b",\"subject\":");
    push_string(&mut body, &key.to_string());
    body.extend_from_slice(b",\"revision\":");
    push_position(&mut body, revision);
    body.push(b'}');
    body
}

/// A body that is one JSON value, as it came.
fn document(body: &[u8], code: Code) -> Result<&str, Problem> {
    let text = utf8(body, code)?;
    let json = Json::parse(text).map_err(|error| Problem::new(code, error.to_string()))?;
    if json.depth() > DEPTH_MAX {
        let detail = format!("it nests deeper than {DEPTH_MAX} levels");
        return Err(Problem::new(code, detail));
    }
    Ok(text)
}

fn utf8(body: &[u8], code: Code) -> Result<&str, Problem> {
    let wrong = |error: std::str::Utf8Error| {
        Problem::new(code, format!("not UTF-8 at byte {}", error.valid_up_to()))
    };
    std::str::from_utf8(body).map_err(wrong)
}

/// Why a change was not appended.
enum Refused {
    /// By the write path.
    Append(AppendError),
    /// Before it got there.
    Request(Problem),
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Refused {
        Refused::Append(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused::Request(problem)
    }
}

impl From<EventError> for Refused {
    fn from(error: EventError) -> Refused {
        Refused::Request(error.into())
    }
}
