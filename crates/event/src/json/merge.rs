//! JSON Merge Patch (RFC 7396).

use super::{Json, Object};

impl<'a> Json<'a> {
    /// Merges a patch into the document: `null` removes a member, an object is merged member by
    /// member, anything else replaces. Takes time in proportion to the patch, and nests no deeper
    /// than the deeper of the two.
    pub fn merge(&mut self, patch: Json<'a>) {
        let Json::Object(patch) = patch else {
            *self = patch;
            return;
        };
        if !matches!(self, Json::Object(_)) {
            *self = Json::Object(Object::default());
        }
        let Json::Object(document) = self else { return };
        for (name, value) in patch.into_members() {
            match value {
                Json::Null => drop(document.remove_text(&name)),
                value => document.slot(name).merge(value),
            }
        }
    }
}
