//! Streams that ask for the same thing share what is encoded for them.
//!
//! When many wait at the head, the first one woken reads and encodes what is new; the others find
//! it by their cursor. What is kept is the newest few chunks of each audience, so a client that
//! lags costs nothing here: it reads for itself.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Weak},
};

use annal_event::{Interest, Position};
use bytes::Bytes;
use parking_lot::Mutex;

use super::resources::Kinds;

/// Chunks kept for an audience.
const CHUNKS_MAX: usize = 8;

/// So few audiences may stand there empty.
const SWEEP_MIN: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) interest: Interest,
    /// Of the events of interest, those that change such resources.
    pub(crate) kinds: Kinds,
    pub(crate) names: Names,
}

/// What the messages of events are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    /// `delta`
    Delta,
    /// As the event's type.
    Type,
    /// Nothing, so that `EventSource.onmessage` gets them.
    None,
    /// Messages to realtime clients.
    Realtime,
}

/// What followed right after a cursor, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The cursor it follows.
    pub(crate) after: Position,
    /// The cursor after it.
    pub(crate) looked: Position,
    /// Messages; empty if nothing matched.
    pub(crate) bytes: Bytes,
}

/// Clients that ask for the same thing.
#[derive(Debug)]
pub(crate) struct Audience {
    pub(crate) asked: Asked,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    chunks: Vec<Chunk>,
    /// Where the next one goes, over the oldest.
    next: usize,
}

impl Audience {
    /// What somebody else has already encoded after a cursor.
    pub(crate) fn find(&self, after: Position) -> Option<Chunk> {
        let recent = self.recent.lock();
        recent.chunks.iter().find(|chunk| chunk.after == after).cloned()
    }

    /// Keeps a chunk for the others, if there are any.
    pub(crate) fn keep(self: &Arc<Self>, chunk: &Chunk) {
        if Arc::strong_count(self) < 2 {
            return;
        }
        let mut recent = self.recent.lock();
        let next = recent.next;
        match recent.chunks.get_mut(next) {
            Some(oldest) => *oldest = chunk.clone(),
            None => recent.chunks.push(chunk.clone()),
        }
        recent.next = (next + 1) % CHUNKS_MAX;
    }
}

/// All audiences there are.
#[derive(Debug, Default)]
pub(crate) struct Audiences {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    by_asked: HashMap<u64, Vec<Weak<Audience>>>,
    /// When there are so many, those that everybody has left are forgotten.
    sweep_at: usize,
}

impl Audiences {
    /// The audience that asks for this, a new one if there is none.
    pub(crate) fn join(&self, asked: Asked) -> Arc<Audience> {
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let hash = hasher.finish();
        let mut all = self.all.lock();
        if all.by_asked.len() >= all.sweep_at {
            all.by_asked.retain(|_, same| {
                same.retain(|audience| audience.strong_count() > 0);
                !same.is_empty()
            });
            all.sweep_at = (2 * all.by_asked.len()).max(SWEEP_MIN);
        }
        let same = all.by_asked.entry(hash).or_default();
        same.retain(|audience| audience.strong_count() > 0);
        let found = same.iter().filter_map(Weak::upgrade).find(|found| found.asked == asked);
        found.unwrap_or_else(|| {
            let audience = Arc::new(Audience { asked, recent: Mutex::default() });
            same.push(Arc::downgrade(&audience));
            audience
        })
    }
}

#[cfg(test)]
mod tests {
    use annal_event::{Query, Selector};

    use super::*;

    fn asked(names: Names) -> Asked {
        Asked { interest: Interest::all(), kinds: Kinds::default(), names }
    }

    fn chunk(after: u64) -> Chunk {
        let (after, looked) = (Position(after), Position(after + 1));
        Chunk { after, looked, bytes: Bytes::from_static(b"x") }
    }

    #[test]
    fn who_asks_the_same_shares() {
        let audiences = Audiences::default();
        let first = audiences.join(asked(Names::Delta));
        first.keep(&chunk(1));
        assert!(first.find(Position(1)).is_none(), "nobody to keep it for");
        let second = audiences.join(asked(Names::Delta));
        first.keep(&chunk(1));
        assert_eq!(second.find(Position(1)).map(|chunk| chunk.looked), Some(Position(2)));
        assert!(audiences.join(asked(Names::None)).find(Position(1)).is_none());
        for after in 2..=CHUNKS_MAX as u64 + 1 {
            first.keep(&chunk(after));
        }
        assert!(second.find(Position(1)).is_none(), "the oldest makes room");
        drop((first, second));
        for n in 0..10 * SWEEP_MIN {
            let mut other = asked(Names::Type);
            other.interest.query =
                Query::one(Selector { sources: vec![n.to_string()], ..Selector::default() });
            audiences.join(other);
        }
        let left = audiences.all.lock().by_asked.len();
        assert!(left <= SWEEP_MIN, "empty audiences are forgotten: {left}");
    }
}
