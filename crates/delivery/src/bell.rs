//! Wakes those who wait for the log to grow.
//!
//! Whoever waits has a seat, with at most one waker on it, and gives it back when it leaves: a
//! quiet log and clients that come and go leave nothing behind.

use std::task::Waker;

use parking_lot::Mutex;

/// Tasks that have seen everything and wait for more.
#[derive(Debug, Default)]
pub struct Bell {
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A place at a [`Bell`]; to be given back with [`Bell::leave`].
#[derive(Debug)]
pub struct Seat(usize);

impl Bell {
    /// Takes a seat.
    pub fn sit(&self) -> Seat {
        let mut seats = self.seats.lock();
        if let Some(free) = seats.free.pop() {
            return Seat(free);
        }
        seats.wakers.push(None);
        Seat(seats.wakers.len() - 1)
    }

    /// Leaves a waker that the next [`Bell::ring`] wakes, once, in place of the one before. Look at
    /// the head again afterwards: what was published before the call does not ring again.
    pub fn wait(&self, seat: &Seat, waker: &Waker) {
        let place = &mut self.seats.lock().wakers[seat.0];
        match place {
            Some(have) => have.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }

    /// Gives a seat back.
    pub fn leave(&self, seat: Seat) {
        let mut seats = self.seats.lock();
        seats.wakers[seat.0] = None;
        seats.free.push(seat.0);
    }

    /// Wakes all who wait.
    pub fn ring(&self) {
        // Woken outside the lock: a task that wakes takes it at once.
        let wakers: Vec<_> = self.seats.lock().wakers.iter_mut().filter_map(Option::take).collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.seats.lock().wakers.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_holds_one_waker_and_is_used_again() {
        let bell = Bell::default();
        let (first, second) = (bell.sit(), bell.sit());
        for _ in 0..3 {
            bell.wait(&first, Waker::noop());
            bell.wait(&second, Waker::noop());
        }
        assert_eq!(bell.waiting(), 2);
        bell.leave(second);
        assert_eq!(bell.waiting(), 1);
        bell.ring();
        assert_eq!(bell.waiting(), 0);
        bell.sit();
        assert_eq!(bell.seats.lock().wakers.len(), 2);
    }
}
