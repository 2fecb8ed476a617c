//! The writing side: changes in, commits out.
//!
//! A commit is all or nothing, and carries the position it has folded. A write that fails takes
//! back everything since the last commit; whoever drives applies it again from there.

use std::sync::Arc;

use annal_event::Position;
use hashbrown::HashSet;
use parking_lot::{Condvar, Mutex};
use tantivy::{
    Index, IndexReader, IndexWriter, TantivyError, Term,
    indexer::{IndexWriterOptions, LogMergePolicy, UserOperation},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Applied, Change, Document, Key, SearchError, SearchOptions,
    content::Content,
    document::{KEY_BYTES_MAX, Prepared, key_term},
    schema::{FORMAT, Fields, Payload},
};

/// Segments of fewer documents count as equally small when segments are merged.
const LAYER_DOCUMENTS_MIN: u32 = 1_000;

/// Segments of about the same size that are merged into one.
const FAN_OUT: usize = 8;

/// A segment of which more than this part is deleted is written anew.
const DELETED_MAX: f32 = 0.3;

/// Documents that wait to be indexed, together, in bytes of JSON. More than two batches.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The least memory that tantivy works with, in bytes.
const WRITER_BYTES_MIN: usize = 15_000_000;

/// Changes handed over together.
const BATCH: usize = 32;

/// Documents of more bytes of JSON are not held back for others.
const BATCH_BYTES: usize = 512 * 1024;

pub(super) struct Writer {
    /// `None` once a write failed and could not be undone.
    inner: Option<IndexWriter<Prepared>>,
    fields: Fields,
    options: SearchOptions,
    waiting: Arc<Waiting>,
    /// Everything up to here was applied.
    pub(super) pending: Position,
    /// What the last commit holds.
    pub(super) folded: Position,
    /// Hashes of the keys that were put since the last commit.
    fresh: HashSet<u64>,
    /// Events after this one are not in the index yet.
    newest: Position,
    /// Documents changed since the last commit.
    changed: bool,
    /// The last commit is not seen yet.
    unseen: bool,
}

impl Writer {
    pub(super) fn new(
        index: &Index,
        fields: Fields,
        options: SearchOptions,
        folded: Position,
        newest: Position,
    ) -> tantivy::Result<Writer> {
        let inner = index.writer_with_options(
            IndexWriterOptions::builder()
                .memory_budget_per_thread(options.writer_bytes.max(WRITER_BYTES_MIN))
                .num_worker_threads(options.threads.max(1))
                .num_merge_threads(1)
                .build(),
        )?;
        inner.set_merge_policy(merge_policy());
        Ok(Writer {
            inner: Some(inner),
            fields,
            options,
            waiting: Arc::default(),
            pending: folded,
            folded,
            fresh: HashSet::new(),
            newest,
            changed: false,
            unseen: false,
        })
    }

    pub(super) fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = Change<'a>>,
        upto: Position,
        reader: &IndexReader,
    ) -> Result<Applied, SearchError> {
        let searcher = reader.searcher();
        let mut applied = Applied::default();
        let (mut batch, mut bytes) = (Vec::with_capacity(2 * BATCH), 0);
        for change in changes {
            let key = match &change {
                Change::Put(document) => &document.key,
                Change::Remove(key) => key,
            };
            if matches!(key, Key::Resource(key) if key.len() > KEY_BYTES_MAX) {
                applied.refused += 1;
                continue;
            }
            if batch.len() >= BATCH {
                self.run(std::mem::take(&mut batch), reader)?;
                bytes = 0;
            }
            let term = key_term(&self.fields, key);
            if self.may_have(key, &term, &searcher)? {
                batch.push(UserOperation::Delete(term.clone()));
                applied.replaced += 1;
                self.changed = true;
            }
            if let Change::Put(document) = &change {
                bytes += document.content.len();
                // What is held back here must not fill the room that the next one waits for.
                if bytes > BATCH_BYTES {
                    self.run(std::mem::take(&mut batch), reader)?;
                    bytes = document.content.len();
                }
                self.note(key, &term);
                batch.push(UserOperation::Add(self.prepare(document, &mut applied)));
                self.changed = true;
            }
        }
        self.run(batch, reader)?;
        self.pending = self.pending.max(upto);
        Ok(applied)
    }

    fn prepare(&self, document: &Document<'_>, applied: &mut Applied) -> Prepared {
        applied.put += 1;
        let content = Content::parse(document.content).unwrap_or_else(|_| {
            applied.unreadable += 1;
            Content::default()
        });
        let place = Waiting::enter(&self.waiting, document.content.len());
        Prepared::new(self.fields, document, content, place)
    }

    /// Whether a document with this key may be in the index. Asking is cheaper than deleting what
    /// is not there, which each segment looks for at every commit.
    fn may_have(
        &self,
        key: &Key<'_>,
        term: &Term,
        searcher: &tantivy::Searcher,
    ) -> Result<bool, SearchError> {
        if matches!(key, Key::Event(position) if *position > self.newest) {
            return Ok(false);
        }
        if self.fresh.contains(&hash(term)) {
            return Ok(true);
        }
        let found = searcher.doc_freq(term).map_err(|source| SearchError::Read { source })?;
        Ok(found > 0)
    }

    fn note(&mut self, key: &Key<'_>, term: &Term) {
        self.fresh.insert(hash(term));
        if let Key::Event(position) = key {
            self.newest = self.newest.max(*position);
        }
    }

    fn run(
        &mut self,
        batch: Vec<UserOperation<Prepared>>,
        reader: &IndexReader,
    ) -> Result<(), SearchError> {
        if batch.is_empty() {
            return Ok(());
        }
        let inner = self.inner.as_ref().ok_or(SearchError::Stopped)?;
        match inner.run(batch) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.undo(source, reader)),
        }
    }

    /// Commits what was applied; the position it holds now.
    pub(super) fn commit(&mut self, reader: &IndexReader) -> Result<Position, SearchError> {
        if self.pending != self.folded || self.changed {
            self.write(reader)?;
        }
        if self.unseen {
            reader.reload().map_err(|source| SearchError::Read { source })?;
            self.unseen = false;
        }
        Ok(self.folded)
    }

    fn write(&mut self, reader: &IndexReader) -> Result<(), SearchError> {
        let SearchOptions { stemming, events, .. } = self.options;
        let payload = Payload { format: FORMAT, stemming, events, folded: self.pending.get() };
        let inner = self.inner.as_mut().ok_or(SearchError::Stopped)?;
        let committed = serde_json::to_string(&payload).map_err(TantivyError::from);
        let committed = committed.and_then(|payload| {
            let mut prepared = inner.prepare_commit()?;
            prepared.set_payload(&payload);
            prepared.commit()
        });
        if let Err(source) = committed {
            return Err(self.undo(source, reader));
        }
        self.folded = self.pending;
        self.fresh.clear();
        self.changed = false;
        self.unseen = true;
        Ok(())
    }

    /// Goes back to what the disk says is the last commit: a commit that failed late may be there.
    fn undo(&mut self, source: TantivyError, reader: &IndexReader) -> SearchError {
        if let Some(mut inner) = self.inner.take()
            && inner.rollback().is_ok()
            && let Ok(folded) = committed(&inner)
            && reader.reload().is_ok()
        {
            inner.set_merge_policy(merge_policy());
            self.inner = Some(inner);
            self.folded = folded;
            self.unseen = false;
        }
        self.pending = self.folded;
        self.fresh.clear();
        self.changed = false;
        // What was put and taken back will be put again: no event is known to be new.
        self.newest = Position::MAX;
        SearchError::Write { folded: self.folded, source }
    }

    /// Waits until segments that are being merged are merged.
    pub(super) fn settle(self) -> Result<(), SearchError> {
        let Some(inner) = self.inner else { return Ok(()) };
        let folded = self.folded;
        inner.wait_merging_threads().map_err(|source| SearchError::Write { folded, source })
    }
}

/// What the commit on disk has folded.
fn committed(inner: &IndexWriter<Prepared>) -> tantivy::Result<Position> {
    let payload = inner.index().load_metas()?.payload;
    let payload: Option<Payload> = payload.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(payload.map_or(Position::ZERO, |payload| Position(payload.folded)))
}

fn hash(term: &Term) -> u64 {
    // An event's term and a resource's differ in length or content.
    xxh3_64(term.serialized_value_bytes()) ^ u64::from(term.field().field_id())
}

fn merge_policy() -> Box<LogMergePolicy> {
    let mut policy = LogMergePolicy::default();
    policy.set_min_layer_size(LAYER_DOCUMENTS_MIN);
    policy.set_min_num_segments(FAN_OUT);
    policy.set_del_docs_ratio_before_merge(DELETED_MAX);
    Box::new(policy)
}

/// Bounds the memory of documents between being handed over and being indexed.
#[derive(Debug, Default)]
struct Waiting {
    room: Mutex<Room>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Room {
    taken: usize,
    /// Whoever waits is woken once no more than this is taken: for many documents, not for each.
    wake_at: Option<usize>,
}

/// A document's place among those that wait.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Waiting {
    /// Takes room; where there is none, waits until half is free. A document that is larger than that
    /// waits to be alone.
    fn enter(waiting: &Arc<Waiting>, bytes: usize) -> WaitingPlace {
        let mut room = waiting.room.lock();
        if room.taken + bytes > WAITING_BYTES_MAX {
            let enough = (WAITING_BYTES_MAX / 2).saturating_sub(bytes);
            while room.taken > enough {
                room.wake_at = Some(enough);
                waiting.left.wait(&mut room);
            }
            room.wake_at = None;
        }
        room.taken += bytes;
        WaitingPlace { waiting: Arc::clone(waiting), bytes }
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let mut room = self.waiting.room.lock();
        room.taken -= self.bytes;
        if room.wake_at.is_some_and(|enough| room.taken <= enough) {
            room.wake_at = None;
            self.waiting.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PART: usize = WAITING_BYTES_MAX / 8;

    fn waits(waiting: &Waiting) -> bool {
        waiting.room.lock().wake_at.is_some()
    }

    /// Fills the room; another document of so many bytes waits until so many of eight parts are left.
    #[track_caller]
    fn enters_at(bytes: usize, parts: usize) {
        let waiting = Arc::new(Waiting::default());
        let mut places: Vec<_> = (0..8).map(|_| Waiting::enter(&waiting, PART)).collect();
        let room = Arc::clone(&waiting);
        let next = thread::spawn(move || Waiting::enter(&room, bytes));
        while !waits(&waiting) {
            thread::yield_now();
        }
        while places.len() > parts {
            assert!(waits(&waiting), "woken when {} of 8 parts are taken", places.len());
            places.pop();
        }
        drop(next.join().expect("it enters"));
        drop(places);
        assert_eq!(waiting.room.lock().taken, 0);
    }

    #[test]
    fn who_waits_for_room_is_woken_when_half_is_free() {
        enters_at(PART, 3);
        enters_at(1, 3);
        enters_at(4 * PART, 0);
        enters_at(9 * PART, 0);
    }
}
