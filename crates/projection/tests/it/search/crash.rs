//! Processes that die, files that are not what was written, and two that want the same index.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use annal_event::Position;
use annal_projection::search::{Language, Opened, Search, SearchError, SearchOptions, SearchQuery};
use tempfile::TempDir;

use super::world::{Doc, World, open, options};

const CHILD: &str = "ANNAL_TEST_SEARCH_DIR";

fn doc(n: u64) -> Doc {
    Doc::resource(&format!("n/{n}"), n, &format!(r#"{{"t":"word w{}","n":{n}}}"#, n % 10))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("the directory") {
        let entry = entry.expect("an entry");
        // What is being renamed or removed just now may be gone.
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
}

fn count(search: &Search, text: &str) -> u64 {
    search.query(&SearchQuery::new(text)).expect("an answer").count
}

#[test]
fn what_is_not_committed_leaves_the_last_commit_as_it_was() {
    let world = World::of(&[doc(1), doc(2), doc(3)]);
    // Enough to be written out before the commit.
    let text = "lorem ipsum dolor sit amet ".repeat(4_000);
    let large: Vec<Doc> = (4..400)
        .map(|n| Doc::resource(&format!("n/{}", n % 40), n, &format!(r#"{{"t":"{text} u{n}"}}"#)))
        .collect();
    world.search.apply(large.iter().map(Doc::put), Position(399)).expect("applied");
    assert_eq!(count(&world.search, "word"), 3, "nothing is seen before the commit");
    let copied = tempfile::tempdir().expect("a directory");
    copy(&world.dir.path().join("search_index"), &copied.path().join("search_index"));
    let files = fs::read_dir(copied.path().join("search_index")).expect("files").count();
    assert!(files > 10, "segments were written: {files} files");
    let search = open(&copied);
    assert_eq!(search.opened(), &Opened::Ready);
    assert_eq!((search.folded(), count(&search, "word")), (Position(3), 3));
    assert_eq!(count(&search, "lorem"), 0);
    // What was left over goes with the next commit.
    search.apply([doc(4).put()], Position(4)).expect("applied");
    search.commit().expect("committed");
    let left = fs::read_dir(copied.path().join("search_index")).expect("files").count();
    assert!(left < files, "{left} of {files} files are left");
    assert_eq!(count(&search, "word"), 4);
}

/// Not a test by itself: what the test below starts and kills.
#[test]
fn works_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let search = Search::open(Path::new(&dir), options()).expect("it opens");
    for n in search.folded().get() + 1.. {
        search.apply([doc(n).put()], Position(n)).expect("applied");
        if n % 3 == 0 {
            search.commit().expect("committed");
            println!("committed {n}");
        }
    }
}

#[test]
fn killed_at_any_time_it_is_as_the_last_commit_left_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut before = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["search::crash::works_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut committed = before;
        for line in lines.map_while(Result::ok) {
            if let Some((_, n)) = line.split_once("committed ") {
                committed = n.parse().expect("a position");
            }
            if committed >= before + 10 * round {
                break;
            }
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        let search = Search::open(dir.path(), options()).expect("it opens");
        assert_eq!(search.opened(), &Opened::Ready, "round {round}");
        let folded = search.folded().get();
        assert!(folded >= committed && committed > before, "{folded} {committed} {before}");
        assert_eq!(count(&search, "word"), folded, "all that was committed, and nothing more");
        assert_eq!(search.highest().expect("the highest"), Position(folded));
        search.verify().expect("every file is whole");
        before = folded;
    }
}

/// An index of a few segments, and the names of its files.
fn written() -> (TempDir, Vec<String>) {
    let world = World::of(&[doc(1), doc(2), doc(3)]);
    world.put(&[doc(4), doc(2)]);
    world.put(&(5..30).map(doc).collect::<Vec<_>>());
    // Without files that a merge would have removed in a moment.
    world.search.settle().expect("merged");
    let entries = fs::read_dir(world.dir.path().join("search_index")).expect("the directory");
    let names =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let names = names.filter(|name| !name.starts_with('.')).collect();
    (world.dir, names)
}

fn opens_empty(dir: &TempDir, options: SearchOptions, hurt: &str) -> String {
    let search = Search::open(&dir.path().join("search_index"), options).expect("it opens");
    let Opened::Empty { reason } = search.opened().clone() else {
        panic!("it was believed: {hurt}");
    };
    assert_eq!((search.folded(), search.stats().documents), (Position::ZERO, 0));
    // And it is of use again.
    search.apply([doc(1).put()], Position(1)).expect("applied");
    search.commit().expect("committed");
    assert_eq!(count(&search, "word"), 1);
    reason
}

#[test]
fn what_is_damaged_or_missing_is_thrown_away() {
    let (dir, names) = written();
    assert!(names.len() > 6, "{names:?}");
    for name in &names {
        let hurt = |what: &str, change: &dyn Fn(&Path)| {
            let copied = tempfile::tempdir().expect("a directory");
            copy(&dir.path().join("search_index"), &copied.path().join("search_index"));
            change(&copied.path().join("search_index").join(name));
            let reason = opens_empty(&copied, options(), &format!("{name}: {what}"));
            assert!(!reason.is_empty(), "{name}");
        };
        let size = fs::metadata(dir.path().join("search_index").join(name)).expect("a file").len();
        for at in [0, size / 3, size / 2, size - 1] {
            hurt(&format!("bit at {at} of {size}"), &|path| {
                let mut bytes = fs::read(path).expect("content");
                bytes[at as usize] ^= 4;
                fs::write(path, bytes).expect("written");
            });
        }
        hurt("empty", &|path| fs::write(path, []).expect("emptied"));
        hurt("cut", &|path| {
            let bytes = fs::read(path).expect("content");
            fs::write(path, &bytes[..bytes.len() - 1]).expect("cut");
        });
        hurt("gone", &|path| fs::remove_file(path).expect("removed"));
    }
}

#[test]
fn what_is_too_large_to_be_compared_at_once_is_compared_later() {
    let (dir, names) = written();
    let unchecked = SearchOptions { verify_bytes: 0, ..options() };
    let path = dir.path().join("search_index");
    Search::open(&path, unchecked).expect("it opens").verify().expect("it is whole");
    let name = names.iter().find(|name| name.ends_with(".idx")).expect("postings");
    let mut bytes = fs::read(path.join(name)).expect("content");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(path.join(name), bytes).expect("written");
    let search = Search::open(&path, unchecked).expect("it opens");
    assert_eq!(search.opened(), &Opened::Ready);
    let verified = search.verify();
    assert!(
        matches!(&verified, Err(SearchError::Damaged { file }) if file == name),
        "{verified:?}"
    );
}

#[test]
fn other_options_make_another_index() {
    let (dir, _) = written();
    let stemmed = SearchOptions { stemming: Some(Language::English), ..options() };
    assert!(opens_empty(&dir, stemmed, "stemmed").contains("stemming"));
    let search = Search::open(&dir.path().join("search_index"), stemmed).expect("it opens");
    assert_eq!(search.opened(), &Opened::Ready);
    drop(search);
    assert!(opens_empty(&dir, options(), "not stemmed").contains("stemming"));
    let (dir, _) = written();
    let resources = SearchOptions { events: false, ..options() };
    assert!(opens_empty(&dir, resources, "without events").contains("with events"));
    assert!(opens_empty(&dir, options(), "with events").contains("without events"));
}

#[test]
fn a_new_index_says_that_there_was_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let search = open(&dir);
    assert!(matches!(search.opened(), Opened::Empty { .. }));
    assert_eq!(search.commit().expect("nothing to do"), Position::ZERO);
    assert_eq!(count(&search, "anything OR a:* OR a:[1 TO 2]"), 0);
    assert_eq!(search.highest().expect("none"), Position::ZERO);
    drop(search);
    // Positions may pass without a document.
    let search = open(&dir);
    search.apply([], Position(7)).expect("applied");
    assert_eq!(search.commit().expect("committed"), Position(7));
    drop(search);
    let search = open(&dir);
    assert_eq!((search.opened(), search.folded()), (&Opened::Ready, Position(7)));
}

#[test]
fn two_cannot_have_the_same_index() {
    let world = World::of(&[doc(1)]);
    let second = Search::open(&world.dir.path().join("search_index"), options());
    assert!(matches!(second, Err(SearchError::Busy { .. })), "{second:?}");
    assert_eq!(count(&world.search, "word"), 1, "the first is unharmed");
}

#[test]
fn what_is_deleted_is_gone_and_is_cleaned_up() {
    let world = World::of(&(1..=50).map(doc).collect::<Vec<_>>());
    for n in 51..=90 {
        let mut again = doc(n - 40);
        again.position = Position(n);
        world.put(&[again]);
    }
    assert_eq!(count(&world.search, "word"), 50);
    let dir = world.dir;
    world.search.settle().expect("merged");
    let search = open(&dir);
    let stats = search.stats();
    assert_eq!(stats.documents, 50);
    assert!(stats.deleted < 25 && stats.segments < 12, "{stats:?}");
}

#[test]
fn a_disk_that_refuses_takes_nothing_from_what_was_committed() {
    let world = World::of(&[doc(1)]);
    let dir = world.dir.path().join("search_index");
    let away = world.dir.path().join("away");
    fs::rename(&dir, &away).expect("moved");
    world.search.apply([doc(2).put()], Position(2)).ok();
    let failed = world.search.commit();
    assert!(matches!(failed, Err(SearchError::Write { folded: Position(1), .. })), "{failed:?}");
    assert_eq!((world.search.folded(), world.search.applied()), (Position(1), Position(1)));
    assert_eq!(count(&world.search, "word"), 1);
    fs::rename(&away, &dir).expect("moved back");
    // Either it goes on, or it says that it must be opened again.
    match world.search.apply([doc(2).put()], Position(2)) {
        Ok(_) => assert_eq!(world.search.commit().expect("committed"), Position(2)),
        Err(error) => assert!(matches!(error, SearchError::Stopped), "{error:?}"),
    }
    drop(world.search);
    let search = open(&world.dir);
    assert_eq!(search.opened(), &Opened::Ready);
}
