//! A courier by examples, and under random failures and crashes.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

fn policy() -> Policy {
    Policy {
        batch_size: 1,
        batch_bytes: 1_000_000,
        in_flight_max: 4,
        ordering: Ordering::Subject,
        schedule_ms: vec![100, 1_000, 10_000],
        max_age_ms: None,
        pending_max: 1_000,
    }
}

fn item(policy: &Policy, position: u64, subject: &str) -> Item {
    let lane = policy.lane(Some(subject));
    Item { position: Position(position), lane, bytes: 100, round: Position::ZERO }
}

fn offered(policy: Policy, subjects: &[&str]) -> Courier {
    let mut courier = Courier::new(policy.clone(), Position::ZERO);
    for (at, subject) in subjects.iter().enumerate() {
        courier.offer(item(&policy, at as u64 + 1, subject));
    }
    courier
}

fn positions(parcel: &Parcel) -> Vec<u64> {
    parcel.positions.iter().map(|position| position.get()).collect()
}

fn sent(courier: &mut Courier, now: i64) -> Vec<Vec<u64>> {
    std::iter::from_fn(|| courier.next(now)).map(|parcel| positions(&parcel)).collect()
}

/// Retries without spread: in the middle.
const EVEN: u64 = JITTER_PERCENT;

#[test]
fn a_subject_that_fails_holds_up_nobody_else() {
    let mut courier = offered(policy(), &["a", "b", "a", "c", "a"]);
    assert_eq!(sent(&mut courier, 0), [[1], [2], [4]]);
    assert_eq!(courier.failed(0, 0, None, EVEN), Verdict::Retry(100));
    courier.delivered(1, 0);
    courier.delivered(2, 0);
    assert_eq!(courier.done(), Position(0));
    assert_eq!(courier.wake_at(), Some(100));
    assert_eq!(sent(&mut courier, 99), [[0; 0]; 0]);
    let again = courier.next(100).expect("due");
    assert_eq!((positions(&again), again.attempts), (vec![1], 1));
    courier.delivered(again.key, 100);
    assert_eq!(sent(&mut courier, 100), [[3]]);
    courier.delivered(3, 100);
    assert_eq!(sent(&mut courier, 100), [[5]]);
    courier.delivered(4, 100);
    assert_eq!((courier.done(), courier.pending()), (Position(5), 0));
}

#[test]
fn the_next_attempt_may_be_a_probe() {
    let short = Policy { schedule_ms: vec![100], ..policy() };
    let mut courier = offered(short, &["a"; 5]);
    let mut now = 0;
    for failures in 1..=DOWN_AFTER + 1 {
        let parcel = courier.next(now).expect("a parcel");
        assert_eq!(courier.next_attempt(), None, "it is on its way");
        match courier.failed(parcel.key, now, None, EVEN) {
            // Also while the endpoint is down.
            Verdict::Retry(due) => {
                assert_eq!((due, courier.next_attempt()), (now + 100, Some(due)))
            }
            Verdict::Dead(parcel) => courier.buried(parcel.key),
            Verdict::Unknown => panic!("it is known"),
        }
        now = if failures % 2 == 1 { now + 100 } else { now };
    }
    assert_eq!(courier.next(now), None);
    let probe = now + 2 * PROBE_MS_FIRST as i64;
    assert_eq!((courier.next_attempt(), courier.wake_at()), (Some(probe), Some(probe)));
    let parcel = courier.next(probe).expect("a probe");
    courier.delivered(parcel.key, probe);
    assert!(courier.next(probe).is_some());
    courier.delivered(4, probe);
    assert_eq!(courier.next_attempt(), None);
}

#[test]
fn what_an_endpoint_asks_to_wait_for_is_an_attempt() {
    let mut courier = offered(Policy { schedule_ms: Vec::new(), ..policy() }, &["a", "a"]);
    let parcel = courier.next(0).expect("a parcel");
    let Verdict::Dead(dead) = courier.failed(parcel.key, 0, Some(7_000), EVEN) else {
        panic!("dead")
    };
    courier.buried(dead.key);
    assert_eq!(courier.next(0), None);
    assert_eq!(courier.next_attempt(), Some(7_000));
}

#[test]
fn the_schedule_ends_in_a_dead_letter() {
    let mut courier = offered(policy(), &["a", "a"]);
    let mut now = 0;
    for wait in [100, 1_000, 10_000] {
        let parcel = courier.next(now).expect("a parcel");
        assert_eq!(courier.failed(parcel.key, now, None, EVEN), Verdict::Retry(now + wait));
        now += wait;
    }
    let last = courier.next(now).expect("a parcel");
    let Verdict::Dead(dead) = courier.failed(last.key, now, None, EVEN) else { panic!("dead") };
    assert_eq!((positions(&dead), dead.attempts), (vec![1], 4));
    assert_eq!(courier.next(now), None, "not before somebody has taken note");
    courier.buried(dead.key);
    assert_eq!(courier.next(now).map(|parcel| positions(&parcel)), Some(vec![2]));
    courier.delivered(1, now);
    let again = item(&policy(), 1, "a");
    courier.redrive(Position(9), [again]);
    courier.redrive(Position(9), [again]);
    let parcel = courier.next(now).expect("redriven");
    assert_eq!((positions(&parcel), parcel.round, parcel.attempts), (vec![1], Position(9), 0));
    assert_eq!(courier.next(now), None, "once");
}

#[test]
fn waits_are_spread_and_obey_the_endpoint() {
    let mut courier = offered(policy(), &["a", "b"]);
    assert_eq!(sent(&mut courier, 0).len(), 2);
    assert_eq!(courier.failed(0, 0, None, 0), Verdict::Retry(80));
    assert_eq!(courier.failed(1, 0, Some(700), 40), Verdict::Retry(700));
    assert_eq!(courier.next(699), None, "the endpoint wants to be left alone");
    assert_eq!(courier.wake_at(), Some(700));
    assert_eq!(sent(&mut courier, 700).len(), 2);
    let limited = Policy { max_age_ms: Some(150), ..policy() };
    let mut courier = offered(limited, &["a"]);
    courier.next(0).expect("a parcel");
    assert_eq!(courier.failed(0, 0, None, EVEN), Verdict::Retry(100));
    courier.next(100).expect("a parcel");
    assert!(matches!(courier.failed(0, 100, None, EVEN), Verdict::Dead(_)));
}

#[test]
fn an_endpoint_that_is_down_is_asked_one_thing_at_a_time() {
    let subjects: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let long = Policy { schedule_ms: vec![1_000_000; 9], ..policy() };
    let mut courier = offered(long, &subjects);
    for key in 0..u64::from(DOWN_AFTER) {
        courier.next(0).expect("a parcel");
        courier.failed(key, 0, None, EVEN);
    }
    assert_eq!(courier.next(0), None);
    assert_eq!(courier.wake_at(), Some(PROBE_MS_FIRST as i64));
    let now = PROBE_MS_FIRST as i64;
    let probe = courier.next(now).expect("a probe");
    assert_eq!(courier.next(now), None, "one");
    courier.failed(probe.key, now, None, EVEN);
    assert_eq!(courier.wake_at(), Some(now + 2 * PROBE_MS_FIRST as i64));
    let now = now + 2 * PROBE_MS_FIRST as i64;
    let probe = courier.next(now).expect("a probe");
    courier.delivered(probe.key, now);
    let next = courier.next(now).expect("what had failed first");
    assert_eq!((positions(&next), next.attempts), (vec![1], 1), "without its long wait");
}

/// Reads again what was skipped of events `1..=last`, at most `most` at a time.
fn read_again(courier: &mut Courier, lane_of: impl Fn(u64) -> Option<u64>, most: usize) {
    while let Some(again) = courier.again() {
        let range = again.after.get() + 1..=again.upto.get();
        let mut items = Vec::new();
        let mut upto = again.upto;
        for at in range.filter(|at| lane_of(*at) == Some(again.lane)) {
            let lane = Some(again.lane);
            items.push(Item { position: Position(at), lane, bytes: 100, round: Position::ZERO });
            if items.len() == most {
                upto = Position(at);
                break;
            }
        }
        courier.offer_again(again.lane, items, upto);
    }
}

#[test]
fn what_is_held_is_bounded_and_a_lane_that_fails_holds_up_no_other() {
    const EVENTS: u64 = 20_000;
    let policy = Policy { schedule_ms: vec![1_000], ..policy() };
    let subject = |at: u64| if at.is_multiple_of(2) { "stuck" } else { "flows" };
    let lane_of = |at: u64| policy.lane(Some(subject(at)));
    let mut courier = Courier::new(policy.clone(), Position::ZERO);
    let (mut now, mut arrived) = (0, Vec::new());
    let pass = |courier: &mut Courier, now: i64, works: bool, arrived: &mut Vec<u64>| loop {
        while courier.wants() && courier.looked().get() < EVENTS {
            let at = courier.looked().get() + 1;
            courier.offer(item(&policy, at, subject(at)));
        }
        read_again(courier, lane_of, 100);
        assert!(courier.pending() <= policy.pending_max, "{}", courier.pending());
        let Some(parcel) = courier.next(now) else { break };
        let at = positions(&parcel)[0];
        if works || subject(at) == "flows" {
            courier.delivered(parcel.key, now);
            arrived.push(at);
        } else {
            courier.failed(parcel.key, now, None, EVEN);
        }
    };
    pass(&mut courier, now, false, &mut arrived);
    assert_eq!(arrived, (1..=EVENTS).step_by(2).collect::<Vec<_>>(), "all of the other lane");
    assert_eq!((courier.looked(), courier.done()), (Position(EVENTS), Position(1)));
    let progress = courier.progress();
    assert!(progress.encode().len() < 8 * policy.pending_max);
    let find = |at: Position| Some((lane_of(at.get()), 100));
    let mut restored = Courier::restore(policy.clone(), &progress, find);
    now += 1_000;
    for courier in [&mut courier, &mut restored] {
        arrived.clear();
        pass(courier, now, true, &mut arrived);
        assert_eq!(arrived, (2..=EVENTS).step_by(2).collect::<Vec<_>>(), "in order, once");
        assert_eq!((courier.done(), courier.again()), (Position(EVENTS), None));
    }
}

#[test]
fn a_lane_that_begins_to_fail_makes_room() {
    let mut courier = offered(Policy { pending_max: 8, ..policy() }, &["a"; 8]);
    assert_eq!(sent(&mut courier, 0), [[1]]);
    assert_eq!((courier.wants(), courier.pending()), (false, 8), "it may be slow");
    courier.failed(0, 0, None, EVEN);
    assert_eq!((courier.wants(), courier.pending()), (true, 1));
    assert_eq!((courier.done(), courier.again()), (Position(0), None));
    let again = courier.next(100).expect("due");
    courier.delivered(again.key, 100);
    assert_eq!(courier.done(), Position(1), "the others are still to come");
    let lane = policy().lane(Some("a")).expect("a lane");
    let expected = Again { lane, after: Position(1), upto: Position(8) };
    assert_eq!(courier.again(), Some(expected));
}

#[test]
fn batches_have_one_parcel_a_lane() {
    let batches = Policy { batch_size: 3, in_flight_max: 2, ..policy() };
    let mut courier = offered(batches.clone(), &["a", "b", "a", "a", "c", "b", "d"]);
    assert_eq!(sent(&mut courier, 0), [vec![1, 2, 3], vec![5, 7]]);
    courier.failed(0, 0, None, EVEN);
    let restored = Courier::restore(batches, &courier.progress(), |at| {
        let subject = ["a", "b", "a", "a", "c", "b", "d"][at.get() as usize - 1];
        Some((policy().lane(Some(subject)), 100))
    });
    for mut courier in [courier, restored] {
        // In flight at the crash, so sent again; for the one that went on it still flies.
        if courier.flying() == 0 {
            assert_eq!(sent(&mut courier, 0), [[5, 7]]);
        }
        let again = courier.next(100).expect("due");
        assert_eq!((positions(&again), again.attempts), (vec![1, 2, 3], 1));
        courier.delivered(again.key, 100);
        assert_eq!(sent(&mut courier, 100), [[4, 6]]);
    }
}

/// What a receiver has seen.
#[derive(Default)]
struct Seen {
    delivered: BTreeMap<u64, usize>,
    by_subject: HashMap<u64, Vec<u64>>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// INV-5, whatever fails and whenever it crashes.
    #[test]
    fn everything_arrives_in_order(
        choices in proptest::collection::vec(any::<u8>(), 50..400),
        batch_size in 1_usize..5,
        lanes in 1_u64..5,
        unordered in any::<bool>(),
        pending_max in prop_oneof![4_usize..20, Just(1_000)],
    ) {
        const EVENTS: u64 = 60;
        let ordering = if unordered { Ordering::None } else { Ordering::Subject };
        let policy = Policy { batch_size, ordering, pending_max, ..policy() };
        let lane_of = |at: u64| policy.lane(Some(&(at % lanes).to_string()));
        let find = |at: Position| Some((lane_of(at.get()), 100));
        let mut courier = Courier::new(policy.clone(), Position::ZERO);
        let (mut seen, mut buried, mut repeats) = (Seen::default(), 0, 0);
        let (mut flying, mut now) = (Vec::<Parcel>::new(), 0_i64);
        let mut saved = courier.progress();
        let mut choices = choices.into_iter();
        for round in 0.. {
            prop_assert!(round < 100_000, "it comes to an end");
            let choice = choices.next();
            while courier.wants() && courier.looked().get() < EVENTS {
                let at = courier.looked().get() + 1;
                courier.offer(Item {
                    position: Position(at), lane: lane_of(at), bytes: 100, round: Position::ZERO,
                });
            }
            read_again(&mut courier, lane_of, 7);
            while let Some(parcel) = courier.next(now) {
                flying.push(parcel);
                read_again(&mut courier, lane_of, 7);
            }
            prop_assert!(flying.len() <= policy.in_flight_max);
            let Some(parcel) = (!flying.is_empty())
                .then(|| flying.remove(usize::from(choice.unwrap_or(0)) % flying.len()))
            else {
                match courier.wake_at() {
                    Some(at) => now = now.max(at),
                    None => break,
                }
                continue;
            };
            match choice.map(|choice| choice % 8) {
                Some(0..=2) => {
                    if let Verdict::Dead(dead) = courier.failed(parcel.key, now, None, EVEN) {
                        buried += dead.positions.len();
                        courier.buried(dead.key);
                    }
                }
                arrived => {
                    let again = seen.delivered.contains_key(&parcel.positions[0].get());
                    for at in positions(&parcel) {
                        *seen.delivered.entry(at).or_default() += 1;
                        if !again {
                            seen.by_subject.entry(at % lanes).or_default().push(at);
                        }
                    }
                    if arrived == Some(3) {
                        // The machine dies between the answer and its record.
                        repeats += parcel.positions.len();
                        let decoded = Progress::decode(&saved.encode()).expect("as written");
                        courier = Courier::restore(policy.clone(), &decoded, find);
                        flying.clear();
                        continue;
                    }
                    courier.delivered(parcel.key, now);
                }
            }
            saved = courier.progress();
            now += 7;
        }
        prop_assert_eq!(courier.done(), Position(EVENTS));
        let delivered: usize = seen.delivered.values().sum();
        prop_assert!(seen.delivered.len() + buried >= EVENTS as usize);
        prop_assert!(delivered + buried <= EVENTS as usize + repeats);
        if batch_size == 1 && !unordered {
            for order in seen.by_subject.values() {
                prop_assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", order);
            }
        }
    }
}
