//! Where a stream begins: cursors in all the forms in which clients bring them (API.md §4).

use std::sync::Arc;

use annal_engine::Engine;
use annal_event::{Position, Timestamp};
use http::HeaderMap;

use crate::{
    params::{Params, invalid},
    problem::{Code, Problem},
    read::{failed, off_the_reactor},
    realtime::{check_client_id, checkpoint},
};

/// Where a client wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// As new: a snapshot, if one is wanted, then what comes.
    New,
    /// Right after a position it has seen. With an epoch, the position is of another log.
    After {
        /// The last position it has seen.
        position: Position,
        /// The text after the dot.
        epoch: bool,
    },
    /// Before the first event.
    Earliest,
    /// After what a client has said that it has processed.
    Checkpoint(String),
    /// With what comes.
    Latest,
    /// With the first event recorded at or after a time.
    Since(Timestamp),
}

/// Why a cursor could not be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) reason: &'static str,
    pub(crate) requested: Position,
    /// The first position that can be had.
    pub(crate) earliest: Position,
}

impl Reset {
    fn new(reason: &'static str, requested: Position) -> Reset {
        Reset { reason, requested, earliest: Position::FIRST }
    }
}

impl Start {
    /// The first of `Last-Event-ID`, `lastEventId` or `last_event_id`, `checkpoint`, `from`.
    pub(super) fn read(params: &mut Params<'_>, headers: &HeaderMap) -> Result<Start, Problem> {
        let start = Start::cursor(params, headers)?;
        let from = params.take("from")?;
        let from = from.map(|text| from_text(&text).ok_or_else(not_a_beginning)).transpose()?;
        Ok(start.or(from).unwrap_or(Start::New))
    }

    /// The first of `Last-Event-ID`, `lastEventId` or `last_event_id`, `checkpoint`.
    pub(crate) fn cursor(
        params: &mut Params<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<Start>, Problem> {
        let by_header = match headers.get("last-event-id") {
            Some(value) => by_header(value.as_bytes())?,
            None => None,
        };
        let mut start = by_header;
        for name in ["lastEventId", "last_event_id", "checkpoint"] {
            let text = params.take(name)?.filter(|text| !text.is_empty());
            let read = |text: &str| match name {
                "checkpoint" => seen(text).or_else(|| named(text)),
                _ => seen(text),
            };
            let given = text.map(|text| read(&text).ok_or_else(|| not_a_cursor(name)));
            start = start.or(given.transpose()?);
        }
        Ok(start)
    }
}

impl Start {
    /// A time that is yet to come, if it begins there: no position tells what is recorded before.
    pub(crate) fn to_come(&self, engine: &Engine) -> Option<Timestamp> {
        match self {
            Start::Since(time) if *time > engine.now() => Some(*time),
            _ => None,
        }
    }
}

fn by_header(value: &[u8]) -> Result<Option<Start>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let start = std::str::from_utf8(value).ok().and_then(seen);
    let detail = "Last-Event-ID is the id of an event of this stream: a position";
    start.map(Some).ok_or_else(|| Problem::new(Code::InvalidRequest, detail))
}

/// `<position>` or `<position>.<epoch>`
fn seen(text: &str) -> Option<Start> {
    let (position, epoch) = match text.split_once('.') {
        Some((position, epoch)) if !epoch.is_empty() => (position, true),
        Some(_) => return None,
        None => (text, false),
    };
    Some(Start::After { position: position.parse().ok()?, epoch })
}

/// The id of a client, whose checkpoint is meant.
fn named(text: &str) -> Option<Start> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (!number && check_client_id(text).is_ok()).then(|| Start::Checkpoint(text.to_owned()))
}

fn from_text(text: &str) -> Option<Start> {
    match text {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        _ => seen(text).or_else(|| text.parse().ok().map(Start::Since)),
    }
}

fn not_a_cursor(name: &str) -> Problem {
    invalid(name, format_args!("`{name}` is the id of an event of this stream: a position"))
}

fn not_a_beginning() -> Problem {
    invalid(
        "from",
        "`from` is `earliest`, `latest`, a position, or a time such as 2026-01-15T10:30:00Z",
    )
}

/// The cursor to go on from, if there is one, and what to say of one that cannot be taken up.
pub(crate) async fn resolve(
    engine: &Engine,
    start: &Start,
) -> Result<(Option<Position>, Option<Reset>), Problem> {
    let head = engine.head();
    if let Start::Checkpoint(client) = start {
        return Ok(match checkpoint::stored(engine, client) {
            Some(position) if position > head => (None, Some(Reset::new("ahead", position))),
            stored => (stored, None),
        });
    }
    Ok(match *start {
        Start::New | Start::Checkpoint(_) => (None, None),
        Start::Earliest => (Some(Position::ZERO), None),
        Start::Latest => (Some(head), None),
        // No log of ours has an epoch yet, so a cursor with one comes from another.
        Start::After { position, epoch: true } => (None, Some(Reset::new("epoch", position))),
        Start::After { position, .. } if position > head => {
            (None, Some(Reset::new("ahead", position)))
        }
        Start::After { position, .. } => (Some(position), None),
        Start::Since(time) => (Some(before(engine, time).await?), None),
    })
}

/// The last position before a time.
pub(crate) async fn before(engine: &Engine, time: Timestamp) -> Result<Position, Problem> {
    let view = Arc::clone(engine.view());
    let first = off_the_reactor(move || view.position_at(time)).await?;
    Ok(first.map_err(|error| failed(&error))?.prev())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(query: &str, header: Option<&'static str>) -> Result<Start, Code> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", http::HeaderValue::from_static(header));
        }
        let mut params = Params::parse(Some(query)).expect("a query");
        Start::read(&mut params, &headers).map_err(|problem| problem.code())
    }

    #[test]
    fn the_nearest_cursor_wins() {
        let after = |position| Start::After { position: Position(position), epoch: false };
        let all = "from=1&checkpoint=2&lastEventId=3";
        assert_eq!(start(all, Some("4")), Ok(after(4)));
        assert_eq!(start(all, None), Ok(after(3)));
        assert_eq!(start("from=1&checkpoint=2", Some("")), Ok(after(2)));
        assert_eq!(start("last_event_id=7", None), Ok(after(7)));
        assert_eq!(start("checkpoint=ann-1", None), Ok(Start::Checkpoint("ann-1".to_owned())));
        assert_eq!(start("from=latest", None), Ok(Start::Latest));
        assert_eq!(
            start("from=1970-01-01T00:00:01Z", None),
            Ok(Start::Since(Timestamp(1_000_000)))
        );
        assert_eq!(start("", None), Ok(Start::New));
        let epoch = Start::After { position: Position(7), epoch: true };
        assert_eq!(start("from=7.2", None), Ok(epoch));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        assert_eq!(start("", Some("abc")), Err(Code::InvalidRequest));
        assert_eq!(start("lastEventId=-1", None), Err(Code::InvalidParameter));
        assert_eq!(start("from=yesterday", None), Err(Code::InvalidParameter));
        assert_eq!(start("checkpoint=7.", None), Err(Code::InvalidParameter));
    }
}
