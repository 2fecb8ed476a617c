//! The grammar of the command line, and the way from a command to its exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 used wrongly. What a command finds goes to standard output, what
//! it has to say about itself to standard error.

mod filters;

use std::{io, path::PathBuf, process::ExitCode};

use annal_event::Position;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use filters::{Filters, From};

use crate::{
    bench::BenchArgs,
    command,
    config::{ConfigError, Environment, LEGACY_HELP, Settings},
    import::Format,
    logging,
};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USED_WRONGLY: u8 = 2;

/// Keeps events in order, answers what they add up to, pushes them to whoever waits.
#[derive(Debug, Parser)]
#[command(name = "annal", version, propagate_version = true)]
pub struct Cli {
    /// File of settings [default: annal.toml, where there is one]
    #[arg(long, value_name = "FILE", global = true, env = "ANNAL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Work on the server at this address instead of a data directory
    #[arg(long, value_name = "URL", global = true, env = "ANNAL_URL")]
    pub url: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `annal` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = LEGACY_HELP)]
    Serve(Settings),
    /// Append an event, from flags or from JSON on standard input
    Append(AppendArgs),
    /// Show the newest events, and those that come
    Tail(TailArgs),
    /// Show one event, or one resource
    Get(GetArgs),
    /// Search resources and events
    Query(QueryArgs),
    /// Fold again what the log adds up to; needs the directory to itself
    Rebuild(RebuildArgs),
    /// Append the events of a file; a second time stores nothing
    Import(ImportArgs),
    /// Write events as NDJSON
    Export(ExportArgs),
    /// Walk the whole log and check every checksum and hash
    Verify(PlaceArgs),
    /// Drop the end of a damaged log for which there is no copy
    Repair(RepairArgs),
    /// Look into the log's files
    #[command(subcommand)]
    Log(LogCommand),
    /// Measure this machine and this program side by side
    Bench(BenchArgs),
    /// Check the surroundings: disk, limits, clock, configuration
    Doctor(PlaceArgs),
}

/// What can be done with the log's files.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print a segment, or all segments of a directory, as JSON lines
    Cat {
        /// A segment, a log directory, or a data directory
        path: PathBuf,
    },
}

/// Where the data is, and nothing else.
#[derive(Debug, Default, Args)]
pub struct PlaceArgs {
    #[command(flatten)]
    pub place: Place,
}

/// The settings that every command has.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Where the data is [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace [default: warn]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl Place {
    fn settings(&self) -> Settings {
        Settings { data_dir: self.data_dir.clone(), log: self.log.clone(), ..Settings::default() }
    }
}

/// Where to cut a log.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The last position to keep; the batch that goes beyond it is dropped whole
    #[arg(long, value_name = "POSITION")]
    pub truncate_at: Position,
    #[command(flatten)]
    pub place: Place,
}

/// An event to append.
#[derive(Debug, Args)]
pub struct AppendArgs {
    /// What kind of thing happened; without it, JSON is read from standard input
    #[arg(long = "type", value_name = "TYPE", requires = "source")]
    pub ty: Option<String>,
    /// Where it happened, a URI-reference
    #[arg(long, value_name = "URI", requires = "ty")]
    pub source: Option<String>,
    /// What it happened to
    #[arg(long, requires = "ty")]
    pub subject: Option<String>,
    /// Names the event within its source [default: a fresh UUID]
    #[arg(long, requires = "ty")]
    pub id: Option<String>,
    /// When it happened, RFC 3339 [default: now]
    #[arg(long, requires = "ty")]
    pub time: Option<String>,
    /// The payload: text, @FILE, or - for standard input
    #[arg(long, requires = "ty", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Media type of the payload [default: application/json if it is JSON, else text/plain]
    #[arg(long, requires = "data", value_name = "TYPE")]
    pub content_type: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

/// Which events to show, and whether to wait for more.
#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    pub filters: Filters,
    /// Begin here: earliest, latest, a position (exclusive), or a recorded time
    #[arg(long, value_name = "WHERE", conflicts_with = "lines")]
    pub from: Option<From>,
    /// The newest N to begin with [default: 10]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// End at the head instead of waiting for more
    #[arg(long)]
    pub no_follow: bool,
    #[command(flatten)]
    pub place: Place,
}

/// What to show.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// A position, or the id of an event; `resource NAME` for a resource
    #[arg(value_name = "POSITION|ID")]
    pub which: String,
    /// The resource: type/id, its id, or type-id
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The resource as it was at a position or a recorded time
    #[arg(long, value_name = "POSITION|TIME", requires = "name")]
    pub at: Option<String>,
    /// The event of this source; then WHICH is an id even if it is a number
    #[arg(long, value_name = "URI")]
    pub source: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

/// What to look for; what each means stands at `GET /query` in the reference.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Words, "a phrase", field:value, AND OR NOT ( ), ranges, prefix*; nothing finds everything
    #[arg(value_name = "QUERY", default_value = "")]
    pub text: String,
    /// resources, events or all [default: resources]
    #[arg(long = "in", value_name = "WHAT")]
    pub scope: Option<String>,
    /// Only documents of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub ty: Option<String>,
    /// Only documents of this time or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only documents of this time or earlier, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Results to show; 0 counts only [default: 50]
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
    /// Results to pass over
    #[arg(long, value_name = "N")]
    pub offset: Option<usize>,
    /// A field, _score, _time or _position, with - before it for descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// How words side by side are joined: or, and [default: or]
    #[arg(long, value_name = "OPERATOR")]
    pub operator: Option<String>,
    /// Fields whose values are counted, separated by commas
    #[arg(long, value_name = "FIELDS")]
    pub facets: Option<String>,
    /// Count by hour, day, month or year
    #[arg(long, value_name = "INTERVAL")]
    pub histogram: Option<String>,
    /// Leave out where the words stand
    #[arg(long)]
    pub no_highlight: bool,
    #[command(flatten)]
    pub place: Place,
}

/// What to fold again.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Which part of it
    #[arg(value_enum, default_value_t = Rebuilt::All)]
    pub what: Rebuilt,
    #[command(flatten)]
    pub place: Place,
}

/// What can be folded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rebuilt {
    /// What finds events.
    Index,
    /// The rows of resources.
    Rows,
    /// Full text.
    Search,
    /// All of these.
    All,
}

/// What to import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A file (plain, .gz, .zst), a directory tree of events, or - for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub from: PathBuf,
    /// How the events are written
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Source of events that name none
    #[arg(long, value_name = "URI", default_value = "/import")]
    pub source: String,
    #[command(flatten)]
    pub place: Place,
}

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub filters: Filters,
    /// Write here (compressed if it ends in .gz or .zst) [default: standard output]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

/// A command that cannot be meant as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Everything a command needs besides its own arguments.
#[derive(Debug)]
pub struct Setting {
    /// The settings, all levels put together.
    pub settings: Settings,
    /// The server to work on, if one was named.
    pub url: Option<String>,
}

/// Parses the command line, carries it out, and says how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // A closed pipe is no reason to fail over the help text.
            let _ = error.print();
            return ExitCode::from(if wrong { USED_WRONGLY } else { DONE });
        }
    };
    match carry_out(cli) {
        Ok(()) => ExitCode::from(DONE),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(DONE),
        Err(error) => {
            eprintln!("error: {error:#}");
            let wrong = error.is::<Usage>() || error.is::<ConfigError>();
            ExitCode::from(if wrong { USED_WRONGLY } else { FAILED })
        }
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn carry_out(cli: Cli) -> anyhow::Result<()> {
    let Cli { config, url, command } = cli;
    let environment = Environment::of_process();
    let talkative = matches!(command, Command::Serve(_) | Command::Rebuild(_));
    let flags = command.settings();
    let settings = flags.resolve(config.as_deref(), &environment)?;
    logging::start(&settings, talkative)?;
    for name in environment.unknown() {
        tracing::warn!(name, "this environment variable means nothing to annal");
    }
    let setting = Setting { settings, url };
    match command {
        Command::Serve(_) => command::serve::run(&setting),
        Command::Append(args) => command::append::run(&setting, &args),
        Command::Tail(args) => command::tail::run(&setting, &args),
        Command::Get(args) => command::get::run(&setting, &args),
        Command::Query(args) => command::query::run(&setting, &args),
        Command::Rebuild(args) => command::rebuild::run(&setting, args.what),
        Command::Import(args) => command::import::run(&setting, &args),
        Command::Export(args) => command::export::run(&setting, &args),
        Command::Verify(_) => command::verify::run(&setting),
        Command::Repair(args) => command::repair::run(&setting, &args),
        Command::Log(LogCommand::Cat { path }) => command::log_cat::run(&path),
        Command::Bench(args) => crate::bench::run(&args),
        Command::Doctor(_) => command::doctor::run(&setting),
    }
}

impl Command {
    /// What the flags say about settings.
    fn settings(&self) -> Settings {
        match self {
            Command::Serve(settings) => settings.clone(),
            Command::Append(args) => args.place.settings(),
            Command::Tail(args) => args.place.settings(),
            Command::Get(args) => args.place.settings(),
            Command::Query(args) => args.place.settings(),
            Command::Rebuild(args) => args.place.settings(),
            Command::Import(args) => args.place.settings(),
            Command::Export(args) => args.place.settings(),
            Command::Repair(args) => args.place.settings(),
            Command::Verify(args) | Command::Doctor(args) => args.place.settings(),
            Command::Log(_) | Command::Bench(_) => Settings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }
}
