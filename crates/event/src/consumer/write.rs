//! The data of events about consumers.

use super::{ConsumerEvent, ConsumerSpec, DeadLetters};
use crate::{Position, json::write_string};

/// An object that grows member by member.
struct Members(Vec<u8>);

impl Members {
    fn new() -> Members {
        Members(vec![b'{'])
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write_string(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    fn text(&mut self, name: &str, text: &str) {
        write_string(self.name(name), text);
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    fn position(&mut self, name: &str, position: Position) {
        self.raw(name, &format!("\"{position}\""));
    }

    fn list<T>(&mut self, name: &str, items: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
        let out = self.name(name);
        out.push(b'[');
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            each(out, item);
        }
        out.push(b']');
    }

    fn positions(&mut self, positions: &[Position]) {
        self.list("positions", positions, |out, position| {
            out.extend_from_slice(format!("\"{position}\"").as_bytes());
        });
    }

    fn finish(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).unwrap_or_default()
    }
}

pub(super) fn data(event: &ConsumerEvent) -> String {
    if let ConsumerEvent::Registered(spec) = event {
        return spec.to_json();
    }
    let mut members = Members::new();
    members.text("consumerId", event.id());
    match event {
        ConsumerEvent::Removed { reason, .. } | ConsumerEvent::Disabled { reason, .. } => {
            members.text("reason", reason);
        }
        ConsumerEvent::Sought { to, .. } => members.position("to", *to),
        ConsumerEvent::Redriven { positions, .. } => members.positions(positions),
        ConsumerEvent::Dead(letters) => dead(&mut members, letters),
        ConsumerEvent::Registered(_)
        | ConsumerEvent::Paused { .. }
        | ConsumerEvent::Resumed { .. }
        | ConsumerEvent::SecretRotated { .. } => {}
    }
    members.finish()
}

fn dead(members: &mut Members, letters: &DeadLetters) {
    members.positions(&letters.positions);
    members.raw("attempts", &letters.attempts.to_string());
    if let Some(status) = letters.status {
        members.raw("status", &status.to_string());
    }
    members.text("error", &letters.error);
}

pub(super) fn spec(spec: &ConsumerSpec) -> String {
    let mut members = Members::new();
    members.text("consumerId", &spec.id);
    members.text("callback", &spec.callback);
    members.raw("durable", if spec.durable { "true" } else { "false" });
    let mut topics = Members::new();
    for start in &spec.topics {
        topics.position(&start.topic, start.after);
    }
    members.raw("topics", &topics.finish());
    if let Some(filter) = &spec.filter {
        members.raw("filter", filter);
    }
    members.position("from", spec.from);
    members.text("format", spec.format.name());
    members.raw("batch_size", &spec.batch_size.to_string());
    members.text("ordering", spec.ordering.name());
    let mut retry = Members::new();
    retry.list("schedule_ms", &spec.retry.schedule_ms, |out, ms| {
        out.extend_from_slice(ms.to_string().as_bytes());
    });
    retry.raw("timeout_ms", &spec.retry.timeout_ms.to_string());
    if let Some(age) = spec.retry.max_age_ms {
        retry.raw("max_age_ms", &age.to_string());
    }
    members.raw("retry", &retry.finish());
    members.list("headers", &spec.headers, |out, name| write_string(out, name));
    members.finish()
}
