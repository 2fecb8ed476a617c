//! Realtime clients: `/api/sse/…` (API.md §8).
//!
//! A message is an event; a client is a subscription to what is for everybody and for it alone. So
//! messages are durable and in order, a client that was away gets what it missed, and a message
//! costs those it is for. What the topic `realtime` keeps no more (a day, unless it was changed) is
//! not handed out; a client that asks for it is told (`reset`, reason `expired`).

pub(crate) mod checkpoint;
pub(crate) mod connect;
pub(crate) mod fields;
pub(crate) mod presence;
pub(crate) mod publish;
pub(crate) mod recent;

use std::fmt::Display;

/// Longest id of a client, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// Refuses what is no client id; what it is.
pub(crate) fn check_client_id(text: &str) -> Result<(), impl Display + use<>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-:@".contains(&byte);
    if (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    Err(format!(
        "a client id is 1 to {CLIENT_ID_BYTES_MAX} letters, digits and `.`, `_`, `~`, `-`, `:`, `@`"
    ))
}
