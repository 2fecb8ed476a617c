//! Reading again what was skipped of a lane that failed.

use std::sync::Arc;

use annal_engine::{Again, Found, ReadError, ReadSpec, View};
use annal_event::{Interest, Pattern, Position, Query, Selector, StoredEvent, proto};

/// Events, and about so many bytes of them, read at a time.
const EVENTS: usize = 256;
const BYTES: usize = 256 * 1024;

/// The next events of the lane, and the position up to which there are no others.
pub(super) fn read(
    view: &Arc<View>,
    mut interest: Interest,
    again: Again,
    of_lane: impl Fn(&StoredEvent) -> bool,
) -> Result<(Vec<StoredEvent>, Position), ReadError> {
    // Mostly the first one is there and its subject says where to look.
    if let Found::Event(first) = view.get(again.after.next())?
        && of_lane(&first)
        && let Some(subject) = proto::keys(first.record()).ok().and_then(|keys| keys.subject)
    {
        let subjects = vec![Pattern::Exact(subject.to_owned())];
        let subject = Query::one(Selector { subjects, ..Selector::default() });
        interest.query = interest.query.narrowed_by(subject);
    }
    let (after, before) = (Some(again.after), Some(again.upto.next()));
    let spec = ReadSpec { interest, after, before, ..ReadSpec::default() };
    let mut cursor = view.cursor(&spec)?;
    let (mut events, mut more) = (Vec::new(), true);
    while more && events.is_empty() {
        more = cursor.next(EVENTS, BYTES, &mut events)?;
    }
    let last = events.last().filter(|_| more).map(StoredEvent::position);
    events.retain(of_lane);
    Ok((events, last.unwrap_or(again.upto)))
}
