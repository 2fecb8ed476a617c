//! The doors that events are published through.

use prost::Message;

use super::{
    Attribute, Data, Door, Event,
    event::{
        TIMES, absent_media_type, absent_time, empty_data, in_base64, json_of_another_type, offset,
        text_is_bytes, types, types_that_json_has_not, what_events_db_is_not_told,
    },
};
use crate::{
    client::{Answer, Client},
    generated::{
        annal_v1::AppendRequest,
        cloudevents::{
            CloudEvent, CloudEventBatch,
            cloud_event::{self, CloudEventAttributeValue, cloud_event_attribute_value::Attr},
        },
        eventsdb::CreateEventRequest,
    },
    grpc::World,
};

type Write = Door<fn(&World, &Event)>;

pub(super) const DOORS: [Write; 12] = [
    Door { name: "structured", losses: &[types_that_json_has_not], pass: structured },
    Door { name: "plain", losses: &[types_that_json_has_not, absent_time], pass: plain },
    Door { name: "batch", losses: &[types_that_json_has_not], pass: batch },
    Door {
        name: "conditional",
        losses: &[types_that_json_has_not, absent_time],
        pass: conditional,
    },
    Door { name: "ndjson", losses: &[types_that_json_has_not, absent_time], pass: ndjson },
    Door {
        name: "binary",
        losses: &[json_of_another_type, text_is_bytes, empty_data, absent_media_type, types],
        pass: binary,
    },
    Door { name: "protobuf", losses: &[offset, json_of_another_type], pass: protobuf },
    Door { name: "protobuf-batch", losses: &[offset, json_of_another_type], pass: protobuf_batch },
    Door { name: "append", losses: &[offset, json_of_another_type], pass: append },
    Door { name: "append-stream", losses: &[offset, json_of_another_type], pass: append_stream },
    Door { name: "eventsdb", losses: &[what_events_db_is_not_told, absent_time], pass: events_db },
    Door { name: "eventsdb-rest", losses: &[what_events_db_is_not_told, absent_time], pass: rest },
];

fn stored(answer: &Answer, event: &Event) {
    assert!([200, 201].contains(&answer.status), "{event:?}: {}", answer.text());
}

fn post(world: &World, media_type: &str, body: &[u8], event: &Event) {
    let head = format!("POST /events\ncontent-type: {media_type}");
    stored(&world.served.client().send_bytes(&head, body), event);
}

fn structured(world: &World, event: &Event) {
    post(world, "application/cloudevents+json", json(event).as_bytes(), event);
}

fn plain(world: &World, event: &Event) {
    post(world, "application/json", json(event).as_bytes(), event);
}

fn batch(world: &World, event: &Event) {
    let body = format!("[{}]", json(event));
    post(world, "application/cloudevents-batch+json", body.as_bytes(), event);
}

fn conditional(world: &World, event: &Event) {
    let body = format!("{{\"events\":[{}],\"preconditions\":[]}}", json(event));
    post(world, "application/json", body.as_bytes(), event);
}

fn ndjson(world: &World, event: &Event) {
    post(world, "application/x-ndjson", format!("{}\n", json(event)).as_bytes(), event);
}

fn binary(world: &World, event: &Event) {
    let mut head = "POST /events\nce-specversion: 1.0".to_owned();
    let body = match &event.data {
        Data::None => &[][..],
        Data::Json(text) | Data::Text(text) => text.as_bytes(),
        Data::Bytes(bytes) => bytes,
    };
    for (name, value) in &absent_media_type(event.clone()).attributes {
        match name.as_str() {
            "datacontenttype" => head.push_str(&format!("\ncontent-type: {}", value.canonical())),
            _ => head.push_str(&format!("\nce-{name}: {}", in_header(&value.canonical()))),
        }
    }
    stored(&world.served.client().send_bytes(&head, body), event);
}

/// HTTP binding §3.1.3.2.
fn in_header(text: &str) -> String {
    let plain = |byte: u8| (0x21..0x7f).contains(&byte) && byte != b'"' && byte != b'%';
    let encode = |byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    text.bytes().map(encode).collect()
}

fn protobuf(world: &World, event: &Event) {
    let message = message(event).encode_to_vec();
    post(world, "application/cloudevents+protobuf", &message, event);
}

fn protobuf_batch(world: &World, event: &Event) {
    let batch = CloudEventBatch { events: vec![message(event)] }.encode_to_vec();
    post(world, "application/cloudevents-batch+protobuf", &batch, event);
}

fn append(world: &World, event: &Event) {
    assert_eq!(world.append(vec![message(event)]).positions.len(), 1);
}

fn append_stream(world: &World, event: &Event) {
    let request = AppendRequest { events: vec![message(event)], ..AppendRequest::default() };
    world.run(async {
        let sent = tokio_stream::iter(vec![request]);
        let mut answers = world.store().append_stream(sent).await.expect("begun").into_inner();
        let answer = answers.message().await.expect("stored").expect("an answer");
        assert_eq!(answer.positions.len(), 1);
    });
}

fn bytes(event: &Event) -> Vec<u8> {
    match &event.data {
        Data::None => Vec::new(),
        Data::Json(text) | Data::Text(text) => text.clone().into_bytes(),
        Data::Bytes(bytes) => bytes.clone(),
    }
}

fn events_db(world: &World, event: &Event) {
    let request = CreateEventRequest {
        source: event.text("source"),
        r#type: event.text("type"),
        subject: event.text("subject"),
        data: bytes(event).into(),
    };
    world.run(world.events_db().create_event(request)).expect("created");
}

fn rest(world: &World, event: &Event) {
    let body = serde_json::json!({
        "source": event.text("source"),
        "type": event.text("type"),
        "subject": event.text("subject"),
        "data": in_base64(&bytes(event)),
    });
    let request = format!("POST /events\ncontent-type: application/json\n\n{body}");
    stored(&Client::connect(world.served.rest).send(&request), event);
}

/// As the JSON format has it.
fn json(event: &Event) -> String {
    let string = |text: &str| serde_json::to_string(text).expect("a string");
    let mut out = "{\"specversion\":\"1.0\"".to_owned();
    for (name, value) in &event.attributes {
        let value = match value {
            Attribute::Integer(_) | Attribute::Boolean(_) => value.canonical(),
            value => string(&value.canonical()),
        };
        out.push_str(&format!(",\"{name}\":{value}"));
    }
    match &event.data {
        Data::None => {}
        Data::Json(text) => out.push_str(&format!(",\"data\":{text}")),
        Data::Text(text) => out.push_str(&format!(",\"data\":{}", string(text))),
        Data::Bytes(bytes) => out.push_str(&format!(",\"data_base64\":\"{}\"", in_base64(bytes))),
    }
    out.push('}');
    out
}

/// As the protobuf format has it.
fn message(event: &Event) -> CloudEvent {
    let data = match &event.data {
        Data::None => None,
        Data::Json(text) | Data::Text(text) => Some(cloud_event::Data::TextData(text.clone())),
        Data::Bytes(bytes) => Some(cloud_event::Data::BinaryData(bytes.clone().into())),
    };
    let required = ["id", "source", "type"];
    let others = event.attributes.iter().filter(|(name, _)| !required.contains(&name.as_str()));
    CloudEvent {
        id: event.text("id"),
        source: event.text("source"),
        spec_version: "1.0".to_owned(),
        r#type: event.text("type"),
        attributes: others.map(|(name, value)| (name.clone(), typed(name, value))).collect(),
        data,
    }
}

fn typed(name: &str, value: &Attribute) -> CloudEventAttributeValue {
    let attr = match value {
        Attribute::Time(text) => instant(text),
        Attribute::Text(text) if name == "time" => instant(text),
        Attribute::Text(text) if name == "dataschema" => Attr::CeUri(text.clone()),
        Attribute::Text(text) => Attr::CeString(text.clone()),
        Attribute::Integer(number) => Attr::CeInteger(*number),
        Attribute::Boolean(value) => Attr::CeBoolean(*value),
        Attribute::Bytes(bytes) => Attr::CeBytes(bytes.clone().into()),
        Attribute::Uri(text) => Attr::CeUri(text.clone()),
        Attribute::Reference(text) => Attr::CeUriRef(text.clone()),
        Attribute::Made => panic!("{name} is not published"),
    };
    CloudEventAttributeValue { attr: Some(attr) }
}

fn instant(text: &str) -> Attr {
    let time = TIMES.into_iter().find(|time| time.0 == text);
    let (.., seconds, nanos) = time.expect("a time of the table");
    Attr::CeTimestamp(prost_types::Timestamp { seconds, nanos })
}
