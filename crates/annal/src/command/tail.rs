//! `annal tail`: the newest events, then those that come.
//!
//! From a server it reads the live stream and, when the connection breaks, goes on after the last
//! position it printed: no gap, no repeat (INV-5). A stopped data directory has no live end, so there
//! it prints and ends.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use annal_engine::{Engine, Order, ReadSpec};
use annal_event::Position;
use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    cli::{Filters, From, Setting, TailArgs, Usage},
    client::{Client, Problem, with_query},
    output,
    sse::{Message, Messages},
    target::{self, Missing, Target},
};

/// What one sees of a file, too.
const LINES: usize = 10;

/// The most that a server shows of the past in one page (API.md §3).
const LINES_MAX: usize = 10_000;

const CHUNK_EVENTS: usize = 1_000;
const CHUNK_BYTES: usize = 1024 * 1024;

/// Between two attempts to reach a server that went away.
const RETRY: Duration = Duration::from_secs(1);

/// Prints events as JSON lines.
pub(crate) fn run(setting: &Setting, args: &TailArgs) -> anyhow::Result<()> {
    let Filters { since, until, after, before, .. } = &args.filters;
    let bounded = since.is_some() || until.is_some() || after.is_some() || before.is_some();
    if bounded && !args.no_follow {
        let detail = "--since, --until, --after and --before go with --no-follow; to follow from a \
                      position or a time, use --from";
        return Err(Usage(detail.to_owned()).into());
    }
    match target::open(setting, Missing::Refuse)? {
        Target::Directory(opened) => from_engine(&opened.engine, args),
        Target::Server(mut client) if args.no_follow => once(&mut client, args),
        Target::Server(mut client) => follow(&mut client, args),
    }
}

fn from_engine(engine: &Engine, args: &TailArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut line = Vec::new();
    let mut spec = args.filters.read_spec();
    match &args.from {
        None => {
            spec.order = Order::Descending;
            let lines = args.lines.unwrap_or(LINES);
            let mut cursor = engine.view().cursor(&spec)?;
            let mut events = Vec::new();
            while events.len() < lines
                && cursor.next(lines - events.len(), CHUNK_BYTES, &mut events)?
            {}
            events.truncate(lines);
            events.reverse();
            for stored in &events {
                output::write_stored(&mut out, &mut line, stored)?;
            }
        }
        Some(from) => {
            begin(&mut spec, from, engine.head());
            let mut cursor = engine.view().cursor(&spec)?;
            let mut events = Vec::new();
            let mut more = true;
            while more {
                more = cursor.next(CHUNK_EVENTS, CHUNK_BYTES, &mut events)?;
                for stored in events.drain(..) {
                    output::write_stored(&mut out, &mut line, &stored)?;
                }
            }
        }
    }
    Ok(())
}

fn begin(spec: &mut ReadSpec, from: &From, head: Position) {
    match from {
        From::Earliest => {}
        From::Latest => spec.after = spec.after.max(Some(head)),
        From::After(position) => spec.after = spec.after.max(Some(*position)),
        From::Since(time) => spec.interest.since = spec.interest.since.max(Some(*time)),
    }
}

/// What is there now, and no more.
fn once(client: &mut Client, args: &TailArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut parameters = args.filters.parameters();
    match &args.from {
        None => {
            let lines = args.lines.unwrap_or(LINES);
            if lines > LINES_MAX {
                bail!("a server shows the newest {LINES_MAX} at most; use --from, or annal export");
            }
            parameters.extend([("order", "desc".to_owned()), ("limit", lines.max(1).to_string())]);
            let path = with_query("/events", parameters);
            let body = client.get(&path, "application/json")?.whole()?;
            let page: Page<'_> =
                serde_json::from_slice(&body).context("this is no page of events")?;
            for event in page.events.iter().take(lines).rev() {
                output::write_line(&mut out, event.get())?;
            }
        }
        Some(From::Latest) => {}
        Some(from) => {
            match from {
                From::After(position) => parameters.push(("after", position.to_string())),
                From::Since(time) => parameters.push(("since", time.to_string())),
                From::Earliest | From::Latest => {}
            }
            let path = with_query("/events", parameters);
            let mut reply = client.get(&path, "application/x-ndjson")?;
            while let Some(piece) = reply.piece()? {
                out.write_all(&piece)?;
            }
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Follows the live stream for ever, through restarts of the server.
fn follow(client: &mut Client, args: &TailArgs) -> anyhow::Result<()> {
    let mut reader = Reader { cursor: None, started: false };
    loop {
        match reader.stream(client, args) {
            Ok(()) => {}
            Err(error) if error.is::<Problem>() || !reader.started || is_output(&error) => {
                return Err(error);
            }
            Err(error) => tracing::warn!("{error:#}; trying again"),
        }
        thread::sleep(RETRY);
    }
}

/// Whoever read our output is gone; a server that is gone fails in other ways.
fn is_output(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What is remembered from one connection to the next.
struct Reader {
    /// The last id that the stream gave: everything up to it has been printed.
    cursor: Option<String>,
    /// Whether a stream was ever open; before that, a failure is final.
    started: bool,
}

impl Reader {
    /// Reads one connection to its end.
    fn stream(&mut self, client: &mut Client, args: &TailArgs) -> anyhow::Result<()> {
        let path = with_query("/events/stream", self.parameters(args));
        let mut headers = vec![("accept", "text/event-stream")];
        let cursor = self.cursor.clone();
        headers.extend(cursor.as_deref().map(|cursor| ("last-event-id", cursor)));
        let reply = client.send(Method::GET, &path, &headers, Bytes::new())?;
        let mut reply = reply.successful()?;
        self.started = true;
        let mut messages = Messages::default();
        while let Some(piece) = reply.piece()? {
            messages.feed(&piece, |message| self.print(&message))?;
        }
        Ok(())
    }

    fn parameters(&self, args: &TailArgs) -> Vec<(&'static str, String)> {
        let filters = Filters { after: None, before: None, ..args.filters.clone() };
        let mut parameters = filters.parameters();
        match (&self.cursor, &args.from, args.filters.after) {
            (Some(_), ..) => {}
            (None, Some(from), _) => parameters.push(("from", from.to_string())),
            (None, None, Some(after)) => parameters.push(("from", after.to_string())),
            (None, None, None) => match args.lines.unwrap_or(LINES) {
                0 => parameters.push(("snapshot", "none".to_owned())),
                lines => parameters.push(("limit", lines.to_string())),
            },
        }
        parameters
    }

    fn print(&mut self, message: &Message) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match message.event.as_str() {
            "snapshot" => {
                let events: Vec<&RawValue> = serde_json::from_str(&message.data)?;
                for event in events {
                    output::write_line(&mut out, event.get())?;
                }
            }
            "delta" | "" => output::write_line(&mut out, &message.data)?,
            // What was left out before the newest N was not asked for.
            "checkpoint" | "truncated" => {}
            "reset" => eprintln!("the stream begins anew: {}", message.data),
            other => eprintln!("{other}: {}", message.data),
        }
        out.flush()?;
        self.cursor = message.id.clone().or(self.cursor.take());
        Ok(())
    }
}
