//! Reading back the data of events about consumers. Members that a later version may add are passed
//! over.

use std::str::FromStr;

use super::{ConsumerEvent, ConsumerSpec, DeadLetters, Format, Ordering, Retry, TopicStart};
use crate::{Data, Event, EventError, EventErrorKind, Position, json::Json};

pub(super) fn event(event: &Event<'_>) -> Result<Option<ConsumerEvent>, EventError> {
    let damaged = || {
        let detail = "this is not what the store writes about a consumer";
        EventError::new(EventErrorKind::Damaged, "/data", detail)
    };
    let Data::Json(text) = &event.data else { return Err(damaged()) };
    let json = Json::parse(text).map_err(|_| damaged())?;
    let Some(id) = string(&json, "consumerId") else { return Err(damaged()) };
    let reason = || string(&json, "reason");
    let read = match &*event.ty {
        "annal.consumer.registered" => {
            from_tree(&json).map(|spec| ConsumerEvent::Registered(Box::new(spec)))
        }
        "annal.consumer.removed" => reason().map(|reason| ConsumerEvent::Removed { id, reason }),
        "annal.consumer.disabled" => reason().map(|reason| ConsumerEvent::Disabled { id, reason }),
        "annal.consumer.paused" => Some(ConsumerEvent::Paused { id }),
        "annal.consumer.resumed" => Some(ConsumerEvent::Resumed { id }),
        "annal.consumer.sought" => {
            position(json.get("to")).map(|to| ConsumerEvent::Sought { id, to })
        }
        "annal.consumer.secret.rotated" => Some(ConsumerEvent::SecretRotated { id }),
        "annal.consumer.dead" => dead(&json, id),
        "annal.consumer.redriven" => {
            positions(&json).map(|positions| ConsumerEvent::Redriven { id, positions })
        }
        // Of a later version.
        _ => return Ok(None),
    };
    read.map(Some).ok_or_else(damaged)
}

fn dead(json: &Json<'_>, id: String) -> Option<ConsumerEvent> {
    Some(ConsumerEvent::Dead(DeadLetters {
        id,
        positions: positions(json)?,
        attempts: number(json, "attempts")?,
        status: number(json, "status"),
        error: string(json, "error")?,
    }))
}

pub(super) fn spec(text: &str) -> Option<ConsumerSpec> {
    from_tree(&Json::parse(text).ok()?)
}

fn from_tree(json: &Json<'_>) -> Option<ConsumerSpec> {
    let retry = json.get("retry")?;
    Some(ConsumerSpec {
        id: string(json, "consumerId")?,
        callback: string(json, "callback")?,
        durable: matches!(json.get("durable")?, Json::Boolean(true)),
        topics: topics(json.get("topics")?)?,
        filter: json.get("filter").map(Json::to_string),
        from: position(json.get("from"))?,
        format: named(json, "format", &Format::NAMES)?,
        batch_size: number(json, "batch_size")?,
        ordering: named(json, "ordering", &Ordering::NAMES)?,
        retry: Retry {
            schedule_ms: items(retry.get("schedule_ms")?)?
                .iter()
                .map(digits)
                .collect::<Option<_>>()?,
            timeout_ms: number(retry, "timeout_ms")?,
            max_age_ms: number(retry, "max_age_ms"),
        },
        headers: items(json.get("headers")?)?.iter().map(text).collect::<Option<_>>()?,
    })
}

fn topics(json: &Json<'_>) -> Option<Vec<TopicStart>> {
    let Json::Object(object) = json else { return None };
    let start = |(name, after): (crate::json::Text<'_>, &Json<'_>)| {
        let topic = name.decode()?.into_owned();
        Some(TopicStart { topic, after: position(Some(after))? })
    };
    object.iter().map(start).collect()
}

fn named<T: Copy>(json: &Json<'_>, name: &str, names: &[(&str, T)]) -> Option<T> {
    let text = string(json, name)?;
    names.iter().find(|(have, _)| *have == text).map(|(_, value)| *value)
}

fn items<'j, 'a>(json: &'j Json<'a>) -> Option<&'j [Json<'a>]> {
    match json {
        Json::Array(items) => Some(items),
        _ => None,
    }
}

fn text(json: &Json<'_>) -> Option<String> {
    match json {
        Json::String(text) => text.decode().map(|text| text.into_owned()),
        _ => None,
    }
}

fn string(json: &Json<'_>, name: &str) -> Option<String> {
    json.get(name).and_then(text)
}

fn digits<T: FromStr>(json: &Json<'_>) -> Option<T> {
    match json {
        Json::Number(number) => number.text().parse().ok(),
        _ => None,
    }
}

fn number<T: FromStr>(json: &Json<'_>, name: &str) -> Option<T> {
    json.get(name).and_then(digits)
}

fn position(json: Option<&Json<'_>>) -> Option<Position> {
    text(json?)?.parse().ok()
}

fn positions(json: &Json<'_>) -> Option<Vec<Position>> {
    items(json.get("positions")?)?.iter().map(|item| position(Some(item))).collect()
}
