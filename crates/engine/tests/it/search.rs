//! Search against a model of a few lines: what a query finds is what the log adds up to, whatever is
//! appended, deleted, restarted or thrown away in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use annal_engine::{
    AskError, Durability, Engine, EngineOptions, HitKey, OpenError, Scope, SearchOptions,
    SearchQuery, SearchState,
};
use annal_event::{Deletion, Event, Position};

use crate::put;

const WORDS: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

fn options() -> EngineOptions {
    let search = SearchOptions { writer_bytes: 15_000_000, ..SearchOptions::default() };
    EngineOptions { search: Some(search), ..EngineOptions::default() }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// Waits until everything appended so far is found.
fn settle(engine: &Engine) {
    let searcher = engine.search().expect("search is on");
    loop {
        match block_on(searcher.wait(engine.head())) {
            Ok(()) => return,
            Err(AskError::Rebuilding(_)) => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn asked(engine: &Engine, word: &str, scope: Scope) -> BTreeSet<String> {
    let query = SearchQuery { scope, limit: 1_000, ..SearchQuery::new(word) };
    let found = engine.search().expect("on").query(&query).expect("an answer");
    let name = |key: &HitKey<'_>| match key {
        HitKey::Resource(key) => key.to_string(),
        HitKey::Event(position) => position.to_string(),
    };
    let hits: BTreeSet<String> = found.hits.iter().map(|hit| name(&hit.key)).collect();
    assert_eq!(found.count, hits.len() as u64);
    hits
}

/// What was appended, and what has been hidden since.
#[derive(Default)]
struct Model {
    events: Vec<Stored>,
}

struct Stored {
    position: Position,
    subject: String,
    text: String,
    /// Of a commit: its resource, and what it does to it.
    commit: Option<(String, Does)>,
    hidden: bool,
}

#[derive(Clone)]
enum Does {
    Replace(String),
    Patch(String),
    Delete,
}

impl Model {
    fn visible(&self) -> impl Iterator<Item = &Stored> {
        self.events.iter().filter(|event| !event.hidden)
    }

    fn resources(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, does) in self.visible().filter_map(|event| event.commit.as_ref()) {
            match does {
                Does::Replace(word) => drop(all.insert(name.clone(), vec![word.clone()])),
                // The fold is total: what patches nothing changes nothing.
                Does::Patch(word) => {
                    if let Some(words) = all.get_mut(name) {
                        words.truncate(1);
                        words.push(word.clone());
                    }
                }
                Does::Delete => drop(all.remove(name)),
            }
        }
        all
    }

    fn check(&self, engine: &Engine) {
        settle(engine);
        let resources = self.resources();
        for word in WORDS {
            let has = |words: &&(&String, &Vec<String>)| words.1.iter().any(|have| have == word);
            let expected: BTreeSet<String> = resources
                .iter()
                .collect::<Vec<_>>()
                .iter()
                .filter(has)
                .map(|it| it.0.clone())
                .collect();
            assert_eq!(asked(engine, word, Scope::Resources), expected, "{word}");
            let expected: BTreeSet<String> = self
                .visible()
                .filter(|event| event.text.contains(word))
                .map(|event| event.position.to_string())
                .collect();
            assert_eq!(asked(engine, word, Scope::Events), expected, "{word} in events");
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % most
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }
}

fn open(dir: &Path) -> Engine {
    Engine::open(dir, options()).expect("opens")
}

fn step(dice: &mut Dice, engine: &Engine, model: &mut Model, number: usize) {
    let name = format!("{}", dice.below(5));
    let (subject, resource) = (format!("r/{name}"), format!("r/{name}"));
    let word = dice.word();
    let (data, does) = match dice.below(10) {
        0..=3 => {
            (format!("\"resource_data\":{{\"a\":\"{word}\"}}"), Does::Replace(word.to_owned()))
        }
        4..=5 if model.resources().contains_key(&resource) => {
            (format!("\"patch\":{{\"b\":\"{word}\"}}"), Does::Patch(word.to_owned()))
        }
        6 => ("\"deleted\":true".to_owned(), Does::Delete),
        7 => {
            let from = Position(dice.below(number + 1) as u64 + 1);
            let deletion = Deletion { subject: subject.clone(), recursive: false, ty: None, from };
            let marked = model.events.iter_mut();
            let mut marked: Vec<_> = marked
                .filter(|event| event.subject == subject && event.position >= from && !event.hidden)
                .collect();
            let before = engine.head();
            put_all(engine, deletion.to_event(format!("d{number}")));
            assert_eq!(engine.head() > before, !marked.is_empty(), "a deletion of nothing is none");
            marked.iter_mut().for_each(|event| event.hidden = true);
            return;
        }
        _ => {
            let text = format!("{{\"said\":\"{word} {}\"}}", dice.word());
            let event = Event::new(format!("e{number}"), "/app", "said")
                .with_subject(subject.clone())
                .with_json(text.clone());
            let position = put_all(engine, event);
            model.events.push(Stored { position, subject, text, commit: None, hidden: false });
            return;
        }
    };
    let text = format!("{{\"resource_id\":\"{name}\",{data}}}");
    let event = Event::new(format!("e{number}"), "/app", "json.commit")
        .with_subject(subject.clone())
        .with_json(text.clone());
    let position = put_all(engine, event);
    let commit = Some((resource, does));
    model.events.push(Stored { position, subject, text, commit, hidden: false });
}

fn put_all(engine: &Engine, event: Event<'_>) -> Position {
    let outcomes = put(engine, &[event]);
    outcomes.first().map_or(Position::ZERO, |outcome| outcome.position)
}

#[test]
fn what_is_found_is_what_the_log_adds_up_to() {
    // INV-4
    for seed in [3, 77, 2_026] {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut dice, mut model) = (Dice(0x9E37_79B9_7F4A_7C15 ^ seed), Model::default());
        let mut engine = open(dir.path());
        for number in 0..80 {
            step(&mut dice, &engine, &mut model, number);
            match dice.below(16) {
                0..=1 => model.check(&engine),
                2 => {
                    engine.shutdown();
                    engine = open(dir.path());
                }
                3 => {
                    engine.shutdown();
                    std::fs::remove_dir_all(dir.path().join("search_index")).expect("removed");
                    engine = open(dir.path());
                }
                _ => {}
            }
        }
        model.check(&engine);
        engine.shutdown();
        std::fs::remove_dir_all(dir.path().join("search_index")).expect("removed");
        let engine = open(dir.path());
        model.check(&engine);
        engine.shutdown();
    }
}

#[test]
fn an_index_ahead_of_the_log_is_refused() {
    // INV-4
    let dir = tempfile::tempdir().expect("a directory");
    let engine = open(dir.path());
    put_all(&engine, Event::new("a", "/s", "t").with_json("{\"x\":\"alpha\"}"));
    settle(&engine);
    engine.shutdown();
    for gone in ["log", "index"] {
        std::fs::remove_dir_all(dir.path().join(gone)).expect("removed");
    }
    std::fs::remove_file(dir.path().join("data.redb")).expect("removed");
    match Engine::open(dir.path(), options()) {
        Err(OpenError::LogIsShort { head, folded }) => {
            assert_eq!((head, folded), (Position::ZERO, Position(1)));
        }
        other => panic!("it was opened: {other:?}"),
    }
    let without = EngineOptions { search: None, ..options() };
    Engine::open(dir.path(), without).expect("who does not search does not mind").shutdown();
}

#[test]
fn an_index_that_turns_out_to_be_damaged_is_built_anew_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = open(dir.path());
    for n in 0..200 {
        let json = format!("{{\"x\":\"{} {}\"}}", WORDS[n % WORDS.len()], WORDS[n % 4]);
        put_all(&engine, Event::new(format!("e{n}"), "/s", "t").with_json(json));
    }
    settle(&engine);
    let before = WORDS.map(|word| asked(&engine, word, Scope::Events));
    engine.shutdown();
    let index = dir.path().join("search_index");
    let files =
        std::fs::read_dir(&index).expect("the index").map(|file| file.expect("a file").path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "pos")) {
        let mut bytes = std::fs::read(&path).expect("a file");
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).expect("written");
    }
    // As a large one, it is not compared with its checksums before it is used.
    let mut unchecked = options();
    unchecked.search = unchecked.search.map(|search| SearchOptions { verify_bytes: 0, ..search });
    let engine = Engine::open(dir.path(), unchecked).expect("opens");
    let mut rebuilt = false;
    for _ in 0..1_000 {
        rebuilt |= engine.search().expect("on").status().state == SearchState::Rebuilding;
        if rebuilt {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(rebuilt, "the damage was not found");
    settle(&engine);
    assert_eq!(WORDS.map(|word| asked(&engine, word, Scope::Events)), before);
    engine.shutdown();
    let engine = open(dir.path());
    assert_eq!(engine.search().expect("on").status().state, SearchState::Following, "it is whole");
    engine.shutdown();
}

#[test]
fn search_holds_only_what_the_log_has_for_good() {
    // INV-4
    let dir = tempfile::tempdir().expect("a directory");
    for durability in [Durability::Interval { ms: 60_000 }, Durability::Never] {
        let engine =
            Engine::open(dir.path(), EngineOptions { durability, ..options() }).expect("opens");
        for n in 0..20 {
            let id = format!("{durability:?}-{n}");
            put_all(&engine, Event::new(id, "/s", "t").with_json("{\"x\":\"alpha\"}"));
            settle(&engine);
            let stats = engine.search().expect("on").stats().expect("an index");
            assert!(stats.folded <= engine.view().log().durable(), "{durability:?}");
            assert_eq!(asked(&engine, "alpha", Scope::Events).len() as u64, engine.head().get());
        }
        engine.shutdown();
    }
}

#[test]
fn who_waits_is_told_when_search_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = open(dir.path());
    let searcher = engine.search().expect("on").clone();
    let waiting = {
        let searcher = searcher.clone();
        thread::spawn(move || block_on(searcher.wait(Position(7))))
    };
    thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished(), "there is no position 7 yet");
    engine.shutdown();
    assert!(matches!(waiting.join().expect("an answer"), Err(AskError::Ended)));
    assert_eq!(searcher.status().state, SearchState::Ended);
    assert!(matches!(searcher.query(&SearchQuery::new("x")), Err(AskError::Ended)));
}
