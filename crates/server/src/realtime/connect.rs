//! `GET /api/sse/connect`: a client's own stream.

use std::sync::Arc;

use annal_engine::{Engine, ReadError};
use annal_event::{Interest, Position, REALTIME_TOPIC};
use http::{HeaderMap, Response, request::Parts};

use super::{check_client_id, checkpoint};
use crate::{
    json_text::{push_number, push_string},
    params::{Params, invalid},
    problem::Problem,
    read::{failed, off_the_reactor},
    reply::Reply,
    shared::Shared,
    stream::{
        self,
        audience::{Asked, Names},
        body::StreamBody,
        cursor::{Reset, Start},
        message,
        resources::Kinds,
    },
};

/// Types that one client asks for.
const TYPES_MAX: usize = 64;

/// What a client asks for.
struct Request {
    client: String,
    types: Vec<String>,
    start: Start,
}

/// Connects a client.
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
) -> Result<Response<Reply>, Problem> {
    let Request { client, types, start } = read(engine, &head.headers, head.uri.query())?;
    if head.method == http::Method::HEAD {
        return Ok(stream::response(Reply::none()));
    }
    let Some(place) = shared.stream_place() else { return stream::overload(shared, engine, false) };
    let interest = Interest::of_realtime_client(&client, &types);
    let (cursor, reset) = begin(engine, &client, start, &interest).await?;
    let mut opening = message::retry(engine.random());
    push_connected(&mut opening, &client, cursor);
    if let Some(reset) = reset {
        message::push_reset(&mut opening, &reset, engine.head(), false);
    }
    let asked = Asked { interest, kinds: Kinds::default(), names: Names::Realtime };
    let audience = shared.audiences.join(asked);
    let present = shared.presence.enter(client, engine.now(), types, cursor);
    let body = StreamBody::new(place, engine, audience, opening, None, cursor).of_client(present);
    Ok(stream::response(Reply::Stream(Box::new(body))))
}

fn read(engine: &Engine, headers: &HeaderMap, query: Option<&str>) -> Result<Request, Problem> {
    let mut params = Params::parse(query)?;
    // Who it is has been found out before; an `EventSource` can say it nowhere else.
    let (_, _) = (params.take("apikey")?, params.take("access_token")?);
    let client = match params.take("clientId")?.filter(|client| !client.is_empty()) {
        Some(client) => {
            check_client_id(&client).map_err(|detail| invalid("clientId", detail))?;
            client.into_owned()
        }
        None => engine.new_id(),
    };
    let filter = params.take("filter")?.unwrap_or_default();
    let mut types: Vec<String> = filter.split(',').map(|ty| ty.trim().to_owned()).collect();
    types.retain(|ty| !ty.is_empty());
    types.sort_unstable();
    types.dedup();
    if types.len() > TYPES_MAX {
        return Err(invalid("filter", format_args!("`filter` names at most {TYPES_MAX} types")));
    }
    let start = Start::cursor(&mut params, headers)?.unwrap_or(Start::New);
    if let Start::Checkpoint(_) = start {
        return Err(invalid("checkpoint", "`checkpoint` is the `_sequence` of a message"));
    }
    params.finish()?;
    Ok(Request { client, types, start })
}

/// Where the client goes on, and what to say if that is not where it wanted to.
async fn begin(
    engine: &Engine,
    client: &str,
    start: Start,
    interest: &Interest,
) -> Result<(Position, Option<Reset>), Problem> {
    let start = match start {
        Start::New => match checkpoint::stored(engine, client) {
            Some(position) => Start::After { position, epoch: false },
            None => return Ok((engine.head(), None)),
        },
        start => start,
    };
    let (cursor, reset) = stream::cursor::resolve(engine, &start).await?;
    let Some(cursor) = cursor else { return Ok((engine.head(), reset)) };
    let (view, interest) = (Arc::clone(engine.view()), interest.clone());
    let now = engine.now();
    // Messages that the topic keeps no more are skipped, and whoever would have got one is told.
    let skip = move || {
        let expired = match view.topic(REALTIME_TOPIC)? {
            Some((topic, _)) => view.topic_expired(&topic, now)?,
            None => Position::ZERO,
        };
        if expired <= cursor {
            return Ok((cursor, None));
        }
        let earliest = expired.next();
        let gone = view.count(&interest, cursor, earliest)?;
        let reset = Reset { reason: "expired", requested: cursor, earliest };
        Ok::<_, ReadError>((expired, (gone > 0).then_some(reset)))
    };
    let (cursor, expired) = off_the_reactor(skip).await?.map_err(|error| failed(&error))?;
    Ok((cursor, reset.or(expired)))
}

/// The first message. It has an id, so that nothing is missed by a client that loses its connection
/// before the next.
fn push_connected(out: &mut Vec<u8>, client: &str, cursor: Position) {
    out.extend_from_slice(b"event: connected\n");
    message::push_id(out, cursor);
    out.extend_from_slice(b"data: {\"clientId\":");
    push_string(out, client);
    out.extend_from_slice(b",\"sequence\":");
    push_number(out, cursor.get());
    out.extend_from_slice(b"}\n\n");
}
