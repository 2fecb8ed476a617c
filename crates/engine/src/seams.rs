//! Time and chance, so that the simulator can replace them.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use annal_event::Timestamp;

/// What time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall-clock time. It may jump; recorded times never go backwards all the same.
    fn now(&self) -> Timestamp;
}

/// Where unpredictable numbers come from.
pub trait Random: fmt::Debug + Send + Sync {
    /// 64 random bits.
    fn next(&self) -> u64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The random numbers of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next(&self) -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().1
    }
}
