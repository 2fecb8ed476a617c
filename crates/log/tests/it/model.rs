//! The log against a model of ten lines: a list of batches and how many of them are durable.

use std::sync::Arc;

use annal_event::{Batch, Digest, Position, Timestamp};
use annal_log::{LogReader, LogWriter};
use annal_storage::FaultStorage;

use crate::support::{Rng, append, batch, events_of, open_with, options, read_all};

#[derive(Default)]
struct Model {
    batches: Vec<(Arc<Batch>, Digest)>,
    durable: usize,
    published: usize,
}

struct Run {
    seed: u64,
    rng: Rng,
    disk: FaultStorage,
    log: (LogWriter, LogReader),
    model: Model,
    time: i64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = FaultStorage::new(seed);
        let log = open_with(&disk, options(), seed).expect("an empty disk");
        Run { seed, rng: Rng(seed), disk, log, model: Model::default(), time: 1000 }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..45 => self.write(),
            45..65 => self.sync(),
            65..80 => self.publish(),
            80..94 => drop(self.log.1.seal_step().expect("upkeep")),
            94..96 => self.check(),
            96 => self.reopen(),
            97 => self.close(),
            _ => self.crash(),
        }
    }

    fn write(&mut self) {
        let count = match self.rng.below(4) {
            0 => 1 + self.rng.below(20),
            _ => 1,
        };
        let sizes: Vec<usize> = (0..count).map(|_| self.rng.below(300) as usize).collect();
        self.time += self.rng.below(3) as i64 * 10 - 5;
        let first = self.log.0.head().0 + 1;
        let next = batch(first, self.time, &sizes, self.rng.next());
        self.log.0.write(&next.0, &next.1).expect("write");
        self.model.batches.push(next);
    }

    fn sync(&mut self) {
        let durable = self.log.0.sync().expect("sync");
        assert_eq!(durable, self.log.0.head());
        self.model.durable = self.model.batches.len();
    }

    fn publish(&mut self) {
        for (batch, _) in &self.model.batches[self.model.published..] {
            self.log.0.publish(Arc::clone(batch));
        }
        self.model.published = self.model.batches.len();
    }

    fn check(&mut self) {
        let expected = events_of(&self.model.batches[..self.model.published]);
        let reader = &self.log.1;
        assert_eq!(reader.head().0, expected.len() as u64);
        let max_bytes = 1 + self.rng.below(3000) as usize;
        let seen = read_all(reader, max_bytes).expect("read");
        if let Some(at) =
            (0..seen.len().max(expected.len())).find(|i| seen.get(*i) != expected.get(*i))
        {
            panic!(
                "seed {}: position {} of {} differs (max_bytes {max_bytes}, durable {})",
                self.seed,
                at + 1,
                expected.len(),
                self.model.durable,
            );
        }

        let mut positions: Vec<Position> =
            (0..30).map(|_| Position(self.rng.below(expected.len() as u64 + 3))).collect();
        positions.push(reader.head());
        let mut found = Vec::new();
        reader.get_many(&positions, &mut found).expect("get_many");
        positions.retain(|p| *p > Position::ZERO && p.0 <= expected.len() as u64);
        assert_eq!(found.iter().map(|e| e.position()).collect::<Vec<_>>(), positions);
        for event in found {
            let (time, record) = &expected[event.position().0 as usize - 1];
            assert_eq!((event.recorded().0, event.record()), (*time, &record[..]));
        }

        let time = self.time - self.rng.below(60) as i64;
        let at = expected.iter().position(|(t, _)| *t >= time).unwrap_or(expected.len());
        let found = reader.position_at(Timestamp(time)).expect("position_at");
        assert_eq!(found.0, at as u64 + 1, "seed {}", self.seed);
    }

    /// The process dies, the machine does not.
    fn reopen(&mut self) {
        self.log = open_with(&self.disk, options(), self.rng.next()).expect("reopen");
        self.recovered(self.model.batches.len());
    }

    fn close(&mut self) {
        let fresh = FaultStorage::new(0);
        let empty = open_with(&fresh, options(), 0).expect("an empty disk");
        let (mut writer, _) = std::mem::replace(&mut self.log, empty);
        writer.close().expect("close");
        self.model.durable = self.model.batches.len();
        self.disk = self.disk.crash(self.rng.next());
        self.log = open_with(&self.disk, options(), self.rng.next()).expect("reopen");
        self.recovered(self.model.batches.len());
    }

    fn crash(&mut self) {
        if self.rng.below(2) == 0 {
            // Die in the middle of whatever comes next.
            self.publish();
            self.disk.die_after(self.rng.below(6));
            for _ in 0..8 {
                let first = self.log.0.head().0 + 1;
                let next = batch(first, self.time, &[200], self.rng.next());
                match self.rng.below(3) {
                    0 => drop(self.log.1.seal_step()),
                    _ if append(&mut self.log.0, &next).is_ok() => {
                        self.model.batches.push(next);
                        self.model.durable = self.model.batches.len();
                    }
                    // It may be there or not.
                    _ if self.log.0.head() == next.0.last() => self.model.batches.push(next),
                    _ => {
                        self.model.batches.push(next);
                        break;
                    }
                }
            }
        }
        self.disk = self.disk.crash(self.rng.next());
        // Recovery itself may be interrupted.
        if self.rng.below(3) == 0 {
            self.disk.die_after(self.rng.below(5));
            drop(open_with(&self.disk, options(), self.rng.next()));
            self.disk = self.disk.crash(self.rng.next());
        }
        self.log = open_with(&self.disk, options(), self.rng.next())
            .unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        self.recovered(self.model.durable);
    }

    /// What was durable is there, and nothing but a prefix of what was written.
    fn recovered(&mut self, least: usize) {
        let head = self.log.0.head();
        let kept = self.model.batches.iter().take_while(|(b, _)| b.last() <= head).count();
        assert!(kept >= least, "seed {}: {kept} of {least} batches", self.seed);
        self.model.batches.truncate(kept);
        let last = self.model.batches.last().map_or(Position::ZERO, |(b, _)| b.last());
        assert_eq!(head, last, "seed {}: whole batches", self.seed);
        (self.model.durable, self.model.published) = (kept, kept);
        self.check();
    }
}

fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.step();
        }
        run.sync();
        run.publish();
        run.check();
        let report = annal_log::verify(&run.disk, "log", |_| {})
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!((report.head, report.chain), (run.log.0.head(), run.log.0.chain()));
    }
}

#[test]
fn the_log_agrees_with_the_model() {
    run(0..400);
}
