//! What one consumer is sent next, and when: the state machine behind a webhook.
//!
//! A courier is told which events there are ([`Courier::offer`]), puts them into parcels, and says
//! which parcel to send now ([`Courier::next`]); whoever sends it says how that went. It has no
//! clock, no socket and no events: positions, lanes and milliseconds.
//!
//! Invariants:
//! - INV-5: every event offered is delivered or given up, once, and within its lane in order. A lane
//!   has one parcel at a time; what comes later waits behind it, and no other lane waits with it.
//! - A parcel keeps its events over all attempts, also over a restart, so that it can keep its name.
//! - What is held is bounded. Of a lane that fails, what is too much is skipped, to be read
//!   [again](Courier::again) once the lane is free; past [`Policy::pending_max`] events nothing more is
//!   [wanted](Courier::wants), and the cursor stops.
//! - [`Courier::progress`] after each outcome is enough to go on from: after a crash only what was
//!   in flight is sent again.

mod progress;
mod skipped;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    mem,
};

use annal_event::{Ordering, Position};

pub use progress::{Progress, Waiting};
pub use skipped::Again;

/// Longest time that anything waits, whatever an endpoint asks for.
const WAIT_MS_MAX: u64 = 24 * 3_600 * 1_000;

/// After so many failures in a row the endpoint is taken to be down.
const DOWN_AFTER: u32 = 5;
/// Then something new is tried so much later, twice as long after each further failure.
const PROBE_MS_FIRST: u64 = 1_000;
const PROBE_MS_MAX: u64 = 60_000;

/// Waits differ by so much, in both directions, so that retries of many do not come together.
const JITTER_PERCENT: u64 = 20;

/// How a consumer wants its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most events in a parcel.
    pub batch_size: usize,
    /// About so many bytes in a parcel; one event may be larger.
    pub batch_bytes: usize,
    /// Most parcels on their way at a time.
    pub in_flight_max: usize,
    /// Which events wait for which.
    pub ordering: Ordering,
    /// Waits after each failure; none left: given up.
    pub schedule_ms: Vec<u64>,
    /// Given up when the next attempt would be so long after the first.
    pub max_age_ms: Option<u64>,
    /// Most events that are held, on their way or waiting.
    pub pending_max: usize,
}

impl Policy {
    /// The lane of an event with this subject; `None`: it waits for no other.
    pub fn lane(&self, subject: Option<&str>) -> Option<u64> {
        match self.ordering {
            Ordering::None => None,
            Ordering::Log => Some(0),
            // FNV-1a, since it stands in registers.
            Ordering::Subject => Some(subject.map_or(1, |subject| {
                subject.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
                })
            })),
        }
    }
}

/// An event to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub position: Position,
    /// Those of one lane are delivered in order.
    pub lane: Option<u64>,
    /// About how large it is, in bytes.
    pub bytes: usize,
    /// Position of the event that redrives it; zero: it comes from the log for the first time.
    pub round: Position,
}

/// Events to send in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// To say how it went.
    pub key: u64,
    /// The events, in order.
    pub positions: Vec<Position>,
    /// See [`Item::round`].
    pub round: Position,
    /// How often it was tried before.
    pub attempts: u32,
}

/// What becomes of a parcel that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again at this time.
    Retry(i64),
    /// It is given up: to be [buried](Courier::buried) once somebody has taken note of it.
    Dead(Parcel),
    /// Nobody knows of it (any more).
    Unknown,
}

/// What waits in a lane.
#[derive(Debug)]
struct Behind {
    /// The parcel that holds the lane.
    parcel: u64,
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Held {
    items: Vec<Item>,
    attempts: u32,
    first_at: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flying,
    Waiting(i64),
    Dead,
}

/// See the module.
#[derive(Debug)]
pub struct Courier {
    policy: Policy,
    /// Everything up to here has been looked at.
    looked: Position,
    /// Events nobody has put anywhere yet, in the order of the log.
    fresh: VecDeque<Item>,
    /// Events that have waited and may go, before all fresh ones.
    released: VecDeque<Item>,
    /// By lane that a parcel holds: what waits behind it.
    behind: HashMap<u64, Behind>,
    behind_count: usize,
    /// By lane, the first of its events that are not held though the cursor is past them: they are to
    /// be read again.
    skipped: HashMap<u64, Position>,
    parcels: BTreeMap<u64, Held>,
    parcel_items: usize,
    /// Parcels that wait, by when.
    waiting: BTreeSet<(i64, u64)>,
    flying: usize,
    next_key: u64,
    failures: u32,
    /// While the endpoint is down: when something new is tried.
    probe_at: Option<i64>,
    /// Nothing is sent before.
    hold_until: i64,
    /// The last redrive that was taken in.
    redriven: Position,
}

impl Courier {
    /// Begins after a position.
    pub fn new(policy: Policy, after: Position) -> Courier {
        Courier {
            policy,
            looked: after,
            fresh: VecDeque::new(),
            released: VecDeque::new(),
            behind: HashMap::new(),
            behind_count: 0,
            skipped: HashMap::new(),
            parcels: BTreeMap::new(),
            parcel_items: 0,
            waiting: BTreeSet::new(),
            flying: 0,
            next_key: 0,
            failures: 0,
            probe_at: None,
            hold_until: i64::MIN,
            redriven: Position::ZERO,
        }
    }

    /// Goes on from where another has come. `find` says lane and bytes of an event that is still
    /// there.
    pub fn restore(
        policy: Policy,
        progress: &Progress,
        mut find: impl FnMut(Position) -> Option<(Option<u64>, usize)>,
    ) -> Courier {
        let mut courier = Courier::new(policy, progress.cursor);
        courier.redriven = progress.redriven;
        courier.skipped = progress.skipped.iter().copied().collect();
        let mut item = |position, round| {
            find(position).map(|(lane, bytes)| Item { position, lane, bytes, round })
        };
        for waiting in &progress.waiting {
            let items: Vec<_> = waiting
                .positions
                .iter()
                .filter_map(|position| item(*position, waiting.round))
                .collect();
            if items.is_empty() {
                continue;
            }
            let state = State::Waiting(waiting.due);
            let Waiting { attempts, first_at, .. } = *waiting;
            courier.hold(Held { items, attempts, first_at, state });
        }
        courier.released =
            progress.loose.iter().filter_map(|(at, round)| item(*at, *round)).collect();
        courier
    }

    /// Whether another event may be offered.
    pub fn wants(&self) -> bool {
        let ready = self.fresh.len() + self.released.len();
        let free = self.policy.in_flight_max.saturating_sub(self.flying) + 1;
        ready < self.policy.batch_size * free && self.pending() < self.policy.pending_max
    }

    /// Events held, on their way or waiting.
    pub fn pending(&self) -> usize {
        self.fresh.len() + self.released.len() + self.behind_count + self.parcel_items
    }

    /// The next event of the log that is wanted.
    pub fn offer(&mut self, item: Item) {
        assert!(item.position > self.looked, "INV-5: events are offered in order");
        self.looked = item.position;
        self.fresh.push_back(item);
    }

    /// Everything up to here has been looked at.
    pub fn passed(&mut self, upto: Position) {
        self.looked = self.looked.max(upto);
    }

    /// Everything up to here has been looked at.
    pub fn looked(&self) -> Position {
        self.looked
    }

    /// Events that were given up and are to be delivered after all. A redrive that was taken in
    /// before is not taken in again.
    pub fn redrive(&mut self, by: Position, items: impl IntoIterator<Item = Item>) {
        if by > self.redriven {
            self.redriven = by;
            self.released.extend(items.into_iter().map(|item| Item { round: by, ..item }));
        }
    }

    /// The last redrive that was taken in.
    pub fn redriven(&self) -> Position {
        self.redriven
    }

    /// The next parcel to send, if one may be sent now. It is on its way then.
    pub fn next(&mut self, now: i64) -> Option<Parcel> {
        if self.flying >= self.policy.in_flight_max || now < self.hold_until {
            return None;
        }
        // An endpoint that is down is asked one thing at a time.
        if self.probe_at.is_some() && self.flying > 0 {
            return None;
        }
        let due = self.waiting.first().filter(|(due, _)| *due <= now).copied();
        if let Some((due, key)) = due {
            self.waiting.remove(&(due, key));
            return self.fly(key, now);
        }
        if self.probe_at.is_some_and(|at| now < at) {
            return None;
        }
        let items = self.collect()?;
        let key = self.hold(Held { items, attempts: 0, first_at: now, state: State::Flying });
        self.parcel(key)
    }

    fn fly(&mut self, key: u64, now: i64) -> Option<Parcel> {
        let held = self.parcels.get_mut(&key)?;
        held.state = State::Flying;
        held.first_at = held.first_at.min(now);
        self.flying += 1;
        self.parcel(key)
    }

    fn parcel(&self, key: u64) -> Option<Parcel> {
        let held = self.parcels.get(&key)?;
        let positions = held.items.iter().map(|item| item.position).collect();
        let round = held.items.first().map_or(Position::ZERO, |item| item.round);
        Some(Parcel { key, positions, round, attempts: held.attempts })
    }

    /// Takes events for a parcel, in order; those whose lane is held go behind it.
    fn collect(&mut self) -> Option<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let (mut mine, mut bytes) = (HashSet::new(), 0);
        while items.len() < self.policy.batch_size {
            let waited = !self.released.is_empty();
            let queue = if waited { &mut self.released } else { &mut self.fresh };
            let Some(item) = queue.front() else { break };
            let full = bytes + item.bytes > self.policy.batch_bytes;
            let first = items.first().map_or(item.round, |first| first.round);
            if !items.is_empty() && (full || first != item.round) {
                break;
            }
            let Some(item) = queue.pop_front() else { break };
            if let Some(lane) = item.lane {
                if self.is_skipped(lane, &item) {
                    continue;
                }
                if !mine.contains(&lane) {
                    if self.behind.contains_key(&lane) {
                        self.wait_behind(lane, item);
                        continue;
                    }
                    mine.insert(lane);
                }
            }
            bytes += item.bytes;
            items.push(item);
        }
        (!items.is_empty()).then_some(items)
    }

    /// Keeps a parcel, and its lanes with it.
    fn hold(&mut self, held: Held) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        for lane in held.items.iter().filter_map(|item| item.lane) {
            let behind = || Behind { parcel: key, items: VecDeque::new() };
            self.behind.entry(lane).or_insert_with(behind);
        }
        self.parcel_items += held.items.len();
        match held.state {
            State::Flying => self.flying += 1,
            State::Waiting(due) => drop(self.waiting.insert((due, key))),
            State::Dead => {}
        }
        self.parcels.insert(key, held);
        key
    }

    /// Lets a parcel go, and what waited behind it.
    fn release(&mut self, key: u64) {
        let Some(held) = self.parcels.remove(&key) else { return };
        self.parcel_items -= held.items.len();
        let mut free = Vec::new();
        for lane in held.items.iter().filter_map(|item| item.lane) {
            free.extend(self.behind.remove(&lane).into_iter().flat_map(|behind| behind.items));
        }
        self.behind_count -= free.len();
        // Of one lane they are in order already.
        free.sort_by_key(|item| item.position);
        free.into_iter().rev().for_each(|item| self.released.push_front(item));
    }

    /// Takes a parcel that is on its way, to say how it went.
    fn landed(&mut self, key: u64) -> Option<&mut Held> {
        let held = self.parcels.get_mut(&key).filter(|held| held.state == State::Flying)?;
        self.flying -= 1;
        Some(held)
    }

    /// A parcel has arrived.
    pub fn delivered(&mut self, key: u64, now: i64) {
        if self.landed(key).is_none() {
            return;
        }
        self.release(key);
        self.failures = 0;
        if self.probe_at.take().is_some() {
            // What waited for the endpoint to come back need not wait for its turn.
            self.wait_no_longer(now);
        }
    }

    fn wait_no_longer(&mut self, now: i64) {
        for (_, key) in mem::take(&mut self.waiting) {
            if let Some(held) = self.parcels.get_mut(&key) {
                held.state = State::Waiting(now);
                self.waiting.insert((now, key));
            }
        }
    }

    /// Somebody says that the endpoint is well: nothing waits any longer, whatever it asked for.
    pub fn go_on(&mut self, now: i64) {
        self.failures = 0;
        self.probe_at = None;
        self.hold_until = i64::MIN;
        self.wait_no_longer(now);
    }

    /// A parcel has not arrived. `retry_after_ms` is what the endpoint asked for; nothing at all is
    /// sent before that. `random` spreads the retries of many.
    pub fn failed(
        &mut self,
        key: u64,
        now: i64,
        retry_after_ms: Option<u64>,
        random: u64,
    ) -> Verdict {
        let Some(held) = self.landed(key) else { return Verdict::Unknown };
        held.attempts += 1;
        let (attempts, first_at) = (held.attempts, held.first_at);
        self.failures = self.failures.saturating_add(1);
        if let Some(over) = self.failures.checked_sub(DOWN_AFTER) {
            let wait = PROBE_MS_FIRST.saturating_mul(1 << over.min(16)).min(PROBE_MS_MAX);
            self.probe_at = Some(now.saturating_add(wait as i64));
        }
        let asked = retry_after_ms.unwrap_or(0).min(WAIT_MS_MAX);
        if asked > 0 {
            self.hold_until = self.hold_until.max(now.saturating_add(asked as i64));
        }
        let planned = self.policy.schedule_ms.get(attempts as usize - 1);
        let due = planned.map(|wait| {
            let wait = spread((*wait).min(WAIT_MS_MAX), random).max(asked);
            now.saturating_add(wait as i64)
        });
        let in_time = |due: &i64| {
            let age = due.saturating_sub(first_at).max(0) as u64;
            self.policy.max_age_ms.is_none_or(|max| age <= max)
        };
        match due.filter(in_time) {
            Some(due) => {
                self.set(key, State::Waiting(due));
                self.waiting.insert((due, key));
                self.shed(key);
                Verdict::Retry(due)
            }
            None => {
                self.set(key, State::Dead);
                self.parcel(key).map_or(Verdict::Unknown, Verdict::Dead)
            }
        }
    }

    fn set(&mut self, key: u64, state: State) {
        if let Some(held) = self.parcels.get_mut(&key) {
            held.state = state;
        }
    }

    /// A parcel that was given up has been taken note of.
    pub fn buried(&mut self, key: u64) {
        if self.parcels.get(&key).is_some_and(|held| held.state == State::Dead) {
            self.release(key);
        }
    }

    /// A parcel was called back before anything was known of it: it is sent again, and counts as if
    /// it had not been.
    pub fn recalled(&mut self, key: u64, now: i64) {
        if self.landed(key).is_some() {
            self.set(key, State::Waiting(now));
            self.waiting.insert((now, key));
        }
    }

    /// When [`Courier::next`] may have something that it has not now; `None`: not before something
    /// else happens.
    pub fn wake_at(&self) -> Option<i64> {
        if self.flying >= self.policy.in_flight_max || self.probe_at.is_some() && self.flying > 0 {
            return None;
        }
        let retry = self.waiting.first().map(|(due, _)| *due);
        let ready = !self.fresh.is_empty() || !self.released.is_empty();
        let new = ready.then(|| self.probe_at.unwrap_or(i64::MIN));
        let next = [retry, new].into_iter().flatten().min()?;
        Some(next.max(self.hold_until))
    }

    /// When something is sent after a failure: a parcel that failed, or (of what is ready, and held
    /// back) the next probe. `None`: nothing waits for that. To be asked when [`Courier::next`] has
    /// no more.
    pub fn next_attempt(&self) -> Option<i64> {
        let retry = self.waiting.first().map(|(due, _)| *due);
        let ready = !self.fresh.is_empty() || !self.released.is_empty();
        let held_back = self.probe_at.or((self.hold_until > i64::MIN).then_some(self.hold_until));
        let new = held_back.filter(|_| ready && self.flying == 0);
        let next = [retry, new].into_iter().flatten().min()?;
        Some(next.max(self.hold_until))
    }

    /// Parcels on their way.
    pub fn flying(&self) -> usize {
        self.flying
    }

    /// Everything up to here has been put into a parcel or behind one, or skipped.
    pub fn cursor(&self) -> Position {
        self.fresh.front().map_or(self.looked, |item| item.position.prev())
    }

    /// Everything of the log up to here is delivered, given up, or was not wanted.
    pub fn done(&self) -> Position {
        let parcels = self.parcels.values().flat_map(|held| &held.items);
        let behind = self.behind.values().flat_map(|behind| &behind.items);
        let held = parcels.chain(behind).chain(&self.released).chain(self.fresh.front());
        let first = held.filter(|item| item.round == Position::ZERO).map(|item| item.position);
        first.chain(self.skipped.values().copied()).min().map_or(self.looked, Position::prev)
    }

    /// How far it has come, for [`Courier::restore`].
    pub fn progress(&self) -> Progress {
        let cursor = self.cursor();
        let mut progress = Progress { cursor, redriven: self.redriven, ..Progress::default() };
        for held in self.parcels.values() {
            let round = held.items.first().map_or(Position::ZERO, |item| item.round);
            if held.attempts == 0 {
                progress.loose.extend(held.items.iter().map(|item| (item.position, round)));
                continue;
            }
            let due = match held.state {
                State::Waiting(due) => due,
                State::Flying | State::Dead => held.first_at,
            };
            progress.waiting.push(Waiting {
                positions: held.items.iter().map(|item| item.position).collect(),
                round,
                attempts: held.attempts,
                first_at: held.first_at,
                due,
            });
        }
        let behind = self.behind.values().flat_map(|behind| &behind.items);
        let loose = behind.chain(&self.released);
        progress.loose.extend(loose.map(|item| (item.position, item.round)));
        progress.loose.sort_unstable();
        progress.skipped.extend(self.skipped.iter().map(|(lane, first)| (*lane, *first)));
        progress.skipped.sort_unstable_by_key(|(_, first)| *first);
        progress
    }
}

/// A wait, give or take.
fn spread(wait: u64, random: u64) -> u64 {
    let percent = 100 - JITTER_PERCENT + random % (2 * JITTER_PERCENT + 1);
    wait.saturating_mul(percent) / 100
}
