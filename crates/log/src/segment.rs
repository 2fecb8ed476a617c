//! The list of segments, in order, and how their files are named.

use annal_event::{Position, Timestamp};
use parking_lot::RwLock;

use crate::{frame::LogHeader, sealed::Footer};

/// Distance of the marks in an unsealed segment, in bytes: what a lookup reads at most.
pub(crate) const MARK_BYTES: u64 = 16 << 10;

/// A file that may serve as the next segment, with its space already written.
pub(crate) const SPARE: &str = "spare";
/// A segment file being begun.
pub(crate) const NEXT_TMP: &str = "next.tmp";
/// A sealed segment being built.
pub(crate) const SEALING_TMP: &str = "sealing.tmp";
const LOG_SUFFIX: &str = ".log";
const SEALED_SUFFIX: &str = ".seg";
const DIGITS: usize = 20;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first: Position,
    pub(crate) path: String,
    pub(crate) store: Store,
}

#[derive(Debug)]
pub(crate) enum Store {
    /// The active segment, or a rolled one that waits to be sealed.
    Log {
        header: LogHeader,
        marks: RwLock<Option<Marks>>,
    },
    Sealed(Footer),
}

/// Where some of the frames of an unsealed segment stand.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<Mark>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) first: Position,
    pub(crate) offset: u64,
    /// Newest recorded time of all frames before this one.
    pub(crate) time_before: Timestamp,
}

impl Marks {
    pub(crate) fn note(&mut self, mark: Mark) {
        if self.0.last().is_none_or(|last| mark.offset - last.offset >= MARK_BYTES) {
            self.0.push(mark);
        }
    }

    /// The last marked frame at or before a position.
    pub(crate) fn before(&self, position: Position) -> Option<Mark> {
        let after = self.0.partition_point(|mark| mark.first <= position);
        after.checked_sub(1).map(|index| self.0[index])
    }

    /// The last marked frame that has only older times before it.
    pub(crate) fn before_time(&self, time: Timestamp) -> Option<Mark> {
        let after = self.0.partition_point(|mark| mark.time_before < time);
        after.checked_sub(1).map(|index| self.0[index])
    }

    /// Up to `count` marks spread over the segment.
    pub(crate) fn spread(&self, count: usize) -> Vec<Mark> {
        let step = self.0.len().div_ceil(count.max(1)).max(1);
        self.0.iter().step_by(step).copied().collect()
    }
}

impl Segment {
    pub(crate) fn log(dir: &str, header: LogHeader, marks: Option<Marks>) -> Segment {
        let path = log_path(dir, header.first);
        let first = header.first;
        Segment { first, path, store: Store::Log { header, marks: RwLock::new(marks) } }
    }

    pub(crate) fn sealed(dir: &str, footer: Footer) -> Segment {
        let path = sealed_path(dir, footer.first);
        Segment { first: footer.first, path, store: Store::Sealed(footer) }
    }

    /// Hash chain before the first frame.
    pub(crate) fn chain_before(&self) -> annal_event::Digest {
        match &self.store {
            Store::Log { header, .. } => header.chain_before,
            Store::Sealed(footer) => footer.chain_before,
        }
    }

    /// Newest recorded time up to its end, where the file itself says so.
    pub(crate) fn time_max(&self) -> Option<Timestamp> {
        match &self.store {
            Store::Log { .. } => None,
            Store::Sealed(footer) => Some(footer.time_max),
        }
    }

    /// Newest recorded time before it, where the file itself says so.
    pub(crate) fn time_before(&self) -> Option<Timestamp> {
        match &self.store {
            Store::Log { header, .. } => Some(header.time_before),
            Store::Sealed(_) => None,
        }
    }
}

/// What a file of the log directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log(Position),
    Sealed(Position),
}

/// `None` for files that are no segments.
pub(crate) fn kind_of(name: &str) -> Option<FileKind> {
    let (digits, suffix) = name.split_at_checked(DIGITS)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let first = Position(digits.parse().ok().filter(|_| all_digits)?);
    match suffix {
        LOG_SUFFIX => Some(FileKind::Log(first)),
        SEALED_SUFFIX => Some(FileKind::Sealed(first)),
        _ => None,
    }
}

pub(crate) fn path(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

pub(crate) fn log_path(dir: &str, first: Position) -> String {
    path(dir, &format!("{:020}{LOG_SUFFIX}", first.0))
}

pub(crate) fn sealed_path(dir: &str, first: Position) -> String {
    path(dir, &format!("{:020}{SEALED_SUFFIX}", first.0))
}
