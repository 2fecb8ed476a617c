//! How large things may be. Every limit is configurable; these are the defaults of API.md §0.

/// Bounds on what a producer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One event, attributes and data together, in bytes of its stored record.
    pub event_bytes_max: usize,
    /// One request body after decompression, in bytes (NDJSON has no such bound).
    pub request_bytes_max: usize,
    /// Events in one batch.
    pub batch_events_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            event_bytes_max: 1024 * 1024,
            request_bytes_max: 64 * 1024 * 1024,
            batch_events_max: 10_000,
        }
    }
}
