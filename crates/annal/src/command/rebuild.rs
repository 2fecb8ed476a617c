//! `annal rebuild`: throws away what was folded from the log, and folds it again, visibly.
//!
//! Needs the directory to itself. A running server need not be stopped for long: what is missing is
//! folded again at every start, and search while everything else is served already.

use std::{fs, io, path::Path, time::Instant};

use annal_engine::{Engine, EngineOptions};
use annal_storage::DirLock;
use anyhow::{Context, bail};

use super::query;
use crate::{
    cli::{Rebuilt, Setting, Usage},
    target,
};

/// What is folded from the log, as it lies in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    Index,
    Rows,
    Search,
}

impl Folded {
    /// Where it lies.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Folded::Index => "index",
            Folded::Rows => "data.redb",
            Folded::Search => "search_index",
        }
    }

    /// Throws it away; that it is not there is no error.
    pub(crate) fn remove(self, dir: &Path) -> io::Result<()> {
        let path = dir.join(self.path());
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    fn of(what: Rebuilt) -> &'static [Folded] {
        match what {
            Rebuilt::Index => &[Folded::Index],
            Rebuilt::Rows => &[Folded::Rows],
            Rebuilt::Search => &[Folded::Search],
            Rebuilt::All => &[Folded::Index, Folded::Rows, Folded::Search],
        }
    }
}

/// Folds again what is asked for.
pub(crate) fn run(setting: &Setting, what: Rebuilt) -> anyhow::Result<()> {
    if setting.url.is_some() {
        let wrong = "rebuild changes the files themselves; stop the server and use --data-dir";
        return Err(Usage(wrong.to_owned()).into());
    }
    let dir = setting.settings.data_dir();
    if !dir.join("log").is_dir() {
        bail!("there is no log in {}; name the right --data-dir", dir.display());
    }
    let folded = Folded::of(what);
    let options = setting.settings.engine_options()?;
    let searching = folded.contains(&Folded::Search);
    if what == Rebuilt::Search && options.search.is_none() {
        bail!("search is switched off; leave out --search off, or remove search_index/ by hand");
    }
    let lock = DirLock::acquire(&dir).context(
        "rebuild needs the directory to itself; stop the server, or restart it after removing what is \
         to be folded again",
    )?;
    for folded in folded {
        let cannot = || format!("cannot remove {}", dir.join(folded.path()).display());
        folded.remove(&dir).with_context(cannot)?;
    }
    drop(lock);
    let begun = Instant::now();
    let search = options.search.filter(|_| searching);
    let engine = Engine::open(&dir, EngineOptions { search, ..options })
        .with_context(|| target::cannot_open(&dir))?;
    let caught_up = engine.search().map_or(Ok(()), |search| query::catch_up(&engine, search));
    let head = engine.head();
    engine.shutdown();
    caught_up?;
    let names: Vec<_> = folded.iter().map(|folded| folded.path()).collect();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} folded again up to position {head} in {seconds:.1} s", names.join(", "));
    Ok(())
}
