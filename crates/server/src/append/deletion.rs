//! `POST /subjects/delete`: hides the events of a subject from every read.

use annal_engine::{Append, Checks, Engine};
use annal_event::{Deletion, Encoded, Position};
use http::{Response, StatusCode, request::Parts};

use super::answer;
use crate::{
    json_text::push_number,
    params::{Params, invalid},
    problem::Problem,
    reply::{self, Reply},
};

/// Deletes what the parameters name, and answers how many events that were.
pub(crate) async fn delete(engine: &Engine, head: &Parts) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    let checks = Checks { force: params.take_flag("force")? };
    let deletion = read(params)?;
    Ok(deleted(hide(engine, &deletion, checks).await?))
}

/// Hides events; how many that were. Refused, unless forced, where that takes away a resource that
/// others refer to.
pub(crate) async fn hide(
    engine: &Engine,
    deletion: &Deletion,
    checks: Checks,
) -> Result<u64, Problem> {
    let mut events = Encoded::default();
    events.push_valid(&deletion.to_event(engine.new_id()), engine.limits())?;
    let ticket = engine.append(Append { checks, ..Append::of(events) }).map_err(answer::busy)?;
    let appended = ticket.await.map_err(|error| answer::refused(error, &[], false))?;
    Ok(appended.hidden)
}

/// Says how many events are hidden now.
pub(crate) fn deleted(events: u64) -> Response<Reply> {
    let mut body = b"{\"status\":\"ok\",\"deleted\":".to_vec();
    push_number(&mut body, events);
    body.push(b'}');
    reply::json(StatusCode::OK, body)
}

fn read(mut params: Params<'_>) -> Result<Deletion, Problem> {
    let missing = || invalid("subject", "give `subject`: whose events are to be deleted");
    let subject = params.take("subject")?.filter(|subject| !subject.is_empty());
    let recursive = params.take_flag("recursive")?;
    let mut subject = subject.ok_or_else(missing)?.into_owned();
    if recursive {
        // `orders/` means the same as `orders`.
        subject.truncate(subject.trim_end_matches('/').len());
    }
    let deletion = Deletion {
        subject,
        recursive,
        ty: params.take("type")?.map(|ty| ty.into_owned()),
        from: params.take_as::<Position>("from_id")?.unwrap_or(Position::ZERO),
    };
    params.finish()?;
    Ok(deletion)
}
