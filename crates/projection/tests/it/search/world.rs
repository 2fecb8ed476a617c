//! An index in a directory of its own, and documents to put into it.

use annal_event::{Position, Timestamp};
use annal_projection::search::{
    Change, Document, Found, Key, Scope, Search, SearchOptions, SearchQuery,
};
use tempfile::TempDir;

/// A directory with an index in it.
pub(crate) struct World {
    pub(crate) search: Search,
    pub(crate) dir: TempDir,
}

pub(crate) fn open(dir: &TempDir) -> Search {
    Search::open(&dir.path().join("search_index"), options()).expect("it opens")
}

pub(crate) fn options() -> SearchOptions {
    SearchOptions { writer_bytes: 15_000_000, ..SearchOptions::default() }
}

/// A document that owns what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doc {
    pub(crate) key: Key<'static>,
    pub(crate) ty: String,
    pub(crate) subject: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
    pub(crate) content: String,
}

impl Doc {
    pub(crate) fn resource(key: &str, position: u64, content: &str) -> Doc {
        Doc {
            key: Key::Resource(key.to_owned().into()),
            ty: key.split('/').next().unwrap_or_default().to_owned(),
            subject: Some(key.to_owned()),
            source: Some("/shop".to_owned()),
            position: Position(position),
            time: Timestamp(position as i64 * 1_000_000),
            content: content.to_owned(),
        }
    }

    pub(crate) fn event(position: u64, ty: &str, subject: &str, content: &str) -> Doc {
        Doc {
            key: Key::Event(Position(position)),
            ty: ty.to_owned(),
            subject: Some(subject.to_owned()),
            source: Some("/shop".to_owned()),
            position: Position(position),
            time: Timestamp(position as i64 * 1_000_000),
            content: content.to_owned(),
        }
    }

    pub(crate) fn put(&self) -> Change<'_> {
        Change::Put(Document {
            key: self.key.clone(),
            doc_type: &self.ty,
            subject: self.subject.as_deref(),
            source: self.source.as_deref(),
            position: self.position,
            time: self.time,
            content: &self.content,
        })
    }
}

impl World {
    pub(crate) fn of(docs: &[Doc]) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let search = open(&dir);
        let world = World { search, dir };
        world.put(docs);
        world
    }

    pub(crate) fn put(&self, docs: &[Doc]) {
        let upto = docs.iter().map(|doc| doc.position).max().unwrap_or_default();
        self.search.apply(docs.iter().map(Doc::put), upto).expect("applied");
        self.search.commit().expect("committed");
    }

    pub(crate) fn ask(&self, query: &SearchQuery<'_>) -> Found {
        self.search.query(query).unwrap_or_else(|error| panic!("{query:?}: {error}"))
    }

    /// The keys that match, in the order of their names; the count must agree.
    pub(crate) fn keys(&self, text: &str, scope: Scope) -> Vec<String> {
        let query = SearchQuery { scope, limit: 10_000, ..SearchQuery::new(text) };
        let found = self.ask(&query);
        let mut keys: Vec<String> = found.hits.iter().map(|hit| name(&hit.key)).collect();
        keys.sort();
        assert_eq!(found.count, keys.len() as u64, "{text}");
        let counted = self.ask(&SearchQuery { limit: 0, ..query });
        assert_eq!(counted.count, found.count, "{text}, counted only");
        keys
    }
}

pub(crate) fn name(key: &Key<'_>) -> String {
    match key {
        Key::Resource(key) => key.to_string(),
        Key::Event(position) => format!("@{position}"),
    }
}
