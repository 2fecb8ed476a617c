//! Sees to it that every consumer has a carrier: those there are at the start, then whatever the log
//! says about them.

use std::{collections::HashMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use annal_engine::{Engine, ReadError, keys_register, progress_register};
use annal_event::{
    CONSUMER_TYPES, ConsumerEvent, Interest, Pattern, Query, SYSTEM_SOURCE, Selector,
};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{interval, sleep},
};

use super::carrier;
use crate::{
    shared::Shared,
    stream::follow::{Follow, Found},
};

/// How often connections that idle are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How often the slot is looked at until the engine is there.
const OPENING_WAIT: Duration = Duration::from_millis(10);

/// How long to wait after something failed that should not.
const SORE_WAIT: Duration = Duration::from_secs(2);

/// Events about consumers that are read at a time.
const READ_EVENTS: usize = 256;

/// Runs until the server stops, and until what was on its way then has arrived or failed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let engine = loop {
        if shared.is_stopping() {
            return;
        }
        match shared.slot.get() {
            Some(engine) => break engine.clone(),
            None => sleep(OPENING_WAIT).await,
        }
    };
    let mut dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        engine,
        carriers: HashMap::new(),
        tasks: JoinSet::new(),
        names: HashMap::new(),
    };
    while !shared.is_stopping() {
        if let Err(error) = dispatcher.follow().await {
            tracing::error!(%error, "events about consumers could not be read; trying again");
            sleep(SORE_WAIT).await;
        }
    }
    while dispatcher.tasks.join_next().await.is_some() {}
}

/// Rings when there is an event about a consumer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rung {
    /// How many said that it goes on.
    pub(super) resumed: u64,
}

struct Dispatcher {
    shared: Arc<Shared>,
    engine: Engine,
    /// By id.
    carriers: HashMap<String, watch::Sender<Rung>>,
    tasks: JoinSet<()>,
    /// The consumer of each task.
    names: HashMap<Id, String>,
}

impl Dispatcher {
    /// Returns when the server stops, or the log cannot be read.
    async fn follow(&mut self) -> Result<(), crate::reply::BodyError> {
        let about = Selector {
            sources: vec![SYSTEM_SOURCE.to_owned()],
            types: vec![Pattern::Prefix(CONSUMER_TYPES.to_owned())],
            ..Selector::default()
        };
        let interest = Interest { system: true, ..Interest::of(Query::one(about)) };
        // What happens after this is followed, what happened before is in the rows.
        let head = self.engine.head();
        let shared = Arc::clone(&self.shared);
        let mut follow = Follow::new(&self.engine, &shared.readers, interest, head, READ_EVENTS);
        self.begin_all()?;
        let mut sweep = interval(SWEEP_EVERY);
        loop {
            let stopped = shared.stopped.notified();
            if shared.is_stopping() {
                return Ok(());
            }
            tokio::select! {
                found = poll_fn(|context| match follow.poll(context) {
                    Poll::Ready(Ok(Found::CaughtUp)) => Poll::Pending,
                    other => other,
                }) => {
                    if let Found::Events(events) = found? {
                        for stored in events {
                            let event = stored.event()?;
                            if let Some(about) = ConsumerEvent::of(&event)? {
                                let resumes = matches!(about, ConsumerEvent::Resumed { .. });
                                self.ring(about.id(), resumes);
                            }
                        }
                    }
                }
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.ended(ended);
                }
                _ = sweep.tick() => shared.webhooks.sender.sweep(),
                () = stopped => return Ok(()),
            }
        }
    }

    fn begin_all(&mut self) -> Result<(), ReadError> {
        let head = self.engine.head();
        let consumers = self.engine.view().consumers().list(head, usize::MAX)?;
        for consumer in consumers {
            self.ring(&consumer.spec.id, false);
        }
        Ok(())
    }

    /// There is, or may be, something new about a consumer.
    fn ring(&mut self, id: &str, resumes: bool) {
        if let Some(carrier) = self.carriers.get(id) {
            carrier.send_modify(|rung| rung.resumed += u64::from(resumes));
            return;
        }
        let (sender, changed) = watch::channel(Rung::default());
        self.carriers.insert(id.to_owned(), sender);
        let task =
            self.tasks.spawn(carrier::carry(Arc::clone(&self.shared), id.to_owned(), changed));
        self.names.insert(task.id(), id.to_owned());
    }

    /// A carrier has ended: its consumer is removed, or the server stops, or there is a bug.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(error) => {
                tracing::error!(%error, "a carrier ended by a bug; its consumer gets another");
                error.id()
            }
        };
        let Some(id) = self.names.remove(&task) else { return };
        self.carriers.remove(&id);
        let registers = self.engine.registers();
        match self.engine.view().consumers().get(&id, self.engine.head()) {
            Ok(None) => {
                for name in [progress_register(&id), keys_register(&id)] {
                    if let Err(error) = registers.remove(&name) {
                        tracing::warn!(%error, name, "a register was not removed");
                    }
                }
            }
            Ok(Some(_)) | Err(_) if !self.shared.is_stopping() => self.ring(&id, false),
            Ok(Some(_)) | Err(_) => {}
        }
    }
}
