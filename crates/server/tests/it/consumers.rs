//! Consumers over HTTP: registered, shown, moved, removed; and what arrives at their endpoints.

mod delivery;
mod refused;
mod routes;
mod tls;

use annal_engine::EngineOptions;
use annal_server::{CallbackRules, ServerOptions};
use serde_json::Value;

use crate::{client::Answer, fixture::Served};

/// A server that may call this machine.
fn served() -> Served {
    let callbacks = CallbackRules { loopback: true, ..CallbackRules::default() };
    let options = ServerOptions { callbacks, ..ServerOptions::default() };
    Served::with(options, EngineOptions::default())
}

fn post(served: &Served, path: &str, body: &str) -> Answer {
    served.send(&format!("POST {path}\ncontent-type: application/json\n\n{body}"))
}

/// Makes a topic that takes anything.
#[track_caller]
fn topic(served: &Served, name: &str) {
    let made =
        post(served, "/topics", &format!("{{\"name\":\"{name}\",\"schemas\":[],\"open\":true}}"));
    assert_eq!(made.status, 201, "{}", made.text());
}

/// Registers a durable consumer; `more` are members after the callback. Its id and its secret.
#[track_caller]
fn durable(served: &Served, callback: &str, more: &str) -> (String, String) {
    let answer = post(served, "/consumers", &format!("{{\"callback\":\"{callback}\"{more}}}"));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let said = answer.json();
    let text = |name: &str| said[name].as_str().expect("text").to_owned();
    assert_eq!(answer.header("location"), Some(&*format!("/consumers/{}", text("consumerId"))));
    (text("consumerId"), text("secret"))
}

#[track_caller]
fn ephemeral(served: &Served, callback: &str, topics: &str) -> String {
    let body = format!("{{\"callback\":\"{callback}\",\"topics\":{topics}}}");
    let answer = post(served, "/consumers/register", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let said = answer.json();
    assert_eq!(said.as_object().map(serde_json::Map::len), Some(1), "{said}");
    said["consumerId"].as_str().expect("an id").to_owned()
}

/// Appends an event; with a topic, if it is not empty.
#[track_caller]
fn append(served: &Served, id: &str, subject: &str, topic: &str) {
    let topic = if topic.is_empty() { String::new() } else { format!("\"topic\":\"{topic}\",") };
    let body = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/test\",\"type\":\"happened\",{topic}\
         \"subject\":\"{subject}\",\"time\":\"2026-01-15T10:30:00Z\",\"data\":{{\"price\":0.10}}}}"
    );
    let answer = post(served, "/events", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn consumer(served: &Served, id: &str) -> Value {
    served.send(&format!("GET /consumers/{id}")).json()
}

/// The data of the store's own events of a type.
fn noted(served: &Served, ty: &str) -> Vec<Value> {
    let events = served.send(&format!("GET /events?system=true&type={ty}")).json();
    let events = events["events"].as_array().expect("events").clone();
    events.into_iter().map(|event| event["data"].clone()).collect()
}
