//! `GET /topics/{topic}/events`: what a topic keeps, oldest first.

use std::sync::Arc;

use annal_engine::{Called, Engine, Page, ReadError, TopicRead};
use annal_event::{Position, Timestamp};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::found;
use crate::{
    negotiate,
    params::{Params, invalid},
    problem::{Code, Problem},
    read::{
        encode::push_payloads, export, failed, link::Link, off_the_reactor, select,
        wait_for_position,
    },
    reply::{self, Reply},
    shared::Shared,
};

/// A page ends early when it has so many bytes of records.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `?sinceEventId=&date=YYYY-MM-DD&limit=`, and `after` for the pages that follow.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    engine: &Engine,
    head: &Parts,
    name: &str,
) -> Result<Response<Reply>, Problem> {
    let mut params = Params::parse(head.uri.query())?;
    wait_for_position(engine, &mut params, shared.options.position_wait_max).await?;
    let since_event = params.take("sinceEventId")?.map(|id| id.into_owned());
    let (since, until) = match params.take("date")? {
        Some(date) => day(&date).map(|(since, until)| (Some(since), Some(until)))?,
        None => (None, None),
    };
    let after = params.take_as::<Position>("after")?.unwrap_or(Position::ZERO);
    let limit = select::limit(&mut params, select::LIMIT_MAX)?.unwrap_or(select::LIMIT_DEFAULT);
    params.finish()?;
    let (topic, _) = found(engine, name)?;
    let mut asked = TopicRead { after, since, until, limit, bytes_max: PAGE_BYTES_MAX };
    let (view, now, link) = (Arc::clone(engine.view()), engine.now(), Link::of(head));
    let encoding = negotiate::encoding(&head.headers);
    let page = off_the_reactor(move || {
        if let Some(id) = since_event {
            match view.topic_event(&topic.name, &id)? {
                Called::One(position) => asked.after = asked.after.max(position),
                called => {
                    return Ok(Err(not_one(&topic.name, &id, called, Code::InvalidParameter)));
                }
            }
        }
        let page = view.topic_events(&topic, &asked, now)?;
        let next = page.next.map(|next| link.next("after", &next.to_string()));
        Ok::<_, ReadError>(Ok((export::compressed(encode(&page)?, encoding), next)))
    });
    let ((body, encoding), next) = page.await?.map_err(|error| failed(&error))??;
    let mut response = reply::json(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(name) = export::encoding_name(encoding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        headers.insert(header::LINK, next);
    }
    Ok(response)
}

/// The first and the last moment of a day, UTC.
fn day(date: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let wrong = || invalid("date", "`date` is a day, YYYY-MM-DD, UTC");
    if date.len() != "2026-01-15".len() {
        return Err(wrong());
    }
    let first = format!("{date}T00:00:00Z").parse::<Timestamp>().map_err(|_| wrong())?;
    let last = format!("{date}T23:59:59.999999Z").parse().map_err(|_| wrong())?;
    Ok((first, last))
}

/// An id does not say after which event of a topic to go on. `wrong`: what several are refused as.
pub(crate) fn not_one(topic: &str, id: &str, called: Called, wrong: Code) -> Problem {
    let (code, detail) = match called {
        Called::Several => {
            let detail = format!(
                "several events of the topic {topic} have the id {id}, of different sources; go on \
                 after `{topic}-<n>`, where n counts the topic's events from 1, or follow `Link`"
            );
            (wrong, detail)
        }
        _ => {
            let detail =
                format!("the topic {topic} has no event {id} to go on after; leave it out for all");
            (Code::EventNotFound, detail)
        }
    };
    Problem::new(code, detail).with_text("topic", topic)
}

/// The events as an array.
fn encode(page: &Page) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::with_capacity(2 + page.events.len() * 256);
    out.push(b'[');
    push_payloads(&mut out, &page.events)?;
    out.push(b']');
    Ok(out)
}
