//! `annal-sim [--seeds N] [--from N] [--steps N] [--aloud] [--break acknowledge-before-sync]`: tells many
//! stories, says how they ended, and exits 1 at the first violation with the seed that shows it.

use std::{env, process::ExitCode};

use annal_sim::{Breakage, Story, tell};

fn main() -> ExitCode {
    match arguments() {
        Ok((from, seeds, story)) => run(from, seeds, story),
        Err(wrong) => {
            eprintln!(
                "{wrong}\nusage: annal-sim [--seeds N] [--from N] [--steps N] [--aloud] [--break acknowledge-before-sync]"
            );
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<(u64, u64, Story), String> {
    let (mut from, mut seeds) = (1, 1_000);
    let mut story = Story { seed: 0, steps: 300, breakage: None, aloud: false };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--aloud" {
            story.aloud = true;
            continue;
        }
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is no number"));
        match name.as_str() {
            "--from" => from = number()?,
            "--seeds" => seeds = number()?,
            "--steps" => story.steps = number()?,
            "--break" if value == "acknowledge-before-sync" => {
                story.breakage = Some(Breakage::AcknowledgeBeforeSync);
            }
            _ => return Err(format!("unknown: {name} {value}")),
        }
    }
    Ok((from, seeds, story))
}

fn run(from: u64, seeds: u64, story: Story) -> ExitCode {
    let (mut events, mut crashes, mut faults, mut refusals) = (0, 0, 0, 0);
    for seed in from..from + seeds {
        match tell(Story { seed, ..story }) {
            Ok(ending) => {
                events += ending.events;
                crashes += ending.crashes;
                faults += ending.faults;
                refusals += ending.refusals;
            }
            Err(violation) => {
                eprintln!("seed {seed}: {violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{seeds} stories of {} steps: {events} events, {crashes} restarts, {faults} faults, {refusals} damaged logs refused; invariants 1-5 held",
        story.steps
    );
    ExitCode::SUCCESS
}
