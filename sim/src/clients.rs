//! Those who use the engine in a story: what they send, and what they follow.

use std::{sync::Arc, task::Waker};

use annal_delivery::{Step, Subscription};
use annal_engine::{Append, Ticket, View};
use annal_event::{
    Comparison, Encoded, Interest, Pattern, Position, Precondition, Query, Selector, SubjectCheck,
};

use crate::{
    history::{COMMIT, Checked, History, Made, check, violated},
    random::Rng,
};

const SOURCES: [&str; 3] = ["/a", "/b", "urn:c"];
const TYPES: [&str; 4] = ["made", "changed", "moved.far", "moved.near"];
const RESOURCES: [&str; 3] = ["r", "s-1", "t/2"];
const SUBJECTS: [&str; 7] = ["x", "x/1", "x/1/deep", "x/2", "xy", "y", "y/1"];

/// An append that somebody waits for.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) events: Vec<Made>,
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) ticket: Ticket,
}

/// Makes up events; now and then the same again, or another with the same identity.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    made: Vec<Made>,
    next: u64,
}

impl Producer {
    pub(crate) fn events(&mut self, rng: &mut Rng) -> Vec<Made> {
        let count = if rng.one_in(10) { rng.below(60) } else { 1 + rng.below(4) };
        (0..count).map(|_| self.event(rng)).collect()
    }

    fn event(&mut self, rng: &mut Rng) -> Made {
        if !self.made.is_empty() && rng.one_in(8) {
            let mut again = rng.pick(&self.made);
            if rng.one_in(6) {
                again.data = format!("{{\"other\":{}}}", rng.below(3));
            }
            return again;
        }
        self.next += 1;
        if rng.one_in(4) {
            let made = self.commit(rng);
            self.made.push(made.clone());
            return made;
        }
        let size = if rng.one_in(20) { rng.below(3_000) } else { rng.below(40) };
        let made = Made {
            source: rng.pick(&SOURCES),
            id: format!("{:x}", self.next),
            subject: rng.pick(&SUBJECTS).to_owned(),
            ty: rng.pick(&TYPES),
            data: format!("{{\"n\":{},\"fill\":\"{}\"}}", self.next, "z".repeat(size as usize)),
        };
        self.made.push(made.clone());
        made
    }

    fn commit(&self, rng: &mut Rng) -> Made {
        let (resource, n) = (rng.pick(&RESOURCES), self.next);
        let member = rng.pick(&["a", "b", "c"]);
        let change = match rng.below(6) {
            0 => "\"deleted\":true".to_owned(),
            1 | 2 => format!("\"resource_data\":{{\"{member}\":{n}}}"),
            3 => format!("\"patch\":{{\"{member}\":null}}"),
            _ => format!("\"patch\":{{\"{member}\":{n}}}"),
        };
        Made {
            source: rng.pick(&SOURCES),
            id: format!("{n:x}"),
            subject: rng.pick(&SUBJECTS).to_owned(),
            ty: COMMIT,
            data: format!("{{\"resource_id\":\"{resource}\",{change}}}"),
        }
    }

    pub(crate) fn preconditions(&self, rng: &mut Rng, head: Position) -> Vec<Precondition> {
        let count = if rng.one_in(3) { 1 + rng.below(2) } else { 0 };
        (0..count).map(|_| self.precondition(rng, head)).collect()
    }

    fn precondition(&self, rng: &mut Rng, head: Position) -> Precondition {
        let near = Position(head.0.saturating_sub(rng.below(4)));
        match rng.below(9) {
            8 => Precondition::Resource {
                id: format!("{}/{}", rng.pick(&["x", "y"]), rng.pick(&RESOURCES)),
                revision: (!rng.one_in(3)).then_some(near),
            },
            0 => Precondition::Absent { query: query(rng), after: near },
            1 => Precondition::Present { query: query(rng) },
            2 => {
                let op = rng.pick(&[Comparison::Less, Comparison::GreaterOrEqual]);
                Precondition::Count { query: query(rng), op, n: rng.below(20) }
            }
            3 => Precondition::Head { position: near },
            _ => Precondition::Subject {
                subject: rng.pick(&SUBJECTS).to_owned(),
                recursive: rng.one_in(2),
                is: match rng.below(5) {
                    0 => SubjectCheck::None,
                    1 => SubjectCheck::Exists,
                    2 => SubjectCheck::Version(rng.below(12)),
                    3 => SubjectCheck::LastPosition(near),
                    _ => SubjectCheck::LastEvent {
                        id: self.made.last().map_or_else(String::new, |made| made.id.clone()),
                        source: None,
                    },
                },
            },
        }
    }
}

/// A query that an index has to work for.
pub(crate) fn query(rng: &mut Rng) -> Query {
    let selectors = rng.below(3);
    Query { any: (0..selectors).map(|_| selector(rng)).collect() }
}

fn selector(rng: &mut Rng) -> Selector {
    let mut selector = Selector::default();
    for _ in 0..rng.below(3) {
        let subject = rng.pick(&SUBJECTS).to_owned();
        selector.subjects.push(match rng.below(3) {
            0 => Pattern::Tree(subject),
            1 => Pattern::Prefix(subject),
            _ => Pattern::Exact(subject),
        });
    }
    if rng.one_in(2) {
        let ty = rng.pick(&TYPES).to_owned();
        selector.types.push(if rng.one_in(3) {
            Pattern::Prefix("moved".to_owned())
        } else {
            Pattern::Exact(ty)
        });
    }
    if rng.one_in(3) {
        selector.sources.push(rng.pick(&SOURCES).to_owned());
    }
    selector
}

pub(crate) fn append(events: &[Made], preconditions: &[Precondition]) -> Append {
    let mut encoded = Encoded::default();
    for made in events {
        encoded.push(&made.event());
    }
    Append { preconditions: preconditions.to_vec(), ..Append::of(encoded) }
}

/// A subscriber that outlives crashes: it remembers its cursor and what it was given.
#[derive(Debug)]
pub(crate) struct Follower {
    query: Query,
    from: Position,
    cursor: Position,
    seen: Vec<Position>,
    subscription: Option<Subscription<View>>,
}

impl Follower {
    pub(crate) fn new(query: Query, from: Position) -> Follower {
        Follower { query, from, cursor: from, seen: Vec::new(), subscription: None }
    }

    /// Everything up to here has been given to it.
    pub(crate) fn cursor(&self) -> Position {
        self.cursor
    }

    /// The server went away; the cursor stays.
    pub(crate) fn disconnect(&mut self) {
        self.subscription = None;
    }

    /// Whether it has seen something that a restart took back (never under durability `always`).
    pub(crate) fn cut(&mut self, head: Position) {
        self.cursor = self.cursor.min(head);
        self.from = self.from.min(head);
        self.seen.retain(|position| *position <= head);
    }

    pub(crate) fn step(&mut self, view: &Arc<View>, bytes: usize) -> Checked {
        let cursor = self.cursor;
        let subscription = self.subscription.get_or_insert_with(|| {
            let interest = Interest { system: true, ..Interest::of(self.query.clone()) };
            Subscription::new(Arc::clone(view), interest, cursor)
        });
        match subscription.next(bytes, Waker::noop()) {
            Ok(Step::Events(events)) => {
                self.seen.extend(events.iter().map(annal_event::StoredEvent::position));
            }
            Ok(Step::Scanned | Step::CaughtUp) => {}
            Err(error) => return violated(5, format!("a subscriber could not read: {error}")),
        }
        self.cursor = subscription.cursor();
        Ok(())
    }

    /// INV-5: exactly the matching events between start and cursor, once, in order.
    pub(crate) fn check(&self, history: &History) -> Checked {
        let expected = history.matching(&self.query, self.from, self.cursor);
        check(self.seen == expected, 5, || {
            format!("{:?} from {} to {}: {:?}", self.query, self.from, self.cursor, self.seen)
        })
    }
}
