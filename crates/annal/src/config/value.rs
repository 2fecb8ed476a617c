//! Values of settings that are more than a number: sizes, switches, durability.
//!
//! Each reads the same from a flag, a variable and a file.

use std::{fmt, str::FromStr};

use annal_engine::{Durability, Language};
use annal_server::{Cidr, ParseCidrError};
use serde::{Deserialize, Deserializer, de, de::IntoDeserializer};

/// A number of bytes: `4194304`, `4MiB`, `512 KiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
        let unit = text[digits.len()..].trim();
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kib" => 10,
            "m" | "mib" => 20,
            "g" | "gib" => 30,
            _ => return Err(format!("`{unit}` is no unit of size; use KiB, MiB or GiB")),
        };
        let number: u64 =
            digits.parse().map_err(|_| format!("`{text}` is no size; write it like 4MiB"))?;
        let bytes = number.checked_mul(1 << shift);
        bytes.map(Size).ok_or_else(|| format!("`{text}` is more than 64 bits hold"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Size(number)),
            NumberOrText::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub Cidr);

impl FromStr for Block {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Block, ParseCidrError> {
        text.parse().map(Block)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Block, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A yes or no, as people write it in environments: `1`, `true`, `on`, `yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Switch, String> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "on" | "yes" => Ok(Switch(true)),
            "" | "0" | "false" | "off" | "no" => Ok(Switch(false)),
            _ => Err(format!("`{text}` is neither yes nor no; write true or false")),
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Switch, D::Error> {
        bool::deserialize(deserializer).map(Switch)
    }
}

/// A port, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door(pub Option<u16>);

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Door, String> {
        match text.to_ascii_lowercase().as_str() {
            "off" | "none" => Ok(Door(None)),
            port => match port.parse() {
                Ok(port) => Ok(Door(Some(port))),
                Err(_) => Err(format!("`{text}` is no port; write a number up to 65535, or off")),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Door, D::Error> {
        let text = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// The language by whose rules words are reduced to their stems, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stemming(pub Option<Language>);

impl FromStr for Stemming {
    type Err = String;

    fn from_str(text: &str) -> Result<Stemming, String> {
        if matches!(text, "none" | "off") {
            return Ok(Stemming(None));
        }
        // Named as the library names them, which is what it reads.
        let mut name = text.to_lowercase();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let language = Language::deserialize(
            IntoDeserializer::<de::value::Error>::into_deserializer(name.as_str()),
        );
        language.map(|language| Stemming(Some(language))).map_err(|_| {
            format!(
                "`{text}` is no language with stems; write none, or one such as dutch or english"
            )
        })
    }
}

impl<'de> Deserialize<'de> for Stemming {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stemming, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What an acknowledgement promises: `always`, `interval` (`interval:50` for 50 ms), `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise(pub Durability);

/// What `interval` means without a number.
const INTERVAL_MS: u64 = 100;

impl FromStr for Promise {
    type Err = String;

    fn from_str(text: &str) -> Result<Promise, String> {
        let durability = match text.split_once(':') {
            None if text == "always" => Durability::Always,
            None if text == "never" => Durability::Never,
            None if text == "interval" => Durability::Interval { ms: INTERVAL_MS },
            Some(("interval", ms)) => {
                let ms = ms.parse().map_err(|_| format!("`{ms}` is no number of milliseconds"))?;
                Durability::Interval { ms }
            }
            _ => return Err(format!("`{text}` is none of always, interval[:MS], never")),
        };
        Ok(Promise(durability))
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Durability::Always => f.write_str("always: synced to disk before each answer"),
            Durability::Interval { ms } => {
                write!(f, "interval: a power loss may take the last {ms} ms")
            }
            Durability::Never => f.write_str("never: a power loss may take what was just written"),
        }
    }
}

impl<'de> Deserialize<'de> for Promise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Promise, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
