//! How a log is laid out and how much memory it may use. All sizes in bytes.

/// Settings of one log. They may differ from one start to the next.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A segment that would grow past this is rolled.
    pub segment_bytes: u64,
    /// A segment whose first batch is older than this is rolled by the next one.
    pub segment_age_ms: u64,
    /// Least that is zeroed ahead of the writer.
    pub step_bytes_min: u64,
    /// Most that is zeroed ahead of the writer at once: it is one commit's stall.
    pub step_bytes_max: u64,
    /// Newest batches kept in memory for readers.
    pub tail_bytes: usize,
    /// Size of a block of a sealed segment before compression, at most 32 KiB.
    pub block_bytes: usize,
    /// Size of the dictionary trained for each sealed segment; 0 for none.
    pub dictionary_bytes: usize,
    /// zstd level of sealed segments.
    pub compression_level: i32,
    /// Decompressed blocks kept in memory.
    pub block_cache_bytes: usize,
    /// Indexes and dictionaries of sealed segments kept in memory.
    pub segment_cache_bytes: usize,
    /// Open files kept for reading.
    pub open_files_max: usize,
    /// Work done by one [`crate::LogReader::seal_step`].
    pub upkeep_step_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 128 << 20,
            segment_age_ms: 7 * 24 * 3600 * 1000,
            step_bytes_min: 256 << 10,
            step_bytes_max: 16 << 20,
            tail_bytes: 16 << 20,
            block_bytes: 8 << 10,
            dictionary_bytes: 16 << 10,
            compression_level: 1,
            block_cache_bytes: 8 << 20,
            segment_cache_bytes: 16 << 20,
            open_files_max: 64,
            upkeep_step_bytes: 1 << 20,
        }
    }
}
