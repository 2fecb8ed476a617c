//! `annal verify`: proves the whole log, or names the first place where it is not what was written.
//!
//! A log that ends before what its projections have folded has lost its end, however whole the rest
//! is. Changes nothing of the log, and needs the directory to itself.

use std::{path::Path, sync::Arc};

use annal_engine::OpenError;
use annal_log::{VerifyError, VerifyReport};
use annal_storage::{DirLock, FileStorage, Storage};
use anyhow::{Context, bail};

use crate::{
    cli::{Setting, Usage},
    output::Progress,
    target,
};

/// Walks the log and prints what it holds.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<()> {
    if setting.url.is_some() {
        let wrong = "verify reads the files themselves; run it where they are, with --data-dir, \
                     while no server has them";
        return Err(Usage(wrong.to_owned()).into());
    }
    let dir = setting.settings.data_dir();
    if !dir.join("log").is_dir() {
        bail!("there is no log in {}; name the right --data-dir", dir.display());
    }
    let _lock = DirLock::acquire(&dir)?;
    let report = verify(&dir)?;
    println!("{}", describe(&report));
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(&dir)?);
    let folded = annal_engine::was_durable(&storage)?;
    if folded > report.head {
        return Err(OpenError::LogIsShort { head: report.head, folded }.into());
    }
    if report.torn_bytes > 0 {
        println!(
            "{} bytes at the end are no whole batch, as a write that a crash cut off leaves them; the \
             next start drops them. If somebody has cut the file, what stood there is gone",
            report.torn_bytes
        );
    }
    Ok(())
}

fn verify(dir: &Path) -> anyhow::Result<VerifyReport> {
    let storage = FileStorage::new(dir).with_context(|| target::cannot_open(dir))?;
    let progress = Progress::of_events(None);
    let verified = annal_log::verify(&storage, "log", |report| progress.at(report.events));
    progress.finish();
    verified.map_err(|error| match error {
        VerifyError::Damaged { ref whole, .. } => {
            let proven = describe(whole);
            anyhow::Error::from(error).context(format!("the log is not whole (proven: {proven})"))
        }
        VerifyError::Io { .. } => error.into(),
    })
}

fn describe(report: &VerifyReport) -> String {
    format!(
        "{} events in {} batches, {} segments, {} bytes of records; head {}, chain {}",
        report.events,
        report.batches,
        report.segments,
        report.payload_bytes,
        report.head,
        hex(&report.chain),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
