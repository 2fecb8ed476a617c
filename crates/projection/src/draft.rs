//! What an append would change, while it is being decided: rows on top of everything decided
//! before, which nobody else sees until they are staged.

use std::collections::BTreeMap;

use annal_event::Position;

use crate::{
    Order,
    schema::Looks,
    store::{Change, Key, KeyRange, Store, StoreError, Value, View},
};

/// The rows as an append would leave them, event by event.
#[derive(Debug)]
pub struct Draft {
    view: View,
    changed: BTreeMap<Key, Option<Value>>,
    /// Of the event that is being looked at.
    current: Vec<Change>,
    done: Vec<(Position, Vec<Change>)>,
    /// For checking what is decided together.
    pub(crate) looks: Looks,
}

impl Draft {
    /// On top of everything that is staged.
    pub fn new(store: &Store) -> Draft {
        let view = store.view(Position::MAX);
        let looks = Looks::default();
        Draft { view, changed: BTreeMap::new(), current: Vec::new(), done: Vec::new(), looks }
    }

    /// The rows without what is being decided.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        match self.changed.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(key),
        }
    }

    /// Sets or removes a row.
    pub fn set(&mut self, key: Key, value: Option<Value>) {
        self.changed.insert(Key::clone(&key), value.clone());
        self.current.push(Change { key, value });
    }

    /// The rows whose keys begin with a prefix, in order; at most `limit`.
    pub fn prefixed(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Key, Value)>, StoreError> {
        let range = KeyRange::prefix(prefix);
        let mut rows = BTreeMap::new();
        for row in self.view.scan(&range, Order::Ascending) {
            let (key, value) = row?;
            if !self.changed.contains_key(&key) {
                rows.insert(key, value);
            }
            if rows.len() >= limit {
                break;
            }
        }
        let changed = self.changed.range::<[u8], _>((
            range.from.as_ref().map(|key| &**key),
            range.to.as_ref().map(|key| &**key),
        ));
        for (key, value) in changed {
            if let Some(value) = value {
                rows.insert(Key::clone(key), Value::clone(value));
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// What has been set since the last call belongs to the event at a position.
    pub fn end_event(&mut self, position: Position) {
        if !self.current.is_empty() {
            self.done.push((position, std::mem::take(&mut self.current)));
        }
    }

    /// All changes, event by event, ready to be staged.
    pub fn finish(self) -> Vec<(Position, Vec<Change>)> {
        self.done
    }
}
