//! `Append` and `AppendStream`.

use std::convert::Infallible;

use bytes::{Buf, Bytes};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tonic::{Code, body::Body};

use super::{World, code, event, events};
use crate::generated::{
    annal_v1::{
        Absent, AppendRequest, AppendResponse, Comparison, Count, LastEvent, Precondition, Query,
        ResourceAt, Selector, SubjectIs, precondition::Condition, subject_is::Is,
    },
    cloudevents::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
};

fn on(condition: Condition) -> Vec<Precondition> {
    vec![Precondition { condition: Some(condition) }]
}

fn subject(is: Is) -> Condition {
    Condition::Subject(SubjectIs { subject: "s/1".to_owned(), recursive: false, is: Some(is) })
}

fn query(subject: &str) -> Query {
    let subjects = vec![subject.to_owned()];
    Query { any: vec![Selector { subjects, ..Selector::default() }] }
}

#[test]
fn once_however_often() {
    let world = World::new();
    let first = world.append(events(1..=3));
    assert_eq!(
        (&first.positions[..], &first.duplicates[..], first.head),
        (&[1, 2, 3][..], &[][..], 3)
    );
    assert!(first.recorded_time.is_some());
    let again = world.append(events(2..=4));
    assert_eq!((&again.positions[..], &again.duplicates[..]), (&[2, 3, 4][..], &[0, 1][..]));
    assert_eq!(world.append(Vec::new()).head, 4);
}

#[test]
fn every_precondition_holds_and_fails() {
    let world = World::new();
    world.append(events(1..=4));
    let last = |id: &str| {
        subject(Is::LastEvent(LastEvent { id: id.to_owned(), source: Some("/test".to_owned()) }))
    };
    let count =
        |op: Comparison, n| Condition::Count(Count { query: Some(query("s/*")), op: op.into(), n });
    let absent = |after| Condition::Absent(Absent { query: Some(query("s/1")), after });
    // s/1 has e1 and e4.
    for (holds, fails) in [
        (subject(Is::Exists(())), subject(Is::None(()))),
        (subject(Is::Version(2)), subject(Is::Version(1))),
        (subject(Is::LastPosition(4)), subject(Is::LastPosition(1))),
        (last("e4"), last("e1")),
        (absent(4), absent(3)),
        (Condition::Present(query("s/2")), Condition::Present(query("x"))),
        (count(Comparison::Equal, 4), count(Comparison::Less, 4)),
        (Condition::Head(4), Condition::Head(5)),
    ] {
        let ask = |events, condition| AppendRequest { events, preconditions: on(condition) };
        let held = world.run(world.store().append(ask(Vec::new(), holds.clone())));
        assert!(held.is_ok(), "{holds:?}: {held:?}");
        let refused =
            world.run(world.store().append(ask(vec![event("new", "s/1")], fails.clone())));
        let status = refused.expect_err("refused");
        let expected = (Code::FailedPrecondition, "precondition-failed".to_owned());
        assert_eq!(code(&status), expected, "{fails:?}");
        assert!(!status.details().is_empty());
    }
    assert_eq!(world.served.engine().head().0, 4, "nothing was stored");
}

#[test]
fn what_is_no_condition_is_refused() {
    let world = World::new();
    let refused = |condition: Option<Condition>| {
        let preconditions = vec![Precondition { condition }];
        let request = AppendRequest { events: events(1..=1), preconditions };
        code(&world.run(world.store().append(request)).expect_err("refused"))
    };
    let invalid = |code: &str| (Code::InvalidArgument, code.to_owned());
    assert_eq!(refused(None), invalid("invalid-precondition"));
    let without = SubjectIs { subject: "s".to_owned(), recursive: false, is: None };
    assert_eq!(refused(Some(Condition::Subject(without))), invalid("invalid-precondition"));
    assert_eq!(refused(Some(Condition::Present(Query::default()))), invalid("invalid-query"));
    let unsaid = Count { query: Some(query("s")), op: 0, n: 1 };
    assert_eq!(refused(Some(Condition::Count(unsaid))), invalid("invalid-precondition"));
    let resource = ResourceAt { resource: "a/1".to_owned(), revision: Some(1) };
    let (_, code) = refused(Some(Condition::Resource(resource)));
    assert!(["unsupported-precondition", "precondition-failed"].contains(&code.as_str()), "{code}");
}

#[test]
fn refusals_name_the_event() {
    let world = World::new();
    world.append(events(1..=1));
    let refused = |events| {
        let request = AppendRequest { events, ..AppendRequest::default() };
        code(&world.run(world.store().append(request)).expect_err("refused"))
    };
    let mut other = event("e1", "s/1");
    other.r#type = "u".to_owned();
    assert_eq!(refused(vec![other]), (Code::AlreadyExists, "identity-conflict".to_owned()));
    let mut reserved = event("x", "s");
    reserved.source = "/annal".to_owned();
    assert_eq!(refused(vec![reserved]), (Code::InvalidArgument, "reserved".to_owned()));
    let mut without = event("x", "s");
    without.r#type.clear();
    assert_eq!(refused(vec![without]), (Code::InvalidArgument, "invalid-event".to_owned()));
    let mut unset = event("x", "s");
    unset.attributes.insert("tags".to_owned(), CloudEventAttributeValue { attr: None });
    assert_eq!(refused(vec![unset]), (Code::InvalidArgument, "invalid-event".to_owned()));
    assert_eq!(world.served.engine().head().0, 1);
}

fn batch(range: std::ops::RangeInclusive<u64>) -> AppendRequest {
    AppendRequest { events: events(range), ..AppendRequest::default() }
}

#[test]
fn a_stream_is_acknowledged_in_order() {
    let world = World::new();
    let batches: Vec<_> = (0..200).map(|n| batch(n * 10 + 1..=n * 10 + 10)).collect();
    for duplicates in [0, 10] {
        let sent = tokio_stream::iter(batches.clone());
        let acknowledged = world.run(async {
            let mut answers = world.store().append_stream(sent).await.expect("begun").into_inner();
            let mut acknowledged = Vec::new();
            while let Some(answer) = answers.message().await.expect("an answer") {
                assert_eq!(answer.duplicates.len(), duplicates);
                acknowledged.extend(answer.positions);
            }
            acknowledged
        });
        assert_eq!(acknowledged, (1..=2_000).collect::<Vec<_>>());
    }
    assert_eq!(world.served.engine().head().0, 2_000);
}

/// A batch of one event without anything but what it must have, as a message on the wire.
fn tiny(stream: u64, n: u64) -> Bytes {
    let event = CloudEvent {
        id: format!("{stream}-{n:06}"),
        source: "/t".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "t".to_owned(),
        ..CloudEvent::default()
    };
    let batch = AppendRequest { events: vec![event], ..AppendRequest::default() };
    let mut message = vec![0];
    message.extend((batch.encoded_len() as u32).to_be_bytes());
    batch.encode(&mut message).expect("room");
    message.into()
}

#[test]
fn small_batches_may_come_faster_than_they_are_stored() {
    const STREAMS: u64 = 2;
    const BATCHES: u64 = 20_000;
    let world = World::new();
    // Each in a DATA frame of its own, of which HTTP/2 bounds how many lie unread.
    let frames =
        |stream| (0..BATCHES).map(move |n| Ok::<_, Infallible>(Frame::data(tiny(stream, n))));
    let append = async |stream| {
        let address = world.served.grpc;
        let uri = format!("http://{address}/annal.v1.EventStore/AppendStream");
        let request = http::Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(StreamBody::new(tokio_stream::iter(frames(stream)))))
            .expect("a request");
        let response = world.raw(request).await;
        response.into_body().collect().await.expect("the connection stays")
    };
    let (one, other) = world.run(async { tokio::join!(append(0), append(1)) });
    let mut all = Vec::new();
    for answers in [one, other] {
        assert_eq!(answers.trailers().expect("trailers")["grpc-status"], "0");
        let mut answers = answers.to_bytes();
        let mut positions = Vec::new();
        while !answers.is_empty() {
            let length = answers.split_to(5).slice(1..).get_u32() as usize;
            let answer = AppendResponse::decode(answers.split_to(length)).expect("an answer");
            positions.extend(answer.positions);
        }
        assert!(positions.is_sorted(), "acknowledged in order");
        all.extend(positions);
    }
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(1..=STREAMS * BATCHES));
}

#[test]
fn a_stream_ends_with_the_first_refusal() {
    let world = World::new();
    let mut bad = batch(11..=12);
    bad.events[1].source.clear();
    let sent = tokio_stream::iter(vec![batch(1..=10), bad, batch(21..=30)]);
    world.run(async {
        let mut answers = world.store().append_stream(sent).await.expect("begun").into_inner();
        let first = answers.message().await.expect("an answer").expect("an answer");
        assert_eq!(first.positions.len(), 10);
        let status = answers.message().await.expect_err("refused");
        assert_eq!(code(&status), (Code::InvalidArgument, "invalid-event".to_owned()));
    });
    assert_eq!(world.served.engine().head().0, 10);
}

#[test]
fn events_are_held_to_their_topic() {
    let world = World::new();
    let made = world.served.send(
        "POST /topics\ncontent-type: application/json\n\n\
         {\"name\":\"orders\",\"schemas\":[{\"type\":\"t\",\"required\":[\"id\"]}]}",
    );
    assert_eq!(made.status, 201);
    let of = |topic: &str, data: &str| {
        let mut event = event("o1", "s/1");
        let mut named = event.attributes["subject"].clone();
        named.attr = Some(Attr::CeString(topic.to_owned()));
        event.attributes.insert("topic".to_owned(), named);
        event.data = Some(Data::TextData(data.to_owned()));
        AppendRequest { events: vec![event], ..AppendRequest::default() }
    };
    for (request, refusal) in [
        (of("nothing", "{\"id\":1}"), (Code::NotFound, "topic-not-found")),
        (of("orders", "{}"), (Code::InvalidArgument, "schema-violation")),
    ] {
        let status = world.run(world.store().append(request)).expect_err("refused");
        assert_eq!(code(&status), (refusal.0, refusal.1.to_owned()));
    }
    let stored = world.run(world.store().append(of("orders", "{\"id\":1}"))).expect("appended");
    assert_eq!(stored.into_inner().positions, [2]);
    assert_eq!(world.served.send("GET /topics/orders").json()["sequence"], 1);
}
