//! The members of a JSON object: in order, each name once, found fast however many there are.
//!
//! Few members are a plain list that is searched from its beginning. From [`INDEXED_MIN`] on a hash
//! map says where each stands, and a removed member leaves a gap, so that adding, finding and
//! removing stay cheap; gaps are closed once they are the greater part. The map is keyed against
//! chosen collisions and never iterated: nothing that can be seen depends on its order.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use super::{Json, text::Text};

/// Up to here a search costs less than a hash.
const INDEXED_MIN: usize = 32;

/// The members of an object, in the order in which they came.
#[derive(Clone, Default)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
    index: Option<Box<Index<'a>>>,
}

#[derive(Clone)]
struct Member<'a> {
    name: Text<'a>,
    /// `None` is a gap; only an indexed object has any.
    value: Option<Json<'a>>,
}

#[derive(Clone)]
struct Index<'a> {
    places: HashMap<Cow<'a, [u8]>, usize>,
    gaps: usize,
}

impl<'a> Object<'a> {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len() - self.index.as_ref().map_or(0, |index| index.gaps)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.value_at(self.place(name)?)
    }

    /// The members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Text<'a>, &Json<'a>)> {
        self.members.iter().filter_map(|m| m.value.as_ref().map(|value| (m.name, value)))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Json<'a>> {
        let place = self.place(name)?;
        self.members.get_mut(place)?.value.as_mut()
    }

    /// The value of the member of this name, however either is escaped.
    pub(super) fn get_text(&self, name: &Text<'_>) -> Option<&Json<'a>> {
        self.value_at(self.place_of_text(name)?)
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = (Text<'a>, Json<'a>)> {
        self.members.into_iter().filter_map(|member| Some((member.name, member.value?)))
    }

    /// Sets a member: at its place if there is one of that name, else at the end.
    pub(super) fn put(&mut self, name: Text<'a>, value: Json<'a>) {
        *self.slot(name) = value;
    }

    /// The value of the member of this name; a new one, `null`, if there is none.
    pub(super) fn slot(&mut self, name: Text<'a>) -> &mut Json<'a> {
        let place = self.place_or_new(name);
        self.members[place].value.get_or_insert(Json::Null)
    }

    fn place_or_new(&mut self, name: Text<'a>) -> usize {
        let end = self.members.len();
        let place = match &mut self.index {
            None => self.members.iter().position(|member| member.name == name).unwrap_or(end),
            Some(index) => match index.places.entry(name.key()) {
                Entry::Occupied(place) => *place.get(),
                Entry::Vacant(vacant) => *vacant.insert(end),
            },
        };
        if place == end {
            self.members.push(Member { name, value: None });
            if self.index.is_none() && end + 1 == INDEXED_MIN {
                self.index = Some(Box::new(Index::of(&self.members)));
            }
        }
        place
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Json<'a>> {
        self.remove_at(self.place(name)?)
    }

    pub(super) fn remove_text(&mut self, name: &Text<'_>) -> Option<Json<'a>> {
        self.remove_at(self.place_of_text(name)?)
    }

    fn remove_at(&mut self, place: usize) -> Option<Json<'a>> {
        let Some(index) = &mut self.index else { return self.members.remove(place).value };
        let member = self.members.get_mut(place)?;
        index.places.remove(member.name.key().as_ref());
        index.gaps += 1;
        let value = member.value.take();
        if index.gaps > self.members.len() / 2 {
            self.close_gaps();
        }
        value
    }

    /// Costs as much as there were removals since the last time.
    fn close_gaps(&mut self) {
        self.members.retain(|member| member.value.is_some());
        let indexed = self.members.len() >= INDEXED_MIN;
        self.index = indexed.then(|| Box::new(Index::of(&self.members)));
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.index {
            None => self.members.iter().position(|member| member.name.is(name)),
            Some(index) => index.places.get(name.as_bytes()).copied(),
        }
    }

    fn place_of_text(&self, name: &Text<'_>) -> Option<usize> {
        match &self.index {
            None => self.members.iter().position(|member| member.name == *name),
            Some(index) => index.places.get(name.key().as_ref()).copied(),
        }
    }

    fn value_at(&self, place: usize) -> Option<&Json<'a>> {
        self.members.get(place)?.value.as_ref()
    }
}

impl<'a> Index<'a> {
    fn of(members: &[Member<'a>]) -> Index<'a> {
        let places = members.iter().enumerate().map(|(place, m)| (m.name.key(), place)).collect();
        Index { places, gaps: 0 }
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Text<'_> {
        Text::plain(text).expect("no escapes")
    }

    #[test]
    fn gaps_are_closed_and_a_small_object_is_a_plain_list_again() {
        let names: Vec<String> = (0..2 * INDEXED_MIN).map(|n| n.to_string()).collect();
        let mut object = Object::default();
        names.iter().for_each(|n| object.put(name(n), Json::Null));
        assert!(object.index.is_some());
        for n in names.iter().cycle().take(10_000) {
            object.remove(n).expect("a member");
            object.put(name(n), Json::Null);
            assert_eq!(object.len(), names.len());
            assert!(object.members.len() <= 2 * names.len() + 1);
        }
        names[1..].iter().for_each(|n| drop(object.remove(n)));
        assert_eq!((object.len(), object.members.len(), object.index.is_some()), (1, 1, false));
        assert!(object.get("0").is_some() && object.get("1").is_none());
    }
}
