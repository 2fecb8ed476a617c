//! Upkeep: what can wait, done in small steps beside the write path.

use std::sync::Arc;

use crate::{Durability, engine::Core, registers::Due, writer::Progress};

/// Freezes and merges the index, writes rows and registers, compresses segments of the log.
#[derive(Debug)]
pub struct Upkeep {
    core: Arc<Core>,
}

impl Upkeep {
    pub(crate) fn new(core: Arc<Core>) -> Upkeep {
        Upkeep { core }
    }

    /// One small piece of work. An error is logged and ends nothing: the log is whole without it.
    pub fn step(&mut self) -> Progress {
        let index = self.index_step();
        let rows = self.rows_step();
        let seal = self.seal_step();
        self.registers_step();
        if index || rows || seal { Progress::Worked } else { Progress::Idle }
    }

    fn index_step(&mut self) -> bool {
        let core = &self.core;
        if core.options.durability == Durability::Never && core.view.index().stats().tables > 1 {
            // The index must not be ahead of the log after a power loss.
            if let Err(error) = core.log.lock().sync() {
                core.fail(&error.to_string());
                return false;
            }
        }
        let durable = core.view.log().durable();
        core.view.index().maintain(durable).unwrap_or_else(|error| {
            tracing::error!(%error, "the index could not be tidied up");
            core.stats.upkeep_failed();
            false
        })
    }

    fn rows_step(&mut self) -> bool {
        let view = &self.core.view;
        // What is written is seen by everybody and can never be taken back.
        let durable = view.log().durable().min(view.head());
        view.store().maintain(durable).unwrap_or_else(|error| {
            tracing::error!(%error, "rows could not be written");
            self.core.stats.upkeep_failed();
            false
        })
    }

    /// Not work that calls for another step at once: what changes meanwhile waits for the next.
    fn registers_step(&mut self) {
        let core = &self.core;
        match core.registers.is_due(core.clock.now()) {
            Due::Nothing => {}
            Due::Write => {
                if let Err(error) = core.registers.write() {
                    tracing::warn!(%error, "checkpoints could not be written; trying again");
                    core.stats.upkeep_failed();
                }
            }
            Due::Sync => core.sync_registers(),
        }
    }

    fn seal_step(&mut self) -> bool {
        self.core.view.log().seal_step().unwrap_or_else(|error| {
            tracing::error!(%error, "a segment could not be sealed");
            self.core.stats.upkeep_failed();
            false
        })
    }
}
