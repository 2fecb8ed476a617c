//! Between deciding and committing: the group that grows while the one before it is synced.

use std::{mem, sync::Arc, time::Duration};

use annal_event::{Batch, Digest, Encoded, Position, StoredEvent, Timestamp};
use parking_lot::{Condvar, Mutex};

use crate::append::{AppendError, Appended, Reply};

/// A group of no more than so many bytes is committed by whoever filled it, if nobody else is
/// committing: waking another thread for it would cost more than it saves. A larger one is handed
/// over, so that the next can be decided meanwhile.
const SMALL_BYTES: usize = 64 * 1024;

/// An answer that has been decided and waits for what it was decided by to be durable.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) answer: Result<Appended, AppendError>,
}

impl Answer {
    pub(crate) fn send(self) {
        // A caller that has gone away needs no answer.
        let _ = self.reply.send(self.answer);
    }

    pub(crate) fn fail(self, error: &AppendError) {
        let _ = self.reply.send(Err(error.clone()));
    }
}

/// Requests that commit together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    first: Position,
    time: Timestamp,
    events: Encoded,
    answers: Vec<Answer>,
}

/// A group on its way to the disk.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Its events, if it has any; a group of refusals and duplicates has none.
    pub(crate) batch: Option<(Arc<Batch>, Vec<Digest>)>,
    pub(crate) answers: Vec<Answer>,
}

/// What the committer found.
#[derive(Debug)]
pub(crate) enum Next {
    /// A group to commit.
    Group(Sealed),
    /// Nothing, for now.
    None,
    /// Nothing, and there will be nothing more.
    Closed,
}

/// What the writer and the committer share.
#[derive(Debug)]
pub(crate) struct Stage {
    inner: Mutex<Inner>,
    filled: Condvar,
    taken: Condvar,
    group_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    group: Group,
    in_flight: Option<Arc<Batch>>,
    /// Why what is staged will not be committed; the writer has to take it back.
    broken: Option<AppendError>,
    committer_sleeps: bool,
    closed: bool,
}

impl Inner {
    fn has_nothing(&self) -> bool {
        self.group.answers.is_empty() || self.broken.is_some()
    }
}

/// The commit of an earlier group failed; decide again after [`Stage::take_back`].
#[derive(Debug)]
pub(crate) struct Broken;

impl Stage {
    pub(crate) fn new(group_bytes_max: usize) -> Stage {
        Stage {
            inner: Mutex::default(),
            filled: Condvar::new(),
            taken: Condvar::new(),
            group_bytes_max,
        }
    }

    /// Waits until the growing group has room. `false`: it has none yet and patience ran out.
    pub(crate) fn wait_for_room(&self, patience: Duration) -> bool {
        let mut inner = self.inner.lock();
        if inner.group.events.payload().len() < self.group_bytes_max || inner.broken.is_some() {
            return true;
        }
        if !patience.is_zero() {
            self.taken.wait_for(&mut inner, patience);
        }
        inner.group.events.payload().len() < self.group_bytes_max || inner.broken.is_some()
    }

    /// Whether everything decided so far is durable.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.inner.lock();
        inner.in_flight.is_none() && inner.group.answers.is_empty() && inner.broken.is_none()
    }

    /// The recorded time of the growing group, or `now` if it would begin one.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        let inner = self.inner.lock();
        if inner.group.events.is_empty() { now } else { inner.group.time }
    }

    /// Adds a decided request: its new events from `first` on, and its answer.
    pub(crate) fn push(
        &self,
        first: Position,
        time: Timestamp,
        events: Option<NewEvents<'_>>,
        answer: Answer,
    ) -> Result<(), (Broken, Answer)> {
        let mut inner = self.inner.lock();
        if inner.broken.is_some() {
            return Err((Broken, answer));
        }
        if let Some(events) = events {
            if inner.group.events.is_empty() {
                inner.group.first = first;
                inner.group.time = time;
            }
            let expected = inner.group.first.plus(inner.group.events.len() as u64);
            assert_eq!(first, expected, "INV-2: positions are contiguous");
            events.add_to(&mut inner.group.events);
        }
        inner.group.answers.push(answer);
        let large = inner.group.events.payload().len() > SMALL_BYTES;
        let wake = large && mem::take(&mut inner.committer_sleeps);
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Whether what has grown is so little that handing it to another thread is not worth it.
    pub(crate) fn is_small(&self) -> bool {
        self.inner.lock().group.events.payload().len() <= SMALL_BYTES
    }

    /// Wakes the thread that waits in [`Stage::wait_until_filled`], if there is one.
    pub(crate) fn wake_committer(&self) {
        if mem::take(&mut self.inner.lock().committer_sleeps) {
            self.filled.notify_one();
        }
    }

    /// Waits until there is a group to take, or the stage is closed, or patience runs out.
    pub(crate) fn wait_until_filled(&self, patience: Duration) {
        let mut inner = self.inner.lock();
        if inner.has_nothing() && !inner.closed {
            inner.committer_sleeps = true;
            self.filled.wait_for(&mut inner, patience);
            inner.committer_sleeps = false;
        }
    }

    /// The event at a staged position; `None` if it is not staged (any more).
    pub(crate) fn stored(&self, position: Position) -> Option<StoredEvent> {
        let inner = self.inner.lock();
        if let Some(batch) = inner.in_flight.as_ref().filter(|batch| batch.at(position).is_some()) {
            let index = (position.0 - batch.first().0) as usize;
            return Some(StoredEvent::new(Arc::clone(batch), index));
        }
        let index = position.0.checked_sub(inner.group.first.0)? as usize;
        if index >= inner.group.events.len() {
            return None;
        }
        let mut one = Encoded::default();
        one.extend(&inner.group.events, index, index + 1);
        let (batch, _) = one.commit(position, inner.group.time);
        Some(StoredEvent::new(Arc::new(batch), 0))
    }

    /// Takes the group that has grown.
    pub(crate) fn take(&self) -> Next {
        let mut inner = self.inner.lock();
        if inner.has_nothing() {
            return if inner.closed { Next::Closed } else { Next::None };
        }
        let group = mem::take(&mut inner.group);
        let batch = (!group.events.is_empty()).then(|| {
            let (batch, digests) = group.events.commit(group.first, group.time);
            (Arc::new(batch), digests)
        });
        inner.in_flight = batch.as_ref().map(|(batch, _)| Arc::clone(batch));
        drop(inner);
        self.taken.notify_one();
        Next::Group(Sealed { batch, answers: group.answers })
    }

    /// The group taken last is visible.
    pub(crate) fn landed(&self) {
        self.inner.lock().in_flight = None;
    }

    /// The group taken last will not become visible; what grew on top of it must be taken back.
    pub(crate) fn break_off(&self, error: AppendError) {
        let mut inner = self.inner.lock();
        inner.in_flight = None;
        inner.broken = Some(error);
        drop(inner);
        self.taken.notify_one();
    }

    /// The error that broke the stage and the answers that were staged on what did not land, once.
    pub(crate) fn take_back(&self) -> Option<(AppendError, Vec<Answer>)> {
        let mut inner = self.inner.lock();
        let error = inner.broken.take()?;
        let group = mem::take(&mut inner.group);
        Some((error, group.answers))
    }

    /// Drops the answers that wait: nobody is left to commit what they wait for.
    pub(crate) fn abandon(&self) {
        self.close();
        self.inner.lock().group = Group::default();
        self.taken.notify_all();
    }

    /// No more groups will grow; the one there is still handed out.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_all();
    }
}

/// The events of a request that are new.
#[derive(Debug)]
pub(crate) enum NewEvents<'a> {
    /// All of them.
    All(&'a Encoded),
    /// Those marked, in order.
    Some(&'a Encoded, &'a [bool]),
}

impl NewEvents<'_> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            NewEvents::All(events) => events.len(),
            NewEvents::Some(_, new) => new.iter().filter(|new| **new).count(),
        }
    }

    fn add_to(&self, group: &mut Encoded) {
        match self {
            NewEvents::All(events) => group.extend(events, 0, events.len()),
            NewEvents::Some(events, new) => {
                for (index, new) in new.iter().enumerate() {
                    if *new {
                        group.extend(events, index, index + 1);
                    }
                }
            }
        }
    }
}
