//! Which threads go first: asked of the system here, where all system calls are.

use std::io;

/// How far a thread stands back: it gets about a tenth of what another thread gets on the same
/// core, and all of a core that nobody else wants.
const NICENESS: i32 = 10;

/// From now on this thread, and those it starts, go after other threads that want the processor.
/// There is no way back. Does nothing where a system knows priorities of whole processes only.
pub fn stand_back() -> io::Result<()> {
    if cfg!(target_os = "linux") {
        rustix::process::nice(NICENESS)?;
    }
    Ok(())
}
