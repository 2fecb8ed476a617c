//! Descriptors: every connection takes one, and shells give few.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes as many as the system lets this process have.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is; see annal doctor");
    }
}
