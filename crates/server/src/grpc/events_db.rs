//! `grpc.EventsDB`: what `eventsdb.rs` means, in its messages.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use annal_engine::{Engine, ReadError};
use annal_event::StoredEvent;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{
    append::stopping,
    generated::eventsdb::{
        CreateEventRequest, CreateEventResponse, DeleteFromSubjectResponse, Event,
        EventsFromSubjectRequest, EventsResponse, GetEventByIdRequest,
        events_db_server::EventsDb as Service,
    },
    status::refuse,
    subscribe::broken,
};
use crate::{
    eventsdb::{self, ClientPlace, Wanted},
    health::starting,
    problem::Problem,
    read::failed,
    shared::Shared,
    stream::follow::{Follow, Found},
};

#[derive(Clone, Debug)]
pub(super) struct EventsDb {
    shared: Arc<Shared>,
}

impl EventsDb {
    pub(super) fn new(shared: &Arc<Shared>) -> EventsDb {
        EventsDb { shared: Arc::clone(shared) }
    }

    fn engine(&self) -> Result<&Engine, Status> {
        self.shared.slot.get().ok_or_else(|| refuse(&self.shared, starting()))
    }

    fn answer<T>(&self, outcome: Result<T, Problem>) -> Result<Response<T>, Status> {
        outcome.map(Response::new).map_err(|problem| refuse(&self.shared, problem))
    }

    fn follow(&self, engine: &Engine, wanted: &Wanted) -> Result<Followed, Problem> {
        let (interest, from) = (wanted.interest()?, wanted.begin(engine)?);
        let place = eventsdb::client_place(&self.shared)?;
        let options = &self.shared.options;
        let most = options.client_buffer_events;
        Ok(Followed {
            follow: Follow::new(engine, &self.shared.readers, interest, from, most),
            ready: Vec::new(),
            batch_events: options.stream_batch_events.max(1),
            ended: false,
            place,
        })
    }
}

fn wanted(asked: EventsFromSubjectRequest) -> Wanted {
    let EventsFromSubjectRequest { subject, from_id, r#type, recursive } = asked;
    Wanted { subject, from_id, ty: r#type, recursive: recursive.unwrap_or_default() }
}

fn event(stored: &StoredEvent) -> Result<Event, ReadError> {
    let told = eventsdb::told(stored)?;
    Ok(Event {
        id: told.id,
        source: told.event.source.clone().into_owned(),
        r#type: told.event.ty.clone().into_owned(),
        subject: told.subject().to_owned(),
        data: told.data().to_vec().into(),
        time: told.time,
    })
}

#[tonic::async_trait]
impl Service for EventsDb {
    async fn create_event(
        &self,
        request: Request<CreateEventRequest>,
    ) -> Result<Response<CreateEventResponse>, Status> {
        let engine = self.engine()?;
        let CreateEventRequest { source, r#type, subject, data } = request.into_inner();
        let created = eventsdb::create(engine, &source, &r#type, &subject, &data).await;
        self.answer(created.map(|position| CreateEventResponse { id: position.0 as i64 }))
    }

    async fn get_event_by_id(
        &self,
        request: Request<GetEventByIdRequest>,
    ) -> Result<Response<Event>, Status> {
        let found = eventsdb::get(self.engine()?, request.into_inner().id).await;
        self.answer(found.and_then(|stored| event(&stored).map_err(|error| failed(&error))))
    }

    type StreamEventsFromSubjectStream = Followed;

    async fn stream_events_from_subject(
        &self,
        request: Request<EventsFromSubjectRequest>,
    ) -> Result<Response<Followed>, Status> {
        let engine = self.engine()?;
        self.answer(self.follow(engine, &wanted(request.into_inner())))
    }

    async fn get_historic_events_from_subject(
        &self,
        request: Request<EventsFromSubjectRequest>,
    ) -> Result<Response<EventsResponse>, Status> {
        let engine = self.engine()?;
        let page = eventsdb::historic(&self.shared, engine, &wanted(request.into_inner())).await;
        self.answer(page.and_then(|page| {
            let events = page.events.iter().map(event).collect::<Result<_, _>>();
            let has_more = page.next.is_some();
            Ok(EventsResponse { events: events.map_err(|error| failed(&error))?, has_more })
        }))
    }

    async fn delete_from_subject(
        &self,
        request: Request<EventsFromSubjectRequest>,
    ) -> Result<Response<DeleteFromSubjectResponse>, Status> {
        let deleted = eventsdb::delete(self.engine()?, &wanted(request.into_inner())).await;
        self.answer(deleted.map(|_| DeleteFromSubjectResponse { ok: true }))
    }
}

/// A subject, followed.
///
/// INV-5: every message comes from one cursor, in order.
pub(super) struct Followed {
    place: ClientPlace,
    follow: Follow,
    /// Messages on their way to the client, the next one last.
    ready: Vec<EventsResponse>,
    batch_events: usize,
    ended: bool,
}

impl Followed {
    fn found(&mut self, events: &[StoredEvent]) -> Result<(), ReadError> {
        for events in events.chunks(self.batch_events) {
            let events = events.iter().map(event).collect::<Result<_, _>>()?;
            self.ready.push(EventsResponse { events, has_more: true });
        }
        let has_more = self.follow.lag() > 0;
        if let Some(last) = self.ready.last_mut() {
            last.has_more = has_more;
        }
        self.ready.reverse();
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<EventsResponse, Problem>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(message) = self.ready.pop() {
                return Poll::Ready(Some(Ok(message)));
            }
            if self.place.shared().is_stopping() {
                return Poll::Ready(Some(Err(stopping())));
            }
            match ready!(self.follow.poll(context)) {
                Ok(Found::Events(events)) => {
                    if let Err(error) = self.found(&events) {
                        return Poll::Ready(Some(Err(failed(&error))));
                    }
                }
                Ok(Found::Nothing) => {}
                Ok(Found::CaughtUp) => return Poll::Pending,
                Err(error) => return Poll::Ready(Some(Err(broken(error)))),
            }
        }
    }
}

impl Stream for Followed {
    type Item = Result<EventsResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(this.poll(context));
        Poll::Ready(next.map(|next| {
            next.map_err(|problem| {
                this.ended = true;
                refuse(this.place.shared(), problem)
            })
        }))
    }
}
