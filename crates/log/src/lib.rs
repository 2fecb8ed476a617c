//! The log: the totally ordered events of one tenant, in a directory of segments.
//!
//! One [`LogWriter`] appends whole batches as frames and makes them durable; any number of
//! [`LogReader`]s see what was published; [`LogReader::seal_step`] seals old segments in the
//! background, one bounded step at a time. Three offsets: *written* (in the file), *durable* (synced), *visible*
//! (readers may see it).
//!
//! What holds, always:
//! - Positions are contiguous, and a reader sees a prefix (INV-2).
//! - A torn tail is cut off; damage in the middle is refused and named, never skipped (INV-1).
//! - After a failed write or sync the writer refuses for ever; a sync is never tried again.
//!
//! The log never looks into records, and knows no clock: times come with the batches.
//! `docs/file-format.md` describes every byte and why it is there.

mod bytes;
mod cache;
mod cat;
mod error;
mod frame;
mod options;
mod reader;
mod recovery;
mod repair;
mod sealed;
mod segment;
mod shared;
mod tail;
mod upkeep;
mod verify;
mod walk;
mod writer;

use std::sync::Arc;

use annal_storage::Storage;

pub use cat::{CatFrame, FileHeader, LogFile};
pub use error::{Damage, Fault, OpenError, ReadError, WriteError};
pub use frame::{FrameHeader, LogHeader};
pub use options::LogOptions;
pub use reader::{LogReader, LogStats};
pub use repair::{RepairError, Truncated, truncate_at};
pub use sealed::{Footer, Section};
pub use verify::{VerifyError, VerifyReport, verify};
pub use writer::LogWriter;

/// Opens the log in `dir`, making the directory if need be, and recovers what a crash left.
///
/// `salts` gives a random number for every segment file that is begun.
pub fn open(
    storage: Arc<dyn Storage>,
    dir: &str,
    options: LogOptions,
    salts: impl FnMut() -> u64 + Send + 'static,
) -> Result<(LogWriter, LogReader), OpenError> {
    recovery::open(storage, dir, options, Box::new(salts))
}
