//! Which threads go first, and what they took: asked of the system here, where all system calls are.

use std::{io, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// How far a thread stands back for others that want the same core. It gets all of a core that nobody
/// else wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Somebody will wait for it: about a tenth of what another thread gets.
    Behind,
    /// It can take as long as it takes: about a seventieth.
    Last,
}

/// From now on this thread, and those it starts, go after other threads that want the processor.
/// There is no way back. Does nothing where a system knows priorities of whole processes only.
pub fn stand_back(rank: Rank) -> io::Result<()> {
    let niceness = match rank {
        Rank::Behind => 10,
        Rank::Last => 19,
    };
    if cfg!(target_os = "linux") {
        rustix::process::nice(niceness)?;
    }
    Ok(())
}

/// What this thread has had of the processors since it began.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
