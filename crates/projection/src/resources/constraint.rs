//! Unique values and references: rows beside the documents that say who has what, and who refers
//! to whom.

use std::collections::HashSet;

use annal_event::{ResourceKey, json};

use super::{Checks, Document, Failure, Refusal, change::document, key, schema::Schema};
use crate::{
    Order,
    draft::Draft,
    store::{Key, KeyRange, StoreError, Value},
};

/// A document before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    pub(super) old: Option<&'a str>,
    pub(super) new: Option<&'a str>,
}

/// Brings the rows of a resource from its old document to its new one; with checks, refuses what
/// would break a constraint, and changes nothing then.
pub(super) fn update(
    draft: &mut Draft,
    resource: &ResourceKey<'_>,
    schema: Option<&Schema>,
    texts: Texts<'_>,
    checks: Option<&Checks>,
) -> Result<(), Failure> {
    if let (Some(checks), None) = (checks, texts.new)
        && !checks.force
    {
        unreferenced(draft, resource)?;
    }
    let Some(schema) = schema else { return Ok(()) };
    let old = texts.old.map(|text| Rows::of(schema, resource, text)).unwrap_or_default();
    let new = texts.new.map(|text| Rows::of(schema, resource, text)).unwrap_or_default();
    if checks.is_some() {
        new.check(draft, resource, &old)?;
    }
    let me = resource.to_string();
    for (key, _) in old.unique.iter().filter(|(key, _)| !new.unique.iter().any(|n| n.0 == *key)) {
        if draft.get(key)?.is_some_and(|holder| *holder == *me.as_bytes()) {
            draft.set(Key::clone(key), None);
        }
    }
    for (key, _) in &new.unique {
        // Folding what breaks a constraint leaves the value with who had it first.
        if draft.get(key)?.is_none() {
            draft.set(Key::clone(key), Some(me.as_bytes().into()));
        }
    }
    let (was, is) = (old.references(), new.references());
    for key in was.difference(&is) {
        draft.set(Key::clone(key), None);
    }
    for key in is.difference(&was) {
        draft.set(Key::clone(key), Some(Value::from([])));
    }
    Ok(())
}

/// Refuses to delete what others refer to.
pub(super) fn unreferenced(draft: &Draft, resource: &ResourceKey<'_>) -> Result<(), Failure> {
    let me = resource.to_string();
    // The first may be its own.
    for (key, _) in draft.prefixed(&key::references(resource), 2)? {
        if let Some((referrer, member)) = key::referrer(&key)
            && referrer != me
        {
            let (referrer, member) = (referrer.to_owned(), member.to_owned());
            return Err(Refusal::Referenced { resource: me, referrer, member }.into());
        }
    }
    Ok(())
}

/// What a document has to say.
#[derive(Debug, Default)]
struct Rows {
    /// Key and member.
    unique: Vec<(Key, String)>,
    /// Key, member, target.
    refers: Vec<(Key, String, ResourceKey<'static>)>,
    /// Members that should refer to a type and do not: member, type, what stands there.
    stray: Vec<(String, String, String)>,
}

impl Rows {
    fn of(schema: &Schema, resource: &ResourceKey<'_>, text: &str) -> Rows {
        let mut rows = Rows::default();
        let ty = resource.ty().to_lowercase();
        for member in &schema.unique {
            if let Some(value) = json::text_at(text, &[member]).filter(|value| *value != "null") {
                // Equal values are the same, however they are written.
                let value = json::Json::parse(value).map_or(value.into(), |json| json.canonical());
                rows.unique.push((key::unique(&ty, member, &value), member.clone()));
            }
        }
        for (member, ty) in &schema.references {
            let value = json::text_at(text, &[member]).unwrap_or("null");
            let (ids, is_reference) = ids(value);
            if !is_reference {
                rows.stray.push((member.clone(), ty.clone(), value.to_owned()));
            }
            for id in ids {
                if let Some(target) = ResourceKey::new(ty.clone(), id) {
                    let key = key::reference(&target, resource, member);
                    rows.refers.push((key, member.clone(), target));
                }
            }
        }
        rows
    }

    fn references(&self) -> HashSet<&Key> {
        self.refers.iter().map(|(key, ..)| key).collect()
    }

    /// What was so before may stay: a reference whose target was deleted by force, say.
    fn check(
        &self,
        draft: &Draft,
        resource: &ResourceKey<'_>,
        before: &Rows,
    ) -> Result<(), Failure> {
        let kept = before.references();
        let me = resource.to_string();
        for (key, member) in &self.unique {
            if let Some(holder) = draft.get(key)?
                && *holder != *me.as_bytes()
            {
                let holder = String::from_utf8_lossy(&holder).into_owned();
                return Err(Refusal::NotUnique { member: member.clone(), holder }.into());
            }
        }
        if let Some((member, ty, _)) = self.stray.iter().find(|stray| !before.stray.contains(stray))
        {
            return Err(Refusal::NoReference { member: member.clone(), ty: ty.clone() }.into());
        }
        for (_, member, target) in self.refers.iter().filter(|(key, ..)| !kept.contains(key)) {
            let exists = document(draft, target)?.is_some_and(|found| !found.is_deleted());
            if !exists && target != resource {
                let (member, target) = (member.clone(), target.to_string());
                return Err(Refusal::NoSuchTarget { member, target }.into());
            }
        }
        Ok(())
    }
}

/// The ids in a member, and whether nothing else stands there: a string, an array of strings, or
/// `null`.
fn ids(value: &str) -> (Vec<String>, bool) {
    let wanted = |ids: &[String]| ids.iter().all(|id| !id.is_empty());
    match serde_json::from_str(value) {
        Ok(serde_json::Value::Null) => (Vec::new(), true),
        Ok(serde_json::Value::String(id)) => {
            let ids = vec![id];
            let fits = wanted(&ids);
            (ids, fits)
        }
        Ok(serde_json::Value::Array(items)) => {
            let ids = items.iter().filter_map(|item| item.as_str().map(str::to_owned));
            let ids: Vec<String> = ids.collect();
            let fits = ids.len() == items.len() && wanted(&ids);
            (ids, fits)
        }
        _ => (Vec::new(), false),
    }
}

/// The types that are written like this one but for capitals: they have one schema.
fn spellings(draft: &Draft, ty: &str) -> Result<Vec<String>, StoreError> {
    let counts = draft.prefixed(&key::counts(), usize::MAX)?;
    let types = counts.iter().filter_map(|(key, _)| key::name_of(key));
    Ok(types.filter(|name| name.to_lowercase() == ty).map(str::to_owned).collect())
}

/// Brings the rows of all resources of a type, in lower case here, from one schema to the next.
pub(super) fn rebuild(
    draft: &mut Draft,
    ty: &str,
    before: Option<&Schema>,
    after: Option<&Schema>,
    checks: Option<&Checks>,
) -> Result<(), Failure> {
    let (old, new) = (Constraints::of(before), Constraints::of(after));
    if old == new {
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut holders = std::collections::HashMap::new();
    let spellings = spellings(draft, ty)?;
    let ranges = spellings.iter().map(|ty| KeyRange::prefix(&key::documents(Some(ty))));
    let ranges: Vec<KeyRange> = ranges.collect();
    for row in ranges.iter().flat_map(|range| draft.view().scan(range, Order::Ascending)) {
        let (document_key, row) = row?;
        let Some(document) = Document::of(row) else { continue };
        let (Some(resource), Some(text)) = (key::resource_of(&document_key), document.text())
        else {
            continue;
        };
        let rows_of = |schema: Option<&Schema>| {
            schema.map(|schema| Rows::of(schema, &resource, text)).unwrap_or_default()
        };
        let (was, is) = (rows_of(before), rows_of(after));
        rows.extend(was.refers.into_iter().map(|(key, ..)| (key, None)));
        rows.extend(is.refers.into_iter().map(|(key, ..)| (key, Some(Value::from([])))));
        for (key, member) in is.unique {
            let me = resource.to_string();
            let holder = holders.entry(key).or_insert_with(|| me.clone());
            if *holder != me && checks.is_some() {
                return Err(Refusal::NotUnique { member, holder: holder.clone() }.into());
            }
        }
    }
    for (key, _) in draft.prefixed(&key::uniques(ty), usize::MAX)? {
        draft.set(key, None);
    }
    rows.into_iter().for_each(|(key, value)| draft.set(key, value));
    let mut holders: Vec<_> = holders.into_iter().collect();
    holders.sort();
    for (key, holder) in holders {
        draft.set(key, Some(holder.into_bytes().into()));
    }
    Ok(())
}

/// What a schema says beyond JSON Schema.
#[derive(PartialEq, Eq)]
struct Constraints<'s> {
    unique: &'s [String],
    references: &'s [(String, String)],
}

impl<'s> Constraints<'s> {
    fn of(schema: Option<&'s Schema>) -> Constraints<'s> {
        match schema {
            Some(Schema { unique, references, .. }) => Constraints { unique, references },
            None => Constraints { unique: &[], references: &[] },
        }
    }
}
