//! What every authority must do, as a suite that any of them can be run through.
//!
//! The traps are those that others have fallen into: racing writers, a stale writer, gaps, a
//! reader that sees more than a prefix, batches torn apart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use annal_event::{Encoded, Event, Position, Timestamp, merkle_root};

use crate::{AppendError, Commit, CommitAuthority, Completion};

/// How long anything here may take before the suite calls it hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every case, each against a fresh, empty head. Panics at the first that fails.
pub fn run(mut fresh: impl FnMut() -> Arc<dyn CommitAuthority>) {
    appended_batches_are_read_back_whole(&*fresh());
    a_stale_writer_is_told_the_head(&*fresh());
    reading_is_bounded_but_never_stuck(&*fresh());
    waiting_ends_when_the_head_moves(&fresh());
    racing_writers_make_one_order(&fresh());
    readers_see_a_growing_prefix(&fresh());
}

/// A batch of `count` events after `after`, told apart by `name`.
pub fn commit(after: Position, name: &str, count: usize) -> Commit {
    let mut events = Encoded::default();
    for nth in 0..count {
        let id = format!("{name}-{nth}");
        events.push(&Event::new(&*id, "/conformance", "conformance.event").with_subject(name));
    }
    let (batch, digests) = events.commit(after.next(), Timestamp(after.0 as i64));
    Commit { batch: Arc::new(batch), root: merkle_root(&digests) }
}

fn append(
    authority: &dyn CommitAuthority,
    after: Position,
    commit: Commit,
) -> Result<(), AppendError> {
    authority.append(after, commit).wait(|| panic!("the authority dropped an append"))
}

fn read_all(authority: &dyn CommitAuthority) -> Vec<Commit> {
    let mut all: Vec<Commit> = Vec::new();
    loop {
        let after = all.last().map_or(Position::ZERO, |commit| commit.batch.last());
        let more = authority.read(after, 64 * 1024).wait(|| panic!("the authority dropped a read"));
        let more = more.expect("reading works");
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

fn assert_contiguous(commits: &[Commit]) {
    let mut next = Position::FIRST;
    for commit in commits {
        assert_eq!(commit.batch.first(), next, "INV-2: positions are contiguous");
        next = commit.batch.last().next();
    }
}

fn appended_batches_are_read_back_whole(authority: &dyn CommitAuthority) {
    let sizes = [1, 5, 1, 40, 2];
    let mut sent = Vec::new();
    let mut head = Position::ZERO;
    for (nth, size) in sizes.into_iter().enumerate() {
        let next = commit(head, &format!("whole-{nth}"), size);
        append(authority, head, next.clone()).expect("an append at the head succeeds");
        head = next.batch.last();
        sent.push(next);
    }
    let read = read_all(authority);
    assert_eq!(read.len(), sent.len(), "batches keep their bounds");
    for (read, sent) in read.iter().zip(&sent) {
        assert_eq!((&read.batch, read.root), (&sent.batch, sent.root), "INV-1: unchanged");
    }
}

fn a_stale_writer_is_told_the_head(authority: &dyn CommitAuthority) {
    append(authority, Position::ZERO, commit(Position::ZERO, "first", 3)).expect("append");
    for after in [0, 1, 2] {
        let stale = Position(after);
        let answer = append(authority, stale, commit(stale, "stale", 1));
        assert_eq!(answer, Err(AppendError::HeadMoved { actual: Position(3) }), "after {after}");
    }
    let ahead = append(authority, Position(9), commit(Position(9), "ahead", 1));
    assert_eq!(ahead, Err(AppendError::HeadMoved { actual: Position(3) }), "no gap can be made");
    assert_eq!(read_all(authority).len(), 1, "what was refused is not there");
    append(authority, Position(3), commit(Position(3), "second", 1)).expect("append goes on");
}

fn reading_is_bounded_but_never_stuck(authority: &dyn CommitAuthority) {
    let mut head = Position::ZERO;
    for nth in 0..20 {
        let next = commit(head, &format!("bounded-{nth}"), 10);
        append(authority, head, next).expect("append");
        head = head.plus(10);
    }
    let one = authority.read(Position::ZERO, 1).wait(|| panic!("dropped")).expect("read");
    assert_eq!(one.len(), 1, "one batch even if it is larger than asked for");
    let weight = one[0].batch.weight();
    let some = authority.read(Position::ZERO, weight * 3).wait(|| panic!("dropped")).expect("read");
    assert!((1..=4).contains(&some.len()), "about as much as asked for, not {}", some.len());
    let none = authority.read(head, 1024).wait(|| panic!("dropped")).expect("read");
    assert!(none.is_empty(), "nothing after the head");
}

fn waiting_ends_when_the_head_moves(authority: &Arc<dyn CommitAuthority>) {
    append(&**authority, Position::ZERO, commit(Position::ZERO, "early", 1)).expect("append");
    let past = authority.wait(Position::ZERO).wait(|| panic!("dropped"));
    past.expect("a head that has moved already answers at once");
    let waiting = authority.wait(Position(1));
    if let Completion::Ready(Ok(())) = waiting {
        panic!("the head has not moved past 1 yet");
    }
    let mover = Arc::clone(authority);
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        append(&*mover, Position(1), commit(Position(1), "late", 1)).expect("append");
    });
    waiting.wait(|| panic!("dropped")).expect("waiting ends");
    thread.join().expect("the mover is fine");
    assert_eq!(read_all(&**authority).len(), 2);
}

fn racing_writers_make_one_order(authority: &Arc<dyn CommitAuthority>) {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let threads: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let authority = Arc::clone(authority);
            thread::spawn(move || {
                let mut head = Position::ZERO;
                let begun = Instant::now();
                for nth in 0..EACH {
                    loop {
                        assert!(begun.elapsed() < PATIENCE, "writer {writer} makes no progress");
                        let next = commit(head, &format!("race-{writer}-{nth}"), 1 + nth % 3);
                        let last = next.batch.last();
                        match append(&*authority, head, next) {
                            Ok(()) => {
                                head = last;
                                break;
                            }
                            Err(AppendError::HeadMoved { actual }) => head = actual,
                            Err(other) => panic!("writer {writer}: {other}"),
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a racing writer is fine");
    }
    let read = read_all(&**authority);
    assert_eq!(read.len(), WRITERS * EACH, "every acknowledged batch is there, once");
    assert_contiguous(&read);
    let mut subjects: Vec<_> = read
        .iter()
        .map(|commit| {
            let event = annal_event::proto::decode_record(commit.batch.record(0)).expect("decodes");
            event.subject.expect("has a subject").into_owned()
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), WRITERS * EACH, "none is there twice");
}

fn readers_see_a_growing_prefix(authority: &Arc<dyn CommitAuthority>) {
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (authority, done) = (Arc::clone(authority), Arc::clone(&done));
        thread::spawn(move || {
            let mut seen: Vec<Commit> = Vec::new();
            while !done.load(Ordering::Acquire) {
                let now = read_all(&*authority);
                assert_contiguous(&now);
                assert!(now.len() >= seen.len(), "INV-2: what was seen stays");
                let same = seen.iter().zip(&now).all(|(then, now)| then.batch == now.batch);
                assert!(same, "INV-1: what was seen does not change");
                seen = now;
            }
        })
    };
    let mut head = Position::ZERO;
    for nth in 0..100 {
        let next = commit(head, &format!("prefix-{nth}"), 2);
        append(&**authority, head, next).expect("append");
        head = head.plus(2);
    }
    done.store(true, Ordering::Release);
    reader.join().expect("the reader is fine");
}
