//! `grpc.EventsDB`.

use annal_engine::EngineOptions;
use annal_server::ServerOptions;
use tonic::{Code, Streaming};

use super::{World, code};
use crate::generated::eventsdb::{
    CreateEventRequest, EventsFromSubjectRequest, EventsResponse, GetEventByIdRequest,
};

fn new(subject: &str, ty: &str, data: &[u8]) -> CreateEventRequest {
    CreateEventRequest {
        source: "/test".to_owned(),
        r#type: ty.to_owned(),
        subject: subject.to_owned(),
        data: data.to_vec().into(),
    }
}

async fn create(world: &World, subject: &str, ty: &str, data: &[u8]) -> i64 {
    let created = world.events_db().create_event(new(subject, ty, data)).await;
    created.expect("created").into_inner().id
}

fn of(subject: &str) -> EventsFromSubjectRequest {
    EventsFromSubjectRequest { subject: subject.to_owned(), ..Default::default() }
}

async fn ids(stream: &mut Streaming<EventsResponse>, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let page = stream.message().await.expect("a message").expect("it goes on");
        assert!((1..=10).contains(&page.events.len()));
        ids.extend(page.events.iter().map(|event| event.id));
    }
    ids
}

#[test]
fn an_event_comes_back() {
    let world = World::new();
    world.run(async {
        assert_eq!(create(&world, "a", "t", b"\x00\xff").await, 1);
        assert_eq!(create(&world, "a", "t", b"\x00\xff").await, 2, "each call is a new event");
        let got = world.events_db().get_event_by_id(GetEventByIdRequest { id: 2 }).await;
        let event = got.expect("an event").into_inner();
        assert_eq!((event.id, &event.data[..]), (2, &b"\x00\xff"[..]));
        let texts = (&*event.source, &*event.r#type, &*event.subject);
        assert_eq!(texts, ("/test", "t", "a"));
        assert!(event.time.ends_with('Z'), "{}", event.time);
        for (id, expected) in [(3, Code::NotFound), (-1, Code::InvalidArgument)] {
            let refused = world.events_db().get_event_by_id(GetEventByIdRequest { id }).await;
            assert_eq!(refused.expect_err("refused").code(), expected);
        }
        let refused = world.events_db().create_event(new("a", "", b"")).await;
        let expected = (Code::InvalidArgument, "invalid-event".to_owned());
        assert_eq!(code(&refused.expect_err("refused")), expected);
    });
}

#[test]
fn history_has_pages() {
    let world = World::new();
    world.run(async {
        for n in 0..25 {
            create(&world, if n % 5 == 4 { "a/b" } else { "a" }, &format!("t{}", n % 2), b"x")
                .await;
        }
        let page = async |asked: EventsFromSubjectRequest| {
            let page = world.events_db().get_historic_events_from_subject(asked).await;
            let page = page.expect("a page").into_inner();
            (page.events.iter().map(|event| event.id).collect::<Vec<_>>(), page.has_more)
        };
        let (first, more) = page(of("a")).await;
        assert_eq!((first, more), (vec![1, 2, 3, 4, 6, 7, 8, 9, 11, 12], true));
        let rest = EventsFromSubjectRequest { from_id: Some(12), ..of("a") };
        assert_eq!(page(rest).await, (vec![13, 14, 16, 17, 18, 19, 21, 22, 23, 24], false));
        let all = EventsFromSubjectRequest { recursive: Some(true), from_id: Some(20), ..of("a") };
        assert_eq!(page(all).await, (vec![21, 22, 23, 24, 25], false));
        let typed = EventsFromSubjectRequest { r#type: Some("t1".to_owned()), ..of("a/b") };
        assert_eq!(page(typed).await, (vec![10, 20], false));
        let refused = world.events_db().get_historic_events_from_subject(of("")).await;
        assert_eq!(code(&refused.expect_err("refused")).1, "invalid-parameter");
    });
}

#[test]
fn a_stream_replays_and_goes_on() {
    // INV-5
    let world = World::new();
    world.run(async {
        for _ in 0..30 {
            create(&world, "a/x", "t", b"x").await;
        }
        let asked = EventsFromSubjectRequest { recursive: Some(true), from_id: Some(5), ..of("a") };
        let stream = world.events_db().stream_events_from_subject(asked).await;
        let mut stream = stream.expect("begun").into_inner();
        let writer = async {
            for _ in 0..100 {
                create(&world, "a", "t", b"x").await;
            }
        };
        let (seen, ()) = tokio::join!(ids(&mut stream, 125), writer);
        assert_eq!(seen, (6..=130).collect::<Vec<_>>());
        let ahead = EventsFromSubjectRequest { from_id: Some(131), ..of("a") };
        let refused = world.events_db().stream_events_from_subject(ahead).await;
        assert_eq!(code(&refused.expect_err("refused")).1, "invalid-parameter");
    });
}

#[test]
fn deletion_is_inclusive() {
    let world = World::new();
    world.run(async {
        for _ in 0..4 {
            create(&world, "a", "t", b"x").await;
        }
        let from = EventsFromSubjectRequest { from_id: Some(3), ..of("a") };
        let deleted = world.events_db().delete_from_subject(from).await;
        assert!(deleted.expect("deleted").into_inner().ok);
        let page = world.events_db().get_historic_events_from_subject(of("a")).await;
        assert_eq!(page.expect("a page").into_inner().events.len(), 2);
        let gone = world.events_db().get_event_by_id(GetEventByIdRequest { id: 3 }).await;
        let expected = (Code::NotFound, "event-deleted".to_owned());
        assert_eq!(code(&gone.expect_err("gone")), expected);
        let nothing = EventsFromSubjectRequest { recursive: Some(true), ..of("") };
        let refused = world.events_db().delete_from_subject(nothing).await;
        assert_eq!(code(&refused.expect_err("refused")).1, "invalid-parameter");
    });
}

#[test]
fn one_client_too_many() {
    let options = ServerOptions { clients_max: 1, ..ServerOptions::default() };
    let world = World::with(options, EngineOptions::default());
    world.run(async {
        let _first = world.events_db().stream_events_from_subject(of("a")).await.expect("begun");
        let refused = world.events_db().stream_events_from_subject(of("a")).await;
        let expected = (Code::ResourceExhausted, "too-many-clients".to_owned());
        assert_eq!(code(&refused.expect_err("refused")), expected);
    });
}
