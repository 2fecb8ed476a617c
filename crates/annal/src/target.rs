//! Where a command works: on a data directory, or on a running server.
//!
//! A directory that a server holds is not an obstacle: the server left its address in the lock
//! file, and the command talks to it instead.

use std::path::Path;

use annal_engine::{Engine, EngineOptions, OpenError};
use annal_storage::LockError;
use anyhow::{Context, bail};

use crate::{cli::Setting, client::Client};

/// Where a command works.
#[derive(Debug)]
pub(crate) enum Target {
    /// On a data directory that nobody else holds.
    Directory(Opened),
    /// On a running server.
    Server(Client),
}

/// An engine that is shut down in order when the command ends.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) engine: Engine,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.engine.shutdown();
    }
}

/// Whether a command may begin a new data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It writes, so it may.
    Create,
    /// It only looks, so a missing directory is a mistake.
    Refuse,
}

/// Finds out where to work. A directory is opened without its search index, which catches up at the
/// next start of a server.
pub(crate) fn open(setting: &Setting, missing: Missing) -> anyhow::Result<Target> {
    let options = EngineOptions { search: None, ..setting.settings.engine_options()? };
    open_with(setting, missing, options)
}

/// The same, for who searches.
pub(crate) fn open_searching(setting: &Setting) -> anyhow::Result<Target> {
    open_with(setting, Missing::Refuse, setting.settings.engine_options()?)
}

fn open_with(
    setting: &Setting,
    missing: Missing,
    options: EngineOptions,
) -> anyhow::Result<Target> {
    if let Some(url) = &setting.url {
        return Ok(Target::Server(Client::new(url)?));
    }
    let dir = setting.settings.data_dir();
    if missing == Missing::Refuse && !dir.join("log").is_dir() {
        bail!(
            "there is no log in {}; name the right --data-dir, or a server with --url",
            dir.display()
        );
    }
    match Engine::open(&dir, options) {
        Ok(engine) => Ok(Target::Directory(Opened { engine })),
        Err(OpenError::Lock(LockError::Held { note: Some(url), .. }))
            if url.starts_with("http") =>
        {
            Ok(Target::Server(Client::new(&url)?))
        }
        Err(error) => Err(error).with_context(|| cannot_open(&dir)),
    }
}

/// What every failure to open a directory begins with.
pub(crate) fn cannot_open(dir: &Path) -> String {
    format!("cannot open {}", dir.display())
}
