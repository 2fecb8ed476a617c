//! `annal bench`: what this machine can do, and what Annal makes of it, in the same run.
//!
//! Every figure stands beside a baseline measured moments before or after it on the same disk and the
//! same cores, because a figure alone says more about the machine than about the program. Events are
//! 350 bytes of JSON; every acknowledgement waits for the disk.

mod disk;
mod engine;
mod events;
mod grpc;
mod http;
mod live;
mod load;
mod resources;
mod scale;
mod search;
mod sse;
mod table;
mod webhook;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use table::Table;

use crate::small_pages;

/// What to measure, and how long.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Seconds instead of minutes; figures are rougher
    #[arg(long)]
    pub quick: bool,
    /// Only this part; may be given several times
    #[arg(long, value_enum)]
    pub only: Vec<Part>,
    /// Where to write [default: the directory for temporary files]; it should be on the disk that counts
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The engine, without sockets.
    Engine,
    /// HTTP over loopback.
    Http,
    /// Documents folded from commits.
    Resources,
    /// gRPC over loopback.
    Grpc,
    /// A thousand live streams over loopback.
    Sse,
    /// Search: queries, how soon an append is found, what appends pay for it.
    Search,
    /// Deliveries to a local endpoint.
    Webhook,
    /// Ten thousand idle streams, paced events, clients that come back, readers far behind.
    Live,
    /// Ten million events (a million with --quick): memory, disk, start, scattered reads.
    Scale,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Events in the bulk measurements.
    events: usize,
    /// Requests, one event each.
    singles: usize,
    /// Lone appends and raw syncs.
    lone: usize,
    /// Events pushed to every stream.
    pushed: usize,
    /// Live streams.
    streams: usize,
    /// Streams that wait.
    idle: usize,
    /// So many streams, so many events a second.
    paced: [(usize, u32); 2],
    /// Events in a log that is large.
    many: usize,
    /// Documents that are searched.
    documents: usize,
}

impl Scale {
    fn new(quick: bool) -> Scale {
        match quick {
            true => Scale {
                events: 200_000,
                singles: 100_000,
                lone: 1_000,
                pushed: 300,
                streams: 200,
                idle: 1_000,
                paced: [(100, 100), (500, 20)],
                many: 1_000_000,
                documents: 20_000,
            },
            false => Scale {
                events: 1_000_000,
                singles: 500_000,
                lone: 5_000,
                pushed: 2_000,
                streams: 1_000,
                idle: 10_000,
                paced: [(1_000, 100), (5_000, 20)],
                many: 10_000_000,
                documents: 200_000,
            },
        }
    }
}

/// Measures and prints the table.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    // As `annal serve`.
    small_pages::prefer();
    let scale = Scale::new(args.quick);
    let scratch = Scratch::new(args)?;
    let mut table = Table::default();
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    if wanted(Part::Engine) {
        engine::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Http) {
        http::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Resources) {
        resources::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Grpc) {
        grpc::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Sse) {
        sse::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Search) {
        search::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Webhook) {
        webhook::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Live) {
        live::measure(&scratch.path, scale, &mut table)?;
    }
    if wanted(Part::Scale) {
        scale::measure(&scratch.path, scale.many, &mut table)?;
    }
    table.print();
    Ok(())
}

/// A directory that goes with the run.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(args: &BenchArgs) -> anyhow::Result<Scratch> {
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let path = parent.join(format!("annal-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot write in {}", parent.display()))?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}
