//! `/resources` and `/schemas`: documents that commits add up to, and what they are held to
//! (API.md §5, §7). Writing one is appending an event; nothing here bypasses the log.

pub(crate) mod condition;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod schemas;
pub(crate) mod write;

use annal_engine::{Engine, Lookup, Resource};
use annal_event::{Position, ResourceKey};
use http::{HeaderValue, Response, StatusCode};

use crate::{
    json_text::{push_position, push_string},
    percent,
    problem::{Code, Problem},
    read::failed,
    reply::{self, Reply},
};

/// `"42"`
pub(crate) fn etag(revision: Position) -> HeaderValue {
    let text = format!("\"{revision}\"");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The path of a resource, for `Content-Location`.
pub(crate) fn path_of(key: &ResourceKey<'_>) -> String {
    let mut path = "/resources/".to_owned();
    percent::encode(key.ty(), &mut path);
    // As a step of its own it would be another route, or taken out by whoever follows the path.
    let is_special = key.id() == "history" || [key.ty(), key.id()].iter().any(|step| is_dots(step));
    path.push_str(if is_special { "%2F" } else { "/" });
    percent::encode(key.id(), &mut path);
    path
}

fn is_dots(step: &str) -> bool {
    matches!(step, "." | "..")
}

fn not_found(name: &str) -> Problem {
    let detail = format!("there is no resource {name}; /resources lists what there is");
    Problem::new(Code::ResourceNotFound, detail)
}

fn deleted(key: &ResourceKey<'_>) -> Problem {
    let detail = format!(
        "the resource {key} has been deleted; ?at= shows it as it was, its history what became of it, \
         and PUT makes it anew"
    );
    Problem::new(Code::ResourceDeleted, detail)
}

/// What a name stands for, or the answer if it is not one resource.
enum Named {
    One(Box<Resource>),
    Several(Response<Reply>),
}

fn named(engine: &Engine, name: &str) -> Result<Named, Problem> {
    match engine.view().resource(name).map_err(|error| failed(&error))? {
        Lookup::One(resource) => Ok(Named::One(resource)),
        Lookup::Several(several) => Ok(Named::Several(candidates(&several))),
        Lookup::Nothing => Err(not_found(name)),
    }
}

/// 300: several types have the id.
fn candidates(several: &[Resource]) -> Response<Reply> {
    let mut body = b"{\"candidates\":[".to_vec();
    for (place, resource) in several.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        push_name(&mut body, &resource.key);
        body.extend_from_slice(b",\"revision\":");
        push_position(&mut body, resource.document.revision());
        body.extend_from_slice(b",\"href\":");
        push_string(&mut body, &path_of(&resource.key));
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    reply::json(StatusCode::MULTIPLE_CHOICES, body)
}

/// `{"id":"issue-123","resource_type":"issue","resource_id":"123"`
fn push_name(out: &mut Vec<u8>, key: &ResourceKey<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, &format!("{}-{}", key.ty(), key.id()));
    out.extend_from_slice(b",\"resource_type\":");
    push_string(out, key.ty());
    out.extend_from_slice(b",\"resource_id\":");
    push_string(out, key.id());
}
