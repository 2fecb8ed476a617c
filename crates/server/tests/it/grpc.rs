//! gRPC as any client has it: generated code, real sockets.

mod append;
mod doors;
mod eventsdb;
mod limits;
mod read;
mod subscribe;

use std::time::Duration;

use annal_engine::EngineOptions;
use annal_server::ServerOptions;
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower_service::Service;

use crate::{
    fixture::Served,
    generated::{
        annal_v1::{AppendRequest, AppendResponse, event_store_client::EventStoreClient},
        cloudevents::{CloudEvent, cloud_event},
        eventsdb::events_db_client::EventsDbClient,
    },
};

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with its clients.
pub(crate) struct World {
    pub(crate) served: Served,
    runtime: Runtime,
    channel: Channel,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(ServerOptions::default(), EngineOptions::default())
    }

    fn with(options: ServerOptions, engine: EngineOptions) -> World {
        World::around(Served::with(options, engine))
    }

    fn around(served: Served) -> World {
        let runtime = Runtime::new().expect("a runtime");
        let address = format!("http://{}", served.grpc);
        let endpoint = Channel::from_shared(address).expect("an address");
        let channel = runtime.block_on(endpoint.connect()).expect("a connection");
        World { served, runtime, channel }
    }

    pub(crate) fn store(&self) -> EventStoreClient<Channel> {
        EventStoreClient::new(self.channel.clone())
    }

    pub(crate) fn events_db(&self) -> EventsDbClient<Channel> {
        EventsDbClient::new(self.channel.clone())
    }

    pub(crate) fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, what).await.expect("in time") })
    }

    /// Sends a request without the help of generated code.
    async fn raw(&self, request: http::Request<Body>) -> http::Response<Body> {
        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| channel.poll_ready(context)).await.expect("ready");
        channel.call(request).await.expect("answered")
    }

    pub(crate) fn append(&self, events: Vec<CloudEvent>) -> AppendResponse {
        let request = AppendRequest { events, ..AppendRequest::default() };
        self.run(self.store().append(request)).expect("appended").into_inner()
    }
}

fn event(id: &str, subject: &str) -> CloudEvent {
    let text = |text: &str| cloud_event::CloudEventAttributeValue {
        attr: Some(cloud_event::cloud_event_attribute_value::Attr::CeString(text.to_owned())),
    };
    CloudEvent {
        id: id.to_owned(),
        source: "/test".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "t".to_owned(),
        attributes: [("subject".to_owned(), text(subject))].into(),
        data: Some(cloud_event::Data::TextData(format!("{{\"id\":\"{id}\"}}"))),
    }
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<CloudEvent> {
    range.map(|n| event(&format!("e{n}"), &format!("s/{}", n % 3))).collect()
}

/// The position that an event was served with.
fn position(event: &CloudEvent) -> u64 {
    match &event.attributes["position"].attr {
        Some(cloud_event::cloud_event_attribute_value::Attr::CeString(text)) => {
            text.parse().expect("a position")
        }
        other => panic!("no position: {other:?}"),
    }
}

/// The stable code of a refusal.
fn code(status: &Status) -> (Code, String) {
    let code = status.metadata().get("annal-code").unwrap_or_else(|| panic!("{status:?}"));
    (status.code(), code.to_str().expect("text").to_owned())
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(5)).await;
    }
}
