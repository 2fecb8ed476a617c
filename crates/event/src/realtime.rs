//! Messages to realtime clients (API.md §8): events of the topic `realtime`, for everybody or for
//! one client. The one place that knows what such an event looks like.

use std::borrow::Cow;

use crate::{Event, Interest, Pattern, Query, Selector, Timestamp, Value};

/// The topic that messages to realtime clients belong to.
pub const REALTIME_TOPIC: &str = "realtime";

/// Source of the events of that topic.
pub const REALTIME_SOURCE: &str = "/topics/realtime";

/// Type of messages that have none of their own.
pub const REALTIME_MESSAGE: &str = "message";

/// Subject of what is for everybody, and what stands before the name of a client.
const BROADCAST: &str = "broadcast";
const CLIENTS: &str = "clients/";

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient<'a> {
    /// Every client.
    Everybody,
    /// The client with this id, wherever it is connected.
    Client(&'a str),
}

impl Recipient<'_> {
    fn subject(self) -> String {
        match self {
            Recipient::Everybody => BROADCAST.to_owned(),
            Recipient::Client(id) => format!("{CLIENTS}{id}"),
        }
    }
}

/// A message to realtime clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealtimeMessage<'a> {
    /// Whom it is for.
    pub to: Recipient<'a>,
    /// What kind of message it is.
    pub ty: Cow<'a, str>,
    /// The exact text of a JSON value; `None` stands for `null`.
    pub data: Option<&'a str>,
}

impl<'a> RealtimeMessage<'a> {
    /// The event that it is.
    pub fn to_event(&self, id: String, time: Timestamp) -> Event<'a> {
        let event = Event::new(id, REALTIME_SOURCE, self.ty.clone())
            .with_subject(self.to.subject())
            .with_time(time.to_string())
            .with_extension("topic", Value::String(REALTIME_TOPIC.into()));
        match self.data {
            Some(text) => event.with_json(text),
            None => event,
        }
    }
}

impl Interest {
    /// What a realtime client gets: what is for everybody and what is for it alone, of these types
    /// (none: of any).
    pub fn of_realtime_client(client: &str, types: &[String]) -> Interest {
        let to = [Recipient::Everybody, Recipient::Client(client)];
        Interest::of(Query::one(Selector {
            subjects: to.into_iter().map(|to| Pattern::Exact(to.subject())).collect(),
            types: types.iter().cloned().map(Pattern::Exact).collect(),
            sources: vec![REALTIME_SOURCE.to_owned()],
            ..Selector::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_interest_to_those_it_is_for() {
        let message = |to, ty: &'static str| {
            let message = RealtimeMessage { to, ty: ty.into(), data: Some("1") };
            message.to_event("m".to_owned(), Timestamp::default())
        };
        let (ann, all) = (Recipient::Client("ann"), Recipient::Everybody);
        let wants = |client, types: &[&str], event: &Event<'_>| {
            let types: Vec<_> = types.iter().map(|ty| (*ty).to_owned()).collect();
            Interest::of_realtime_client(client, &types).query.matches(event)
        };
        assert!(wants("ann", &[], &message(ann, "alert")));
        assert!(!wants("bob", &[], &message(ann, "alert")), "a target's message is its own");
        assert!(!wants("an", &[], &message(ann, "alert")));
        assert!(wants("bob", &[], &message(all, "alert")));
        assert!(!wants("bob", &["notification"], &message(all, "alert")));
        let mut forged = message(all, "alert");
        forged.source = "/somebody".into();
        assert!(!wants("bob", &[], &forged));
    }
}
