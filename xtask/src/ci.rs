//! Everything a change must pass, in the order of what fails fastest.
//!
//! Every step runs even when an earlier one failed, so that one run names everything. The last line
//! is `N passed, N failed`: tests, and every other step as one.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No step takes longer on two cores; one that does hangs.
const STEP_MAX: Duration = Duration::from_secs(40 * 60);

/// How many things passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn of(good: bool) -> Tally {
        Tally { passed: usize::from(good), failed: usize::from(!good) }
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs all steps. `false` if anything failed.
pub(crate) fn run(root: &Path) -> bool {
    let mut tally = Tally::default();
    tally.add(step("formatting", || cargo(root, &["fmt", "--all", "--check"])));
    tally.add(step("tidy", || crate::tidy::run(root)));
    tally.add(step("clippy", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }));
    tally.add(dependencies(root));
    println!("\n== tests");
    tally.add(tests(root));
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0
}

fn step(name: &str, run: impl FnOnce() -> bool) -> Tally {
    println!("\n== {name}");
    let start = Instant::now();
    let good = run();
    let verdict = if good { "ok" } else { "FAILED" };
    println!("== {name}: {verdict} ({:.1} s)", start.elapsed().as_secs_f64());
    Tally::of(good)
}

/// Licences, sources, duplicates; advisories too where their database can be fetched.
fn dependencies(root: &Path) -> Tally {
    let installed = cargo_quietly(root, &["deny", "--version"]);
    if !installed && !in_ci() {
        println!("\nskipped: dependencies (cargo install --locked cargo-deny)");
        return Tally::default();
    }
    let mut tally = step("dependencies", || {
        cargo(root, &["deny", "--locked", "check", "bans", "licenses", "sources"])
    });
    if cargo_quietly(root, &["deny", "--locked", "fetch", "db"]) {
        tally.add(step("advisories", || cargo(root, &["deny", "--locked", "check", "advisories"])));
    } else {
        println!("\nnot done: advisories (their database cannot be reached from this machine)");
    }
    tally
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> bool {
    let started = Command::new(env!("CARGO")).args(arguments).current_dir(root).spawn();
    started.is_ok_and(finish)
}

fn cargo_quietly(root: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs all tests, shows their output as it comes, and counts what they say of themselves.
fn tests(root: &Path) -> Tally {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).current_dir(root);
    let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else { return Tally::of(false) };
    let Some(output) = child.stdout.take() else { return Tally::of(false) };
    let counted = thread::spawn(move || count(BufReader::new(output)));
    let good = finish(child);
    let mut tally = counted.join().unwrap_or_default();
    // It did not build, hung, or a test binary died without a word.
    if !good && tally.failed == 0 || tally.passed == 0 {
        tally.failed += 1;
    }
    tally
}

fn count(output: impl BufRead) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines().map_while(Result::ok) {
        println!("{line}");
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.add(parse(counts));
        }
    }
    tally
}

/// `ok. 3 passed; 0 failed; …`
fn parse(counts: &str) -> Tally {
    let number = |what: &str| {
        let before = counts.split(what).next().unwrap_or_default();
        before.trim_end().rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Tally { passed: number(" passed;"), failed: number(" failed;") }
}

/// Waits for a child, but not for ever.
fn finish(mut child: Child) -> bool {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < STEP_MAX => thread::sleep(Duration::from_millis(50)),
            _ => {
                println!("stopped after {} minutes", STEP_MAX.as_secs() / 60);
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};

    #[test]
    fn counts_what_the_tests_say() {
        let output = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            noise\n\
            test result: FAILED. 10 passed; 2 failed; 0 ignored\n";
        assert_eq!(count(output.as_bytes()), Tally { passed: 13, failed: 2 });
    }
}
