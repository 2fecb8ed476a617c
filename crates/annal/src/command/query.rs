//! `annal query`: what search finds, as `GET /query` answers it.
//!
//! On a stopped directory the index is brought up to the head first, visibly.

use std::{
    io::{self, Write},
    time::Duration,
};

use annal_engine::{AskError, Engine, Searcher};
use anyhow::Context;

use crate::{
    cli::{QueryArgs, Setting},
    client::with_query,
    output::Progress,
    target::{self, Target},
};

/// How often progress is shown.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prints the answer as one line of JSON.
pub(crate) fn run(setting: &Setting, args: &QueryArgs) -> anyhow::Result<()> {
    let parameters = parameters(args);
    let answer = match target::open_searching(setting)? {
        Target::Server(mut client) => {
            let path = with_query("/query", parameters);
            client.get(&path, "application/json")?.whole()?.to_vec()
        }
        Target::Directory(opened) => {
            let engine = &opened.engine;
            if let Some(searcher) = engine.search() {
                catch_up(engine, searcher)?;
            }
            let parameters = with_query("", parameters);
            annal_server::answer_query(engine, parameters.trim_start_matches('?'))?
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(answer.trim_ascii_end())?;
    Ok(out.write_all(b"\n")?)
}

/// Waits until everything in the log is found.
pub(super) fn catch_up(engine: &Engine, searcher: &Searcher) -> anyhow::Result<()> {
    let head = engine.head();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let progress = Progress::of_events(Some(head.get()));
    let caught_up = loop {
        let waited =
            runtime.block_on(async { tokio::time::timeout(LOOK_EVERY, searcher.wait(head)).await });
        match waited {
            Ok(Ok(())) => break Ok(()),
            Ok(Err(AskError::Rebuilding(_))) => std::thread::sleep(LOOK_EVERY),
            Ok(Err(error)) => break Err(error),
            Err(_) => {}
        }
        progress.at(searcher.status().folded.get());
    };
    progress.finish();
    caught_up.context("the search index was not brought up to the head")
}

fn parameters(args: &QueryArgs) -> Vec<(&'static str, String)> {
    let number = |number: Option<usize>| number.map(|number| number.to_string());
    let optional = [
        ("in", args.scope.clone()),
        ("type", args.ty.clone()),
        ("since", args.since.clone()),
        ("until", args.until.clone()),
        ("limit", number(args.limit)),
        ("offset", number(args.offset)),
        ("sort", args.sort.clone()),
        ("operator", args.operator.clone()),
        ("facets", args.facets.clone()),
        ("histogram", args.histogram.clone()),
        ("highlight", args.no_highlight.then(|| "false".to_owned())),
    ];
    let given = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    [("q", args.text.clone())].into_iter().chain(given).collect()
}
