//! `annal export`: events as NDJSON, to a file or to standard output.
//!
//! A file appears under its name only when it is whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use annal_engine::{Engine, ReadSpec};
use anyhow::{Context, bail};
use flate2::{Compression, write::GzEncoder};

use crate::{
    cli::{ExportArgs, Filters, Setting},
    client::{Client, with_query},
    output::{self, Progress},
    target::{self, Missing, Target},
};

/// Events read from the engine at a time.
const CHUNK_EVENTS: usize = 1_000;
const CHUNK_BYTES: usize = 1024 * 1024;

/// zstd level of `.zst` files: the default of its own program.
const ZSTD_LEVEL: i32 = 3;

/// Writes what matches, in order, and says how much it was.
pub(crate) fn run(setting: &Setting, args: &ExportArgs) -> anyhow::Result<()> {
    let target = target::open(setting, Missing::Refuse)?;
    let Some(path) = &args.output else {
        let mut out = BufWriter::new(io::stdout().lock());
        export(target, &args.filters, &mut out)?;
        return Ok(out.flush()?);
    };
    let partial = partial(path);
    let events = write_file(&partial, path, |out| export(target, &args.filters, out));
    let events = events.inspect_err(|_| {
        // Half a file helps nobody; that it may stay behind is said by the error itself.
        let _ = fs::remove_file(&partial);
    })?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("{events} events written to {}", path.display());
    Ok(())
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn write_file(
    partial: &Path,
    path: &Path,
    export: impl FnOnce(&mut dyn Write) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let cannot = || format!("cannot write {}", partial.display());
    let file = BufWriter::new(File::create(partial).with_context(cannot)?);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let (events, file) = match ending {
        Some("gz") => {
            let mut out = GzEncoder::new(file, Compression::default());
            (export(&mut out)?, out.finish().with_context(cannot)?)
        }
        Some("zst") => {
            let mut out = zstd::Encoder::new(file, ZSTD_LEVEL).with_context(cannot)?;
            (export(&mut out)?, out.finish().with_context(cannot)?)
        }
        _ => {
            let mut out = file;
            (export(&mut out)?, out)
        }
    };
    let file = file.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    Ok(events)
}

fn export(target: Target, filters: &Filters, out: &mut dyn Write) -> anyhow::Result<u64> {
    match target {
        Target::Directory(opened) => from_engine(&opened.engine, filters, out),
        Target::Server(mut client) => from_server(&mut client, filters, out),
    }
}

fn from_engine(engine: &Engine, filters: &Filters, mut out: &mut dyn Write) -> anyhow::Result<u64> {
    let spec = ReadSpec { limit: CHUNK_EVENTS, ..filters.read_spec() };
    let mut cursor = engine.view().cursor(&spec)?;
    let progress =
        Progress::of_events(spec.interest.narrowed().is_all().then_some(cursor.head().get()));
    let (mut events, mut line, mut written) = (Vec::new(), Vec::new(), 0);
    loop {
        let more = cursor.next(CHUNK_EVENTS, CHUNK_BYTES, &mut events)?;
        for stored in events.drain(..) {
            output::write_stored(&mut out, &mut line, &stored)?;
            written += 1;
        }
        progress.at(written);
        if !more {
            return Ok(written);
        }
    }
}

fn from_server(client: &mut Client, filters: &Filters, out: &mut dyn Write) -> anyhow::Result<u64> {
    let progress = Progress::of_events(None);
    let path = with_query("/events", filters.parameters());
    let mut reply = client.get(&path, "application/x-ndjson")?;
    let (mut written, mut last) = (0, b'\n');
    while let Some(piece) = reply.piece()? {
        written += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        last = piece.last().copied().unwrap_or(last);
        out.write_all(&piece)?;
        progress.at(written);
    }
    if last != b'\n' {
        bail!("the answer broke off in the middle of a line");
    }
    Ok(written)
}
