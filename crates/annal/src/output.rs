//! What commands print: events as JSON lines, progress on a terminal.

use std::{
    io::{self, Write},
    time::Duration,
};

use annal_event::{StoredEvent, json};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

/// One event on a line, as it is served (API.md §1).
pub(crate) fn write_stored(
    out: &mut impl Write,
    line: &mut Vec<u8>,
    stored: &StoredEvent,
) -> anyhow::Result<()> {
    let position = stored.position();
    let event = stored.event().with_context(|| {
        format!("the record at position {position} is damaged; run annal verify")
    })?;
    line.clear();
    json::write_event(line, &event, Some((position, stored.recorded())));
    line.push(b'\n');
    Ok(out.write_all(line)?)
}

/// One line of text that is an event already.
pub(crate) fn write_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// How far a long command is; nothing where there is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Progress in bytes; without a total, only what is done.
    pub(crate) fn of_bytes(total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
            None => "{spinner} {bytes} {bytes_per_sec} {msg}",
        };
        Progress::new(total, template)
    }

    /// Progress in events.
    pub(crate) fn of_events(total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => "{bar:30} {human_pos}/{human_len} events {per_sec} {msg}",
            None => "{spinner} {human_pos} events {per_sec} {msg}",
        };
        Progress::new(total, template)
    }

    fn new(total: Option<u64>, template: &str) -> Progress {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar }
    }

    /// This much is done.
    pub(crate) fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Takes the bar away, so that the result stands alone.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
