//! Random events and queries, the model that answers by looking at every event, and the comparison.

use std::{borrow::Cow, sync::Arc};

use annal_event::{
    Batch, Data, Encoded, Event, Identity, Pattern, Position, Query, Selector, Timestamp, Value,
};
use annal_projection::index::{Index, IndexOptions, KeyState, Kind, Order, SubjectState};
use annal_storage::Storage;

/// A small generator of numbers (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const SUBJECTS: [&str; 12] =
    ["a", "a/b", "a/b/c", "a!", "a0", "ab", "b/", "b", "é/ü", "é", "", "orders/42/items"];
const TYPES: [&str; 4] = ["Placed", "Paid", "PaidBack", "order.placed"];
const SOURCES: [&str; 3] = ["shop", "shop/2", "billing"];
const TOPICS: [&str; 2] = ["news", "news-1"];
const TAGS: [&str; 4] = ["x", "y:1", "y:10", "z"];

pub(crate) fn event(dice: &mut Dice, n: u64) -> Event<'static> {
    let mut event = Event {
        id: Cow::Owned(format!("id-{n}")),
        source: Cow::Borrowed(dice.pick(&SOURCES)),
        ty: Cow::Borrowed(dice.pick(&TYPES)),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: Vec::new(),
        data: Data::None,
    };
    event.subject = match dice.below(10) {
        0 => None,
        1..=5 => Some(Cow::Borrowed(dice.pick(&SUBJECTS))),
        6 => Some(Cow::Owned(format!("long/{}{}", "x".repeat(dice.below(9_000) as usize), n % 3))),
        _ => Some(Cow::Owned(format!("wide/{}", dice.below(400)))),
    };
    if dice.chance(40) {
        let some: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(&TAGS)).collect();
        event.extensions.push(("tags".into(), Value::String(some.join(" ").into())));
    }
    if dice.chance(30) {
        event.extensions.push(("topic".into(), Value::String(dice.pick(&TOPICS).into())));
    }
    event
}

fn pattern(dice: &mut Dice, of: &[&str]) -> Pattern {
    let text = match dice.below(8) {
        0 => "wide".to_owned(),
        1 => "long".to_owned(),
        2 => format!("wide/{}", dice.below(410)),
        _ => dice.pick(of).to_owned(),
    };
    match dice.below(3) {
        0 => Pattern::Exact(text),
        1 => Pattern::Prefix(text),
        _ => Pattern::Tree(text),
    }
}

pub(crate) fn query(dice: &mut Dice) -> Query {
    let selector = |dice: &mut Dice| {
        let mut selector = Selector::default();
        let few = |dice: &mut Dice| if dice.chance(50) { 0 } else { 1 + dice.below(2) };
        selector.subjects = (0..few(dice)).map(|_| pattern(dice, &SUBJECTS)).collect();
        selector.types = (0..few(dice)).map(|_| pattern(dice, &TYPES)).collect();
        if dice.chance(20) {
            selector.sources.push(dice.pick(&SOURCES).to_owned());
        }
        if dice.chance(15) {
            selector.topics.push(dice.pick(&TOPICS).to_owned());
        }
        selector.tags = (0..dice.below(8) / 5).map(|_| dice.pick(&TAGS).to_owned()).collect();
        selector
    };
    Query { any: (0..dice.below(4)).map(|_| selector(dice)).collect() }
}

/// Every event ever appended, by position from 1.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) events: Vec<Event<'static>>,
}

impl Model {
    pub(crate) fn head(&self) -> Position {
        Position(self.events.len() as u64)
    }

    fn select(&self, query: &Query, after: Position, before: Position, order: Order) -> Vec<u64> {
        self.select_where(after, before, order, |event| query.matches(event))
    }

    fn select_with_topics(
        &self,
        query: &Query,
        after: Position,
        before: Position,
        order: Order,
    ) -> Vec<u64> {
        let wanted = |event: &Event<'_>| query.matches(event) || event.topic().is_some();
        self.select_where(after, before, order, wanted)
    }

    fn select_where(
        &self,
        after: Position,
        before: Position,
        order: Order,
        wanted: impl Fn(&Event<'_>) -> bool,
    ) -> Vec<u64> {
        let positions =
            (1..).zip(&self.events).filter(|(at, _)| (after.0 + 1..before.0).contains(at));
        let mut found: Vec<u64> =
            positions.filter(|(_, event)| wanted(event)).map(|(at, _)| at).collect();
        if order == Order::Descending {
            found.reverse();
        }
        found
    }

    fn subject(&self, pattern: Pattern, upto: Position) -> SubjectState {
        let query = Query::one(Selector { subjects: vec![pattern], ..Selector::default() });
        state_of(&self.select(&query, Position::ZERO, upto.next(), Order::Ascending))
    }

    fn keys(
        &self,
        kind: Kind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        upto: Position,
    ) -> Vec<KeyState> {
        let mut keys = std::collections::BTreeMap::<&str, Vec<u64>>::new();
        for (at, event) in (1..=upto.0).zip(&self.events) {
            let text = if kind == Kind::Type { Some(&*event.ty) } else { event.subject.as_deref() };
            let wanted = text
                .filter(|text| text.starts_with(prefix) && after.is_none_or(|after| *text > after));
            wanted.into_iter().for_each(|text| keys.entry(text).or_default().push(at));
        }
        keys.iter()
            .take(limit)
            .map(|(text, at)| KeyState { text: (*text).to_owned(), state: state_of(at) })
            .collect()
    }
}

fn state_of(positions: &[u64]) -> SubjectState {
    SubjectState {
        version: positions.len() as u64,
        first: Position(positions.first().copied().unwrap_or(0)),
        last: Position(positions.last().copied().unwrap_or(0)),
    }
}

/// Asks index and model the same and compares.
pub(crate) fn compare(dice: &mut Dice, index: &Index, model: &Model) {
    assert_eq!(index.folded(), model.head());
    compare_selection(dice, index, model);
    compare_subjects(dice, index, model);
    compare_identities(dice, index, model);
    let kind = if dice.chance(30) { Kind::Type } else { Kind::Subject };
    let prefix = dice.pick(&["", "wide/1", "a", "long", "P"]);
    let after = dice.chance(50).then_some("wide/20");
    let (limit, upto) = (dice.below(60) as usize, Position(dice.below(model.head().0 + 2)));
    let keys = index.keys(kind, prefix, after, limit, upto).expect("keys");
    assert_eq!(
        keys,
        model.keys(kind, prefix, after, limit, upto),
        "{kind:?} {prefix} {after:?} {limit} {upto}"
    );
}

fn compare_selection(dice: &mut Dice, index: &Index, model: &Model) {
    let query = query(dice);
    let end = model.head().0 + 3;
    let after = if dice.chance(50) { Position::ZERO } else { Position(dice.below(end)) };
    let before = if dice.chance(50) { Position::MAX } else { Position(dice.below(end)) };
    let order = if dice.chance(50) { Order::Ascending } else { Order::Descending };
    let with_topics = dice.chance(30);
    let mut selection = match with_topics {
        true => index.select_with_topics(&query, after, before, order),
        false => index.select(&query, after, before, order),
    };
    let mut found = Vec::new();
    while selection.next(1 + dice.below(300) as usize, &mut found).expect("a page") {}
    let found: Vec<u64> = found.iter().map(|position| position.0).collect();
    let expected = match with_topics {
        true => model.select_with_topics(&query, after, before, order),
        false => model.select(&query, after, before, order),
    };
    assert!(found == expected, "{query:?} {after}..{before} {order:?}:\n{found:?}\n{expected:?}");
    if with_topics {
        return;
    }
    let stop_at = if dice.chance(50) { u64::MAX } else { dice.below(20) };
    let count = index.count(&query, after, before, stop_at).expect("a count");
    assert_eq!(count, (expected.len() as u64).min(stop_at), "{query:?} {after}..{before}");
}

fn compare_subjects(dice: &mut Dice, index: &Index, model: &Model) {
    let subject = dice.pick(&["a", "a/b", "wide", "wide/7", "long", "é", "none", ""]);
    let upto =
        if dice.chance(60) { model.head() } else { Position(dice.below(model.head().0 + 1)) };
    let exact = index.subject(subject, false, upto).expect("a subject");
    assert_eq!(exact, model.subject(Pattern::Exact(subject.to_owned()), upto), "{subject} {upto}");
    let tree = index.subject(subject, true, upto).expect("a subtree");
    assert_eq!(tree, model.subject(Pattern::Tree(subject.to_owned()), upto), "{subject}/* {upto}");
}

fn compare_identities(dice: &mut Dice, index: &Index, model: &Model) {
    let absent = Identity::of("nowhere", "id-1");
    let mut asked = vec![absent];
    for _ in 0..5.min(model.events.len()) {
        let event = &model.events[dice.below(model.events.len() as u64) as usize];
        asked.push(Identity::of(&event.source, &event.id));
    }
    let mut found = Vec::new();
    index.identities(&asked, &mut found).expect("identities");
    for (number, identity) in asked.iter().enumerate() {
        let same = |event: &Event<'_>| Identity::of(&event.source, &event.id) == *identity;
        let expected: Vec<Position> =
            (1..).zip(&model.events).filter(|(_, e)| same(e)).map(|(at, _)| Position(at)).collect();
        let of_batch = found.iter().filter(|(index, _)| *index == number).map(|(_, at)| *at);
        assert_eq!(of_batch.collect::<Vec<_>>(), expected);
        let mut alone = Vec::new();
        index.identity(*identity, &mut alone).expect("an identity");
        assert_eq!(alone, expected);
    }
}

pub(crate) fn encode(events: &[Event<'_>]) -> Encoded {
    let mut encoded = Encoded::default();
    events.iter().for_each(|event| encoded.push(event));
    encoded
}

/// Cuts events into batches of random size.
pub(crate) fn batches(dice: &mut Dice, events: &[Event<'_>], size_max: u64) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut rest = events;
    let mut first = Position::FIRST;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + dice.below(size_max) as usize).min(rest.len()));
        batches.push(encode(now).commit(first, Timestamp(first.0 as i64)).0);
        first = first.plus(now.len() as u64);
        rest = later;
    }
    batches
}

pub(crate) const OPTIONS: IndexOptions =
    IndexOptions { table_events: 50, table_bytes: 256 * 1024, fan_out: 3 };

pub(crate) fn open(storage: &Arc<dyn Storage>) -> Index {
    Index::open(Arc::clone(storage), "index", OPTIONS).expect("the index opens")
}
