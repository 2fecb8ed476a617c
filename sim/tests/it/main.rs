//! A share of the stories with every test run; `annal-sim --seeds 10000` tells the rest.

use annal_sim::{Breakage, Story, tell};

fn stories() -> u64 {
    std::env::var("ANNAL_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn invariants_hold_in_every_story() {
    let mut refusals = 0;
    for seed in 1..=stories() {
        match tell(Story { seed, steps: 300, breakage: None, aloud: false }) {
            Ok(ending) => refusals += ending.refusals,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    assert!(refusals > 0, "no story had a damaged log: the simulator has lost a tooth");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..=20 {
        let story = Story { seed, steps: 300, breakage: None, aloud: false };
        assert_eq!(tell(story), tell(story), "seed {seed}");
    }
}

#[test]
fn acknowledging_before_the_sync_is_noticed() {
    let breakage = Some(Breakage::AcknowledgeBeforeSync);
    let noticed =
        (1..=50).find_map(|seed| tell(Story { seed, steps: 300, breakage, aloud: false }).err());
    let violation = noticed.expect("50 stories with power losses and late syncs");
    assert_eq!(violation.invariant, 1, "{violation}");
}
