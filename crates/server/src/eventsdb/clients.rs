//! How many clients of Events-DB follow at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::shared::{Shared, StreamPlace};

/// Clients that follow now.
#[derive(Debug, Default)]
pub(crate) struct Clients(AtomicUsize);

/// Counts one of them for as long as it is there.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    stream: StreamPlace,
}

impl ClientPlace {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.stream.shared
    }
}

impl Clients {
    /// A place, if there is one: among them, and among all live streams.
    pub(crate) fn place(&self, shared: &Arc<Shared>) -> Option<ClientPlace> {
        let stream = shared.stream_place()?;
        let taken = self.0.fetch_add(1, Relaxed);
        let place = ClientPlace { stream };
        (taken < shared.options.clients_max).then_some(place)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.shared().clients.0.fetch_sub(1, Relaxed);
    }
}
