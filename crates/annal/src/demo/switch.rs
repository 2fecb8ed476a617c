//! Starting and stopping the world while the server runs (`/api/demo/…`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use annal_engine::{AppendError, Engine};
use annal_server::{DemoError, DemoStatus};
use parking_lot::Mutex;

use super::{Demo, stored};

/// The world of one server, running or not.
#[derive(Debug)]
pub struct Switch {
    base_url: String,
    /// How often something happens unless it is said.
    interval: Duration,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    interval: Duration,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Switch {
    /// A world at rest.
    pub fn new(base_url: &str, interval: Duration) -> Switch {
        Switch { base_url: base_url.to_owned(), interval, running: Mutex::default() }
    }

    fn run(&self, engine: &Engine, interval: Option<Duration>) -> anyhow::Result<()> {
        let mut running = self.running.lock();
        let alive = running.as_ref().filter(|running| !running.thread.is_finished());
        let pace = interval.or(alive.map(|running| running.interval));
        let interval = pace.unwrap_or(self.interval);
        end(running.take());
        let demo = Demo::begin(engine.clone(), &self.base_url)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopping);
        let thread = thread::Builder::new().name("annal-demo".to_owned());
        let thread = thread.spawn(move || demo.run(interval, &told))?;
        *running = Some(Running { interval, stopping, thread });
        Ok(())
    }
}

fn end(running: Option<Running>) {
    let Some(Running { stopping, thread, .. }) = running else { return };
    stopping.store(true, Relaxed);
    if thread.join().is_err() {
        tracing::error!("the demo had panicked");
    }
}

fn told(error: anyhow::Error) -> DemoError {
    match error.downcast::<AppendError>() {
        Ok(refused) => DemoError::Refused(refused),
        Err(error) => DemoError::Failed(format!("{error:#}")),
    }
}

impl annal_server::Demo for Switch {
    fn start(&self, engine: &Engine, interval: Option<Duration>) -> Result<(), DemoError> {
        self.run(engine, interval).map_err(told)
    }

    fn stop(&self) {
        end(self.running.lock().take());
    }

    fn status(&self, engine: &Engine) -> Result<DemoStatus, DemoError> {
        let events = stored(engine).map_err(told)?;
        let running = self.running.lock();
        let alive = running.as_ref().filter(|running| !running.thread.is_finished());
        Ok(DemoStatus {
            running: alive.is_some(),
            interval: alive.map_or(self.interval, |running| running.interval),
            events,
        })
    }
}
