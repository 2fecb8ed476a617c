//! `annal get`: one event by its position or its id, or one resource by its name.

mod resource;

use std::io::{self, Write};

use annal_engine::{Engine, Found};
use annal_event::{Position, StoredEvent};
use anyhow::bail;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::{
    cli::{GetArgs, Setting, Usage},
    client::{Client, with_query},
    output,
    target::{self, Missing, Target},
};

/// The word before the name of a resource.
const RESOURCE: &str = "resource";

/// Prints the event, or the document of the resource, as one line of JSON.
pub(crate) fn run(setting: &Setting, args: &GetArgs) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        if args.which != RESOURCE || args.source.is_some() {
            let detail = "get shows one event, or, as `get resource NAME`, one resource";
            return Err(Usage(detail.to_owned()).into());
        }
        return resource::run(setting, name, args.at.as_deref());
    }
    let mut out = io::stdout().lock();
    match target::open(setting, Missing::Refuse)? {
        Target::Server(mut client) => {
            out.write_all(fetch(&mut client, args)?.trim_ascii_end())?;
            out.write_all(b"\n")?;
        }
        Target::Directory(opened) => {
            let stored = find(&opened.engine, args)?;
            output::write_stored(&mut out, &mut Vec::new(), &stored)?;
        }
    }
    Ok(())
}

/// All digits is a position, unless a source makes it an id (API.md §3).
fn position(args: &GetArgs) -> Option<Position> {
    let digits = args.source.is_none() && args.which.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| args.which.parse().ok()).flatten()
}

fn find(engine: &Engine, args: &GetArgs) -> anyhow::Result<StoredEvent> {
    let view = engine.view();
    if let Some(position) = position(args) {
        return match view.get(position)? {
            Found::Event(stored) => Ok(stored),
            Found::Deleted => bail!("the event at position {position} has been deleted"),
            Found::Nothing => {
                bail!("there is no event at position {position}; the last is at {}", view.head())
            }
        };
    }
    let found = view.find(&args.which, args.source.as_deref(), true)?;
    let found = match found.events.as_slice() {
        [] if found.deleted => bail!("the event with id {} has been deleted", args.which),
        [] => bail!("there is no event with id {}", args.which),
        [only] => return Ok(only.clone()),
        several => several,
    };
    let sources: Result<Vec<_>, _> =
        found.iter().map(|stored| Ok(stored.event()?.source.into_owned())).collect();
    bail!(several(&args.which, &sources.map_err(|error: annal_event::EventError| error)?))
}

fn several(id: &str, sources: &[String]) -> String {
    format!("several sources have an event {id}; name one with --source: {}", sources.join(" "))
}

fn fetch(client: &mut Client, args: &GetArgs) -> anyhow::Result<Bytes> {
    let mut parameters = vec![("id", args.which.clone())];
    parameters.extend(args.source.clone().map(|source| ("source", source)));
    let path = with_query("/events/get", parameters);
    let headers = [("accept", "application/cloudevents+json")];
    let reply = client.send(Method::GET, &path, &headers, Bytes::new())?;
    if reply.status != StatusCode::MULTIPLE_CHOICES {
        return reply.successful()?.whole();
    }
    let candidates: Candidates = serde_json::from_slice(&reply.whole()?)?;
    let sources: Vec<_> = candidates.candidates.into_iter().map(|found| found.source).collect();
    bail!(several(&args.which, &sources))
}

#[derive(Deserialize)]
struct Candidates {
    #[serde(default)]
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    #[serde(default)]
    source: String,
}
