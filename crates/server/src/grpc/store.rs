//! `annal.v1.EventStore`: each method, from request to answer. The streams stand in files of their
//! own.

use std::{sync::Arc, time::Duration};

use annal_engine::Engine;
use annal_event::{Position, StoredEvent};
use tonic::{Request, Response, Status, Streaming};

use super::{
    append::{self, Acknowledgements},
    encode,
    generated::annal_v1::{
        AppendRequest, AppendResponse, GetRequest, GetResponse, ReadRequest, SubscribeRequest,
        event_store_server::EventStore, get_request::Which,
    },
    read::{self, Pages},
    status::refuse,
    subscribe::{self, Subscribed},
};
use crate::{
    health::starting,
    params::invalid,
    problem::Problem,
    read::{failed, one, until_position},
    shared::Shared,
};

#[derive(Clone, Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
}

impl Store {
    pub(super) fn new(shared: &Arc<Shared>) -> Store {
        Store { shared: Arc::clone(shared) }
    }

    fn engine(&self) -> Result<&Engine, Status> {
        self.shared.slot.get().ok_or_else(|| refuse(&self.shared, starting()))
    }

    fn answer<T>(&self, outcome: Result<T, Problem>) -> Result<Response<T>, Status> {
        outcome.map(Response::new).map_err(|problem| refuse(&self.shared, problem))
    }

    fn patience(&self) -> Duration {
        self.shared.options.position_wait_max
    }
}

async fn get(
    engine: &Engine,
    patience: Duration,
    asked: GetRequest,
) -> Result<GetResponse, Problem> {
    until_position(engine, Position(asked.min_position), patience).await?;
    let stored: StoredEvent = match asked.which {
        Some(Which::Position(position)) => {
            one::at_position(engine, Position(position), asked.system).await?
        }
        Some(Which::Identity(identity)) => {
            one::by_identity(engine, identity.source, identity.id, asked.system).await?
        }
        None => return Err(invalid("which", "give `position`, or `identity`")),
    };
    let event = encode::event(&stored).map_err(|error| failed(&error))?;
    Ok(GetResponse { event, position: stored.position().0 })
}

#[tonic::async_trait]
impl EventStore for Store {
    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        let engine = self.engine()?;
        let (metadata, _, request) = request.into_parts();
        self.answer(append::once(engine, metadata.as_ref(), request).await)
    }

    type AppendStreamStream = Acknowledgements;

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Acknowledgements>, Status> {
        let engine = self.engine()?;
        let (metadata, _, incoming) = request.into_parts();
        let headers = metadata.into_headers();
        Ok(Response::new(Acknowledgements::new(&self.shared, engine, headers, incoming)))
    }

    type ReadStream = Pages;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Pages>, Status> {
        let engine = self.engine()?;
        self.answer(read::begin(&self.shared, engine, request.into_inner()).await)
    }

    type SubscribeStream = Subscribed;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Subscribed>, Status> {
        let engine = self.engine()?;
        self.answer(subscribe::begin(&self.shared, engine, request.into_inner()).await)
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let engine = self.engine()?;
        self.answer(get(engine, self.patience(), request.into_inner()).await)
    }
}
