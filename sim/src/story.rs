//! One story: a seed decides what happens, the history decides whether it was right.

use std::{sync::Arc, time::Duration};

use annal_engine::{
    AppendError, Appended, Committer, Core, Durability, EngineOptions, OpenError, Order, Progress,
    ReadSpec, Ticket, Upkeep, Writer,
};
use annal_event::{Interest, Limits, Position, StoredEvent};
use annal_storage::FaultStorage;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    Violation,
    clients::{Follower, Producer, Sent, append, query},
    history::{Checked, History, Made, check, violated},
    random::{Rng, SimClock, SimRandom},
};

/// Something wrong with the engine on purpose, to see that the simulator notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// Appends are acknowledged before they are synced, yet promised to be durable.
    AcknowledgeBeforeSync,
}

/// What to tell.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Decides everything.
    pub seed: u64,
    /// Length of the story.
    pub steps: u64,
    /// What is broken on purpose.
    pub breakage: Option<Breakage>,
    /// Whether every step is shown on standard error.
    pub aloud: bool,
}

/// How a story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// A hash over all that happened: the same seed gives the same one.
    pub trace: u64,
    /// Events in the log at the end.
    pub events: u64,
    /// Power losses on the way.
    pub crashes: u64,
    /// Faults put in: failed syncs and writes, full disks, flipped bits.
    pub faults: u64,
    /// Flipped bits in the log that made it refuse to open.
    pub refusals: u64,
}

/// Tells a story to its end, or to the first violation.
pub fn tell(story: Story) -> Result<Ending, Violation> {
    let mut world = World::begin(story)?;
    for _ in 0..story.steps {
        world.step()?;
    }
    world.end()
}

struct Node {
    core: Arc<Core>,
    writer: Writer,
    committer: Committer,
    upkeep: Upkeep,
}

struct World {
    rng: Rng,
    aloud: bool,
    disk: FaultStorage,
    options: EngineOptions,
    clock: Arc<SimClock>,
    node: Node,
    history: History,
    producer: Producer,
    waiting: Vec<Sent>,
    /// Appends whose outcome nobody heard.
    unheard: Vec<Vec<Made>>,
    /// Acknowledged while the disk was dying: to be found after the restart.
    owed: Vec<(Sent, Appended)>,
    /// Whether what is visible was promised to be durable.
    promised: bool,
    /// The disk may fail any call from now on.
    dying: bool,
    followers: Vec<Follower>,
    ending: Ending,
}

impl World {
    fn begin(story: Story) -> Checked<World> {
        let mut rng = Rng::new(story.seed);
        let disk = FaultStorage::new(rng.next());
        let options = options(&mut rng, story.breakage);
        let clock = Arc::new(SimClock::new());
        let node = match open(&disk, &options, &clock, rng.next()) {
            Ok(node) => node,
            Err(error) => return violated(1, format!("an empty disk does not open: {error}")),
        };
        let followers = (0..3).map(|_| Follower::new(query(&mut rng), Position::ZERO)).collect();
        let ending = Ending { trace: story.seed, events: 0, crashes: 0, faults: 0, refusals: 0 };
        Ok(World {
            rng,
            aloud: story.aloud,
            disk,
            clock,
            node,
            history: History::default(),
            producer: Producer::default(),
            waiting: Vec::new(),
            unheard: Vec::new(),
            owed: Vec::new(),
            promised: options.durability == Durability::Always || story.breakage.is_some(),
            dying: false,
            options,
            followers,
            ending,
        })
    }

    fn trace(&mut self, what: &str, number: u64) {
        if self.aloud {
            eprintln!("{what} {number}, head {}", self.node.core.view().head());
        }
        let hash = xxh3_64_with_seed(what.as_bytes(), self.ending.trace);
        self.ending.trace = hash.rotate_left(17) ^ number;
    }

    fn step(&mut self) -> Checked {
        match self.rng.below(100) {
            0..22 => self.send(),
            22..42 => self.write(),
            42..60 => self.commit(),
            60..72 => self.upkeep(),
            72..84 => self.follow()?,
            84..92 => self.read()?,
            92..94 => self.clock.jump(self.rng.below(10_000_000) as i64 - 3_000_000),
            94 => self.fault(),
            95..97 => self.lose_power()?,
            97 => self.die_in_the_middle()?,
            98 => self.restart()?,
            _ => self.damage()?,
        }
        self.clock.jump(self.rng.below(2_000) as i64);
        self.observe()?;
        self.hear()
    }

    fn send(&mut self) {
        let again = !self.unheard.is_empty() && self.rng.one_in(3);
        let events =
            if again { self.rng.pick(&self.unheard) } else { self.producer.events(&mut self.rng) };
        let preconditions = if again {
            Vec::new()
        } else {
            self.producer.preconditions(&mut self.rng, self.history.head())
        };
        self.history.sent(&events);
        let request = append(&events, &preconditions);
        if let Ok(ticket) = self.node.core.append(request) {
            self.waiting.push(Sent { events, preconditions, ticket });
        }
        self.trace("send", self.waiting.len() as u64);
    }

    fn write(&mut self) {
        let progress = self.node.writer.step(Duration::ZERO);
        self.trace("write", u64::from(progress == Progress::Worked));
    }

    fn commit(&mut self) {
        let progress = self.node.committer.step();
        if self.options.durability != Durability::Always && self.rng.one_in(4) {
            self.node.committer.sync();
        }
        self.trace("commit", u64::from(progress == Progress::Worked));
    }

    fn upkeep(&mut self) {
        let progress = self.node.upkeep.step();
        self.trace("upkeep", u64::from(progress == Progress::Worked));
    }

    fn follow(&mut self) -> Checked {
        let which = self.rng.below(self.followers.len() as u64) as usize;
        let bytes = 1 + self.rng.below(4_000) as usize;
        let follower = &mut self.followers[which];
        follower.step(self.node.core.view(), bytes)?;
        follower.check(&self.history)
    }

    /// A page, against the same question put to the history. INV-4.
    fn read(&mut self) -> Checked {
        let head = self.history.head();
        let query = query(&mut self.rng);
        let after = Position(self.rng.below(head.0 + 1));
        let before = Position(after.0 + 1 + self.rng.below(head.0 + 2));
        let order = if self.rng.one_in(2) { Order::Ascending } else { Order::Descending };
        let limit = 1 + self.rng.below(30) as usize;
        let spec = ReadSpec {
            interest: Interest { system: true, ..Interest::of(query.clone()) },
            after: Some(after),
            before: Some(before),
            order,
            limit,
            ..ReadSpec::default()
        };
        let page = match self.node.core.view().read(&spec) {
            Ok(page) => page,
            Err(error) => return violated(4, format!("{spec:?}: {error}")),
        };
        let mut expected = self.history.matching(&query, after, before.prev());
        if order == Order::Descending {
            expected.reverse();
        }
        let more = expected.len() > limit;
        expected.truncate(limit);
        let got: Vec<_> = page.events.iter().map(StoredEvent::position).collect();
        check(got == expected && page.next.is_some() == more, 4, || {
            format!("{spec:?}: {got:?} (next {:?}), not {expected:?} (more: {more})", page.next)
        })?;
        self.trace("read", got.len() as u64);
        self.history.documents.check(self.node.core.view(), &mut self.rng)
    }

    fn fault(&mut self) {
        self.ending.faults += 1;
        let kind = self.rng.below(4);
        match kind {
            0 => self.disk.fail_sync(1 + self.rng.below(3)),
            1 => self.disk.fail_write(1 + self.rng.below(3)),
            2 => self.disk.set_capacity(Some(self.disk.used() + self.rng.below(64 * 1024))),
            _ => self.disk.set_capacity(None),
        }
        self.trace("fault", kind);
    }

    fn lose_power(&mut self) -> Checked {
        let seed = self.rng.next();
        let disk = self.disk.crash(seed);
        self.found(disk, "power")
    }

    /// The power goes while the engine is at work.
    fn die_in_the_middle(&mut self) -> Checked {
        self.disk.die_after(self.rng.below(12));
        self.dying = true;
        for _ in 0..6 {
            match self.rng.below(3) {
                0 => self.write(),
                1 => self.commit(),
                _ => self.upkeep(),
            }
            self.observe()?;
            self.hear()?;
        }
        self.lose_power()
    }

    /// An orderly stop and start.
    fn restart(&mut self) -> Checked {
        self.node.core.close();
        for _ in 0..10_000 {
            let writer = self.node.writer.step(Duration::ZERO);
            let committer = self.node.committer.step();
            if writer == Progress::Finished && committer == Progress::Finished {
                break;
            }
            if writer == Progress::Idle {
                // It may wait for the index, or for rows.
                self.node.upkeep.step();
            }
        }
        self.observe()?;
        self.hear()?;
        self.node.core.close_files();
        self.found(self.disk.clone(), "restart")
    }

    /// The engine starts again on what is left of the disk.
    fn found(&mut self, disk: FaultStorage, how: &str) -> Checked {
        self.ending.crashes += 1;
        self.disk = disk;
        self.disk.set_capacity(None);
        self.dying = false;
        let seed = self.rng.next();
        match open(&self.disk, &self.options, &self.clock, seed) {
            Ok(node) => self.node = node,
            Err(error) => return violated(1, format!("after {how}: {error}")),
        }
        self.give_up_waiting();
        self.recount()?;
        self.history.documents.check(self.node.core.view(), &mut self.rng)?;
        self.trace(how, self.history.head().0);
        Ok(())
    }

    fn give_up_waiting(&mut self) {
        for sent in std::mem::take(&mut self.waiting) {
            self.unheard.push(sent.events);
        }
        for follower in &mut self.followers {
            follower.disconnect();
        }
    }

    /// After a start: what was visible is still there and the same; what was asked for and never
    /// answered is there whole or not at all. INV-1.
    fn recount(&mut self) -> Checked {
        let head = self.node.core.view().head();
        if head < self.history.head() {
            check(!self.promised, 1, || {
                format!("{} was visible, the log ends at {head}", self.history.head())
            })?;
            self.history.cut(head);
            self.followers.iter_mut().for_each(|follower| follower.cut(head));
            self.owed.clear();
        }
        for stored in self.log_after(Position::ZERO)? {
            if stored.position() > self.history.head() {
                self.history.saw(&stored)?;
            } else {
                self.history.saw_again(&stored)?;
            }
        }
        for (sent, appended) in std::mem::take(&mut self.owed) {
            self.history.accepted(&sent.events, &sent.preconditions, &appended)?;
        }
        for events in &self.unheard {
            let there = |made: &&Made| self.history.position_of(made).is_some();
            let there = events.iter().filter(there).count();
            // An append with events that were sent more than once says nothing about being whole.
            let alone = events.iter().all(|made| self.history.times_sent(made) == 1);
            check(!alone || there == 0 || there == events.len(), 1, || {
                format!("{there} of {} events of one append are there", events.len())
            })?;
        }
        Ok(())
    }

    /// Everything that has become visible since the last look.
    fn observe(&mut self) -> Checked {
        for stored in self.log_after(self.history.head())? {
            self.history.saw(&stored)?;
        }
        Ok(())
    }

    fn log_after(&self, after: Position) -> Checked<Vec<StoredEvent>> {
        let view = self.node.core.view();
        let spec = ReadSpec {
            after: Some(after),
            limit: usize::MAX - 1,
            interest: Interest { system: true, ..Interest::all() },
            ..ReadSpec::default()
        };
        if view.head() <= after {
            return Ok(Vec::new());
        }
        match view.read(&spec) {
            Ok(page) => Ok(page.events),
            Err(_) if self.dying => Ok(Vec::new()),
            Err(error) => violated(1, format!("the log cannot be read after {after}: {error}")),
        }
    }

    /// Answers that have come.
    fn hear(&mut self) -> Checked {
        let mut still = Vec::new();
        for sent in std::mem::take(&mut self.waiting) {
            let Some(answer) = Ticket::try_take(&sent.ticket) else {
                still.push(sent);
                continue;
            };
            match answer {
                Ok(appended) if self.dying => self.owed.push((sent, appended)),
                Ok(appended) => {
                    self.history.accepted(&sent.events, &sent.preconditions, &appended)?;
                    self.trace("ok", appended.head.0);
                }
                Err(AppendError::OutcomeUnknown { .. }) => {
                    self.unheard.push(sent.events);
                    self.trace("unknown", 0);
                }
                Err(error) => {
                    if !self.dying {
                        self.history.refused(&sent.events, &sent.preconditions, &error)?;
                    }
                    self.trace("refused", sent.events.len() as u64);
                }
            }
        }
        self.waiting = still;
        Ok(())
    }

    /// A bit turns over on a disk that is not in use; the engine refuses, naming the place, or
    /// serves exactly what it served before. Then the bit is turned back.
    fn damage(&mut self) -> Checked {
        self.restart()?;
        let head = self.history.head();
        let dir = self.rng.pick(&["log", "log", "index", ""]);
        let names = match dir {
            "" => vec!["data.redb".to_owned()],
            dir => annal_storage::Storage::list(&self.disk, dir).unwrap_or_default(),
        };
        if names.is_empty() || head == Position::ZERO {
            return Ok(());
        }
        let path = format!("{dir}/{}", self.rng.pick(&names));
        let path = path.trim_start_matches('/').to_owned();
        let length = self.disk.contents(&path).map_or(0, |bytes| bytes.len() as u64);
        if length == 0 {
            return Ok(());
        }
        self.ending.faults += 1;
        let (offset, bit) = (self.rng.below(length), self.rng.below(8) as u8);
        let hurt = self.disk.after_crash(self.rng.next());
        if hurt.flip_bit(&path, offset, bit).is_err() {
            return Ok(());
        }
        let seed = self.rng.next();
        match open(&hurt, &self.options, &self.clock, seed) {
            Ok(node) => self.survived(node, &path, offset),
            // The end of the log is gone, and the index knows that it was there.
            Err(OpenError::LogIsShort { head: end, folded }) => {
                self.ending.refusals += 1;
                check(end < folded && folded <= head, 1, || {
                    format!("a log of {end} positions was called short of {folded}, not {head}")
                })
            }
            Err(error @ (OpenError::Log(_) | OpenError::Read(_))) => {
                self.ending.refusals += 1;
                let text = error.to_string();
                check(text.contains(path.trim_start_matches("log/")), 1, || {
                    format!("damage in {path} at {offset} was refused without naming it: {text}")
                })
            }
            Err(error) => violated(1, format!("damage in {path} at {offset}: {error}")),
        }
    }

    fn survived(&mut self, node: Node, path: &str, offset: u64) -> Checked {
        let head = self.history.head();
        let last_batch = self.node.core.view().log().batches(head.prev(), 1);
        let last_batch = last_batch.ok().and_then(|batches| batches.first().map(|b| b.first()));
        let whole = std::mem::replace(&mut self.node, node);
        let found = self.node.core.view().head();
        self.dying = true;
        let events = self.log_after(Position::ZERO);
        self.dying = false;
        let documents = self.history.documents.check(self.node.core.view(), &mut self.rng);
        self.node = whole;
        // What the damage hides until it is read is refused then, and never believed.
        match documents {
            Err(violation) if found == head && !violation.what.contains("is damaged") => {
                return Err(violation);
            }
            _ => {}
        }
        // Damage in the last batch cannot be told from a write that was torn, nor damage in what
        // was never synced; any other can.
        let torn = last_batch.is_some_and(|first| found == first.prev()) || !self.promised;
        check(found == head || torn, 1, || {
            format!("damage in {path} at {offset} cut the log from {head} to {found}")
        })?;
        events?.iter().try_for_each(|stored| self.history.saw_again(stored))
    }

    fn end(mut self) -> Result<Ending, Violation> {
        self.restart()?;
        for follower in &mut self.followers {
            for _ in 0..10_000 {
                follower.step(self.node.core.view(), 4_000)?;
                follower.check(&self.history)?;
                if follower.cursor() >= self.history.head() {
                    break;
                }
            }
            check(follower.cursor() == self.history.head(), 5, || {
                "a follower is stuck".to_owned()
            })?;
        }
        self.ending.events = self.history.head().0;
        Ok(self.ending)
    }
}

/// Opens what is on a disk. A fault that strikes meanwhile strikes once: whoever starts a server
/// tries again.
fn open(
    disk: &FaultStorage,
    options: &EngineOptions,
    clock: &Arc<SimClock>,
    seed: u64,
) -> Result<Node, OpenError> {
    let injected = |error: &OpenError| error.to_string().contains("injected");
    let mut tries = 0;
    loop {
        match open_once(disk, options, clock, seed) {
            Err(error) if injected(&error) && tries < TRIES => tries += 1,
            opened => return opened,
        }
    }
}

/// More than there are kinds of faults that can wait at a time.
const TRIES: u32 = 4;

fn open_once(
    disk: &FaultStorage,
    options: &EngineOptions,
    clock: &Arc<SimClock>,
    seed: u64,
) -> Result<Node, OpenError> {
    let (core, writer, committer, upkeep) = Core::open(
        Arc::new(disk.clone()),
        options.clone(),
        Arc::clone(clock) as Arc<dyn annal_engine::Clock>,
        Arc::new(SimRandom::new(seed)),
    )?;
    Ok(Node { core, writer, committer, upkeep })
}

/// Everything small, so that a short story reaches every corner.
fn options(rng: &mut Rng, breakage: Option<Breakage>) -> EngineOptions {
    let mut options = EngineOptions { limits: Limits::default(), ..EngineOptions::default() };
    options.durability = match rng.below(6) {
        _ if breakage == Some(Breakage::AcknowledgeBeforeSync) => Durability::Never,
        0 => Durability::Interval { ms: 5 },
        1 => Durability::Never,
        _ => Durability::Always,
    };
    options.queue_bytes_max = 4_096 + rng.below(64 * 1024) as usize;
    options.group_bytes_max = 1_024 + rng.below(8 * 1024) as usize;
    options.log.segment_bytes = 16 * 1024 + rng.below(32 * 1024);
    options.log.step_bytes_min = 4 * 1024;
    options.log.step_bytes_max = 8 * 1024;
    options.log.tail_bytes = 2_048 + rng.below(16 * 1024) as usize;
    options.log.block_bytes = 1_024 + rng.below(2_048) as usize;
    options.log.block_cache_bytes = 8 * 1024;
    options.log.upkeep_step_bytes = 4 * 1024;
    options.index.table_events = 8 + rng.below(60) as u32;
    options.index.fan_out = 2 + rng.below(3) as usize;
    options.store.cache_bytes = 256 * 1024;
    options.store.table_bytes = 1_024 + rng.below(8 * 1024) as usize;
    options.store.lag_positions = 8 + rng.below(100);
    options
}
