//! The writer: takes requests, decides them in order, and stages what is to be committed.
//!
//! It alone gives out positions and writes to the memory table of the index. Several requests
//! become one group; the group is what the committer takes. See [`crate::decide`] for the rules.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use annal_event::{Encoded, Position, Timestamp};
use smallvec::SmallVec;

use crate::{
    append::{AppendError, Appended, Outcome},
    decide::{Decision, Head, Known, Named, Scratch, Store, decide},
    effects,
    engine::Core,
    queue::{Request, Taken},
    stage::{Answer, NewEvents},
};

/// Memory tables, of the index or of rows, that may wait to be written before the writer waits for
/// them.
const TABLES_BEHIND_MAX: u64 = 6;

/// How long the writer sleeps before it looks again whether they are written.
const BEHIND_NAP: Duration = Duration::from_millis(1);

/// Decides appends, one after the other.
#[derive(Debug)]
pub struct Writer {
    core: Arc<Core>,
    requests: VecDeque<Request>,
    /// The last position given out.
    last: Position,
    /// The time given to the last group; recorded times never go backwards.
    time: Timestamp,
    scratch: Scratch,
}

/// What a step found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was done.
    Worked,
    /// There was nothing to do.
    Idle,
    /// There will never be anything to do again.
    Finished,
}

impl Writer {
    pub(crate) fn new(core: Arc<Core>, time: Timestamp) -> Writer {
        let last = core.view.head();
        Writer { core, requests: VecDeque::new(), last, time, scratch: Scratch::default() }
    }

    /// Decides everything that waits, or one group full of it; waits up to `patience` if nothing
    /// does.
    pub fn step(&mut self, patience: Duration) -> Progress {
        self.take_back_if_broken();
        if self.upkeep_is_behind() {
            // The queue fills up and refuses; memory does not grow.
            std::thread::sleep(patience.min(BEHIND_NAP));
            return Progress::Idle;
        }
        if self.requests.is_empty() {
            match self.core.queue.take(&mut self.requests, patience) {
                Taken::Some => {}
                Taken::None => return Progress::Idle,
                Taken::Closed => {
                    self.core.stage.close();
                    return Progress::Finished;
                }
            }
        }
        if !self.core.stage.wait_for_room(patience) {
            return Progress::Idle;
        }
        while let Some(request) = self.requests.pop_front() {
            self.handle(request);
            if !self.core.stage.wait_for_room(Duration::ZERO) {
                break;
            }
        }
        Progress::Worked
    }

    fn upkeep_is_behind(&self) -> bool {
        let table = u64::from(self.core.options.index.table_events);
        let rows = TABLES_BEHIND_MAX as usize * self.core.options.store.table_bytes;
        self.core.view.index().lag() > TABLES_BEHIND_MAX * table
            || self.core.view.store().overlay_bytes() > rows
    }

    fn handle(&mut self, request: Request) {
        let Request { append, mut reply } = request;
        loop {
            self.take_back_if_broken();
            if let Some(error) = self.core.failure() {
                return Answer { reply, answer: Err(error) }.send();
            }
            let view = &self.core.view;
            let hidden = view.deletions().as_of(Position::MAX);
            let time = self.core.stage.time(self.core.clock.now()).max(self.time);
            let head = Head { view, stage: &self.core.stage, last: self.last, hidden, time };
            let decision = decide(&head, &append, &mut self.scratch);
            match self.stage(&append.events, decision, time, reply) {
                Ok(()) => return,
                Err(again) => reply = again,
            }
        }
    }

    /// Stages a decision. The reply comes back if the stage broke meanwhile and all is to be
    /// decided again.
    fn stage(
        &mut self,
        events: &Encoded,
        decision: Decision,
        time: Timestamp,
        reply: crate::append::Reply,
    ) -> Result<(), crate::append::Reply> {
        let Store { known, effects, named } = match decision {
            Decision::Store(store) => store,
            Decision::Nothing => {
                let answer = Ok(self.appended(Outcomes::new(), self.last, self.time));
                return self.answer_only(Answer { reply, answer });
            }
            Decision::Refused(error) => {
                self.core.stats.refused(&error);
                return self.answer_only(Answer { reply, answer: Err(error) });
            }
        };
        let (named, ids) = match named.map(|named| *named) {
            Some(Named { events, ids }) => (Some(events), ids),
            None => (None, Vec::new()),
        };
        let events = named.as_ref().unwrap_or(events);
        let first = self.last.next();
        let (outcomes, new) = outcomes(first, events.len(), &known);
        let new = match &new {
            None => NewEvents::All(events),
            Some(marks) => NewEvents::Some(events, marks),
        };
        let count = new.len();
        let head = self.last.plus(count as u64);
        self.core.stats.decided(count, events.len() - count, events.payload().len());
        if count == 0 {
            let answer = Ok(self.appended(outcomes, head, self.time));
            return self.answer_only(Answer { reply, answer });
        }
        if let Err(error) = self.index(first, &new) {
            let answer = Err(AppendError::Unavailable { reason: error });
            return self.answer_only(Answer { reply, answer });
        }
        let mut appended = Appended { ids, ..self.appended(outcomes, head, time) };
        appended.hidden = effects.hides.as_ref().map_or(0, |(_, events)| events.len() as u64);
        effects.stage(&self.core.view);
        self.core.view.store().advance(head);
        let answer = Ok(appended);
        match self.core.stage.push(first, time, Some(new), Answer { reply, answer }) {
            Ok(()) => {
                self.last = head;
                self.time = time;
                Ok(())
            }
            Err((_, answer)) => Err(answer.reply),
        }
    }

    /// An answer without new events waits, like any other, for what it was judged by.
    fn answer_only(&mut self, answer: Answer) -> Result<(), crate::append::Reply> {
        if self.core.stage.is_idle() {
            answer.send();
            return Ok(());
        }
        let pushed = self.core.stage.push(self.last.next(), self.time, None, answer);
        pushed.map_err(|(_, answer)| answer.reply)
    }

    fn index(&self, first: Position, new: &NewEvents<'_>) -> Result<(), String> {
        let index = self.core.view.index();
        let inserted = match new {
            NewEvents::All(events) => index.insert(first, events, 0, events.len()),
            NewEvents::Some(events, marks) => {
                let mut position = first;
                (0..events.len()).filter(|index| marks[*index]).try_for_each(|at| {
                    let inserted = index.insert(position, events, at, at + 1);
                    position = position.next();
                    inserted
                })
            }
        };
        inserted.map_err(|error| {
            let undone = index.rollback(self.last);
            undone.map_or_else(|undo| format!("{error}; {undo}"), |()| error.to_string())
        })
    }

    fn appended(&self, outcomes: Outcomes, head: Position, recorded: Timestamp) -> Appended {
        let durability = self.core.options.durability;
        Appended { outcomes, head, recorded, hidden: 0, ids: Vec::new(), durability }
    }

    /// After a failed commit: forgets everything staged and answers those who waited for it.
    fn take_back_if_broken(&mut self) {
        let Some((error, answers)) = self.core.stage.take_back() else { return };
        let head = self.core.view.head();
        if let Err(error) = effects::rollback(&self.core.view, head) {
            self.core.fail(&format!("what was staged could not be taken back: {error}"));
        }
        self.last = head;
        for answer in answers {
            answer.fail(&error);
        }
    }
}

type Outcomes = SmallVec<[Outcome; 1]>;

/// The outcome of each event, and marks for those that are new unless all are.
fn outcomes(first: Position, len: usize, known: &[Known]) -> (Outcomes, Option<Vec<bool>>) {
    if known.is_empty() {
        let new = |index| Outcome { position: first.plus(index), duplicate: false };
        return ((0..len as u64).map(new).collect(), None);
    }
    let mut outcomes = Outcomes::with_capacity(len);
    let mut next = first;
    for known in known {
        let outcome = match known {
            Known::No => {
                let position = next;
                next = next.next();
                Outcome { position, duplicate: false }
            }
            Known::At(position) => Outcome { position: *position, duplicate: true },
            Known::Twin(earlier) => {
                Outcome { position: outcomes[*earlier].position, duplicate: true }
            }
        };
        outcomes.push(outcome);
    }
    (outcomes, Some(known.iter().map(|known| *known == Known::No).collect()))
}
