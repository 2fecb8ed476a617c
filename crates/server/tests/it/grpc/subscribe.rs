//! `Subscribe`.

use std::time::Duration;

use annal_engine::EngineOptions;
use annal_server::ServerOptions;
use tonic::{Code, Streaming};

use super::{World, code, events, position, until};
use crate::generated::annal_v1::{
    AppendRequest, Cursor, Interest, ResetReason, SubscribeRequest, SubscribeResponse,
    subscribe_request::From, subscribe_response::Message,
};

async fn open(world: &World, request: SubscribeRequest) -> Streaming<SubscribeResponse> {
    world.store().subscribe(request).await.expect("begun").into_inner()
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> Message {
    let response = stream.message().await.expect("a message").expect("it goes on");
    response.message.expect("a message")
}

#[test]
fn replay_then_live() {
    // INV-5
    let world = World::new();
    world.append(events(1..=6_000));
    world.run(async {
        let request = SubscribeRequest { batch_events_max: 7, ..SubscribeRequest::default() };
        let mut stream = open(&world, request).await;
        let (mut seen, mut caught_up, mut appended) = (0, false, false);
        while seen < 6_100 || !caught_up {
            match next(&mut stream).await {
                Message::Events(batch) => {
                    assert!((1..=7).contains(&batch.events.len()));
                    for event in &batch.events {
                        seen += 1;
                        assert_eq!(position(event), seen);
                    }
                    assert_eq!(batch.position, seen);
                    if !appended {
                        appended = true;
                        let request =
                            AppendRequest { events: events(6_001..=6_100), ..Default::default() };
                        world.store().append(request).await.expect("appended");
                    }
                }
                Message::CaughtUp(at) => {
                    assert_eq!(at.position, seen);
                    caught_up = true;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn every_beginning() {
    let world = World::new();
    world.append(events(1..=5));
    world.run(async {
        let from = |from| SubscribeRequest { from: Some(from), ..SubscribeRequest::default() };
        let mut stream = open(&world, from(From::Latest(()))).await;
        assert!(matches!(next(&mut stream).await, Message::CaughtUp(at) if at.position == 5));
        let time = prost_types::Timestamp { seconds: 1, nanos: 0 };
        let after = Cursor { position: 3, epoch: String::new() };
        for (from, first) in [
            (from(From::After(after)), 4),
            (from(From::Earliest(())), 1),
            (from(From::Since(time)), 1),
        ] {
            let mut stream = open(&world, from).await;
            let Message::Events(batch) = next(&mut stream).await else { panic!("no events") };
            assert_eq!(position(&batch.events[0]), first);
        }
        let cursor =
            |position, epoch: &str| From::After(Cursor { position, epoch: epoch.to_owned() });
        for (asked, reason) in
            [(cursor(9, ""), ResetReason::Ahead), (cursor(2, "old"), ResetReason::Epoch)]
        {
            let mut stream = open(&world, from(asked)).await;
            let Message::Reset(reset) = next(&mut stream).await else { panic!("no reset") };
            assert_eq!((reset.reason(), reset.earliest, reset.head), (reason, 1, 5));
            let Message::Events(batch) = next(&mut stream).await else { panic!("no events") };
            assert_eq!(position(&batch.events[0]), 1, "as if new");
        }
    });
}

#[test]
fn an_idle_cursor_is_told() {
    let options =
        ServerOptions { heartbeat_every: Duration::from_millis(50), ..ServerOptions::default() };
    let world = World::with(options, EngineOptions::default());
    world.append(events(1..=10));
    world.run(async {
        let subjects = vec!["never".to_owned()];
        let interest = Some(Interest { subjects, ..Interest::default() });
        let mut stream = open(&world, SubscribeRequest { interest, ..Default::default() }).await;
        assert!(matches!(next(&mut stream).await, Message::CaughtUp(at) if at.position == 10));
        assert!(matches!(next(&mut stream).await, Message::Checkpoint(at) if at.position == 10));
    });
}

#[test]
fn who_takes_less_than_comes_is_told_and_loses_nothing() {
    // INV-5
    let world = World::new();
    world.run(async {
        let mut stream = open(&world, SubscribeRequest::default()).await;
        assert!(matches!(next(&mut stream).await, Message::CaughtUp(at) if at.position == 0));
        for n in 0..60 {
            let request =
                AppendRequest { events: events(n * 500 + 1..=n * 500 + 500), ..Default::default() };
            world.store().append(request).await.expect("appended");
        }
        let (mut seen, mut fell_behind) = (0, false);
        while seen < 30_000 {
            match next(&mut stream).await {
                Message::Events(batch) => {
                    for event in &batch.events {
                        seen += 1;
                        assert_eq!(position(event), seen);
                    }
                }
                Message::FellBehind(told) => {
                    assert!(told.head > told.position);
                    fell_behind = true;
                }
                Message::CaughtUp(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(fell_behind);
    });
}

#[test]
fn streams_are_counted_and_ended() {
    let options = ServerOptions { streams_max: 1, ..ServerOptions::default() };
    let mut world = World::with(options, EngineOptions::default());
    let mut stream = world.run(open(&world, SubscribeRequest::default()));
    let refused = world.run(world.store().subscribe(SubscribeRequest::default()));
    let expected = (Code::ResourceExhausted, "too-many-streams".to_owned());
    assert_eq!(code(&refused.expect_err("refused")), expected);
    world.served.begin_stop();
    world.run(async {
        assert!(matches!(next(&mut stream).await, Message::CaughtUp(_)));
        let status = stream.message().await.expect_err("the end");
        assert_eq!(code(&status), (Code::Unavailable, "stopping".to_owned()));
        until(|| world.served.has_ended()).await;
    });
}
