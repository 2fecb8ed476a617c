//! Reading for those who are far behind, on threads that stand back: catching up takes what writers
//! and those who keep up leave. What is sent follows what is read, so that it stands back as well.

use std::{fmt, future::Future, sync::Arc};

use annal_engine::{Rank, ReadError, stand_back};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

use crate::reply::BodyError;

/// Readers that may be at the disk at a time: they share it with the writer.
const READERS_MAX: usize = 2;

/// Threads that read, and whose turn it is.
pub(crate) struct Readers {
    turns: Arc<Semaphore>,
    /// Only for its threads; taken when they are to end.
    threads: Option<Runtime>,
}

impl Default for Readers {
    fn default() -> Readers {
        let threads = Builder::new_current_thread()
            .thread_name("annal-reader")
            .max_blocking_threads(READERS_MAX)
            .on_thread_start(|| {
                if let Err(error) = stand_back(Rank::Last) {
                    tracing::warn!(%error, "reading runs at the priority of everything else");
                }
            })
            .build()
            .expect("a runtime without drivers asks nothing of the system");
        Readers { turns: Arc::new(Semaphore::new(READERS_MAX)), threads: Some(threads) }
    }
}

impl Readers {
    /// Reads when it is this reader's turn. Memory for reading is taken by those who have a turn, not
    /// by all who wait; who goes away while waiting is not read for.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> impl Future<Output = Result<T, BodyError>> + Send + 'static {
        let turns = Arc::clone(&self.turns);
        let threads = self.threads.as_ref().map(|threads| threads.handle().clone());
        async move {
            let threads = threads.ok_or("the server has ended")?;
            let turn = turns.acquire_owned().await?;
            let read = threads.spawn_blocking(move || {
                let _turn = turn;
                read()
            });
            Ok(read.await??)
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // This may be a task, which must not wait.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("free", &self.turns.available_permits()).finish()
    }
}
