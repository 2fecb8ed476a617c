//! Wakes those who wait for the log to grow, and only those to whom it matters.
//!
//! Whoever waits has a seat, with at most one waker on it, and gives it back when it leaves: a
//! quiet log and clients that come and go leave nothing behind. A seat says what it waits for in
//! the attributes that events are found by, so that an event costs its matches and not its audience.
//!
//! The bell also knows, for a seat that was passed over, how far: nothing up to there is of
//! interest, and nobody has to look.

use std::{collections::HashMap, mem, task::Waker};

use annal_event::{Batch, Interest, Position, proto};
use parking_lot::Mutex;

use crate::topic::{self, Topic};

/// Tasks that have seen everything and wait for more.
#[derive(Debug, Default)]
pub struct Bell {
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Who waits for events that carry a topic.
    by_topic: HashMap<Topic, Vec<u32>>,
    /// Who waits for any event.
    everything: Vec<u32>,
    /// Everything up to here has been rung for.
    rung: Position,
}

#[derive(Debug, Default)]
struct Place {
    waker: Option<Waker>,
    /// What had been rung for when it began to wait.
    since: Position,
    /// From there up to here nothing was of interest when it was woken.
    passed: Position,
    /// `None`: any event.
    topics: Option<Box<[Topic]>>,
}

/// A place at a [`Bell`]; to be given back with [`Bell::leave`].
#[derive(Debug)]
pub struct Seat(u32);

impl Bell {
    /// Takes a seat for an interest; without one, for whatever comes.
    pub fn sit(&self, interest: Option<&Interest>) -> Seat {
        let topics = interest.and_then(|interest| topic::of_query(&interest.narrowed()));
        let mut seats = self.seats.lock();
        let seat = match seats.free.pop() {
            Some(free) => free,
            None => {
                seats.places.push(Place::default());
                seats.places.len() as u32 - 1
            }
        };
        match &topics {
            None => seats.everything.push(seat),
            Some(topics) => {
                for topic in topics {
                    seats.by_topic.entry(*topic).or_default().push(seat);
                }
            }
        }
        seats.places[seat as usize] = Place { topics, ..Place::default() };
        Seat(seat)
    }

    /// Leaves a waker that the next [`Bell::ring`] of interest wakes, once, in place of the one
    /// before. Look at the head again afterwards: what was published before the call does not ring
    /// again.
    pub fn wait(&self, seat: &Seat, waker: &Waker) {
        let mut seats = self.seats.lock();
        let rung = seats.rung;
        let place = &mut seats.places[seat.0 as usize];
        match &mut place.waker {
            Some(have) => have.clone_from(waker),
            None => place.waker = Some(waker.clone()),
        }
        (place.since, place.passed) = (rung, rung);
    }

    /// The cursor of a seat, moved past what was of no interest to it while it waited.
    pub fn passed(&self, seat: &Seat, cursor: Position) -> Position {
        let seats = self.seats.lock();
        let place = &seats.places[seat.0 as usize];
        // Of what was rung for before it waited, and not looked at yet, nothing is known.
        if cursor < place.since {
            return cursor;
        }
        cursor.max(if place.waker.is_some() { seats.rung } else { place.passed })
    }

    /// Gives a seat back.
    pub fn leave(&self, seat: Seat) {
        let mut seats = self.seats.lock();
        let place = mem::take(&mut seats.places[seat.0 as usize]);
        match &place.topics {
            None => seats.everything.retain(|other| *other != seat.0),
            Some(topics) => topics.iter().for_each(|topic| seats.forget(*topic, seat.0)),
        }
        seats.free.push(seat.0);
    }

    /// Wakes all who wait for an event of a batch that has just become visible. In order.
    pub fn ring(&self, batch: &Batch) {
        let mut woken = Vec::new();
        let mut seats = self.seats.lock();
        let before = batch.first().prev();
        for seat in mem::take(&mut seats.everything) {
            seats.wake(seat, before, &mut woken);
            seats.everything.push(seat);
        }
        if !seats.by_topic.is_empty() {
            for (index, record) in batch.records().enumerate() {
                // One that does not decode concerns all: whoever reads it will say so.
                let Ok(keys) = proto::keys(record) else {
                    seats.wake_all(before, &mut woken);
                    break;
                };
                let before = Position(before.get() + index as u64);
                topic::of_keys(&keys, |topic| seats.wake_topic(topic, before, &mut woken));
            }
        }
        seats.rung = batch.last();
        drop(seats);
        // Woken outside the lock: a task that wakes takes it at once.
        woken.into_iter().for_each(Waker::wake);
    }

    /// Wakes all who wait, whatever for.
    pub fn ring_all(&self) {
        let mut woken = Vec::new();
        let mut seats = self.seats.lock();
        let rung = seats.rung;
        seats.wake_all(rung, &mut woken);
        drop(seats);
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.seats.lock().places.iter().filter(|place| place.waker.is_some()).count()
    }
}

impl Seats {
    fn wake(&mut self, seat: u32, passed: Position, woken: &mut Vec<Waker>) {
        let place = &mut self.places[seat as usize];
        if let Some(waker) = place.waker.take() {
            place.passed = passed;
            woken.push(waker);
        }
    }

    fn wake_topic(&mut self, topic: Topic, passed: Position, woken: &mut Vec<Waker>) {
        let Seats { by_topic, places, .. } = self;
        for seat in by_topic.get(&topic).into_iter().flatten() {
            let place = &mut places[*seat as usize];
            if let Some(waker) = place.waker.take() {
                place.passed = passed;
                woken.push(waker);
            }
        }
    }

    fn wake_all(&mut self, passed: Position, woken: &mut Vec<Waker>) {
        for seat in 0..self.places.len() as u32 {
            self.wake(seat, passed, woken);
        }
    }

    fn forget(&mut self, topic: Topic, seat: u32) {
        if let Some(seats) = self.by_topic.get_mut(&topic) {
            seats.retain(|other| *other != seat);
            if seats.is_empty() {
                self.by_topic.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use annal_event::{Encoded, Event, Pattern, Query, Selector, Timestamp};

    use super::*;

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn subject(text: &str) -> Interest {
        let subjects = vec![Pattern::subject(text)];
        Interest::of(Query::one(Selector { subjects, ..Selector::default() }))
    }

    fn batch(first: u64, subjects: &[&str]) -> Batch {
        let mut events = Encoded::default();
        for (at, subject) in subjects.iter().enumerate() {
            events.push(&Event::new(format!("{first}-{at}"), "/s", "t").with_subject(*subject));
        }
        events.commit(Position(first), Timestamp::default()).0
    }

    #[test]
    fn a_seat_holds_one_waker_and_is_used_again() {
        let bell = Bell::default();
        let (first, second) = (bell.sit(None), bell.sit(Some(&subject("a"))));
        for _ in 0..3 {
            bell.wait(&first, Waker::noop());
            bell.wait(&second, Waker::noop());
        }
        assert_eq!(bell.waiting(), 2);
        bell.leave(second);
        assert_eq!(bell.waiting(), 1);
        bell.ring_all();
        assert_eq!(bell.waiting(), 0);
        bell.leave(first);
        bell.sit(None);
        let seats = bell.seats.lock();
        assert_eq!((seats.places.len(), seats.everything.len(), seats.by_topic.len()), (2, 1, 0));
    }

    #[test]
    fn only_those_are_woken_whom_it_concerns() {
        // INV-5
        let bell = Bell::default();
        let counts: Vec<_> = (0..4).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        let interests = [None, Some(subject("a/1")), Some(subject("a/*")), Some(subject("b"))];
        let seats: Vec<_> = interests.iter().map(|interest| bell.sit(interest.as_ref())).collect();
        let wait = || {
            for (seat, count) in seats.iter().zip(&counts) {
                bell.wait(seat, &Waker::from(Arc::clone(count)));
            }
        };
        let woken = || counts.iter().map(|count| count.0.swap(0, SeqCst)).collect::<Vec<_>>();
        wait();
        bell.ring(&batch(1, &["c", "a/2", "a/2"]));
        assert_eq!(woken(), [1, 0, 1, 0]);
        let passed = || {
            let from = |seat| bell.passed(seat, Position::ZERO).get();
            seats.iter().map(from).collect::<Vec<_>>()
        };
        assert_eq!(passed(), [0, 3, 1, 3]);
        bell.ring(&batch(4, &["a", "a/1"]));
        assert_eq!(woken(), [0, 1, 0, 0], "who has been woken is not woken again");
        assert_eq!(passed(), [0, 4, 1, 5]);
        wait();
        assert_eq!(passed(), [0; 4], "what was rung for before is to be looked at");
        bell.ring_all();
        assert_eq!(woken(), [1; 4]);
        assert_eq!(bell.passed(&seats[0], Position(5)), Position(5));
    }
}
