//! Upkeep: what can wait, done in small steps beside the write path.

use std::sync::Arc;

use annal_projection::{index::IndexError, store::StoreError};

use crate::{Durability, engine::Core, writer::Progress};

/// Freezes and merges the index, writes rows, compresses segments of the log.
#[derive(Clone, Debug)]
pub struct Upkeep {
    core: Arc<Core>,
}

impl Upkeep {
    pub(crate) fn new(core: Arc<Core>) -> Upkeep {
        Upkeep { core }
    }

    /// One small piece of work. An error is logged and ends nothing: the log is whole without it.
    pub fn step(&mut self) -> Progress {
        let tidied = self.tidy();
        let written = self.write_rows();
        if tidied || written { Progress::Worked } else { Progress::Idle }
    }

    /// The steps that are short: what they tidy is waited for soon.
    pub(crate) fn tidy(&self) -> bool {
        let index = self.index_step();
        let seal = self.seal_step();
        index || seal
    }

    fn index_step(&self) -> bool {
        let core = &self.core;
        if core.failure().is_some() {
            return false;
        }
        if core.options.durability == Durability::Never && core.view.index().stats().tables > 1 {
            // The index must not be ahead of the log after a power loss.
            if let Err(error) = core.log.lock().sync() {
                core.fail(&error.to_string());
                return false;
            }
        }
        if core.view.index().is_damaged() {
            condemned(core, "the index", core.view.index().condemn());
            return false;
        }
        let durable = core.view.log().durable();
        core.view.index().maintain(durable).unwrap_or_else(|error| {
            tracing::error!(%error, "the index could not be tidied up");
            core.stats.upkeep_failed();
            if let IndexError::Damaged { .. } = error {
                condemned(core, "the index", core.view.index().condemn());
            }
            false
        })
    }

    /// One transaction of rows.
    pub(crate) fn write_rows(&self) -> bool {
        let core = &self.core;
        if core.failure().is_some() {
            return false;
        }
        // What is written is seen by everybody and can never be taken back.
        let durable = core.view.log().durable().min(core.view.head());
        match core.view.store().maintain(durable) {
            Ok(worked) => worked,
            Err(error) => {
                tracing::error!(%error, "rows could not be written");
                core.stats.upkeep_failed();
                if let StoreError::Damaged { .. } = error {
                    condemned(core, "the file of rows", core.view.store().condemn());
                }
                false
            }
        }
    }

    fn seal_step(&self) -> bool {
        self.core.view.log().seal_step().unwrap_or_else(|error| {
            tracing::error!(%error, "a segment could not be sealed");
            self.core.stats.upkeep_failed();
            false
        })
    }
}

/// Nothing can be decided by what is damaged; the next start folds it anew.
fn condemned<E: std::fmt::Display>(core: &Core, what: &str, removed: Result<(), E>) {
    match removed {
        Ok(()) => core.fail(&format!("{what} is damaged; restart, and it is built anew")),
        Err(error) => core.fail(&format!("{what} is damaged, and not removed: {error}")),
    }
}
