//! The environment as a level of settings.
//!
//! `ANNAL_<KEY>` sets what the flag `--<key>` sets, and is parsed by the same code. A few names
//! without the prefix are there because people expect them (`PORT`), and the `RS_*` names because
//! scripts have them; `ANNAL_*` goes before both. An `ANNAL_*` name that means nothing is not an
//! error (other tools may own it) but is said.

use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};

use super::{ConfigError, Settings};

const PREFIX: &str = "ANNAL_";

/// Names without the prefix, and the key they set.
const PLAIN: [(&str, &str); 4] =
    [("PORT", "port"), ("DATA_DIR", "data-dir"), ("BASE_URL", "base-url"), ("DEMO", "demo")];

/// `ANNAL_*` names that are read elsewhere: by the command line itself, and by tests.
const ELSEWHERE: [&str; 4] = ["ANNAL_CONFIG", "ANNAL_URL", "ANNAL_SHARED", "ANNAL_ROUNDS"];

/// Keys that take several values, in the environment with commas between them.
const LISTS: [&str; 2] = ["cors-origin", "webhook-allow-cidr"];

/// How the `RS_*` names are understood; shown by `annal serve --help`.
pub const LEGACY_HELP: &str = "\
Every option is also a variable (ANNAL_QUEUE_BYTES_MAX) and a key of annal.toml (queue_bytes_max).
PORT, DATA_DIR, BASE_URL and DEMO work without the prefix. Flags go before variables, and these
before the file.

Names of the log's tuning that scripts may have:
  RS_FSYNC_ON_APPEND=1|0      durability always | interval
  RS_OPT_PERSIST=1|0          durability interval | always, where RS_FSYNC_ON_APPEND is not set
  RS_FLUSH_INTERVAL_MS=N      the interval
  RS_BUFFER_SIZE=BYTES        group_bytes_max
  RS_MAX_EVENTS_BUFFER=N      group_bytes_max, at 1 KiB an event, where RS_BUFFER_SIZE is not set
  RS_EVENT_MAX_BATCH=N        batch_events_max";

/// Size that an event is counted with where a bound is given in events.
const EVENT_BYTES: u64 = 1024;

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct OneSetting {
    #[command(flatten)]
    settings: Settings,
}

/// The variables of this process, or of a test.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Those of this process; what is not UTF-8 cannot be ours.
    pub fn of_process() -> Environment {
        let all = std::env::vars_os();
        all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// What they set.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let prefixed = self.prefixed()?;
        let plain = self.plain()?;
        Ok(prefixed.over(plain).over(self.legacy()?))
    }

    /// `ANNAL_*` names that mean nothing.
    pub fn unknown(&self) -> Vec<&str> {
        let keys = keys();
        let ours = self.variables.keys().filter(|name| name.starts_with(PREFIX));
        ours.filter(|name| !keys.contains(&key_of(name)) && !ELSEWHERE.contains(&name.as_str()))
            .map(String::as_str)
            .collect()
    }

    fn prefixed(&self) -> Result<Settings, ConfigError> {
        let keys = keys();
        let mut settings = Settings::default();
        for (name, value) in &self.variables {
            let key = key_of(name);
            if name.starts_with(PREFIX) && keys.contains(&key) {
                settings = settings.over(one(name, &key, value)?);
            }
        }
        Ok(settings)
    }

    fn plain(&self) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        for (name, key) in PLAIN {
            if let Some(value) = self.get(name) {
                settings = settings.over(one(name, key, value)?);
            }
        }
        Ok(settings)
    }

    fn legacy(&self) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        let switch = |name| self.get(name).map(|value| one_switch(name, value)).transpose();
        let number = |name| self.get(name).map(|value| one_number(name, value)).transpose();
        let sync = match switch("RS_FSYNC_ON_APPEND")? {
            Some(sync) => Some(sync),
            None => switch("RS_OPT_PERSIST")?.map(|buffered| !buffered),
        };
        let interval = number("RS_FLUSH_INTERVAL_MS")?;
        let durability = match (sync, interval) {
            (Some(true), _) => Some("always".to_owned()),
            (Some(false), Some(ms)) => Some(format!("interval:{ms}")),
            (Some(false), None) => Some("interval".to_owned()),
            (None, _) => None,
        };
        settings.durability = durability.and_then(|text| text.parse().ok());
        let by_events = number("RS_MAX_EVENTS_BUFFER")?.map(|n| n.saturating_mul(EVENT_BYTES));
        settings.group_bytes_max = number("RS_BUFFER_SIZE")?.or(by_events).map(super::Size);
        settings.batch_events_max = number("RS_EVENT_MAX_BATCH")?;
        Ok(settings)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        Environment { variables: variables.into_iter().collect() }
    }
}

/// `ANNAL_QUEUE_BYTES_MAX` → `queue-bytes-max`.
fn key_of(name: &str) -> String {
    name.trim_start_matches(PREFIX).to_ascii_lowercase().replace('_', "-")
}

/// The names of all settings, as flags have them.
fn keys() -> Vec<String> {
    let command = OneSetting::command();
    command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
}

/// One setting, parsed as its flag is. A list is separated by commas.
fn one(name: &str, key: &str, value: &str) -> Result<Settings, ConfigError> {
    let values: Vec<&str> =
        if LISTS.contains(&key) { value.split(',').map(str::trim).collect() } else { vec![value] };
    let flags = values.iter().map(|value| format!("--{key}={value}"));
    OneSetting::try_parse_from(flags).map(|one| one.settings).map_err(|error| {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let reason = first.trim_start_matches("error: ").to_owned();
        ConfigError::Variable { name: name.to_owned(), reason }
    })
}

fn one_switch(name: &str, value: &str) -> Result<bool, ConfigError> {
    value
        .parse::<super::Switch>()
        .map(|switch| switch.0)
        .map_err(|reason| ConfigError::Variable { name: name.to_owned(), reason })
}

fn one_number(name: &str, value: &str) -> Result<u64, ConfigError> {
    value.parse().map_err(|_| ConfigError::Variable {
        name: name.to_owned(),
        reason: format!("`{value}` is no number"),
    })
}
