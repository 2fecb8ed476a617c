//! Little-endian fields at fixed places, and variable-length integers (LEB128, zigzag).

/// Copies `N` bytes from `at`. The caller knows the slice to be long enough.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array(bytes, at))
}

pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one integer off the front; `None` if the bytes end first or it is too long.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Puts `value` as the difference from `before`, small in either direction.
pub(crate) fn put_difference(out: &mut Vec<u8>, before: i64, value: i64) {
    let difference = value.wrapping_sub(before);
    put_varint(out, ((difference << 1) ^ (difference >> 63)) as u64);
}

pub(crate) fn take_difference(bytes: &mut &[u8], before: i64) -> Option<i64> {
    let zigzag = take_varint(bytes)?;
    let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    Some(before.wrapping_add(difference))
}
