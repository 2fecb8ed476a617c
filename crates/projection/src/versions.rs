//! What stands under a name, as of any head that somebody may look from: kept in memory, beside the
//! rows that it is made of.

use std::{collections::HashMap, sync::Arc};

use annal_event::Position;
use parking_lot::RwLock;

/// What stood there from each position where it changed, oldest first.
type History<T> = Vec<(Position, Option<Arc<T>>)>;

/// Things by name.
#[derive(Debug)]
pub(crate) struct Versions<T> {
    by_name: RwLock<HashMap<String, History<T>>>,
}

impl<T> Default for Versions<T> {
    fn default() -> Versions<T> {
        Versions { by_name: RwLock::default() }
    }
}

impl<T> Versions<T> {
    /// What stands under a name, as of a position.
    pub(crate) fn of(&self, name: &str, at: Position) -> Option<Arc<T>> {
        let by_name = self.by_name.read();
        newest(by_name.get(name)?, at)
    }

    /// Everything that stands there as of a position, in no order.
    pub(crate) fn all(&self, at: Position) -> Vec<Arc<T>> {
        self.by_name.read().values().filter_map(|history| newest(history, at)).collect()
    }

    /// How many names there are, or have been.
    pub(crate) fn len(&self) -> usize {
        self.by_name.read().len()
    }

    /// From a position on this stands under a name. `visible`: nobody looks from before it.
    pub(crate) fn set(
        &self,
        name: &str,
        position: Position,
        thing: Option<Arc<T>>,
        visible: Position,
    ) {
        let mut by_name = self.by_name.write();
        let history = by_name.entry(name.to_owned()).or_default();
        let landed = history.partition_point(|(position, _)| *position <= visible);
        history.drain(..landed.saturating_sub(1));
        history.push((position, thing));
    }

    /// Forgets what changed after a position.
    pub(crate) fn rollback(&self, to: Position) {
        self.by_name.write().retain(|_, history| {
            history.retain(|(position, _)| *position <= to);
            !history.is_empty()
        });
    }
}

fn newest<T>(history: &History<T>, at: Position) -> Option<Arc<T>> {
    history.iter().rev().find(|(position, _)| *position <= at)?.1.clone()
}
