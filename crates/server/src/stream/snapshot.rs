//! The snapshot: everything that matches, as one message, written while it is read; or the
//! [resources](super::resources) that it all adds up to.

use std::sync::Arc;

use annal_engine::{Cursor, Order, ReadError, ReadSpec, View};
use annal_event::{Position, StoredEvent};

use super::{message::push_id, resources::Resources};
use crate::read::encode::push_json_line;

/// A piece is handed on when it has so many bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// Events, and bytes of records, taken from the log at a time.
const STEP_EVENTS: usize = 256;
const STEP_BYTES: usize = 32 * 1024;

/// What a limit leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Truncated {
    pub(super) omitted: u64,
    pub(super) first: Position,
}

/// A snapshot on its way out.
pub(crate) enum Snapshot {
    Events(Events),
    Resources(Resources),
}

/// A snapshot of events on its way out.
pub(crate) struct Events {
    cursor: Cursor,
    head: Position,
    events: Vec<StoredEvent>,
    begun: bool,
    empty: bool,
}

impl Snapshot {
    /// The position it speaks of.
    pub(super) fn head(&self) -> Position {
        match self {
            Snapshot::Events(events) => events.head(),
            Snapshot::Resources(resources) => resources.head(),
        }
    }

    /// The next piece; `false` with the last. It may be empty.
    pub(super) fn piece(&mut self) -> Result<(Vec<u8>, bool), ReadError> {
        match self {
            Snapshot::Events(events) => events.piece(),
            Snapshot::Resources(resources) => resources.piece(),
        }
    }
}

impl Events {
    /// Finds where it begins and ends. With a limit, only the newest events are in it.
    pub(super) fn begin(
        view: &Arc<View>,
        mut spec: ReadSpec,
        limit: Option<usize>,
    ) -> Result<(Events, Option<Truncated>), ReadError> {
        // The same bound for all that follows, whatever is appended meanwhile.
        let head = view.head();
        spec.before = Some(head.next());
        let truncated = match limit {
            None => None,
            Some(limit) => newest(view, &spec, limit)?,
        };
        if let Some(truncated) = &truncated {
            spec.after = Some(truncated.first.prev());
        }
        let cursor = view.cursor(&spec)?;
        let snapshot = Events { cursor, head, events: Vec::new(), begun: false, empty: true };
        Ok((snapshot, truncated))
    }

    fn head(&self) -> Position {
        self.head
    }

    /// The next piece of the message; `false` with the last. Between two pieces nothing that was
    /// read is held: a reader may stop for hours, and an event holds on to the batch it was in.
    fn piece(&mut self) -> Result<(Vec<u8>, bool), ReadError> {
        let piece = self.read_piece();
        self.events = Vec::new();
        piece
    }

    fn read_piece(&mut self) -> Result<(Vec<u8>, bool), ReadError> {
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 2);
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(b"event: snapshot\ndata: [");
        }
        while out.len() < PIECE_BYTES {
            self.events.clear();
            let more = self.cursor.next(STEP_EVENTS, STEP_BYTES, &mut self.events)?;
            for stored in &self.events {
                if !std::mem::take(&mut self.empty) {
                    out.push(b',');
                }
                push_json_line(&mut out, stored)?;
            }
            if !more {
                out.extend_from_slice(b"]\n");
                push_id(&mut out, self.head());
                out.push(b'\n');
                return Ok((out, false));
            }
        }
        Ok((out, true))
    }
}

/// Where the newest `limit` events begin, and how many stand before them.
fn newest(view: &Arc<View>, spec: &ReadSpec, limit: usize) -> Result<Option<Truncated>, ReadError> {
    let backwards = ReadSpec { order: Order::Descending, ..spec.clone() };
    let mut cursor = view.cursor(&backwards)?;
    let (mut events, mut first, mut left) = (Vec::new(), Position::ZERO, limit);
    while left > 0 {
        events.clear();
        let more = cursor.next(left.min(STEP_EVENTS), STEP_BYTES, &mut events)?;
        events.truncate(left);
        left -= events.len();
        first = events.last().map_or(first, StoredEvent::position);
        if !more {
            break;
        }
    }
    if left > 0 {
        return Ok(None);
    }
    let omitted = view.count(&spec.interest, Position::ZERO, first)?;
    Ok((omitted > 0).then_some(Truncated { omitted, first }))
}
