//! The task of one consumer: reads the log, sends what its courier says, records how that went.
//!
//! One outcome is recorded before anything more is sent, so that after a crash only what was on its
//! way is sent again. Where that cannot be written down, nothing more is sent.

use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use annal_engine::{
    Again, Consumer, ConsumerState, Courier, CourierProgress, Engine, Found as Stored, Item,
    Parcel, Policy, Verdict, progress_register,
};
use annal_event::{
    ConsumerEvent, ConsumerSpec, DeadLetters, Format, Interest, Ordering, Position, StoredEvent,
    proto,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{
    Status, USER_AGENT, again, body, callback::Callback, dispatch::Rung, interest, keys::Keys,
    note, outcome::Outcome, sender::Outgoing, sign,
};
use crate::{
    read::off_the_reactor,
    shared::Shared,
    stream::follow::{Follow, Found},
};

/// Requests on their way to one endpoint at a time.
const IN_FLIGHT_MAX: usize = 8;

/// About so many bytes of events in one request.
const BATCH_BYTES: usize = 1024 * 1024;

/// So many events may wait at least, whatever the size of batches.
const PENDING_LEAST: usize = 4_096;

/// Events read at a time.
const READ_EVENTS: usize = 256;

/// How long to wait before something that should work is tried again.
const SORE_WAIT: Duration = Duration::from_secs(2);

/// Why carrying came to an end.
enum End {
    /// The consumer has changed; look again.
    Changed,
    /// The server stops.
    Stopping,
    /// Something that should work did not; try again in a while.
    Sore,
}

/// Carries until the consumer is removed or the server stops. `changed` rings when there is an event
/// about it.
pub(super) async fn carry(shared: Arc<Shared>, id: String, mut changed: watch::Receiver<Rung>) {
    let Some(engine) = shared.slot.get().cloned() else { return };
    let mut resumed = changed.borrow().resumed;
    let status = shared.webhooks.begin(&id);
    while !shared.is_stopping() {
        changed.mark_unchanged();
        let consumer = match engine.view().consumers().get(&id, engine.head()) {
            Ok(Some(consumer)) => consumer,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, consumer = id, "a consumer could not be read");
                sleep(SORE_WAIT).await;
                continue;
            }
        };
        if consumer.state != ConsumerState::Active {
            rest(&engine, &consumer, &status);
            wait(&shared, &mut changed).await;
            continue;
        }
        let carrier = Carrier::new(&shared, &engine, &consumer, &status);
        let end = match carrier {
            Ok(carrier) => Box::pin(carrier.run(&mut changed, &mut resumed)).await,
            Err(reason) => {
                tracing::warn!(consumer = id, reason, "a consumer is disabled");
                let disabled = ConsumerEvent::Disabled { id: id.clone(), reason };
                match note(&engine, &[disabled]).await {
                    Ok(()) => End::Changed,
                    Err(_) => End::Sore,
                }
            }
        };
        match end {
            End::Changed => {}
            End::Stopping => break,
            End::Sore => sleep(SORE_WAIT).await,
        }
    }
    shared.webhooks.end(&id);
}

/// Says where a consumer stands that is sent nothing.
fn rest(engine: &Engine, consumer: &Consumer, status: &Mutex<Status>) {
    let progress = load(engine, consumer);
    let first = progress.waiting.iter().flat_map(|waiting| &waiting.positions);
    let first = first.chain(progress.loose.iter().map(|(position, _)| position)).min();
    let mut status = status.lock();
    status.epoch = consumer.epoch;
    status.position = first.map_or(progress.cursor, |first| first.prev().min(progress.cursor));
    status.next_attempt = None;
}

async fn wait(shared: &Shared, changed: &mut watch::Receiver<Rung>) {
    let stopped = shared.stopped.notified();
    if shared.is_stopping() {
        return;
    }
    tokio::select! {
        // An error: nobody will ring any more.
        _ = changed.changed() => {}
        () = stopped => {}
    }
}

/// How far a consumer has come: by its register. If that is about another beginning, what was
/// redriven is still to be delivered: it is among the dead letters no more.
fn load(engine: &Engine, consumer: &Consumer) -> CourierProgress {
    let stored = engine.registers().get(&progress_register(&consumer.spec.id));
    let known = stored.and_then(|bytes| {
        let (epoch, progress) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*epoch), CourierProgress::decode(progress)?))
    });
    match known {
        Some((epoch, progress)) if epoch == consumer.epoch.get() => progress,
        Some((_, progress)) => progress.moved_to(consumer.after),
        None => CourierProgress {
            cursor: consumer.after,
            redriven: consumer.epoch,
            ..CourierProgress::default()
        },
    }
}

fn policy(spec: &ConsumerSpec) -> Policy {
    let batch_size = if spec.format == Format::CloudEvents { 1 } else { spec.batch_size as usize };
    let in_flight_max = if spec.ordering == Ordering::Log { 1 } else { IN_FLIGHT_MAX };
    Policy {
        batch_size,
        batch_bytes: BATCH_BYTES,
        in_flight_max,
        pending_max: (8 * batch_size * in_flight_max).max(PENDING_LEAST),
        ordering: spec.ordering,
        schedule_ms: spec.retry.schedule_ms.clone(),
        max_age_ms: spec.retry.max_age_ms,
    }
}

struct Carrier<'c> {
    shared: &'c Arc<Shared>,
    engine: &'c Engine,
    consumer: &'c Consumer,
    status: &'c Mutex<Status>,
    callback: Arc<Callback>,
    keys: Keys,
    headers: HeaderMap,
    policy: Policy,
    interest: Interest,
    courier: Courier,
    /// Events that were read and not sent yet.
    read: BTreeMap<Position, StoredEvent>,
    flights: JoinSet<(u64, Outcome)>,
}

impl<'c> Carrier<'c> {
    fn new(
        shared: &'c Arc<Shared>,
        engine: &'c Engine,
        consumer: &'c Consumer,
        status: &'c Mutex<Status>,
    ) -> Result<Carrier<'c>, String> {
        let spec = &consumer.spec;
        let keys = Keys::load(engine.registers(), &spec.id)
            .ok_or("its secret is lost; rotate it and resume")?;
        let callback = Callback::parse(&spec.callback)?;
        let interest = interest(spec).map_err(|error| error.to_string())?;
        let policy = policy(spec);
        let find = |position| match engine.view().get(position) {
            Ok(Stored::Event(stored)) => Some(lane(&policy, &stored)),
            _ => None,
        };
        let courier = Courier::restore(policy.clone(), &load(engine, consumer), find);
        Ok(Carrier {
            headers: own_headers(&keys),
            callback: Arc::new(callback),
            read: BTreeMap::new(),
            flights: JoinSet::new(),
            shared,
            engine,
            consumer,
            status,
            keys,
            policy,
            interest,
            courier,
        })
    }

    fn now_ms(&self) -> i64 {
        self.engine.now().micros() / 1_000
    }

    /// `resumed`: how often the consumer was told to go on, as far as that has been obeyed.
    async fn run(mut self, changed: &mut watch::Receiver<Rung>, resumed: &mut u64) -> End {
        let (engine, shared) = (self.engine, Arc::clone(self.shared));
        let begin = self.courier.looked();
        let interest = self.interest.clone();
        let mut follow = Follow::new(engine, &shared.readers, interest, begin, READ_EVENTS);
        if let Err(end) = self.take_redrives() {
            return end;
        }
        let mut closing = None;
        loop {
            let told = changed.borrow().resumed;
            if std::mem::replace(resumed, told) != told {
                self.courier.go_on(self.now_ms());
            }
            if closing.is_none()
                && let Err(end) = self.send_what_may_go()
            {
                return end;
            }
            if closing.is_none()
                && !shared.is_stopping()
                && let Some(again) = self.courier.again()
            {
                match self.read_again(again).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                }
            }
            self.tell();
            if closing.is_some() && self.flights.is_empty() {
                return closing.unwrap_or(End::Changed);
            }
            let wake = self.courier.wake_at().filter(|_| closing.is_none());
            let nap = wake.map(|at| Duration::from_millis((at - self.now_ms()).max(1) as u64));
            let reads = closing.is_none() && self.courier.wants();
            let stopped = shared.stopped.notified();
            if shared.is_stopping() {
                closing.get_or_insert(End::Stopping);
                if self.flights.is_empty() {
                    return End::Stopping;
                }
            }
            tokio::select! {
                biased;
                landed = self.flights.join_next(), if !self.flights.is_empty() => {
                    match landed {
                        Some(Ok((key, outcome))) => {
                            if let Err(end) = self.landed(key, outcome).await {
                                return end;
                            }
                        }
                        // An attempt that ended by a bug: what it carried is read again.
                        Some(Err(_)) => return End::Sore,
                        None => {}
                    }
                }
                rung = changed.changed(), if closing.is_none() => {
                    if rung.is_err() {
                        closing = Some(End::Stopping);
                        continue;
                    }
                    match self.look_again() {
                        Ok(true) => {}
                        Ok(false) => closing = Some(End::Changed),
                        Err(end) => return end,
                    }
                }
                found = poll_fn(|context| match follow.poll(context) {
                    Poll::Ready(Ok(Found::CaughtUp)) => {
                        // Told at once, so that an idle consumer does not look behind.
                        self.courier.passed(follow.cursor());
                        Poll::Pending
                    }
                    other => other,
                }), if reads => match found {
                    Ok(Found::Events(events)) => self.offer(events, follow.cursor()),
                    Ok(_) => self.courier.passed(follow.cursor()),
                    Err(error) => {
                        tracing::error!(%error, consumer = self.id(), "the log could not be read");
                        return End::Sore;
                    }
                },
                () = sleep(nap.unwrap_or_default()), if nap.is_some() => {}
                () = stopped, if closing.is_none() => closing = Some(End::Stopping),
            }
        }
    }

    fn id(&self) -> &str {
        &self.consumer.spec.id
    }

    /// Takes in events that were read.
    fn offer(&mut self, events: Vec<StoredEvent>, looked: Position) {
        for stored in events {
            if self.is_before_its_topic(&stored) {
                continue;
            }
            self.courier.offer(self.item(&stored));
            self.read.insert(stored.position(), stored);
        }
        self.courier.passed(looked);
    }

    /// Reads on in a lane whose events were skipped.
    async fn read_again(&mut self, again: Again) -> Result<(), End> {
        let (view, policy) = (Arc::clone(self.engine.view()), self.policy.clone());
        let interest = self.interest.clone();
        let of_lane = move |stored: &StoredEvent| lane(&policy, stored).0 == Some(again.lane);
        let read = off_the_reactor(move || again::read(&view, interest, again, of_lane)).await;
        let (events, upto) = read.map_err(|_| End::Sore)?.map_err(|error| {
            tracing::error!(%error, consumer = self.id(), "the log could not be read");
            End::Sore
        })?;
        let wanted = events.iter().filter(|stored| !self.is_before_its_topic(stored));
        let items = wanted.map(|stored| self.item(stored)).collect();
        self.courier.offer_again(again.lane, items, upto);
        Ok(())
    }

    fn item(&self, stored: &StoredEvent) -> Item {
        let (lane, bytes) = lane(&self.policy, stored);
        Item { position: stored.position(), lane, bytes, round: Position::ZERO }
    }

    /// Whether an event came before what is wanted of its topic.
    fn is_before_its_topic(&self, stored: &StoredEvent) -> bool {
        let topics = &self.consumer.spec.topics;
        if topics.iter().all(|start| start.after <= self.consumer.after) {
            return false;
        }
        let topic = proto::keys(stored.record()).ok().and_then(|keys| keys.topic);
        let start = topics.iter().find(|start| Some(start.topic.as_str()) == topic);
        start.is_some_and(|start| stored.position() <= start.after)
    }

    /// There is an event about this consumer. `false`: it is not to go on like this.
    fn look_again(&mut self) -> Result<bool, End> {
        let (id, head) = (&self.consumer.spec.id, self.engine.head());
        match self.engine.view().consumers().get(id, head) {
            Ok(Some(now)) if now == *self.consumer => {}
            // What is on its way is waited for: no lane has two requests at a time.
            Ok(Some(_)) => return Ok(false),
            // Removed: it is of no interest any more.
            Ok(None) => return Err(End::Changed),
            Err(_) => return Err(End::Sore),
        }
        if let Some(keys) = Keys::load(self.engine.registers(), id) {
            self.headers = own_headers(&keys);
            self.keys = keys;
        }
        self.take_redrives().map(|()| true)
    }

    fn take_redrives(&mut self) -> Result<(), End> {
        let (view, head) = (self.engine.view(), self.engine.head());
        loop {
            let after = self.courier.redriven();
            let redrive = view.consumers().next_redrive(self.id(), after, head);
            let Some(redrive) = redrive.map_err(|_| End::Sore)? else { break };
            let mut items = Vec::new();
            for position in redrive.positions {
                // One that a user has deleted meanwhile is not delivered.
                if let Ok(Stored::Event(stored)) = view.get(position) {
                    let (lane, bytes) = lane(&self.policy, &stored);
                    items.push(Item { position, lane, bytes, round: redrive.by });
                }
            }
            self.courier.redrive(redrive.by, items);
        }
        self.record()
    }

    /// Sends every parcel that may be sent now.
    fn send_what_may_go(&mut self) -> Result<(), End> {
        loop {
            let now = self.now_ms();
            let Some(parcel) = self.courier.next(now) else { break };
            let mut events = Vec::with_capacity(parcel.positions.len());
            for position in &parcel.positions {
                match self.read.remove(position) {
                    Some(stored) => events.push(stored),
                    None => match self.engine.view().get(*position) {
                        Ok(Stored::Event(stored)) => events.push(stored),
                        // A user has deleted it meanwhile.
                        Ok(_) => {}
                        Err(_) => return Err(End::Sore),
                    },
                }
            }
            if events.is_empty() {
                self.courier.delivered(parcel.key, now);
                self.record()?;
                continue;
            }
            let outgoing = self.outgoing(&parcel, &events, now).map_err(|error| {
                tracing::error!(%error, consumer = self.id(), "an event could not be written");
                End::Sore
            })?;
            let shared = Arc::clone(self.shared);
            self.flights.spawn(async move {
                let sent = shared.webhooks.sender.send(outgoing).await;
                (parcel.key, Outcome::of(sent))
            });
        }
        // Those that wait behind others are read again when it is their turn.
        if let Some((first, _)) = self.read.first_key_value()
            && *first <= self.courier.cursor()
        {
            self.read = self.read.split_off(&self.courier.cursor().next());
        }
        Ok(())
    }

    fn outgoing(
        &self,
        parcel: &Parcel,
        events: &[StoredEvent],
        now: i64,
    ) -> Result<Outgoing, annal_engine::ReadError> {
        let spec = &self.consumer.spec;
        let (body, media_type) = body::of(spec, events)?;
        let id = sign::webhook_id(&spec.id, parcel.round, &parcel.positions);
        let headers = signed(&self.headers, &self.keys, &id, now, &body, media_type);
        Ok(Outgoing {
            callback: Arc::clone(&self.callback),
            method: Method::POST,
            headers,
            body: Bytes::from(body),
            timeout: Duration::from_millis(spec.retry.timeout_ms),
        })
    }

    /// Takes in how an attempt went.
    async fn landed(&mut self, key: u64, outcome: Outcome) -> Result<(), End> {
        let (now, webhooks) = (self.now_ms(), &self.shared.webhooks);
        let (status, error, retry_after_ms) = match outcome {
            Outcome::Delivered => {
                self.courier.delivered(key, now);
                webhooks.count(&webhooks.delivered, 1);
                self.status.lock().last_error = None;
                return self.record();
            }
            Outcome::Gone => {
                let reason = "the endpoint answered 410: it wants nothing any more".to_owned();
                webhooks.count(&webhooks.failed, 1);
                self.courier.recalled(key, now);
                self.record()?;
                return Err(self.give_up(reason).await);
            }
            Outcome::Failed { status, error, retry_after_ms } => (status, error, retry_after_ms),
        };
        webhooks.count(&webhooks.failed, 1);
        self.status.lock().last_error = Some(error.clone());
        if !self.consumer.spec.durable {
            self.courier.recalled(key, now);
            return Err(self.give_up(error).await);
        }
        let random = self.engine.random();
        match self.courier.failed(key, now, retry_after_ms, random) {
            Verdict::Dead(parcel) => self.bury(parcel, status, error).await,
            Verdict::Retry(_) | Verdict::Unknown => self.record(),
        }
    }

    /// An ephemeral consumer is removed, a durable one disabled.
    async fn give_up(&self, reason: String) -> End {
        let id = self.id().to_owned();
        tracing::info!(consumer = id, reason, "a consumer is given up");
        let about = match self.consumer.spec.durable {
            true => ConsumerEvent::Disabled { id, reason },
            false => ConsumerEvent::Removed { id, reason },
        };
        match note(self.engine, &[about]).await {
            Ok(()) => End::Changed,
            Err(error) => {
                tracing::error!(%error, "an event about a consumer was not stored");
                End::Sore
            }
        }
    }

    async fn bury(
        &mut self,
        parcel: Parcel,
        status: Option<u16>,
        error: String,
    ) -> Result<(), End> {
        let events = parcel.positions.len();
        let letters = DeadLetters {
            id: self.id().to_owned(),
            positions: parcel.positions,
            attempts: parcel.attempts,
            status,
            error,
        };
        if let Err(error) = note(self.engine, &[ConsumerEvent::Dead(letters)]).await {
            // It is tried once more after that, which harms nobody.
            tracing::error!(%error, consumer = self.id(), "a dead letter was not stored");
            return Err(End::Sore);
        }
        self.shared.webhooks.count(&self.shared.webhooks.dead, events);
        self.courier.buried(parcel.key);
        self.record()
    }

    /// Writes down how far it has come.
    fn record(&self) -> Result<(), End> {
        let mut bytes = self.consumer.epoch.get().to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.courier.progress().encode());
        let written = self.engine.registers().put(&progress_register(self.id()), &bytes);
        written.map_err(|error| {
            tracing::error!(%error, consumer = self.id(), "progress could not be written");
            End::Sore
        })
    }

    fn tell(&self) {
        let mut status = self.status.lock();
        status.epoch = self.consumer.epoch;
        status.position = self.courier.done();
        status.pending = self.courier.pending();
        status.next_attempt = self.courier.next_attempt();
    }
}

fn lane(policy: &Policy, stored: &StoredEvent) -> (Option<u64>, usize) {
    let keys = proto::keys(stored.record());
    (policy.lane(keys.ok().and_then(|keys| keys.subject)), stored.record().len())
}

fn own_headers(keys: &Keys) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &keys.headers {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers
}

/// The headers of a request, with its signature.
pub(crate) fn signed(
    own: &HeaderMap,
    keys: &Keys,
    id: &str,
    now_ms: i64,
    body: &[u8],
    media_type: HeaderValue,
) -> HeaderMap {
    let mut headers = own.clone();
    headers.insert(header::CONTENT_TYPE, media_type);
    let timestamp = now_ms.div_euclid(1_000);
    let signature = sign::signature(keys.signing(now_ms), id, timestamp, body);
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("webhook-id", id);
    set("webhook-timestamp", &timestamp.to_string());
    set("webhook-signature", &signature);
    headers
}

/// As [`signed`], with the headers that a consumer has set.
pub(crate) fn signed_for(
    keys: &Keys,
    id: &str,
    now_ms: i64,
    body: &[u8],
    media_type: HeaderValue,
) -> HeaderMap {
    signed(&own_headers(keys), keys, id, now_ms, body, media_type)
}
