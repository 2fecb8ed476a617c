//! A small world that lives, so that a newcomer has something to look at.
//!
//! At the first start a fortnight of its history is appended in one batch; then one event after the
//! other. Every event has a fixed identity (`demo-<n>` of [`SOURCE`]), so a restart finds where the
//! world stood, and nothing is ever there twice. The world itself is a function of its seed:
//! [`world::World`] brings forth the same events in the same order every time.

mod switch;
mod texts;
pub mod world;

pub use switch::Switch;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use annal_engine::{Append, Engine};
use annal_event::{Data, Encoded, Event, RealtimeMessage, Recipient, Timestamp};
use anyhow::Context;

use world::{Change, World};

/// Source of all demo events.
pub const SOURCE: &str = "/demo";

/// Type of all demo events: they change resources.
pub const TYPE: &str = "nl.vng.zaken.json-commit.v1";

/// Events of the history that is there at once.
pub const BURST: u64 = 60;

/// The time that history covers.
const FORTNIGHT: Duration = Duration::from_secs(14 * 24 * 3600);

/// Every so many events realtime clients hear of one.
const NOTIFY_EVERY: u64 = 5;

/// Every installation lives in the same world.
const SEED: u64 = 0x000A_11A1;

/// How often a sleeping demo looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// Writes demo events into an engine.
#[derive(Debug)]
pub struct Demo {
    engine: Engine,
    world: World,
}

impl Demo {
    /// Finds out how far the world stands in this log, and begins it where it does not.
    pub fn begin(engine: Engine, base_url: &str) -> anyhow::Result<Demo> {
        let mut world = World::new(SEED, base_url);
        let stored = stored(&engine)?;
        for _ in 0..stored {
            world.next(Timestamp::default());
        }
        let mut demo = Demo { engine, world };
        if stored == 0 {
            demo.burst()?;
        }
        Ok(demo)
    }

    /// Appends an event every `interval` until told to stop.
    pub fn run(mut self, interval: Duration, stopping: &AtomicBool) {
        loop {
            if !sleep(interval, stopping) {
                return;
            }
            if let Err(error) = self.step() {
                tracing::warn!("demo: {error:#}");
            }
        }
    }

    /// The history, spread over the fortnight before now, all or nothing.
    fn burst(&mut self) -> anyhow::Result<()> {
        let now = self.engine.now().micros();
        let step = i64::try_from(FORTNIGHT.as_micros()).unwrap_or(i64::MAX) / BURST as i64;
        let mut events = Encoded::default();
        for back in (0..BURST as i64).rev() {
            // Not on the beat, as people are not.
            let jitter = (back * 7_919) % 1_000 * step / 2_000;
            let change = self.world.next(Timestamp(now - back * step - jitter));
            events.push(&event(&change));
        }
        self.engine.append(Append::of(events))?.wait()?;
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let mut next = self.world.clone();
        let change = next.next(self.engine.now());
        let mut events = Encoded::default();
        events.push(&event(&change));
        if next.number().is_multiple_of(NOTIFY_EVERY) {
            let data =
                format!(r#"{{"message":"{} has changed","severity":"info"}}"#, change.subject);
            let message = RealtimeMessage {
                to: Recipient::Everybody,
                ty: "notification".into(),
                data: Some(&data),
            };
            events.push(&message.to_event(format!("{}-told", change.id), self.engine.now()));
        }
        let ticket = self.engine.append(Append::of(events))?;
        ticket.wait().context("an event of the demo was refused")?;
        // Only now: what was not stored is tried again.
        self.world = next;
        Ok(())
    }
}

/// How many events of the world are stored: they are numbered without gaps, so halving finds it.
fn stored(engine: &Engine) -> anyhow::Result<u64> {
    let has = |number: u64| -> anyhow::Result<bool> {
        let found = engine.view().find(&world::id(number), Some(SOURCE), false)?;
        Ok(found.deleted || !found.events.is_empty())
    };
    let mut beyond = 1;
    while has(beyond)? {
        beyond *= 2;
    }
    let mut last = beyond / 2;
    while last + 1 < beyond {
        let middle = last + (beyond - last) / 2;
        if has(middle)? { last = middle } else { beyond = middle }
    }
    Ok(last)
}

/// The event that tells of a change.
pub fn event(change: &Change) -> Event<'_> {
    Event {
        id: change.id.as_str().into(),
        source: SOURCE.into(),
        ty: TYPE.into(),
        subject: Some(change.subject.as_str().into()),
        time: Some(change.time.as_str().into()),
        datacontenttype: Some("application/json".into()),
        dataschema: None,
        extensions: Vec::new(),
        data: Data::Json(change.data.as_str().into()),
    }
}

/// `false` when told to stop.
fn sleep(interval: Duration, stopping: &AtomicBool) -> bool {
    let until = Instant::now() + interval;
    while !stopping.load(Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(LOOK));
    }
    false
}
