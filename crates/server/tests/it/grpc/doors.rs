//! The same event by whichever door, and what says which doors there are.

use annal_event::{Event, json, proto};
use http_body_util::BodyExt;
use prost::Message;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::World;
use crate::{
    fixture::Served,
    generated::{
        annal_v1::{GetRequest, get_request::Which},
        cloudevents::CloudEvent,
    },
};

const JSON: &str = "{\"specversion\":\"1.0\",\"id\":\"ID\",\"source\":\"/doors\",\"type\":\"t.x\",\
    \"subject\":\"a/b\",\"time\":\"TIME\",\"datacontenttype\":\"application/json\",\"tags\":\"x y\",\
    \"data\":{\"n\":12345678901234567890,\"price\":0.10,\"text\":\"\u{e9}\"}}";

const DOORS: [&str; 6] = ["structured", "binary", "batch", "ndjson", "protobuf", "grpc"];

fn send(world: &World, door: &str, text: &str, event: &Event<'_>) {
    let mut message = Vec::new();
    proto::write_event(&mut message, event, None);
    let mut client = world.served.client();
    let answer = match door {
        "structured" => client
            .send(&format!("POST /events\ncontent-type: application/cloudevents+json\n\n{text}")),
        "batch" => client.send(&format!(
            "POST /events\ncontent-type: application/cloudevents-batch+json\n\n[{text}]"
        )),
        "ndjson" => {
            client.send(&format!("POST /events\ncontent-type: application/x-ndjson\n\n{text}\n"))
        }
        "binary" => {
            let mut head = "POST /events\ncontent-type: application/json".to_owned();
            annal_event::http::write_headers(event, None, |name, value| {
                if name != "content-type" {
                    head.push_str(&format!("\n{name}: {value}"));
                }
            });
            client.send_bytes(&head, event.data.bytes().expect("data"))
        }
        "protobuf" => client
            .send_bytes("POST /events\ncontent-type: application/cloudevents+protobuf", &message),
        _ => {
            let event = CloudEvent::decode(&message[..]).expect("a CloudEvent");
            assert_eq!(world.append(vec![event]).positions.len(), 1);
            return;
        }
    };
    assert!([200, 201].contains(&answer.status), "{door}: {}", answer.text());
}

/// The event as each door gives it back, without what the store adds.
fn read(world: &World, position: u64) -> Vec<Event<'static>> {
    let mut read = Vec::new();
    let mut client = world.served.client();
    let json_of = |text: &str| {
        let mut strict = json::Strictness::Strict;
        json::parse_event(text.as_bytes(), &mut strict).expect("an event").into_owned()
    };
    read.push(json_of(&client.send(&format!("GET /events/at/{position}")).text()));
    let lines = format!("GET /events?after={}&limit=1\naccept: application/x-ndjson", position - 1);
    read.push(json_of(client.send(&lines).text().trim_end()));
    let accept = "accept: application/cloudevents+protobuf";
    let sent = client.send(&format!("GET /events/at/{position}\n{accept}"));
    read.push(proto::parse_event(&sent.body).expect("an event").into_owned());
    let data = client.send(&format!("GET /events/at/{position}/data"));
    let pairs = data.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut strict = json::Strictness::Strict;
    let binary = annal_event::http::parse_event(pairs, &data.body, &mut strict);
    read.push(binary.expect("an event").into_owned());
    let asked = GetRequest { which: Some(Which::Position(position)), ..GetRequest::default() };
    let got = world.run(world.store().get(asked)).expect("found").into_inner();
    let message = got.event.expect("an event").encode_to_vec();
    read.push(proto::parse_event(&message).expect("an event").into_owned());
    read
}

#[test]
fn the_same_event_by_every_door() {
    let world = World::new();
    let mut position = 0;
    for time in ["2026-01-15T10:30:00Z", "2026-01-15T10:30:00.5+01:00"] {
        for door in DOORS {
            let id = format!("{door}-{}", time.len());
            let text = JSON.replace("ID", &id).replace("TIME", time);
            let mut strict = json::Strictness::Strict;
            let event = json::parse_event(text.as_bytes(), &mut strict).expect("an event");
            send(&world, door, &text, &event);
            position += 1;
            for (place, back) in read(&world, position).into_iter().enumerate() {
                assert!(event.content_eq(&back), "{door}, read {place}: {event:?} {back:?}");
                let data = |event: &Event<'_>| event.data.json().map(str::to_owned);
                assert_eq!(data(&event), data(&back), "{door}, read {place}");
            }
            for other in DOORS {
                send(&world, other, &text, &event);
            }
            assert_eq!(
                world.served.engine().head().0,
                position,
                "{door}: sent again by the others"
            );
        }
    }
}

#[test]
fn health_follows_the_engine() {
    let world = World::around(Served::starting(Default::default()));
    let mut health = HealthClient::new(world.channel.clone());
    world.run(async {
        let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
        let mut watch = health.watch(of("")).await.expect("begun").into_inner();
        assert_eq!(watch.message().await.expect("a message").map(|now| now.status), Some(2));
        world.served.open(Default::default());
        assert_eq!(watch.message().await.expect("a message").map(|now| now.status), Some(1));
        let checked = health.check(of("annal.v1.EventStore")).await.expect("known");
        assert_eq!(checked.into_inner().status, 1);
        assert!(health.check(of("nobody")).await.is_err());
    });
}

#[test]
fn reflection_lists_the_services() {
    let world = World::new();
    for (version, name) in [("v1", "grpc.EventsDB"), ("v1alpha", "annal.v1.EventStore")] {
        // list_services = 7, an empty text.
        let asked = [0, 0, 0, 0, 2, 7 << 3 | 2, 0];
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let request = http::Request::post(format!("http://{}{path}", world.served.grpc))
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(http_body_util::Full::from(asked.to_vec())))
            .expect("a request");
        let body = world.run(async {
            let response = world.raw(request).await;
            response.into_body().collect().await.expect("a body").to_bytes()
        });
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(name) && text.contains("grpc.health.v1.Health"), "{text}");
    }
}

#[test]
fn calls_are_counted() {
    let world = World::new();
    world.append(super::events(1..=1));
    let metrics = world.served.send("GET /metrics").text();
    let line = "annal_grpc_calls_total{method=\"/annal.v1.EventStore/Append\",status=\"ok\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
