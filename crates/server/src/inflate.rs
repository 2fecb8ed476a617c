//! Streaming decompression of request bodies, a bounded piece at a time.
//!
//! A piece of compressed input is never allowed to become more than [`PIECE_BYTES`] of output
//! before somebody has looked at it, so a bomb costs what the limit it runs into costs.

use std::io;

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

/// Decompressed bytes handed on at a time.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// RFC 9659: content encoded for HTTP needs no window above 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// gzip with its header, the largest window there is (RFC 1951).
const GZIP_WINDOW_BITS: u8 = 15;

/// Decompresses one body.
pub(crate) struct Inflate {
    kind: Kind,
    /// Whether the last compressed unit (gzip member, zstd frame) is complete.
    whole: bool,
}

enum Kind {
    Gzip(Box<Decompress>),
    Zstd(Box<Zstd<'static>>),
}

impl Inflate {
    pub(crate) fn gzip() -> Inflate {
        let inner = Decompress::new_gzip(GZIP_WINDOW_BITS);
        Inflate { kind: Kind::Gzip(Box::new(inner)), whole: false }
    }

    pub(crate) fn zstd() -> io::Result<Inflate> {
        let mut inner = Zstd::new()?;
        inner.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Inflate { kind: Kind::Zstd(Box::new(inner)), whole: false })
    }

    /// Decompresses from the front of `input`, up to [`PIECE_BYTES`]. Takes at least a byte of
    /// input or gives at least a byte of output, else there is nothing left to do.
    pub(crate) fn piece(&mut self, input: &mut Bytes) -> io::Result<Vec<u8>> {
        match &mut self.kind {
            Kind::Gzip(inner) => gzip_piece(inner, &mut self.whole, input),
            Kind::Zstd(inner) => zstd_piece(inner, &mut self.whole, input),
        }
    }

    /// Whether the input could end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}

fn gzip_piece(inner: &mut Decompress, whole: &mut bool, input: &mut Bytes) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(PIECE_BYTES);
    if *whole && !input.is_empty() {
        // Another member follows (RFC 1952 §2.2).
        *inner = Decompress::new_gzip(GZIP_WINDOW_BITS);
        *whole = false;
    }
    if input.is_empty() && *whole {
        return Ok(out);
    }
    let before = inner.total_in();
    let status = inner.decompress_vec(input, &mut out, FlushDecompress::None)?;
    input.advance((inner.total_in() - before) as usize);
    *whole = status == Status::StreamEnd;
    Ok(out)
}

fn zstd_piece(
    inner: &mut Zstd<'static>,
    whole: &mut bool,
    input: &mut Bytes,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(PIECE_BYTES);
    let mut source = InBuffer::around(input.as_ref());
    let mut target = OutBuffer::around(&mut out);
    // 0: a frame is complete and flushed; the next byte, if any, begins another.
    let wants = inner.run(&mut source, &mut target)?;
    let (taken, given) = (source.pos(), target.pos());
    if taken > 0 || given > 0 {
        *whole = wants == 0;
    }
    input.advance(taken);
    Ok(out)
}
