//! What the commits of a story add up to, and whether the engine says the same.

use std::collections::BTreeMap;

use annal_engine::{Lookup, Past, View};
use annal_event::{Commit, CommitOutcome, Position, ResourceKey};

use crate::{
    history::{Checked, Made, check, violated},
    random::Rng,
};

/// A state of a document: since when, and what; `None` if it is deleted.
type State = (Position, Option<String>);

/// Every state that every resource was in.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    states: BTreeMap<ResourceKey<'static>, Vec<State>>,
}

impl Documents {
    /// An event became visible. What cannot be applied must never be stored.
    pub(crate) fn saw(&mut self, position: Position, made: &Made) -> Checked {
        let event = made.event();
        let commit = match Commit::of(&event) {
            Ok(None) => return Ok(()),
            Ok(Some(commit)) => commit,
            Err(error) => return violated(4, format!("{position} is no commit: {error}")),
        };
        let states = self.states.entry(commit.key.clone().into_owned()).or_default();
        let before = states.last().and_then(|(_, text)| text.as_deref());
        let after = match commit.apply(before) {
            Ok(CommitOutcome::Document(text)) => Some(text),
            Ok(CommitOutcome::Deleted) if before.is_none() => return Ok(()),
            Ok(CommitOutcome::Deleted) => None,
            Err(error) => return violated(4, format!("{position} was stored: {error}")),
        };
        states.push((position, after));
        Ok(())
    }

    /// Forgets what came after `head`.
    pub(crate) fn cut(&mut self, head: Position) {
        self.states.values_mut().for_each(|states| states.retain(|(since, _)| *since <= head));
    }

    /// Where a resource last changed, if it was there at a head.
    pub(crate) fn revision(&self, name: &str, head: Position) -> Option<Position> {
        let key = ResourceKey::from_text(name)?;
        let (since, text) = state(self.states.get(&key)?, head)?;
        text.is_some().then_some(*since)
    }

    /// INV-4: every resource is what its commits make of it, now and at some moment in the past.
    pub(crate) fn check(&self, view: &View, rng: &mut Rng) -> Checked {
        let head = view.head();
        for (key, states) in &self.states {
            let name = key.to_string();
            let now = match view.resource(&name) {
                Ok(Lookup::One(resource)) => {
                    let document = resource.document;
                    Some((document.revision(), document.text().map(str::to_owned)))
                }
                Ok(_) => None,
                Err(error) => return violated(4, format!("{name}: {error}")),
            };
            check(now.as_ref() == state(states, head), 4, || {
                format!("{name} at {head} is {now:?}, not {:?}", state(states, head))
            })?;
            let at = Position(rng.below(head.0 + 1));
            let past = match view.resource_at(key, at) {
                Ok(Past::Unmade) => None,
                Ok(Past::Deleted) => Some(None),
                Ok(Past::Document { text, .. }) => Some(Some(text)),
                Err(error) => return violated(4, format!("{name} at {at}: {error}")),
            };
            let expected = state(states, at).map(|(_, text)| text.clone());
            check(past == expected, 4, || {
                format!("{name} at {at} was {past:?}, not {expected:?}")
            })?;
        }
        Ok(())
    }
}

fn state(states: &[State], at: Position) -> Option<&State> {
    states.iter().rev().find(|(since, _)| *since <= at)
}
