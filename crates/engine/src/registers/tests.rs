//! Registers against what a crash, a failure and a full table do to them.

use std::sync::Arc;

use annal_event::Timestamp;
use annal_storage::{FaultStorage, Storage};
use proptest::prelude::*;

use super::*;

use RegisterKind::{Client, Consumer};

fn open(disk: &FaultStorage) -> Registers {
    Registers::open(Arc::new(disk.clone())).expect("opens")
}

#[test]
fn a_register_is_raised_or_swapped() {
    let disk = FaultStorage::new(1);
    let registers = open(&disk);
    assert_eq!(registers.raise(Client, "a", &[0, 5]), Ok(vec![0, 5]));
    assert_eq!(registers.raise(Client, "a", &[0, 3]), Ok(vec![0, 5]), "it never moves back");
    assert_eq!(registers.get(Consumer, "a"), None);
    assert_eq!(registers.swap(Consumer, "a", None, Some(b"x")), Ok(()));
    let moved = RegisterError::Moved { actual: Some(b"x".to_vec()) };
    assert_eq!(registers.swap(Consumer, "a", None, Some(b"y")), Err(moved));
    assert_eq!(registers.swap(Consumer, "a", Some(b"x"), None), Ok(()));
    assert_eq!(registers.get(Consumer, "a"), None);
    let long = vec![0; REGISTER_VALUE_BYTES_MAX + 1];
    assert_eq!(registers.raise(Client, "b", &long), Err(RegisterError::TooLong));
    registers.sync().expect("synced");
    let again = open(&disk);
    assert_eq!(again.list(Client), [("a".to_owned(), vec![0, 5])]);
    assert!(again.list(Consumer).is_empty());
}

#[test]
fn there_is_room_for_so_many_of_a_kind() {
    let registers = open(&FaultStorage::new(1));
    for n in 0..REGISTERS_MAX {
        registers.raise(Client, &n.to_string(), b"1").expect("room");
    }
    assert_eq!(registers.raise(Client, "one more", b"1"), Err(RegisterError::Full));
    registers.raise(Client, "7", b"2").expect("what is there can change");
    registers.raise(Consumer, "7", b"2").expect("another kind has its own room");
    registers.swap(Client, "7", Some(b"2"), None).expect("removed");
    registers.raise(Client, "one more", b"1").expect("room again");
}

#[test]
fn upkeep_writes_soon_and_syncs_later() {
    let registers = open(&FaultStorage::new(1));
    let at = |ms: i64| Timestamp(ms * 1_000);
    assert_eq!(registers.is_due(at(1_000)), Due::Nothing);
    registers.raise(Client, "a", b"1").expect("room");
    assert_eq!(registers.is_due(at(1_020)), Due::Write);
    registers.write().expect("written");
    registers.raise(Client, "a", b"2").expect("room");
    registers.write().expect("written");
    assert_eq!(registers.is_due(at(1_040)), Due::Nothing);
    assert_eq!(registers.is_due(at(1_540)), Due::Sync);
    registers.sync().expect("synced");
    assert_eq!(registers.is_due(at(3_000)), Due::Nothing);
}

#[test]
fn damage_in_what_was_durable_is_told() {
    let disk = FaultStorage::new(1);
    let registers = open(&disk);
    for value in [b"1", b"2", b"3"] {
        registers.raise(Client, "a", value).expect("room");
        registers.sync().expect("synced");
    }
    let file = disk.open(PATH).expect("the file");
    let at = (FILE_HEADER_BYTES + FRAME_HEADER_BYTES + 2) as u64;
    file.write_at(b"!", at).expect("written");
    let error = Registers::open(Arc::new(disk.clone())).expect_err("damaged");
    assert!(matches!(error, RegisterOpenError::Damaged { offset: FILE_HEADER_BYTES }), "{error}");
    file.write_at(b"X", 0).expect("written");
    assert!(Registers::open(Arc::new(disk)).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Raise(u8, u8),
    Remove(u8),
    Write,
    Sync,
    Fail,
    Kill,
    LosePower,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6u8, any::<u8>()).prop_map(|(name, value)| Step::Raise(name, value)),
        1 => (0..6u8).prop_map(Step::Remove),
        4 => Just(Step::Write),
        2 => Just(Step::Sync),
        1 => Just(Step::Fail),
        1 => Just(Step::Kill),
        1 => Just(Step::LosePower),
    ]
}

proptest! {
    /// Against a list of every state there was: a killed process goes back to what was written
    /// last, a power loss to a state no older than the last one synced.
    #[test]
    fn a_crash_goes_back_to_a_state_there_was(steps in proptest::collection::vec(step(), 1..80), seed: u64) {
        let mut disk = FaultStorage::new(seed);
        let mut registers = open(&disk);
        let mut states = vec![registers.list(Client)];
        let (mut written, mut synced) = (0, 0);
        for step in steps {
            match step {
                Step::Raise(name, value) => {
                    registers.raise(Client, &name.to_string(), &[value]).expect("room");
                }
                Step::Remove(name) => {
                    let name = name.to_string();
                    let have = registers.get(Client, &name);
                    registers.swap(Client, &name, have.as_deref(), None).expect("it has that");
                }
                Step::Write => if registers.write().is_ok() {
                    written = states.len() - 1;
                },
                Step::Sync => if registers.sync().is_ok() {
                    (written, synced) = (states.len() - 1, states.len() - 1);
                },
                Step::Fail => {
                    disk.fail_sync(1);
                    disk.fail_write(3);
                }
                Step::Kill | Step::LosePower => {
                    let since = if matches!(step, Step::Kill) { written } else { synced };
                    if matches!(step, Step::LosePower) {
                        disk = disk.crash(seed);
                    }
                    registers = open(&disk);
                    let now = registers.list(Client);
                    prop_assert!(states[since..].contains(&now), "{now:?} of {:?}", &states[since..]);
                    states = vec![now];
                    (written, synced) = (0, 0);
                    // A disk that has failed once or twice is tried again, in a new file.
                    prop_assert!((0..50).any(|_| registers.sync().is_ok()));
                }
            }
            states.push(registers.list(Client));
        }
    }
}
