//! What an index knows of an event: the attributes that queries ask for.

use crate::{Event, Value};

/// The attributes a [`Query`](crate::Query) looks at, borrowed from a record or an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// Names the event within its source.
    pub id: &'a str,
    /// Where it happened.
    pub source: &'a str,
    /// What kind of thing happened.
    pub ty: &'a str,
    /// What it happened to.
    pub subject: Option<&'a str>,
    /// The extension `topic`, where it is text.
    pub topic: Option<&'a str>,
    /// The extension `tags`, where it is text; [`Keys::tags`] splits it.
    pub tags: Option<&'a str>,
}

impl<'a> Keys<'a> {
    /// Its tags: the extension `tags`, separated by spaces.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        split_tags(self.tags)
    }
}

fn split_tags(tags: Option<&str>) -> impl Iterator<Item = &str> {
    tags.unwrap_or_default().split(' ').filter(|tag| !tag.is_empty())
}

impl Event<'_> {
    /// The attributes that queries ask for.
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            id: &self.id,
            source: &self.source,
            ty: &self.ty,
            subject: self.subject.as_deref(),
            topic: self.topic(),
            tags: self.text_extension("tags"),
        }
    }

    /// The topic it belongs to: the extension `topic`.
    pub fn topic(&self) -> Option<&str> {
        self.text_extension("topic")
    }

    /// Its tags: the extension `tags`, separated by spaces.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        split_tags(self.text_extension("tags"))
    }

    fn text_extension(&self, name: &str) -> Option<&str> {
        match self.extension(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}
