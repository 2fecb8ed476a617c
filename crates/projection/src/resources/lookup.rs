//! Finding a resource by any of its names, and its states in the past.

use annal_event::{Position, ResourceKey};

use super::{Document, Resources, key, row};
use crate::{
    Order,
    store::{Key, KeyRange, StoreError, View},
};

/// Resources that one name may stand for; more are not told apart.
const CANDIDATES_MAX: usize = 100;

/// A name with more dashes than this is not tried as `type-id`.
const DASHES_MAX: usize = 16;

/// A resource that was found.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its key.
    pub key: ResourceKey<'static>,
    /// What it is.
    pub document: Document,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// One resource, which may be deleted.
    One(Box<Resource>),
    /// Several that exist.
    Several(Vec<Resource>),
    /// None that ever was.
    Nothing,
}

impl Resources {
    /// A view of the rows as of a head.
    pub fn view(&self, at: Position) -> View {
        self.store.view(at)
    }

    /// A resource by its key, deleted or not.
    pub fn get(
        &self,
        view: &View,
        resource: &ResourceKey<'_>,
    ) -> Result<Option<Document>, StoreError> {
        Ok(view.get(&key::document(resource))?.and_then(Document::of))
    }

    /// A resource by `type/id`, a bare id, or `type-id`.
    pub fn find(&self, view: &View, name: &str) -> Result<Lookup, StoreError> {
        let one = |resource| Ok(Lookup::One(Box::new(resource)));
        if let Some(resource) = ResourceKey::from_text(name)
            && let Some(document) = self.get(view, &resource)?
        {
            return one(Resource { key: resource.into_owned(), document });
        }
        let mut found = self.with_id(view, name)?;
        for (at, _) in name.match_indices('-').take(DASHES_MAX) {
            if let Some(resource) = ResourceKey::new(&name[..at], &name[at + 1..])
                && let Some(document) = self.get(view, &resource)?
            {
                found.push(Resource { key: resource.into_owned(), document });
            }
        }
        let (mut there, mut deleted): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|resource| !resource.document.is_deleted());
        match (there.len(), deleted.pop()) {
            (0, Some(last)) => one(last),
            (0, None) => Ok(Lookup::Nothing),
            (1, _) => one(there.swap_remove(0)),
            _ => Ok(Lookup::Several(there)),
        }
    }

    fn with_id(&self, view: &View, id: &str) -> Result<Vec<Resource>, StoreError> {
        let mut found = Vec::new();
        if id.contains('\0') {
            return Ok(found);
        }
        for row in view.scan(&KeyRange::prefix(&key::ids(id)), Order::Ascending) {
            let (key, _) = row?;
            let Some(resource) = key::type_of_id(&key).and_then(|ty| ResourceKey::new(ty, id))
            else {
                continue;
            };
            if let Some(document) = self.get(view, &resource)? {
                found.push(Resource { key: resource.into_owned(), document });
            }
            if found.len() == CANDIDATES_MAX {
                break;
            }
        }
        Ok(found)
    }

    /// The newest state of a resource that is kept from before or at a position: at which position,
    /// and the document then.
    pub fn state_at(
        &self,
        view: &View,
        resource: &ResourceKey<'_>,
        at: Position,
    ) -> Result<Option<(Position, Document)>, StoreError> {
        let upto = std::ops::Bound::Included(key::state(resource, at));
        let states = KeyRange { to: upto, ..KeyRange::prefix(&key::states(resource)) };
        let newest = view.scan(&states, Order::Descending).next().transpose()?;
        Ok(newest.and_then(|(key, row)| state(&key, row)))
    }
}

fn state(key: &Key, row: crate::store::Value) -> Option<(Position, row::Document)> {
    Some((key::position_of_state(key)?, Document::of(row)?))
}
