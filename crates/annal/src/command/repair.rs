//! `annal repair`: drops the end of a log that is damaged in the middle, when there is no better copy.
//!
//! Loses events, so it does only what its one flag says. What was folded goes too: it would know of
//! events that are no longer there, and is folded again at the next start.

use annal_engine::{Random, SystemRandom};
use annal_storage::{DirLock, FileStorage};
use anyhow::{Context, bail};

use crate::{
    cli::{RepairArgs, Setting, Usage},
    command::rebuild::Folded,
    target,
};

/// Cuts the log after a position.
pub(crate) fn run(setting: &Setting, args: &RepairArgs) -> anyhow::Result<()> {
    if setting.url.is_some() {
        let wrong = "repair changes the files themselves; stop the server and use --data-dir";
        return Err(Usage(wrong.to_owned()).into());
    }
    let dir = setting.settings.data_dir();
    if !dir.join("log").is_dir() {
        bail!("there is no log in {}; name the right --data-dir", dir.display());
    }
    let _lock = DirLock::acquire(&dir)?;
    let storage = FileStorage::new(&dir).with_context(|| target::cannot_open(&dir))?;
    let salt = SystemRandom.next();
    let cut = annal_log::truncate_at(&storage, "log", args.truncate_at, salt)?;
    for folded in [Folded::Index, Folded::Rows, Folded::Search] {
        let by_hand = || format!("the log was cut; remove `{}` by hand", folded.path());
        folded.remove(&dir).with_context(by_hand)?;
    }
    println!("the log ends at position {}", cut.head);
    Ok(())
}
