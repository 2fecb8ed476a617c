//! Pieces of text with their place: the lines of a (compressed) file, or the files of a tree.
//!
//! A line is bounded, so that a file without line breaks cannot eat the memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use annal_event::Limits;
use anyhow::{Context, bail};
use flate2::bufread::MultiGzDecoder;

use super::{
    Format,
    formats::{self, Shape},
    tree::Tree,
};

/// JSON escapes may make text six times as long as what it means.
const LINE_FACTOR: usize = 6;

const BUFFER_BYTES: usize = 256 * 1024;

/// Where events come from.
pub(crate) struct Input {
    pieces: Pieces,
    format: Format,
    source: String,
    limits: Limits,
    total_bytes: Option<u64>,
}

enum Pieces {
    Lines(Lines),
    Tree(Tree),
}

/// One event's text.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Where it stands, for messages: `line 7`, or a path.
    pub(crate) place: String,
    pub(crate) text: Vec<u8>,
    pub(crate) shape: Shape,
    /// What ids are made from besides the text.
    pub(crate) ordinal: u64,
    /// How much of the input has been read.
    pub(crate) bytes_done: u64,
}

impl Input {
    pub(crate) fn open(
        from: &Path,
        format: Format,
        source: &str,
        limits: Limits,
    ) -> anyhow::Result<Input> {
        let cannot = || format!("cannot read {}", from.display());
        let (pieces, total_bytes) = if from == Path::new("-") {
            (Pieces::Lines(Lines::new(Box::new(io::stdin()), limits)?), None)
        } else if from.is_dir() {
            if !matches!(format, Format::Auto | Format::Tree) {
                bail!("{} is a directory; only --format tree reads one", from.display());
            }
            let tree = Tree::open(from).with_context(cannot)?;
            let total = tree.total_bytes();
            (Pieces::Tree(tree), Some(total))
        } else {
            let file = File::open(from).with_context(cannot)?;
            let total = file.metadata().with_context(cannot)?.len();
            (Pieces::Lines(Lines::new(Box::new(file), limits).with_context(cannot)?), Some(total))
        };
        if format == Format::Tree && matches!(pieces, Pieces::Lines(_)) {
            bail!("{} is no directory; --format tree reads one", from.display());
        }
        Ok(Input { pieces, format, source: source.to_owned(), limits, total_bytes })
    }

    pub(crate) fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The next piece that is not blank.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Piece>> {
        let lines = match &mut self.pieces {
            Pieces::Tree(tree) => return tree.next(self.limits.event_bytes_max * LINE_FACTOR),
            Pieces::Lines(lines) => lines,
        };
        let Some(text) = lines.next()? else { return Ok(None) };
        if self.format == Format::Auto {
            self.format = formats::guess(&text);
        }
        let shape = match self.format {
            Format::Envelopes => Shape::Envelope,
            _ => Shape::CloudEvent,
        };
        Ok(Some(Piece {
            place: format!("line {}", lines.number),
            text,
            shape,
            ordinal: lines.number,
            bytes_done: lines.read.load(Relaxed),
        }))
    }
}

struct Lines {
    reader: Box<dyn BufRead>,
    read: Arc<AtomicU64>,
    /// Of the line last returned, from 1.
    number: u64,
    line_bytes_max: usize,
}

impl Lines {
    fn new(raw: Box<dyn Read>, limits: Limits) -> io::Result<Lines> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { raw, read: Arc::clone(&read) };
        let reader = decompressed(BufReader::with_capacity(BUFFER_BYTES, counted))?;
        let line_bytes_max = limits.event_bytes_max.saturating_mul(LINE_FACTOR);
        Ok(Lines { reader, read, number: 0, line_bytes_max })
    }

    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut self.reader).take(self.line_bytes_max as u64 + 1);
            let taken = bounded
                .read_until(b'\n', &mut line)
                .with_context(|| format!("after line {}", self.number))?;
            if taken == 0 {
                return Ok(None);
            }
            self.number += 1;
            if taken > self.line_bytes_max {
                bail!("line {} is longer than {} bytes", self.number, self.line_bytes_max);
            }
            let start = if self.number == 1 { strip_mark(&line) } else { &line };
            let text = start.trim_ascii();
            if !text.is_empty() {
                return Ok(Some(text.to_vec()));
            }
        }
    }
}

/// Without the byte order mark that some programs write.
fn strip_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
}

/// By the first bytes, not by the name: pipes have none.
fn decompressed(mut raw: BufReader<Counted>) -> io::Result<Box<dyn BufRead>> {
    let start = raw.fill_buf()?;
    if start.starts_with(&[0x1F, 0x8B]) {
        let decoder = MultiGzDecoder::new(raw);
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)));
    }
    if start.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        let decoder = zstd::Decoder::with_buffer(raw)?;
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)));
    }
    Ok(Box::new(raw))
}

struct Counted {
    raw: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.raw.read(buffer)?;
        self.read.fetch_add(taken as u64, Relaxed);
        Ok(taken)
    }
}
