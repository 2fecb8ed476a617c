//! `grpc.health.v1.Health`: serving while the engine is there, works, and nobody has told it to stop.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health as Service,
};

use crate::shared::Shared;

/// How soon one who watches is told of a change.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Services that can be asked about; `""` is the server.
const KNOWN: [&str; 3] = ["", "annal.v1.EventStore", "grpc.EventsDB"];

#[derive(Debug)]
pub(super) struct Health {
    shared: Arc<Shared>,
}

impl Health {
    pub(super) fn new(shared: &Arc<Shared>) -> Health {
        Health { shared: Arc::clone(shared) }
    }
}

fn now(shared: &Shared) -> ServingStatus {
    let works = shared.slot.get().is_some_and(|engine| engine.health().is_ok());
    match works && !shared.is_stopping() {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !KNOWN.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(response(now(&self.shared))))
    }

    type WatchStream = Watch;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let known = KNOWN.contains(&request.get_ref().service.as_str());
        let shared = Arc::clone(&self.shared);
        Ok(Response::new(Watch { shared, known, told: None, pause: Box::pin(sleep(LOOK_EVERY)) }))
    }
}

/// Says the status, and says it again when it has changed.
pub(super) struct Watch {
    shared: Arc<Shared>,
    known: bool,
    told: Option<ServingStatus>,
    pause: Pin<Box<Sleep>>,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // The last word has been said; a connection that ends needs no stream.
            if self.told.is_some() && self.shared.is_stopping() {
                return Poll::Ready(None);
            }
            let status = if self.known { now(&self.shared) } else { ServingStatus::ServiceUnknown };
            if self.told != Some(status) {
                self.told = Some(status);
                return Poll::Ready(Some(Ok(response(status))));
            }
            ready!(self.pause.as_mut().poll(context));
            self.pause = Box::pin(sleep(LOOK_EVERY));
        }
    }
}
