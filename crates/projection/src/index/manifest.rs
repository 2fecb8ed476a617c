//! Which runs there are. Switched atomically: written beside the old one, synced, moved over it.

use std::sync::Arc;

use annal_event::Position;
use annal_storage::Storage;

use super::{
    codec::Reader,
    error::IndexError,
    run::{RunEntry, VERSION},
};

/// File name within the index directory.
pub(super) const MANIFEST: &str = "manifest";
const SCRATCH: &str = "manifest.new";
const MAGIC: &[u8; 8] = b"ANNALIDX";
const ENTRY_BYTES: usize = 8 + 4 + 1 + 8;

/// Why a manifest was not used.
pub(super) type Refusal = &'static str;

/// The runs of an index, oldest first, from position 1 on without a gap.
pub(super) fn read(
    storage: &Arc<dyn Storage>,
    dir: &str,
) -> Result<Result<Vec<RunEntry>, Refusal>, IndexError> {
    let path = format!("{dir}/{MANIFEST}");
    let names = storage.list(dir).map_err(|e| IndexError::io(dir, e))?;
    if !names.iter().any(|name| name == MANIFEST) {
        return Ok(Err("there is no manifest"));
    }
    let file = storage.open(&path).map_err(|e| IndexError::io(&path, e))?;
    let len = file.len().map_err(|e| IndexError::io(&path, e))?;
    let mut bytes = vec![0; usize::try_from(len.min(MANIFEST_BYTES_MAX)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(|e| IndexError::io(&path, e))?;
    Ok(decode(&bytes))
}

/// More runs than a log of any length comes to.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

fn decode(bytes: &[u8]) -> Result<Vec<RunEntry>, Refusal> {
    let (content, sum) = bytes.split_last_chunk::<4>().ok_or("the manifest is too short")?;
    if crc32c::crc32c(content).to_le_bytes() != *sum {
        return Err("the manifest is damaged");
    }
    let mut reader = Reader::new(content);
    if reader.take(8) != Some(MAGIC) || reader.u32() != Some(VERSION) {
        return Err("the manifest is of another version");
    }
    let count = reader.remaining() / ENTRY_BYTES;
    let entries: Option<Vec<_>> = (0..count).map(|_| decode_entry(&mut reader)).collect();
    let entries = entries.filter(|_| reader.remaining() == 0).ok_or("the manifest is too short")?;
    let mut next = Position::FIRST;
    for entry in &entries {
        if entry.first != next || entry.count == 0 {
            return Err("the manifest has a gap");
        }
        next = entry.first.plus(u64::from(entry.count));
    }
    Ok(entries)
}

fn decode_entry(reader: &mut Reader<'_>) -> Option<RunEntry> {
    Some(RunEntry {
        first: Position(reader.u64()?),
        count: reader.u32()?,
        level: *reader.take(1)?.first()?,
        bytes: reader.u64()?,
    })
}

/// Makes these the runs of the index. Their files are whole and durable already, but for their
/// names, which are made durable first.
pub(super) fn write(
    storage: &Arc<dyn Storage>,
    dir: &str,
    entries: &[RunEntry],
) -> Result<(), IndexError> {
    storage.sync_dir(dir).map_err(|e| IndexError::io(dir, e))?;
    let scratch = format!("{dir}/{SCRATCH}");
    let io = |e| IndexError::io(&scratch, e);
    storage.remove(&scratch).map_err(io)?;
    let file = storage.create(&scratch).map_err(io)?;
    file.write_at(&encode(entries), 0).map_err(io)?;
    file.sync().map_err(io)?;
    storage.rename(&scratch, &format!("{dir}/{MANIFEST}")).map_err(io)?;
    storage.sync_dir(dir).map_err(|e| IndexError::io(dir, e))
}

fn encode(entries: &[RunEntry]) -> Vec<u8> {
    let mut out = Vec::from(*MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.first.get().to_le_bytes());
        out.extend_from_slice(&entry.count.to_le_bytes());
        out.push(entry.level);
        out.extend_from_slice(&entry.bytes.to_le_bytes());
    }
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}
