//! Lists of resources: by type, filtered, sorted, in parts.
//!
//! In order of key a part costs its rows; filtered or sorted by a field every document of the type
//! is looked at, and no more of them is kept than the part.

use std::{cmp::Ordering, collections::BinaryHeap};

use annal_event::{ResourceKey, json};

use super::{Document, Resource, Resources, change::number, key};
use crate::{
    Order,
    store::{KeyRange, StoreError, View},
};

/// Which resources, and how.
#[derive(Clone, Debug, Default)]
pub struct ListSpec {
    /// Only of this type.
    pub ty: Option<String>,
    /// Only those that pass all of these.
    pub filters: Vec<FieldFilter>,
    /// In which order.
    pub sort: Sort,
    /// How many to pass over.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
    /// Only those after this key, in order of key.
    pub after: Option<ResourceKey<'static>>,
    /// About so many bytes of documents at most (at least one document all the same).
    pub bytes_max: usize,
}

/// A member that must have a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFilter {
    /// The path of member names to it.
    pub path: Vec<String>,
    /// The text of the value: of a string what it says, of anything else its JSON. Of an array one
    /// item.
    pub value: String,
}

/// The order of a list. What is equal, and what has no such member, stands in order of key; the
/// latter at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By `type/id`.
    #[default]
    Key,
    /// By the position of the last change.
    Revision(Order),
    /// By the value of a member: numbers before texts.
    Field(Vec<String>, Order),
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The resources.
    pub resources: Vec<Resource>,
    /// How many there are in all, on every part together.
    pub total: u64,
    /// Whether there are more after these.
    pub more: bool,
}

impl FieldFilter {
    fn passes(&self, text: &str) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let Some(value) = json::text_at(text, &path) else { return false };
        if !value.starts_with('[') {
            return says(value, &self.value);
        }
        serde_json::from_str::<Vec<&serde_json::value::RawValue>>(value)
            .is_ok_and(|items| items.iter().any(|item| says(item.get(), &self.value)))
    }
}

/// Whether a JSON value says a text.
fn says(value: &str, text: &str) -> bool {
    if value.starts_with('"') {
        return serde_json::from_str::<String>(value).is_ok_and(|value| value == text);
    }
    value == text
}

/// What documents are compared by.
#[derive(Clone, Debug, PartialEq)]
enum Rank {
    Revision(u64),
    Number(f64),
    Text(String),
    Missing,
}

impl Rank {
    fn of(sort: &Sort, document: &Document, text: &str) -> Rank {
        match sort {
            Sort::Key => Rank::Missing,
            Sort::Revision(_) => Rank::Revision(document.revision().get()),
            Sort::Field(path, _) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                json::text_at(text, &path).map_or(Rank::Missing, Rank::of_value)
            }
        }
    }

    fn of_value(value: &str) -> Rank {
        match serde_json::from_str(value) {
            Ok(serde_json::Value::String(text)) => Rank::Text(text),
            Ok(serde_json::Value::Number(number)) => {
                number.as_f64().map_or(Rank::Missing, Rank::Number)
            }
            Ok(serde_json::Value::Null) | Err(_) => Rank::Missing,
            Ok(other) => Rank::Text(other.to_string()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Rank::Revision(_) => 0,
            Rank::Number(_) => 1,
            Rank::Text(_) => 2,
            Rank::Missing => 3,
        }
    }

    /// In the order asked for; what is missing comes last either way.
    fn compare(&self, other: &Rank, order: Order) -> Ordering {
        let ascending = match (self, other) {
            (Rank::Missing, _) | (_, Rank::Missing) => return self.kind().cmp(&other.kind()),
            (Rank::Revision(mine), Rank::Revision(its)) => mine.cmp(its),
            (Rank::Number(mine), Rank::Number(its)) => mine.total_cmp(its),
            (Rank::Text(mine), Rank::Text(its)) => mine.cmp(its),
            _ => self.kind().cmp(&other.kind()),
        };
        match order {
            Order::Ascending => ascending,
            Order::Descending => ascending.reverse(),
        }
    }
}

/// A document that may be on the part, last ones on top of the heap.
struct Ranked {
    rank: Rank,
    order: Order,
    /// Its place in order of key.
    place: u64,
    resource: Resource,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        self.rank.compare(&other.rank, self.order).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl Resources {
    /// Number of documents of a type, or of all types.
    pub fn count(&self, view: &View, ty: Option<&str>) -> Result<u64, StoreError> {
        if let Some(ty) = ty {
            return Ok(view.get(&key::count(ty))?.map_or(0, |row| number(&row)));
        }
        let rows = view.scan(&KeyRange::prefix(&key::counts()), Order::Ascending);
        rows.map(|row| row.map(|(_, row)| number(&row))).sum()
    }

    /// Types with documents, in order, and how many each has.
    pub fn types(&self, view: &View) -> Result<Vec<(String, u64)>, StoreError> {
        let mut types = Vec::new();
        for row in view.scan(&KeyRange::prefix(&key::counts()), Order::Ascending) {
            let (key, row) = row?;
            if let Some(ty) = key::name_of(&key).filter(|_| number(&row) > 0) {
                types.push((ty.to_owned(), number(&row)));
            }
        }
        Ok(types)
    }

    /// A part of a list.
    pub fn list(&self, view: &View, spec: &ListSpec) -> Result<List, StoreError> {
        match (&spec.sort, spec.filters.is_empty()) {
            (Sort::Key, true) => self.in_order(view, spec),
            (Sort::Key, false) => self.filtered(view, spec),
            _ => self.sorted(view, spec),
        }
    }

    /// Resources after a key in order of key, deleted ones too: at most `limit`, about `bytes_max`
    /// bytes of documents (at least one resource all the same). `true`: there are more.
    pub fn after(
        &self,
        view: &View,
        after: Option<&ResourceKey<'_>>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<(Vec<Resource>, bool), StoreError> {
        let after = after.map(|key| key.clone().into_owned());
        let spec = ListSpec { after, limit, bytes_max, ..ListSpec::default() };
        let mut part = Part::new(&spec);
        for found in walk_all(view, &spec) {
            if !part.take(found?) {
                break;
            }
        }
        Ok((part.resources, part.more))
    }

    fn in_order(&self, view: &View, spec: &ListSpec) -> Result<List, StoreError> {
        let total = self.count(view, spec.ty.as_deref())?;
        let mut part = Part::new(spec);
        for found in walk(view, spec) {
            if !part.take(found?) {
                break;
            }
        }
        Ok(List { resources: part.resources, total, more: part.more })
    }

    fn filtered(&self, view: &View, spec: &ListSpec) -> Result<List, StoreError> {
        let (mut part, mut total) = (Part::new(spec), 0);
        // The whole type, since those before `after` count, too.
        for found in walk(view, &ListSpec { after: None, ..spec.clone() }) {
            let found = found?;
            let text = found.document.text().unwrap_or_default();
            if spec.filters.iter().all(|filter| filter.passes(text)) {
                total += 1;
                if spec.after.as_ref().is_none_or(|after| found.key.to_string() > after.to_string())
                {
                    part.take(found);
                }
            }
        }
        Ok(List { resources: part.resources, total, more: part.more })
    }

    fn sorted(&self, view: &View, spec: &ListSpec) -> Result<List, StoreError> {
        let order = match spec.sort {
            Sort::Revision(order) | Sort::Field(_, order) => order,
            Sort::Key => Order::Ascending,
        };
        let wanted = spec.offset.saturating_add(spec.limit);
        let (mut heap, mut total) = (BinaryHeap::new(), 0);
        for (place, found) in (0..).zip(walk(view, spec)) {
            let resource = found?;
            let text = resource.document.text().unwrap_or_default();
            if !spec.filters.iter().all(|filter| filter.passes(text)) {
                continue;
            }
            total += 1;
            let rank = Rank::of(&spec.sort, &resource.document, text);
            heap.push(Ranked { rank, order, place, resource });
            if heap.len() > wanted {
                heap.pop();
            }
        }
        let mut part = Part::new(spec);
        for ranked in heap.into_sorted_vec() {
            part.take(ranked.resource);
        }
        let seen = (spec.offset + part.resources.len()) as u64;
        Ok(List { more: seen < total, resources: part.resources, total })
    }
}

/// A part as it fills.
struct Part {
    left_out: usize,
    limit: usize,
    bytes_left: usize,
    resources: Vec<Resource>,
    more: bool,
}

impl Part {
    fn new(spec: &ListSpec) -> Part {
        Part {
            left_out: spec.offset,
            limit: spec.limit,
            bytes_left: spec.bytes_max,
            resources: Vec::new(),
            more: false,
        }
    }

    /// `false`: it is full, and this one is one too many.
    fn take(&mut self, resource: Resource) -> bool {
        if self.left_out > 0 {
            self.left_out -= 1;
            return true;
        }
        if self.resources.len() >= self.limit || self.bytes_left == 0 {
            self.more = true;
            return false;
        }
        let bytes = resource.document.text().map_or(0, str::len);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.resources.push(resource);
        true
    }
}

/// The documents that are there, in order of key.
fn walk(view: &View, spec: &ListSpec) -> impl Iterator<Item = Result<Resource, StoreError>> {
    walk_all(view, spec)
        .filter(|found| found.as_ref().map_or(true, |found| !found.document.is_deleted()))
}

/// Those, and the ones that are deleted.
fn walk_all(view: &View, spec: &ListSpec) -> impl Iterator<Item = Result<Resource, StoreError>> {
    let mut range = KeyRange::prefix(&key::documents(spec.ty.as_deref()));
    if let Some(after) = &spec.after {
        range = range.after(&key::document(after), Order::Ascending);
    }
    view.scan(&range, Order::Ascending).filter_map(|row| match row {
        Ok((key, row)) => {
            let document = Document::of(row)?;
            let key = key::resource_of(&key)?.into_owned();
            Some(Ok(Resource { key, document }))
        }
        Err(error) => Some(Err(error)),
    })
}
