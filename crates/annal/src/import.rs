//! Reads events in the forms they are found in, and stores each once.
//!
//! ```text
//! file, pipe, tree ─▶ Input: pieces of text with their place ─▶ formats: an event ─▶ Sink: groups
//! ```
//!
//! An event that names no id gets one made from its text and its place, so that importing the same
//! file again finds it stored. The first piece that is no event ends the import and is named; what
//! came before it stays, and nothing after it is stored.

mod formats;
mod input;
mod sink;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use annal_event::Limits;
use anyhow::Context;
use clap::ValueEnum;

pub(crate) use input::Input;
pub(crate) use sink::Sink;

use formats::{Reading, Shape};

/// How the events of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// By the first line, or by being a directory.
    #[default]
    Auto,
    /// One CloudEvent a line.
    Cloudevents,
    /// One envelope a line: event_type, event_id, timestamp, payload; a CRC-32 may stand before it.
    Envelopes,
    /// One file an event: TOPIC/DATE/GROUP/TOPIC-N.json.
    Tree,
}

/// Opens what is to be imported. `-` is standard input.
pub(crate) fn open(
    from: &Path,
    format: Format,
    source: &str,
    limits: Limits,
) -> anyhow::Result<Input> {
    Input::open(from, format, source, limits)
}

/// Moves everything from the input to the sink. `progress` is told how many bytes were read.
pub(crate) fn run(
    input: &mut Input,
    sink: &mut Sink,
    progress: impl Fn(u64),
) -> anyhow::Result<()> {
    let outcome = move_all(input, sink, progress);
    // What stands before a bad line is stored even so.
    let flushed = sink.finish();
    outcome.and(flushed)
}

fn move_all(input: &mut Input, sink: &mut Sink, progress: impl Fn(u64)) -> anyhow::Result<()> {
    let now = annal_engine::Clock::now(&annal_engine::SystemClock);
    let reading = Reading { source: input.source().to_owned(), limits: input.limits(), now };
    while let Some(piece) = input.next()? {
        if let Shape::Topic { topic, .. } = &piece.shape {
            sink.need_topic(topic).with_context(|| piece.place.clone())?;
        }
        let event = reading.event(&piece).with_context(|| piece.place.clone())?;
        sink.push(&piece.place, &event)?;
        progress(piece.bytes_done);
    }
    Ok(())
}
