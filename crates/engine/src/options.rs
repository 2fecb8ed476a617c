//! How an engine is set up.

use annal_event::Limits;
use annal_log::LogOptions;
use annal_projection::{index::IndexOptions, search::SearchOptions, store::StoreOptions};

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk, synced, before the answer.
    #[default]
    Always,
    /// Written before the answer, synced within so many milliseconds.
    Interval {
        /// The longest time between write and sync.
        ms: u64,
    },
    /// Written before the answer; the operating system syncs when it likes.
    Never,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Bounds on what a producer may send.
    pub limits: Limits,
    /// Bytes of requests that may wait to be decided; more are refused as [`crate::Busy`].
    pub queue_bytes_max: usize,
    /// A group takes requests until it holds this many bytes.
    pub group_bytes_max: usize,
    /// The log.
    pub log: LogOptions,
    /// The index.
    pub index: IndexOptions,
    /// The rows of resources.
    pub store: StoreOptions,
    /// The search index; `None`: there is none.
    pub search: Option<SearchOptions>,
    /// Whether commits may only name registered schemas.
    pub require_schemas: bool,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            durability: Durability::Always,
            limits: Limits::default(),
            queue_bytes_max: 32 * 1024 * 1024,
            group_bytes_max: 1024 * 1024,
            log: LogOptions::default(),
            index: IndexOptions::default(),
            store: StoreOptions::default(),
            search: None,
            require_schemas: false,
        }
    }
}
