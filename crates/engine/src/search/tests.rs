//! A follower that is stepped by hand, or not at all.

use std::{pin::pin, time::Duration};

use annal_event::{Encoded, Event};
use annal_storage::FileStorage;

use super::*;
use crate::{Append, EngineOptions, Progress, SystemClock, SystemRandom};

/// Two are more than a stretch of the log.
const EVENT_BYTES: usize = 600_000;

#[test]
fn a_hopeless_wait_is_known_before_it_begins() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = Arc::new(FileStorage::new(dir.path()).expect("a directory"));
    let clocks = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let opened = Core::open(storage, EngineOptions::default(), clocks.0, clocks.1);
    let (core, mut writer, mut committer, _upkeep) = opened.expect("it opens");
    let options = SearchOptions { writer_bytes: 15_000_000, ..SearchOptions::default() };
    let desk = open(&core, dir.path().join(SEARCH_DIR), options).expect("an index");
    let searcher = Searcher { desk: Arc::clone(&desk) };
    let mut follower = Follower::new(Arc::clone(&core), Arc::clone(&desk));
    let json = format!("{{\"a\":\"{}\"}}", "alpha ".repeat(EVENT_BYTES / 6));
    let mut append = |from: u64, to: u64| {
        for n in from..to {
            let event = Event::new(n.to_string(), "/s", "t").with_json(json.clone());
            let mut encoded = Encoded::default();
            encoded.push(&event);
            let ticket = core.append(Append::of(encoded)).expect("there is room");
            writer.step(Duration::ZERO);
            committer.step();
            ticket.wait().expect("appended");
        }
    };
    append(0, 16);
    let (head, never) = (core.view().head(), Duration::ZERO);
    assert_eq!(searcher.hopeless(head, never), None, "nothing was measured");
    assert!(!desk.is_wanted(head));

    // Somebody waits, and the follower comes half of the way.
    let mut wait = pin!(searcher.wait(head));
    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    for _ in 0..6 {
        assert_eq!(follower.step().expect("applied"), Progress::Worked);
    }
    assert!(desk.applied.load(Ordering::Acquire) < head.get());
    let estimate = searcher.hopeless(head, never).expect("what is left takes time");
    assert_eq!(searcher.hopeless(head, estimate.max(Duration::from_secs(600))), None);

    // Held up, it is more with each append; and what is refused is worked on.
    append(16, 20);
    let further = core.view().head();
    assert!(searcher.hopeless(further, never).expect("more is left") > estimate);
    let later = Instant::now() + Duration::from_secs(600);
    let refused = desk.waiting.lock().refused.replace((further, later));
    assert_eq!(refused.map(|(wanted, _)| wanted), Some(further));
    for _ in 0..100 {
        if follower.step().expect("applied") == Progress::Idle {
            break;
        }
    }
    assert_eq!(desk.folded(), further, "it was committed for who was refused");
    assert_eq!(searcher.hopeless(further, never), None);
}
