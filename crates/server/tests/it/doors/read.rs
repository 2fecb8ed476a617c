//! The doors that events come back through. Each gives all there are, in order.

use std::collections::BTreeMap;

use annal_event::base64;
use prost::Message;
use serde_json::value::RawValue;
use tonic::Streaming;

use super::{
    Attribute, Data, Door, Event,
    event::{
        TIMES, absent_media_type, bare_line_separators, empty_data, is_json, is_json_type,
        json_of_another_type, offset, text_is_bytes, types, types_that_json_has_not,
        what_events_db_does_not_tell,
    },
};
use crate::{
    client::Client,
    generated::{
        annal_v1::{
            GetRequest, Identity, ReadRequest, SubscribeRequest, get_request::Which,
            subscribe_response,
        },
        cloudevents::{
            CloudEvent, CloudEventBatch, cloud_event,
            cloud_event::cloud_event_attribute_value::Attr,
        },
        eventsdb::{self, EventsFromSubjectRequest, EventsResponse, GetEventByIdRequest},
    },
    grpc::World,
    sse::EventSource,
};

/// Reads the whole log, of which these are the identities.
type Read = Door<fn(&World, &[Identity]) -> Vec<Event>>;

pub(super) const DOORS: [Read; 18] = [
    Door { name: "one as JSON", losses: &[types_that_json_has_not], pass: one },
    Door { name: "one by id", losses: &[types_that_json_has_not], pass: by_id },
    Door {
        name: "binary mode",
        losses: &[json_of_another_type, text_is_bytes, empty_data, absent_media_type, types],
        pass: binary,
    },
    Door { name: "one as protobuf", losses: PROTOBUF, pass: one_protobuf },
    Door { name: "page", losses: &[types_that_json_has_not], pass: page },
    Door { name: "JSON batch", losses: &[types_that_json_has_not], pass: batch },
    Door { name: "NDJSON", losses: &[types_that_json_has_not], pass: ndjson },
    Door { name: "protobuf batch", losses: PROTOBUF, pass: protobuf_batch },
    Door { name: "snapshot", losses: STREAM, pass: snapshot },
    Door { name: "deltas", losses: STREAM, pass: deltas },
    Door { name: "gRPC Get", losses: PROTOBUF, pass: get },
    Door { name: "gRPC Read", losses: PROTOBUF, pass: read },
    Door { name: "gRPC Subscribe", losses: PROTOBUF, pass: subscribe },
    Door { name: "Events-DB get", losses: EVENTS_DB, pass: events_db_get },
    Door { name: "Events-DB history", losses: EVENTS_DB, pass: events_db_history },
    Door { name: "Events-DB stream", losses: EVENTS_DB, pass: events_db_stream },
    Door { name: "Events-DB REST get", losses: EVENTS_DB, pass: rest_get },
    Door { name: "Events-DB REST history", losses: EVENTS_DB, pass: rest_history },
];

const PROTOBUF: &[super::Loss] = &[offset, json_of_another_type];
const STREAM: &[super::Loss] = &[types_that_json_has_not, bare_line_separators];
const EVENTS_DB: &[super::Loss] = &[what_events_db_does_not_tell];

/// The identities of all there are: those that the store has made are not known otherwise.
pub(super) fn identities(world: &World) -> Vec<Identity> {
    let of = |event: Event| Identity { source: event.text("source"), id: event.text("id") };
    page(world, &[]).into_iter().map(of).collect()
}

fn each(log: &[Identity], one: impl Fn(u64) -> Event) -> Vec<Event> {
    (1..=log.len() as u64).map(one).collect()
}

/// Takes off what the store adds, which is as it must be.
fn place(event: Event, position: u64) -> Event {
    assert_eq!(event.text("position"), position.to_string(), "{event:?}");
    assert!(event.text("recordedtime").ends_with('Z'), "{event:?}");
    event.without("position").without("recordedtime")
}

fn placed(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    (1..).zip(events).map(|(position, event)| place(event, position)).collect()
}

fn ask(world: &World, request: &str) -> Vec<u8> {
    let answer = world.served.send(request);
    assert_eq!(answer.status, 200, "{request}: {}", answer.text());
    answer.body
}

fn one(world: &World, log: &[Identity]) -> Vec<Event> {
    each(log, |n| place(json(&ask(world, &format!("GET /events/at/{n}"))), n))
}

fn by_id(world: &World, log: &[Identity]) -> Vec<Event> {
    let encoded = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let path =
        |at: &Identity| format!("/events/{}?source={}", encoded(&at.id), encoded(&at.source));
    placed(log.iter().map(|at| json(&ask(world, &format!("GET {}", path(at))))))
}

fn binary(world: &World, log: &[Identity]) -> Vec<Event> {
    each(log, |position| {
        let answer = world.served.send(&format!("GET /events/at/{position}/data"));
        let mut attributes = BTreeMap::new();
        for (name, value) in &answer.headers {
            let (name, value) = match (name.strip_prefix("ce-"), name.as_str()) {
                (Some(name), _) => (name, out_of_header(value)),
                (None, "content-type") => ("datacontenttype", value.clone()),
                (None, _) => continue,
            };
            let before = attributes.insert(name.to_owned(), Attribute::Text(value));
            assert_eq!(before, None, "{name} stands there once");
        }
        assert_eq!(attributes.remove("specversion"), Some("1.0".into()));
        let event = place(Event::of(attributes, Data::None), position);
        match answer.body {
            body if body.is_empty() => event,
            body if is_json_type(&event.text("datacontenttype")) && is_json(&body) => {
                event.data(Data::Json(String::from_utf8(body).expect("JSON")))
            }
            body => event.data(Data::Bytes(body)),
        }
    })
}

/// HTTP binding §3.1.3.2.
fn out_of_header(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        assert!((0x21..0x7f).contains(&byte) && byte != b'"', "not encoded: {text}");
        out.push(match byte {
            b'%' => {
                let digits: Vec<_> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).expect("two digits");
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            byte => byte,
        });
    }
    String::from_utf8(out).expect("UTF-8")
}

fn one_protobuf(world: &World, log: &[Identity]) -> Vec<Event> {
    each(log, |n| {
        let accept = "accept: application/cloudevents+protobuf";
        place(protobuf(&ask(world, &format!("GET /events/at/{n}\n{accept}"))), n)
    })
}

fn protobuf(bytes: &[u8]) -> Event {
    message(CloudEvent::decode(bytes).expect("a CloudEvent"))
}

fn page(world: &World, _: &[Identity]) -> Vec<Event> {
    let page = ask(world, "GET /events?limit=10000");
    let page: BTreeMap<&str, &RawValue> = serde_json::from_slice(&page).expect("a page");
    list(page["events"].get().as_bytes())
}

fn batch(world: &World, _: &[Identity]) -> Vec<Event> {
    list(&ask(world, "GET /events?limit=10000\naccept: application/cloudevents-batch+json"))
}

fn list(text: &[u8]) -> Vec<Event> {
    let events: Vec<&RawValue> = serde_json::from_slice(text).expect("a list");
    placed(events.iter().map(|event| json(event.get().as_bytes())))
}

fn ndjson(world: &World, _: &[Identity]) -> Vec<Event> {
    let lines = ask(world, "GET /events\naccept: application/x-ndjson");
    placed(lines.split_inclusive(|byte| *byte == b'\n').map(json))
}

fn protobuf_batch(world: &World, _: &[Identity]) -> Vec<Event> {
    let accept = "accept: application/cloudevents-batch+protobuf";
    let batch = ask(world, &format!("GET /events?limit=10000\n{accept}"));
    let batch = CloudEventBatch::decode(&*batch).expect("a batch");
    placed(batch.events.into_iter().map(message))
}

fn snapshot(world: &World, _: &[Identity]) -> Vec<Event> {
    let snapshot = EventSource::open(&world.served, "/events/stream", "").message();
    assert_eq!(snapshot.name, "snapshot");
    list(snapshot.data.as_bytes())
}

fn deltas(world: &World, log: &[Identity]) -> Vec<Event> {
    let mut stream = EventSource::open(&world.served, "/events/stream?from=earliest", "");
    let delta = |position: u64| {
        let message = stream.message();
        assert_eq!((message.name.as_str(), message.id), ("delta", position.to_string()));
        place(json(message.data.as_bytes()), position)
    };
    (1..=log.len() as u64).map(delta).collect()
}

fn get(world: &World, log: &[Identity]) -> Vec<Event> {
    placed(log.iter().map(|identity| {
        let which = Some(Which::Identity(identity.clone()));
        let asked = GetRequest { which, ..GetRequest::default() };
        let got = world.run(world.store().get(asked)).expect("found").into_inner();
        message(got.event.expect("an event"))
    }))
}

fn read(world: &World, _: &[Identity]) -> Vec<Event> {
    world.run(async {
        let asked = ReadRequest::default();
        let mut pages = world.store().read(asked).await.expect("begun").into_inner();
        let mut events = Vec::new();
        while let Some(page) = pages.message().await.expect("a page") {
            events.extend(page.events.into_iter().map(message));
        }
        placed(events)
    })
}

fn subscribe(world: &World, log: &[Identity]) -> Vec<Event> {
    world.run(async {
        let asked = SubscribeRequest::default();
        let mut stream = world.store().subscribe(asked).await.expect("begun").into_inner();
        let mut events = Vec::new();
        while events.len() < log.len() {
            let response = stream.message().await.expect("a message").expect("it goes on");
            if let Some(subscribe_response::Message::Events(batch)) = response.message {
                events.extend(batch.events.into_iter().map(message));
            }
        }
        placed(events)
    })
}

fn everything(from_id: i64) -> EventsFromSubjectRequest {
    EventsFromSubjectRequest {
        from_id: Some(from_id),
        recursive: Some(true),
        ..EventsFromSubjectRequest::default()
    }
}

fn events_db_get(world: &World, log: &[Identity]) -> Vec<Event> {
    each(log, |position| {
        let asked = GetEventByIdRequest { id: position as i64 };
        let got = world.run(world.events_db().get_event_by_id(asked)).expect("found");
        told(got.into_inner(), position)
    })
}

fn events_db_history(world: &World, log: &[Identity]) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < log.len() {
        let asked = everything(events.len() as i64);
        let page = world.run(world.events_db().get_historic_events_from_subject(asked));
        let page = page.expect("a page").into_inner();
        assert!(!page.events.is_empty(), "it goes on after {}", events.len());
        take(&mut events, page);
    }
    events
}

fn events_db_stream(world: &World, log: &[Identity]) -> Vec<Event> {
    world.run(async {
        let stream = world.events_db().stream_events_from_subject(everything(0)).await;
        let mut stream: Streaming<EventsResponse> = stream.expect("begun").into_inner();
        let mut events = Vec::new();
        while events.len() < log.len() {
            take(&mut events, stream.message().await.expect("a page").expect("it goes on"));
        }
        events
    })
}

fn take(events: &mut Vec<Event>, page: EventsResponse) {
    for event in page.events {
        events.push(told(event, events.len() as u64 + 1));
    }
}

fn told(told: eventsdb::Event, position: u64) -> Event {
    assert_eq!(told.id, position as i64);
    let event = Event::new(&told.source, &told.r#type).with("time", &*told.time);
    let event = if told.subject.is_empty() { event } else { event.with("subject", &*told.subject) };
    match told.data.to_vec() {
        data if data.is_empty() => event,
        data => event.data(Data::Bytes(data)),
    }
}

fn rest_get(world: &World, log: &[Identity]) -> Vec<Event> {
    each(log, |position| {
        let request = format!("GET /events/get?id={position}");
        rest_told(&Client::connect(world.served.rest).send(&request).json(), position)
    })
}

fn rest_history(world: &World, log: &[Identity]) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < log.len() {
        let request = format!("GET /events/historic?recursive=true&from_id={}", events.len());
        let page = Client::connect(world.served.rest).send(&request).json();
        let page = page["events"].as_array().expect("events");
        assert!(!page.is_empty(), "it goes on after {}", events.len());
        for event in page {
            events.push(rest_told(event, events.len() as u64 + 1));
        }
    }
    events
}

fn rest_told(event: &serde_json::Value, position: u64) -> Event {
    let text = |name: &str| event[name].as_str().expect("text").to_owned();
    let event = eventsdb::Event {
        id: event["id"].as_i64().expect("a number"),
        source: text("source"),
        r#type: text("type"),
        subject: text("subject"),
        time: text("time"),
        data: base64::decode(&text("data")).expect("base64").into(),
    };
    told(event, position)
}

/// Out of the JSON format.
fn json(text: &[u8]) -> Event {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(text).expect("an object");
    let string = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).expect("a string");
    let version = members.remove("specversion").expect("a version");
    assert_eq!(version.get(), "\"1.0\"");
    let data = members.remove("data");
    let bytes = members.remove("data_base64");
    let attribute = |raw: &RawValue| match raw.get() {
        "true" => Attribute::Boolean(true),
        "false" => Attribute::Boolean(false),
        text if text.starts_with('"') => Attribute::Text(string(raw)),
        number => Attribute::Integer(number.parse().expect("an integer")),
    };
    let attributes = members.iter().map(|(name, raw)| (name.clone(), attribute(raw))).collect();
    let event = Event::of(attributes, Data::None);
    let media_type = event.attribute("datacontenttype").map(Attribute::canonical);
    match (data, bytes) {
        (None, None) => event,
        (None, Some(bytes)) => {
            event.data(Data::Bytes(base64::decode(&string(bytes)).expect("base64")))
        }
        (Some(data), None) => {
            let is_text =
                data.get().starts_with('"') && !media_type.is_none_or(|ty| is_json_type(&ty));
            event.data(if is_text {
                Data::Text(string(data))
            } else {
                Data::Json(data.get().to_owned())
            })
        }
        (Some(_), Some(_)) => panic!("data twice"),
    }
}

/// Out of the protobuf format.
fn message(message: CloudEvent) -> Event {
    assert_eq!(message.spec_version, "1.0");
    let mut event = Event::new(&message.source, &message.r#type).with("id", &*message.id);
    for (name, value) in message.attributes {
        let value = match value.attr.expect("a value") {
            Attr::CeString(text) => Attribute::Text(text),
            Attr::CeInteger(number) => Attribute::Integer(number),
            Attr::CeBoolean(value) => Attribute::Boolean(value),
            Attr::CeBytes(bytes) => Attribute::Bytes(bytes.to_vec()),
            Attr::CeUri(text) => Attribute::Uri(text),
            Attr::CeUriRef(text) => Attribute::Reference(text),
            Attr::CeTimestamp(at) => {
                let known =
                    TIMES.into_iter().find(|time| (time.2, time.3) == (at.seconds, at.nanos));
                // What the store has made is no time of the table.
                Attribute::Time(known.map_or("some time Z".to_owned(), |time| time.1.to_owned()))
            }
        };
        let value = match (name.as_str(), value) {
            ("time", Attribute::Time(text)) => Attribute::Text(text),
            ("dataschema", Attribute::Uri(text)) => Attribute::Text(text),
            ("time" | "dataschema", value) => panic!("{name} has another type: {value:?}"),
            (_, value) => value,
        };
        event = event.with(&name, value);
    }
    let media_type = event.attribute("datacontenttype").map(Attribute::canonical);
    match message.data {
        None => event,
        Some(cloud_event::Data::BinaryData(bytes)) => event.data(Data::Bytes(bytes.to_vec())),
        Some(cloud_event::Data::TextData(text)) => {
            let json = media_type.is_none_or(|ty| is_json_type(&ty)) && is_json(text.as_bytes());
            event.data(if json { Data::Json(text) } else { Data::Text(text) })
        }
        Some(cloud_event::Data::ProtoData(any)) => panic!("nobody sent a message: {any:?}"),
    }
}
