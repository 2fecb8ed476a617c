//! What is secret about a consumer: its signing secrets, the values of its headers. Kept in a
//! register, because events can be read.

use annal_engine::{Engine, Registers, keys_register};
use serde::{Deserialize, Serialize};

use super::sign::Secret;

/// How long a secret that was rotated out signs along.
const OLD_SECRET_MS: i64 = 24 * 3_600 * 1_000;

/// Secrets that sign at a time.
const SECRETS_MAX: usize = 8;

/// The secrets of a consumer.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The newest first; until when it signs, in milliseconds since the Unix epoch.
    secrets: Vec<(Secret, Option<i64>)>,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    secrets: Vec<(String, Option<i64>)>,
    headers: Vec<(String, String)>,
}

impl Keys {
    pub(crate) fn new(secret: Secret, headers: Vec<(String, String)>) -> Keys {
        Keys { secrets: vec![(secret, None)], headers }
    }

    /// Reads those of a consumer; `None` if they are not there any more.
    pub(crate) fn load(registers: &Registers, id: &str) -> Option<Keys> {
        let stored: Stored = serde_json::from_slice(&registers.get(&keys_register(id))?).ok()?;
        let secret = |(text, until): (String, Option<i64>)| Some((Secret::parse(&text)?, until));
        let secrets: Vec<_> = stored.secrets.into_iter().map(secret).collect::<Option<_>>()?;
        Some(Keys { secrets, headers: stored.headers })
    }

    /// Keeps them, durably. Blocks.
    pub(crate) fn save(&self, engine: &Engine, id: &str) -> std::io::Result<()> {
        let secrets = self.secrets.iter().map(|(secret, until)| (secret.text(), *until)).collect();
        let stored = Stored { secrets, headers: self.headers.clone() };
        engine.registers().put(&keys_register(id), &serde_json::to_vec(&stored)?)?;
        engine.registers().sync()
    }

    /// Signs with another secret from now on, and for a day with those before it too. Where too many
    /// would sign, says in how many milliseconds one of them ends.
    pub(crate) fn rotate(&mut self, secret: Secret, now_ms: i64) -> Result<(), u64> {
        self.secrets.retain(|(_, until)| until.is_none_or(|until| until > now_ms));
        if self.secrets.len() >= SECRETS_MAX {
            let first = self.secrets.iter().filter_map(|(_, until)| *until).min();
            return Err(first.unwrap_or(now_ms).abs_diff(now_ms));
        }
        for (_, until) in &mut self.secrets {
            until.get_or_insert(now_ms + OLD_SECRET_MS);
        }
        self.secrets.insert(0, (secret, None));
        Ok(())
    }

    /// Those that sign now.
    pub(crate) fn signing(&self, now_ms: i64) -> impl Iterator<Item = &Secret> {
        let valid = move |until: &Option<i64>| until.is_none_or(|until| until > now_ms);
        self.secrets.iter().filter(move |(_, until)| valid(until)).map(|(secret, _)| secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_secret_signs_along_for_a_day() {
        let secret = |n: u64| Secret::new(move || n);
        let mut keys = Keys::new(secret(1), Vec::new());
        keys.rotate(secret(2), 1_000).expect("room");
        let signing = |keys: &Keys, now| keys.signing(now).cloned().collect::<Vec<_>>();
        assert_eq!(signing(&keys, 1_000), [secret(2), secret(1)]);
        assert_eq!(signing(&keys, 999 + OLD_SECRET_MS), [secret(2), secret(1)]);
        assert_eq!(signing(&keys, 1_000 + OLD_SECRET_MS), [secret(2)]);
        for n in 3..=SECRETS_MAX as u64 {
            keys.rotate(secret(n), 2_000).expect("room");
        }
        assert_eq!(keys.rotate(secret(9), 3_000), Err(OLD_SECRET_MS as u64 - 2_000));
        assert_eq!(keys.signing(3_000).count(), SECRETS_MAX, "all that were promised sign");
        assert_eq!(keys.signing(3_000).last(), Some(&secret(1)));
        keys.rotate(secret(9), 1_000 + OLD_SECRET_MS).expect("the first has ended");
        assert_eq!(keys.signing(1_000 + OLD_SECRET_MS).next(), Some(&secret(9)));
    }
}
