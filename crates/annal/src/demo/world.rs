//! The demo world: issues with comments, tasks, plannings and documents, changing step by step.
//!
//! A function of its seed and of the number of steps; the clock only dates what happens. It patches
//! and deletes only what is there, deletes nothing that something else refers to, and refers only to
//! what is there: folding its events never fails.

use annal_event::Timestamp;
use serde_json::{Value, json};

use super::texts::{COMMENTS, DOCUMENTS, ISSUES, PEOPLE, PLANS, TASKS};

/// Issues that are open at a time, at most: then some get closed first.
const OPEN_ISSUES_MAX: usize = 12;

/// Things remembered of each kind; older ones are left in peace.
const REMEMBERED_MAX: usize = 40;

/// The kinds of resources, by the name of their schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something is wrong.
    Issue,
    /// Somebody says something about an issue.
    Comment,
    /// Something has to be done about an issue.
    Task,
    /// Tasks are put on a day.
    Planning,
    /// Something written or drawn, belonging to an issue.
    Document,
}

impl Kind {
    /// Last segment of its schema's URL.
    pub fn schema(self) -> &'static str {
        match self {
            Kind::Issue => "Issue",
            Kind::Comment => "Comment",
            Kind::Task => "Task",
            Kind::Planning => "Planning",
            Kind::Document => "Document",
        }
    }
}

/// One change, ready to be told of in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Id of the event.
    pub id: String,
    /// `issue/1001`
    pub subject: String,
    /// When, RFC 3339.
    pub time: String,
    /// The JSON commit.
    pub data: String,
}

/// Id of the `number`th event, from 1.
pub fn id(number: u64) -> String {
    format!("demo-{number}")
}

/// Something that is there.
#[derive(Clone, Debug)]
struct Thing {
    kind: Kind,
    id: u64,
    /// How far it has come: an index into the stages of its kind.
    stage: usize,
    /// Nothing that is referred to is deleted.
    referred: bool,
}

const ISSUE_STAGES: [&str; 4] = ["open", "in_progress", "resolved", "closed"];
const TASK_STAGES: [&str; 3] = ["todo", "doing", "done"];
const PLANNING_STAGES: [&str; 3] = ["proposed", "confirmed", "held"];
const DOCUMENT_STAGES: [&str; 3] = ["draft", "in_review", "final"];

fn stages(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Issue => &ISSUE_STAGES,
        Kind::Task => &TASK_STAGES,
        Kind::Planning => &PLANNING_STAGES,
        Kind::Document => &DOCUMENT_STAGES,
        Kind::Comment => &[],
    }
}

/// The world as it stands.
#[derive(Clone, Debug)]
pub struct World {
    random: u64,
    base_url: String,
    number: u64,
    next_id: u64,
    things: Vec<Thing>,
}

enum Commit {
    Create(Value),
    Patch(Value),
    Delete,
}

impl World {
    /// The beginning. `base_url` is what the schemas' URLs begin with.
    pub fn new(seed: u64, base_url: &str) -> World {
        World {
            random: seed,
            base_url: base_url.trim_end_matches('/').to_owned(),
            number: 0,
            next_id: 1_001,
            things: Vec::new(),
        }
    }

    /// How many events it has brought forth.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next thing that happens, dated `time`.
    pub fn next(&mut self, time: Timestamp) -> Change {
        self.number += 1;
        let actor = self.pick(&PEOPLE);
        let (kind, id, commit) = self.happen(actor);
        let mut data = json!({
            "schema": format!("{}/schemas/{}", self.base_url, kind.schema()),
            "resource_id": id.to_string(),
            "actor": actor,
            "timestamp": time.to_string(),
        });
        match commit {
            Commit::Create(document) => data["resource_data"] = document,
            Commit::Patch(patch) => data["patch"] = patch,
            Commit::Delete => data["deleted"] = true.into(),
        }
        Change {
            id: self::id(self.number),
            subject: format!("{}/{id}", kind.schema().to_lowercase()),
            time: time.to_string(),
            data: data.to_string(),
        }
    }

    fn happen(&mut self, actor: &str) -> (Kind, u64, Commit) {
        let open = self.open_issues();
        let roll = self.below(100);
        if open.len() < 3 || (roll < 14 && open.len() < OPEN_ISSUES_MAX) {
            return self.new_issue(actor);
        }
        let issue = open[self.below(open.len())];
        match roll {
            0..32 => self.new_comment(issue, actor),
            32..44 => self.new_task(issue),
            44..52 => self.new_document(issue, actor),
            52..58 => self.new_planning(),
            58..63 => self.delete().unwrap_or_else(|| self.new_comment(issue, actor)),
            63..70 => self.edit_comment().unwrap_or_else(|| self.new_comment(issue, actor)),
            _ => self.advance().unwrap_or_else(|| self.new_issue(actor)),
        }
    }

    fn new_issue(&mut self, actor: &str) -> (Kind, u64, Commit) {
        let (title, description, category) = self.pick(&ISSUES);
        let priority = self.pick(&["low", "normal", "normal", "high"]);
        let id = self.add(Kind::Issue);
        let document = json!({
            "title": title,
            "description": description,
            "category": category,
            "status": ISSUE_STAGES[0],
            "priority": priority,
            "reporter": actor,
            "assignee": null,
        });
        (Kind::Issue, id, Commit::Create(document))
    }

    fn new_comment(&mut self, issue: u64, actor: &str) -> (Kind, u64, Commit) {
        let text = self.pick(&COMMENTS);
        let id = self.add(Kind::Comment);
        let document = json!({"issue": issue.to_string(), "author": actor, "text": text});
        (Kind::Comment, id, Commit::Create(document))
    }

    fn new_task(&mut self, issue: u64) -> (Kind, u64, Commit) {
        let (title, assignee) = (self.pick(&TASKS), self.pick(&PEOPLE));
        let hours = 1 + self.below(8);
        let id = self.add(Kind::Task);
        let document = json!({
            "issue": issue.to_string(),
            "title": title,
            "assignee": assignee,
            "status": TASK_STAGES[0],
            "estimate_hours": hours,
        });
        (Kind::Task, id, Commit::Create(document))
    }

    fn new_document(&mut self, issue: u64, actor: &str) -> (Kind, u64, Commit) {
        let (title, media_type) = self.pick(&DOCUMENTS);
        let size = 10_000 + self.below(4_000_000);
        let id = self.add(Kind::Document);
        let document = json!({
            "issue": issue.to_string(),
            "title": title,
            "media_type": media_type,
            "size_bytes": size,
            "author": actor,
            "status": DOCUMENT_STAGES[0],
        });
        (Kind::Document, id, Commit::Create(document))
    }

    fn new_planning(&mut self) -> (Kind, u64, Commit) {
        let (title, hour) = (self.pick(&PLANS), 8 + self.below(9));
        let mut tasks = Vec::new();
        for thing in self.things.iter_mut().rev() {
            if thing.kind == Kind::Task && thing.stage == 0 && tasks.len() < 3 {
                thing.referred = true;
                tasks.push(thing.id.to_string());
            }
        }
        let id = self.add(Kind::Planning);
        let document = json!({
            "title": title,
            "start": format!("{hour:02}:00"),
            "status": PLANNING_STAGES[0],
            "tasks": tasks,
            "participants": [self.pick(&PEOPLE), self.pick(&PEOPLE)],
        });
        (Kind::Planning, id, Commit::Create(document))
    }

    /// Something comes one stage further.
    fn advance(&mut self) -> Option<(Kind, u64, Commit)> {
        let movable = |thing: &Thing| thing.stage + 1 < stages(thing.kind).len();
        let at = self.choose(movable)?;
        let assignee = self.pick(&PEOPLE);
        let thing = &mut self.things[at];
        thing.stage += 1;
        let status = stages(thing.kind)[thing.stage];
        let patch = match (thing.kind, thing.stage) {
            (Kind::Issue, 1) => json!({"status": status, "assignee": assignee}),
            (Kind::Issue, 3) => json!({"status": status, "assignee": null}),
            _ => json!({"status": status}),
        };
        Some((thing.kind, thing.id, Commit::Patch(patch)))
    }

    fn edit_comment(&mut self) -> Option<(Kind, u64, Commit)> {
        let at = self.choose(|thing| thing.kind == Kind::Comment)?;
        let text = self.pick(&COMMENTS);
        let patch = json!({"text": text, "edited": true});
        Some((Kind::Comment, self.things[at].id, Commit::Patch(patch)))
    }

    /// A comment, a draft or a task that nobody refers to goes.
    fn delete(&mut self) -> Option<(Kind, u64, Commit)> {
        let at = self.choose(|thing| match thing.kind {
            Kind::Comment => true,
            Kind::Document | Kind::Task => thing.stage == 0 && !thing.referred,
            Kind::Issue | Kind::Planning => false,
        })?;
        let thing = self.things.remove(at);
        Some((thing.kind, thing.id, Commit::Delete))
    }

    fn add(&mut self, kind: Kind) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.things.push(Thing { kind, id, stage: 0, referred: false });
        let same = self.things.iter().filter(|thing| thing.kind == kind).count();
        if same > REMEMBERED_MAX
            && let Some(oldest) = self.things.iter().position(|thing| thing.kind == kind)
        {
            self.things.remove(oldest);
        }
        id
    }

    fn open_issues(&self) -> Vec<u64> {
        let open = |thing: &&Thing| thing.kind == Kind::Issue && thing.stage < 2;
        self.things.iter().filter(open).map(|thing| thing.id).collect()
    }

    /// A random thing of those wanted.
    fn choose(&mut self, wanted: impl Fn(&Thing) -> bool) -> Option<usize> {
        let indexes = 0..self.things.len();
        let fitting: Vec<usize> = indexes.filter(|at| wanted(&self.things[*at])).collect();
        let pick = if fitting.is_empty() { return None } else { self.below(fitting.len()) };
        fitting.get(pick).copied()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number below `bound`, by splitmix64.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use annal_event::Timestamp;
    use serde_json::Value;

    use super::{Change, World};
    use crate::demo::{BURST, SEED};

    fn changes(seed: u64, count: u64) -> Vec<Change> {
        let mut world = World::new(seed, "http://localhost:8000/");
        (0..count).map(|n| world.next(Timestamp(n as i64 * 1_000_000))).collect()
    }

    fn data(change: &Change) -> Value {
        serde_json::from_str(&change.data).unwrap()
    }

    #[test]
    fn the_same_seed_brings_forth_the_same_world() {
        assert_eq!(changes(1, 500), changes(1, 500));
        assert_ne!(changes(1, 500), changes(2, 500));
    }

    #[test]
    fn every_change_can_be_folded() {
        let mut there: BTreeMap<String, Value> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for change in changes(SEED, 5_000) {
            let data = data(&change);
            let id = data["resource_id"].as_str().unwrap();
            assert!(change.subject.ends_with(&format!("/{id}")));
            let kind = change.subject.split('/').next().unwrap();
            let schema = data["schema"].as_str().unwrap().rsplit('/').next().unwrap();
            assert_eq!(schema.to_lowercase(), kind);
            if let Some(document) = data.get("resource_data") {
                let new = there.insert(change.subject.clone(), document.clone()).is_none();
                assert!(new && !gone.contains(&change.subject), "{change:?}");
                if let Some(issue) = document["issue"].as_str() {
                    assert!(there.contains_key(&format!("issue/{issue}")), "{change:?}");
                }
            } else if data.get("patch").is_some() {
                assert!(there.contains_key(&change.subject), "{change:?}");
            } else {
                assert_eq!(data["deleted"], true);
                assert!(there.remove(&change.subject).is_some(), "{change:?}");
                gone.insert(change.subject);
            }
        }
    }

    #[test]
    fn the_first_fortnight_shows_everything_there_is() {
        let burst = changes(SEED, BURST);
        for kind in ["issue/", "comment/", "task/", "planning/", "document/"] {
            assert!(burst.iter().any(|change| change.subject.starts_with(kind)), "no {kind}");
        }
        let has = |member: &str| burst.iter().any(|change| data(change).get(member).is_some());
        assert!(has("resource_data") && has("patch") && has("deleted"));
    }

    #[test]
    fn ids_are_numbered_without_gaps() {
        let ids: Vec<_> = changes(SEED, 3).into_iter().map(|change| change.id).collect();
        assert_eq!(ids, ["demo-1", "demo-2", "demo-3"]);
    }
}
