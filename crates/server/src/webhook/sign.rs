//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body`, in
//! base64, after `v1,`; several, with a space between, while secrets are rotated.

use std::fmt;

use annal_event::{Position, base64};
use ring::{digest, hmac};

/// What secrets begin with as text.
const PREFIX: &str = "whsec_";

/// Bytes that a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a secret of ours.
const OWN_BYTES: usize = 32;

/// A secret. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one, from a source of unpredictable bits.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Secret {
        // Some bits of each number may be fixed, as those of a UUID are: more are taken than needed.
        let mut bytes = Vec::with_capacity(2 * OWN_BYTES);
        while bytes.len() < 2 * OWN_BYTES {
            bytes.extend_from_slice(&random().to_le_bytes());
        }
        Secret(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec())
    }

    /// Reads `whsec_` and base64.
    pub(crate) fn parse(text: &str) -> Option<Secret> {
        let bytes = base64::decode(text.strip_prefix(PREFIX)?)?;
        SECRET_BYTES.contains(&bytes.len()).then_some(Secret(bytes))
    }

    /// As its owner keeps it.
    pub(crate) fn text(&self) -> String {
        format!("{PREFIX}{}", encode(&self.0))
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The name of a delivery: the same for the same events sent to the same consumer, another once they
/// are redriven. It has no dot, because the signed text is split at dots.
pub(crate) fn webhook_id(consumer: &str, round: Position, positions: &[Position]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(consumer.as_bytes());
    hash.update(&[0]);
    hash.update(&round.get().to_le_bytes());
    for position in positions {
        hash.update(&position.get().to_le_bytes());
    }
    let mut id = "msg_".to_owned();
    for byte in &hash.finish().as_ref()[..16] {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

/// The value of `webhook-signature`.
pub(crate) fn signature<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let timestamp = timestamp.to_string();
    let mut signatures = String::new();
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str("v1,");
        signatures.push_str(&encode(context.sign().as_ref()));
    }
    signatures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // standard-webhooks, the test vector that its libraries share.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        let signed = signature([&secret], id, 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = signature([&secret, &secret], id, 1_614_265_330, body);
        assert_eq!(two, format!("{signed} {signed}"));
    }

    #[test]
    fn secrets_are_read_and_kept_quiet() {
        let mut n = 0;
        let secret = Secret::new(|| {
            n += 1;
            n
        });
        assert_eq!(Secret::parse(&secret.text()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let short = format!("whsec_{}", encode(&[1; 23]));
        let long = format!("whsec_{}", encode(&[1; 65]));
        for wrong in ["", "whsec_", "whsec_***", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &short, &long]
        {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_says_what_is_sent_to_whom() {
        let positions = [Position(1), Position(2)];
        let id = webhook_id("c", Position::ZERO, &positions);
        assert_eq!(id, webhook_id("c", Position::ZERO, &positions));
        assert!(!id.contains('.') && id.len() == 36);
        assert_ne!(id, webhook_id("d", Position::ZERO, &positions));
        assert_ne!(id, webhook_id("c", Position(9), &positions));
        assert_ne!(id, webhook_id("c", Position::ZERO, &positions[..1]));
    }
}
