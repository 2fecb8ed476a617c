//! `annal get resource`: one document, as it is or as it was.

use std::io::{self, Write};

use annal_engine::{Engine, Lookup, Past};
use annal_event::{Position, ResourceKey, Timestamp};
use anyhow::bail;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::{
    cli::{Setting, Usage},
    client::{Client, percent_encode, with_query},
    target::{self, Missing, Target},
};

/// Prints the document as one line of JSON.
pub(super) fn run(setting: &Setting, name: &str, at: Option<&str>) -> anyhow::Result<()> {
    let document = match target::open(setting, Missing::Refuse)? {
        Target::Server(mut client) => fetch(&mut client, name, at)?,
        Target::Directory(opened) => find(&opened.engine, name, at)?.into(),
    };
    let mut out = io::stdout().lock();
    out.write_all(document.trim_ascii_end())?;
    Ok(out.write_all(b"\n")?)
}

fn find(engine: &Engine, name: &str, at: Option<&str>) -> anyhow::Result<String> {
    let view = engine.view();
    let resource = match view.resource(name)? {
        Lookup::One(resource) => resource,
        Lookup::Several(several) => {
            let names: Vec<_> = several.iter().map(|found| found.key.to_string()).collect();
            bail!(ambiguous(name, &names));
        }
        Lookup::Nothing => bail!("there is no resource {name}"),
    };
    let deleted = |key: &ResourceKey<'_>| format!("the resource {key} has been deleted");
    let Some(at) = at else {
        return match resource.document.text() {
            Some(text) => Ok(text.to_owned()),
            None => bail!(deleted(&resource.key)),
        };
    };
    let upto = match (at.parse::<Position>(), at.parse::<Timestamp>()) {
        (Ok(position), _) => position,
        (_, Ok(time)) => view.position_at(Timestamp(time.micros().saturating_add(1)))?.prev(),
        _ => {
            let detail = "--at is a position, or a time such as 2026-01-15T10:30:00Z";
            return Err(Usage(detail.to_owned()).into());
        }
    };
    match view.resource_at(&resource.key, upto)? {
        Past::Document { text, .. } => Ok(text),
        Past::Deleted => bail!("{} by then", deleted(&resource.key)),
        Past::Unmade => bail!("there was no resource {name} yet"),
    }
}

fn ambiguous(name: &str, names: &[String]) -> String {
    format!("several resources are called {name}; name one of them: {}", names.join(" "))
}

fn fetch(client: &mut Client, name: &str, at: Option<&str>) -> anyhow::Result<Bytes> {
    let mut path = "/resources/".to_owned();
    percent_encode(&mut path, name);
    let path = with_query(&path, at.map(|at| ("at", at.to_owned())));
    let headers = [("accept", "application/json")];
    let reply = client.send(Method::GET, &path, &headers, Bytes::new())?;
    if reply.status != StatusCode::MULTIPLE_CHOICES {
        return reply.successful()?.whole();
    }
    let found: Candidates = serde_json::from_slice(&reply.whole()?)?;
    let names: Vec<_> = found
        .candidates
        .into_iter()
        .map(|found| format!("{}/{}", found.resource_type, found.resource_id))
        .collect();
    bail!(ambiguous(name, &names))
}

#[derive(Deserialize)]
struct Candidates {
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    resource_type: String,
    resource_id: String,
}
