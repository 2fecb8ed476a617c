//! zstd with one prepared dictionary for all blocks of a segment.

use std::{cell::RefCell, fmt};

use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};

/// Compresses the blocks of one segment.
pub(crate) struct Compressor {
    context: CCtx<'static>,
    dictionary: CDict<'static>,
    level: i32,
    plain: bool,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// An empty dictionary is none.
    pub(crate) fn new(dictionary: &[u8], level: i32) -> Compressor {
        Compressor {
            context: CCtx::create(),
            dictionary: CDict::create(dictionary, level),
            level,
            plain: dictionary.is_empty(),
        }
    }

    /// Compresses `raw` into `out`, which is overwritten.
    pub(crate) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let done = match self.plain {
            true => self.context.compress(out, raw, self.level),
            false => self.context.compress_using_cdict(out, raw, &self.dictionary),
        };
        done.expect("zstd compresses anything into a buffer of its own bound");
    }
}

/// Decompresses the blocks of one segment; shared by all readers.
pub(crate) struct Decompressor {
    dictionary: Option<DDict<'static>>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("dictionary", &self.dictionary.is_some()).finish()
    }
}

thread_local! {
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

impl Decompressor {
    pub(crate) fn new(dictionary: &[u8]) -> Decompressor {
        let dictionary = (!dictionary.is_empty()).then(|| DDict::create(dictionary));
        Decompressor { dictionary }
    }

    /// `None` if these are not compressed bytes of at most `raw_bytes_max`.
    pub(crate) fn decompress(&self, bytes: &[u8], raw_bytes_max: usize) -> Option<Vec<u8>> {
        let size = zstd::zstd_safe::get_frame_content_size(bytes).ok()??;
        if size > raw_bytes_max as u64 {
            return None;
        }
        let mut raw = Vec::with_capacity(size as usize);
        CONTEXT.with_borrow_mut(|context| match &self.dictionary {
            Some(dictionary) => context.decompress_using_ddict(&mut raw, bytes, dictionary).ok(),
            None => context.decompress(&mut raw, bytes).ok(),
        })?;
        Some(raw)
    }
}
