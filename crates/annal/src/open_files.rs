//! Descriptors: every connection takes one, and shells give few.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes as many as the system lets this process have; how many it has then.
pub(crate) fn raise() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is; see annal doctor");
    }
    let have = getrlimit(Resource::Nofile).current;
    have.map_or(usize::MAX, |have| usize::try_from(have).unwrap_or(usize::MAX))
}
