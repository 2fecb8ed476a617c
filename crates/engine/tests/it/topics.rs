//! Topics against a model of a few lines: what is staged and taken back, crashes, and rows that are
//! folded again, among the steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use annal_engine::{
    Append, AppendError, Appended, Called, Clock, Committer, Core, EngineOptions, Progress, Random,
    Ticket, TopicRead, TopicRefusal, Upkeep, Writer,
};
use annal_event::{
    Encoded, Event, Position, Retention, Timestamp, TopicEvent, TopicSchema, TopicSpec,
};
use annal_projection::{index::IndexOptions, store::StoreOptions};
use annal_storage::{FaultStorage, Storage};
use proptest::{collection::vec, prelude::*};

const TOPICS: [&str; 3] = ["orders", "orders-1", "realtime"];

#[derive(Debug)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1_000, Relaxed))
    }
}

#[derive(Debug)]
struct Chance(AtomicU64);

impl Random for Chance {
    fn next(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed).rotate_left(23)
    }
}

/// Of type `a` numbers only are taken, of type `b` anything.
#[derive(Clone, Debug)]
enum Item {
    /// Published: topic, type, whether the payload is a number, how long it is.
    Published(usize, bool, bool, usize),
    /// A CloudEvent with an id of its own, from which everything else follows.
    Own(u8),
    /// An event of no topic.
    Plain,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Item>),
    Create(usize),
    AddType(usize),
    Keep(usize, Option<u64>, Option<u64>),
    Commit,
    CommitOnFullDisk,
    Upkeep,
    Reopen { crash: bool, without_rows: bool },
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        12 => (0..3usize, any::<bool>(), prop::bool::weighted(0.99), 1..40usize)
            .prop_map(|(topic, is_a, number, len)| Item::Published(topic, is_a, number, len)),
        3 => (0..40u8).prop_map(Item::Own),
        1 => Just(Item::Plain),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize, vec((any::<bool>(), 1..40usize), 20..90)).prop_map(|(topic, items)| {
            let item = |(is_a, len)| Item::Published(topic, is_a, true, len);
            Step::Append(items.into_iter().map(item).collect())
        }),
        2 => vec(item(), 1..90).prop_map(Step::Append),
        4 => vec(item(), 1..4).prop_map(Step::Append),
        2 => (0..3usize).prop_map(Step::Create),
        2 => (0..3usize).prop_map(Step::AddType),
        1 => (0..3usize, prop::option::of(1..400u64), prop::option::of(1..4_000u64))
            .prop_map(|(topic, events, bytes)| Step::Keep(topic, events, bytes)),
        6 => Just(Step::Commit),
        1 => Just(Step::CommitOnFullDisk),
        4 => Just(Step::Upkeep),
        2 => (any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(crash, without_rows)| Step::Reopen { crash, without_rows }),
    ]
}

#[derive(Clone, Debug, Default)]
struct Known {
    takes_b: bool,
    open: bool,
    retention: Retention,
    /// Position, id, bytes of the payload.
    events: Vec<(Position, String, usize)>,
}

#[derive(Clone, Debug)]
struct Model {
    head: u64,
    topics: BTreeMap<&'static str, Known>,
    own: BTreeMap<u8, Position>,
}

/// What an append is answered.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Stored { ids: Vec<String>, outcomes: Vec<(u64, bool)> },
    Refused { index: usize, kind: &'static str },
}

fn payload(is_number: bool, len: usize) -> String {
    if is_number { "7".repeat(len) } else { format!("\"{}\"", "x".repeat(len)) }
}

fn own(id: u8) -> (&'static str, &'static str, String) {
    let ty = if id.is_multiple_of(2) { "a" } else { "b" };
    (TOPICS[usize::from(id) % 3], ty, payload(true, usize::from(id) + 1))
}

impl Model {
    fn new() -> Model {
        let realtime = Known {
            open: true,
            retention: Retention { age_ms_max: Some(86_400_000), ..Retention::default() },
            ..Known::default()
        };
        Model { head: 0, topics: BTreeMap::from([("realtime", realtime)]), own: BTreeMap::new() }
    }

    fn append(&mut self, items: &[Item]) -> Answer {
        let mut seen = BTreeSet::new();
        let is_new = |item: &Item, seen: &mut BTreeSet<u8>, model: &Model| match item {
            Item::Own(id) => seen.insert(*id) && !model.own.contains_key(id),
            _ => true,
        };
        let mut next = self.clone();
        let (mut ids, mut outcomes) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            if !is_new(item, &mut seen, self) {
                let Item::Own(id) = item else { unreachable!("others are always new") };
                outcomes.push((next.own[id].get(), true));
                continue;
            }
            next.head += 1;
            outcomes.push((next.head, false));
            let (topic, ty, payload, id) = match item {
                Item::Plain => continue,
                Item::Published(topic, is_a, number, len) => {
                    let ty = if *is_a { "a" } else { "b" };
                    (TOPICS[*topic], ty, payload(*number, *len), None)
                }
                Item::Own(id) => {
                    next.own.insert(*id, Position(next.head));
                    let (topic, ty, payload) = own(*id);
                    (topic, ty, payload, Some(format!("own-{id}")))
                }
            };
            let position = Position(next.head);
            let Some(known) = next.topics.get_mut(topic) else {
                return Answer::Refused { index, kind: "unknown" };
            };
            let listed = if ty == "a" { !known.open } else { known.takes_b };
            if !listed && !known.open {
                return Answer::Refused { index, kind: "unlisted" };
            }
            if listed && ty == "a" && payload.starts_with('"') {
                return Answer::Refused { index, kind: "payload" };
            }
            let number = known.events.len() + 1;
            let id = id.unwrap_or_else(|| {
                ids.push(format!("{topic}-{number}"));
                format!("{topic}-{number}")
            });
            known.events.push((position, id, payload.len()));
        }
        *self = next;
        Answer::Stored { ids, outcomes }
    }

    fn define(&mut self, creates: bool, topic: usize, change: impl FnOnce(&mut Known)) -> Answer {
        let name = TOPICS[topic];
        match (creates, self.topics.contains_key(name)) {
            (true, true) => return Answer::Refused { index: 0, kind: "exists" },
            (false, false) => return Answer::Refused { index: 0, kind: "unknown" },
            _ => {}
        }
        change(self.topics.entry(name).or_default());
        self.head += 1;
        Answer::Stored { ids: Vec::new(), outcomes: vec![(self.head, false)] }
    }
}

fn answer(appended: Result<Appended, AppendError>) -> Answer {
    match appended {
        Ok(appended) => Answer::Stored {
            ids: appended.ids.clone(),
            outcomes: appended.outcomes.iter().map(|o| (o.position.get(), o.duplicate)).collect(),
        },
        Err(AppendError::RefusedByTopic { index, refusal }) => {
            let kind = match *refusal {
                TopicRefusal::UnknownTopic { .. } => "unknown",
                TopicRefusal::UnlistedType { .. } => "unlisted",
                TopicRefusal::Payload { .. } => "payload",
                TopicRefusal::Exists { .. } => "exists",
                other => panic!("{other}"),
            };
            Answer::Refused { index, kind }
        }
        Err(error) => panic!("{error}"),
    }
}

struct World {
    disk: FaultStorage,
    clock: Arc<Ticks>,
    core: Arc<Core>,
    writer: Writer,
    committer: Committer,
    upkeep: Upkeep,
    /// What is committed, and with what is staged.
    committed: Model,
    staged: Model,
    waiting: Vec<(Ticket, Answer)>,
    ids: u64,
    /// Events that may have been staged since everything was written.
    unwritten: u64,
}

/// The writer waits for upkeep when it is many tables behind.
const UNWRITTEN_MAX: u64 = 400;

/// Small enough that a story writes rows and freezes tables within its batches.
fn options() -> EngineOptions {
    EngineOptions {
        index: IndexOptions { table_events: 150, table_bytes: 256 * 1024, fan_out: 3 },
        store: StoreOptions { cache_bytes: 256 * 1024, table_bytes: 12_000, lag_positions: 9 },
        ..EngineOptions::default()
    }
}

type Node = (Arc<Core>, Writer, Committer, Upkeep);

fn open(disk: &FaultStorage, clock: &Arc<Ticks>) -> Node {
    let random = Arc::new(Chance(AtomicU64::new(7)));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Core::open(Arc::new(disk.clone()), options(), clock, random).expect("it opens")
}

impl World {
    fn new() -> World {
        let disk = FaultStorage::new(3);
        let clock = Arc::new(Ticks(AtomicI64::new(1_700_000_000_000_000)));
        let (core, writer, committer, upkeep) = open(&disk, &clock);
        let (committed, staged) = (Model::new(), Model::new());
        let waiting = Vec::new();
        World {
            disk,
            clock,
            core,
            writer,
            committer,
            upkeep,
            committed,
            staged,
            waiting,
            ids: 0,
            unwritten: 0,
        }
    }

    fn submit(&mut self, events: Encoded, expected: Answer) {
        let ticket = self.core.append(Append::of(events)).expect("there is room");
        assert_eq!(self.writer.step(Duration::ZERO), Progress::Worked);
        self.waiting.push((ticket, expected));
    }

    /// Commits and writes before the writer would wait for that.
    fn make_room(&mut self, events: u64) {
        self.unwritten += events;
        if self.unwritten > UNWRITTEN_MAX {
            self.commit();
            while self.upkeep.step() == Progress::Worked {}
            self.unwritten = events;
        }
    }

    fn append(&mut self, items: &[Item]) {
        self.make_room(items.len() as u64);
        let mut events = Encoded::default();
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Published(topic, is_a, number, len) => {
                    let topic = TOPICS[*topic];
                    let ty = if *is_a { "a" } else { "b" };
                    let id = format!("{topic}-{:020}", u64::MAX - index as u64);
                    let event = Event::new(id, format!("/topics/{topic}"), ty)
                        .with_extension("topic", topic)
                        .with_json(payload(*number, *len));
                    events.push_unnamed(&event);
                }
                Item::Own(id) => {
                    let (topic, ty, payload) = own(*id);
                    let event = Event::new(format!("own-{id}"), "/s", ty)
                        .with_extension("topic", topic)
                        .with_json(payload);
                    events.push(&event);
                }
                Item::Plain => {
                    self.ids += 1;
                    events.push(&Event::new(format!("plain-{}", self.ids), "/s", "a"));
                }
            }
        }
        let expected = self.staged.append(items);
        self.submit(events, expected);
    }

    fn define(&mut self, creates: bool, spec: TopicSpec, expected: Answer) {
        self.ids += 1;
        let event = if creates { TopicEvent::Created(spec) } else { TopicEvent::Changed(spec) };
        let mut events = Encoded::default();
        events.push(&event.to_event(format!("system-{}", self.ids)));
        self.submit(events, expected);
    }

    fn commit(&mut self) {
        while self.committer.step() == Progress::Worked {}
        for (ticket, expected) in std::mem::take(&mut self.waiting) {
            assert_eq!(answer(ticket.try_take().expect("an answer")), expected);
        }
        self.committed = self.staged.clone();
        self.compare();
    }

    fn commit_on_full_disk(&mut self) {
        if self.committed.head == self.staged.head {
            return;
        }
        self.disk.set_capacity(Some(0));
        while self.committer.step() == Progress::Worked {}
        self.disk.set_capacity(None);
        let mut full = false;
        for (ticket, expected) in std::mem::take(&mut self.waiting) {
            match ticket.try_take().expect("an answer") {
                Err(AppendError::DiskFull) => full = true,
                // What nothing staged had a part in is answered at once; and there may have been
                // room in what had been made ready before.
                found => assert_eq!(answer(found), expected),
            }
        }
        match full {
            true => self.staged = self.committed.clone(),
            false => self.committed = self.staged.clone(),
        }
        self.writer.step(Duration::ZERO);
        self.compare();
    }

    fn reopen(&mut self, crash: bool, without_rows: bool) {
        if crash {
            self.disk = self.disk.crash(self.ids);
        } else {
            self.commit();
            self.core.close();
            while self.writer.step(Duration::ZERO) != Progress::Finished {}
            self.core.close_files();
        }
        self.waiting.clear();
        self.staged = self.committed.clone();
        if without_rows && self.disk.list("").is_ok_and(|names| names.contains(&"data.redb".into()))
        {
            self.disk.remove("data.redb").expect("removed");
        }
        let (core, writer, committer, upkeep) = open(&self.disk, &self.clock);
        (self.core, self.writer, self.committer, self.upkeep) = (core, writer, committer, upkeep);
        // All rows may have been folded again.
        self.unwritten = UNWRITTEN_MAX;
        self.compare();
    }

    fn compare(&self) {
        let view = self.core.view();
        assert_eq!(view.head().get(), self.committed.head);
        for name in TOPICS {
            let found = view.topic(name).expect("it can be read");
            let Some(known) = self.committed.topics.get(name) else {
                assert!(found.is_none(), "{name} is not there");
                continue;
            };
            let (topic, counter) = found.expect("it is there");
            let bytes: usize = known.events.iter().map(|event| event.2).sum();
            assert_eq!(
                (counter.sequence, counter.bytes),
                (known.events.len() as u64, bytes as u64)
            );
            assert_eq!((topic.open, topic.retention), (known.open, known.retention));
            for number in [0, 1, 2, 255, 256, 257, 300, known.events.len(), known.events.len() + 1]
            {
                let asked = format!("{name}-{number}");
                let found = one(view.topic_event(name, &asked).expect("it can be read"));
                match (number, known.events.get(number.wrapping_sub(1))) {
                    (0, _) => {
                        assert!(found.is_some_and(|at| known.events.iter().all(|e| e.0 > at)))
                    }
                    (_, event) => assert_eq!(found, event.map(|event| event.0), "{asked}"),
                }
            }
            for (position, id, _) in known.events.iter().rev().take(3) {
                let found = one(view.topic_event(name, id).expect("it can be read"));
                assert_eq!(found, Some(*position), "{id}");
            }
            self.compare_kept(name, known);
        }
    }

    /// What is read is what the retention keeps.
    fn compare_kept(&self, name: &str, known: &Known) {
        let view = self.core.view();
        let (topic, _) = view.topic(name).expect("it can be read").expect("it is there");
        let mut kept = &known.events[..];
        if let Some(most) = known.retention.events_max {
            kept = &kept[kept.len().saturating_sub(most as usize)..];
        }
        while let Some(most) = known.retention.bytes_max {
            if kept.iter().map(|event| event.2 as u64).sum::<u64>() <= most {
                break;
            }
            kept = &kept[1..];
        }
        let asked = TopicRead { limit: 10_000, ..TopicRead::default() };
        let now = Timestamp(self.clock.0.load(Relaxed));
        let page = view.topic_events(&topic, &asked, now).expect("it can be read");
        let found: Vec<_> = page
            .events
            .iter()
            .map(|stored| (stored.position(), stored.event().expect("an event").id.into_owned()))
            .collect();
        let kept: Vec<_> = kept.iter().map(|event| (event.0, event.1.clone())).collect();
        assert_eq!(found, kept, "{name}");
    }

    fn take(&mut self, step: Step) {
        let named =
            |topic: usize| TopicSpec { name: TOPICS[topic].to_owned(), ..TopicSpec::default() };
        let schema =
            |ty: &str, text: &str| TopicSchema { ty: ty.to_owned(), text: text.to_owned() };
        match step {
            Step::Append(items) => self.append(&items),
            Step::Create(topic) => {
                let expected = self.staged.define(true, topic, |_| {});
                let a = schema("a", r#"{"type":"a","pattern":"^$","allOf":[{"type":"number"}]}"#);
                self.define(true, TopicSpec { schemas: Some(vec![a]), ..named(topic) }, expected);
            }
            Step::AddType(topic) => {
                let expected = self.staged.define(false, topic, |known| known.takes_b = true);
                let b = schema("b", r#"{"type":"b"}"#);
                self.define(false, TopicSpec { schemas: Some(vec![b]), ..named(topic) }, expected);
            }
            Step::Keep(topic, events_max, bytes_max) => {
                let retention = Retention { age_ms_max: None, events_max, bytes_max };
                let expected =
                    self.staged.define(false, topic, |known| known.retention = retention);
                let spec = TopicSpec { retention: Some(retention), ..named(topic) };
                self.define(false, spec, expected);
            }
            Step::Commit => self.commit(),
            Step::CommitOnFullDisk => self.commit_on_full_disk(),
            Step::Upkeep => drop((0..8).map(|_| self.upkeep.step()).last()),
            Step::Reopen { crash, without_rows } => self.reopen(crash, without_rows),
        }
    }
}

fn one(called: Called) -> Option<Position> {
    match called {
        Called::Nobody => None,
        Called::One(position) => Some(position),
        Called::Several => panic!("several have one id"),
    }
}

proptest! {
#[test]
    fn topics_are_what_the_model_says(made in any::<bool>(), steps in vec(step(), 1..50)) {
        let mut world = World::new();
        let first = [Step::Create(0), Step::AddType(0), Step::Create(1), Step::AddType(1)];
        for step in first.into_iter().filter(|_| made).chain(steps) {
            world.take(step);
        }
        world.commit();
        world.reopen(true, true);
        world.append(&[Item::Published(2, true, true, 1)]);
        world.commit();
    }
}
