//! Too much, too slow, not gRPC.

use std::time::Duration;

use annal_engine::EngineOptions;
use annal_event::Limits;
use annal_server::ServerOptions;
use tonic::Code;

use super::{World, code, event, events};
use crate::{
    client::Client,
    generated::{annal_v1::AppendRequest, cloudevents::cloud_event, eventsdb::CreateEventRequest},
};

fn small() -> World {
    let limits = Limits {
        event_bytes_max: 64 * 1024,
        request_bytes_max: 8 * 1024 * 1024,
        batch_events_max: 200,
    };
    let options =
        ServerOptions { body_idle_timeout: Duration::from_millis(300), ..ServerOptions::default() };
    World::with(options, EngineOptions { limits, ..EngineOptions::default() })
}

fn large(id: &str, bytes: usize) -> crate::generated::cloudevents::CloudEvent {
    let data = Some(cloud_event::Data::BinaryData(vec![7; bytes].into()));
    crate::generated::cloudevents::CloudEvent { data, ..event(id, "s") }
}

#[test]
fn what_is_too_large_is_refused() {
    let world = small();
    let refused = |events| {
        let request = AppendRequest { events, ..AppendRequest::default() };
        code(&world.run(world.store().append(request)).expect_err("refused"))
    };
    let invalid = |code: &str| (Code::InvalidArgument, code.to_owned());
    assert_eq!(refused(events(1..=201)), invalid("batch-too-large"));
    assert_eq!(refused(vec![large("a", 70_000)]), invalid("event-too-large"));
    let many = (0..150).map(|n| large(&n.to_string(), 60_000)).collect();
    assert_eq!(refused(many), (Code::ResourceExhausted, "request-too-large".to_owned()));
    let one = CreateEventRequest { data: vec![7; 200_000].into(), ..Default::default() };
    let status = world.run(world.events_db().create_event(one)).expect_err("refused");
    assert_eq!(code(&status), invalid("event-too-large"));
    assert_eq!(world.served.engine().head().0, 0);
}

#[test]
fn large_messages_take_turns() {
    let world = small();
    let store = world.store();
    world.run(async {
        let sending = (0..12).map(|batch| {
            let mut store = store.clone();
            let events = (0..60).map(|n| large(&format!("{batch}-{n}"), 60_000)).collect();
            let request = AppendRequest { events, ..AppendRequest::default() };
            tokio::spawn(async move { store.append(request).await.expect("appended") })
        });
        for sent in sending.collect::<Vec<_>>() {
            sent.await.expect("no panic");
        }
    });
    assert_eq!(world.served.engine().head().0, 12 * 60);
}

#[test]
fn a_message_that_stalls_is_given_up() {
    let world = small();
    let (sender, body) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    let body =
        tokio_stream::StreamExt::map(tokio_stream::wrappers::ReceiverStream::new(body), |bytes| {
            Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes))
        });
    let request =
        http::Request::post(format!("http://{}/annal.v1.EventStore/Append", world.served.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(http_body_util::StreamBody::new(body)))
            .expect("a request");
    world.run(async {
        sender.send(bytes::Bytes::from_static(&[0, 0, 0, 1, 0, 9])).await.expect("sent");
        let response = world.raw(request).await;
        let headers = response.headers();
        assert_eq!(headers["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
        assert_eq!(headers["annal-code"], "request-timeout");
    });
    drop(sender);
}

#[test]
fn bytes_that_are_no_message_are_the_clients() {
    let world = small();
    let call = async |method: &str| {
        let message = bytes::Bytes::from_static(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff]);
        let request = http::Request::post(format!("http://{}/{method}", world.served.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(http_body_util::Full::new(message)))
            .expect("a request");
        world.raw(request).await
    };
    world.run(async {
        for method in
            ["annal.v1.EventStore/Append", "annal.v1.EventStore/Read", "grpc.EventsDB/CreateEvent"]
        {
            let response = call(method).await;
            let headers = response.headers();
            assert_eq!(
                headers["grpc-status"],
                (Code::InvalidArgument as i32).to_string(),
                "{method}"
            );
            assert_eq!(headers["annal-code"], "malformed-body");
        }
    });
}

#[test]
fn other_protocols_are_told() {
    let world = small();
    let answer = Client::connect(world.served.grpc).send("GET /health");
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-request"));
    world.run(async {
        let call = async |path: &str, content_type: &str| {
            let request = http::Request::post(format!("http://{}{path}", world.served.grpc))
                .header("content-type", content_type)
                .body(tonic::body::Body::empty())
                .expect("a request");
            world.raw(request).await
        };
        let answer = call("/annal.v1.EventStore/Append", "application/json").await;
        assert_eq!(answer.status(), 415);
        let answer = call("/annal.v1.EventStore/Appendix", "application/grpc").await;
        assert_eq!(answer.headers()["grpc-status"], (Code::Unimplemented as i32).to_string());
    });
}

#[test]
fn compressed_messages_are_refused() {
    let world = small();
    let call = async |method: &str, encoding: &str| {
        let message = bytes::Bytes::from_static(&[0, 0, 0, 0, 0]);
        let request = http::Request::post(format!("http://{}/{method}", world.served.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", encoding)
            .body(tonic::body::Body::new(http_body_util::Full::new(message)))
            .expect("a request");
        world.raw(request).await
    };
    world.run(async {
        for method in ["annal.v1.EventStore/Append", "grpc.EventsDB/GetEventByID"] {
            let response = call(method, "gzip").await;
            let headers = response.headers();
            assert_eq!(headers["grpc-status"], (Code::Unimplemented as i32).to_string());
            assert_eq!(headers["annal-code"], "unsupported-encoding", "{method}");
            assert_eq!(headers["grpc-accept-encoding"], "identity");
        }
        let plain = call("annal.v1.EventStore/Append", "identity").await;
        assert!(!plain.headers().contains_key("grpc-status"), "{:?}", plain.headers());
    });
    let counted = "annal_rejected_requests_total{code=\"unsupported-encoding\"} 2";
    let metrics = world.served.send("GET /metrics").text();
    assert!(metrics.contains(counted), "{metrics}");
}
