//! `annal import`: the events of a file, a pipe or a tree, stored once however often it is run.

use std::path::Path;

use crate::{
    cli::{ImportArgs, Setting},
    import::{self, Sink},
    output::Progress,
    target::{self, Missing},
};

/// Imports, and says what was read, stored and there already. A bad line ends it; what came before
/// it stays.
pub(crate) fn run(setting: &Setting, args: &ImportArgs) -> anyhow::Result<()> {
    let limits = setting.settings.engine_options()?.limits;
    let mut input = import::open(&args.from, args.format, &args.source, limits)?;
    let mut sink = Sink::new(target::open(setting, Missing::Create)?, limits);
    let progress = Progress::of_bytes(input.total_bytes());
    let outcome = import::run(&mut input, &mut sink, |done| progress.at(done));
    progress.finish();
    let tally = sink.tally();
    match outcome {
        Ok(()) => {
            println!("{tally}");
            Ok(())
        }
        Err(error) => Err(error.context(format!("{}: {tally}; then it ended", name(&args.from)))),
    }
}

fn name(from: &Path) -> String {
    match from.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => from.display().to_string(),
    }
}
