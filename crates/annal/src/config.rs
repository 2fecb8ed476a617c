//! Settings: flags over environment over `annal.toml` over defaults.
//!
//! One declaration, [`Settings`], is all three: a flag `--queue-bytes-max`, a variable
//! `ANNAL_QUEUE_BYTES_MAX`, a key `queue_bytes_max`. A key that does not exist is refused, by name.
//! Nothing else in Annal reads flags, environment or files of configuration.

mod environment;
#[cfg(test)]
mod tests;
mod value;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use annal_engine::{Durability, EngineOptions, SearchOptions};
use annal_server::CallbackAuthorities;
use clap::{Args, ValueEnum};
use serde::Deserialize;

pub use environment::{Environment, LEGACY_HELP};
pub use value::{Block, Door, Promise, Size, Stemming, Switch};

/// Read when it is there and no other file is named.
pub const DEFAULT_FILE: &str = "annal.toml";
/// Where the data is when nobody says.
pub const DEFAULT_DATA_DIR: &str = "./data";
/// The port when nobody says.
pub const DEFAULT_PORT: u16 = 8000;

/// The gRPC port when nobody says.
pub const DEFAULT_GRPC_PORT: u16 = 50_051;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchScope {
    /// Resources and events.
    #[default]
    All,
    /// Resources alone.
    Resources,
    /// Nothing.
    Off,
}

/// Everything that can be set. What is `None` was not said at that level.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the data is [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<std::net::IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Port for gRPC; 0 takes a free one, off opens none [default: 50051]
    #[arg(long, value_name = "PORT|off")]
    pub grpc_port: Option<Door>,
    /// Port for clients of Events-DB by REST; 0 takes a free one [default: off]
    #[arg(long, value_name = "PORT|off")]
    pub rest_port: Option<Door>,
    /// Clients of Events-DB that may follow at a time; more are refused with 429 [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_total_clients: Option<u64>,
    /// Events handed on to a client of Events-DB at a time [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub client_buffer_size: Option<u64>,
    /// Events on a page, and in a gRPC message, for clients of Events-DB [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub stream_batch_size: Option<u64>,
    /// How clients reach this server; pages under its host may change things here [default: http://localhost:PORT]
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Origin that browsers may call from, or `*`; may be given several times [default: none]
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Option<Vec<String>>,
    /// Block of addresses that webhooks may go to although it is not on the internet, such as
    /// 10.0.0.0/8; may be given several times [default: none; loopback if --bind is]
    #[arg(long, value_name = "CIDR")]
    pub webhook_allow_cidr: Option<Vec<Block>>,
    /// Certificates (PEM) of authorities that webhooks trust, besides those that this machine trusts
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    pub callback_ca: Option<PathBuf>,
    /// Write a small world of demo events
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub demo: Option<Switch>,
    /// Time between demo events [default: 10000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub demo_interval_ms: Option<u64>,
    /// What an acknowledgement promises: always, interval[:MS], never [default: always]
    #[arg(long, value_name = "WHEN")]
    pub durability: Option<Promise>,
    /// Largest event [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    pub event_bytes_max: Option<Size>,
    /// Largest request, NDJSON apart [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub request_bytes_max: Option<Size>,
    /// Most events in one batch [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub batch_events_max: Option<u64>,
    /// Refuse commits whose schema is not registered
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub require_schemas: Option<Switch>,
    /// Appends that may wait to be decided; more are answered 503 [default: 32MiB]
    #[arg(long, value_name = "SIZE")]
    pub queue_bytes_max: Option<Size>,
    /// One commit takes requests up to this size [default: 4MiB]
    #[arg(long, value_name = "SIZE")]
    pub group_bytes_max: Option<Size>,
    /// A segment of the log is rolled at this size [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    pub segment_bytes: Option<Size>,
    /// Newest events kept in memory for live readers [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub tail_bytes: Option<Size>,
    /// What is searched: all, resources, off [default: all]
    #[arg(long, value_name = "WHAT")]
    pub search: Option<SearchScope>,
    /// Language whose rules reduce words to their stems, such as dutch or english; another one builds
    /// the search index anew [default: none]
    #[arg(long, value_name = "LANGUAGE|none")]
    pub search_language: Option<Stemming>,
    /// How long a query waits until search sees what was appended before it [default: 5000]
    #[arg(long, value_name = "MS")]
    pub search_wait_ms_max: Option<u64>,
    /// Time that requests under way are given when the server stops [default: 10000]
    #[arg(long, value_name = "MS")]
    pub shutdown_ms_max: Option<u64>,
    /// How log lines look [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or per module as `annal_log=debug,info`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Why the settings cannot be used: somebody wrote something that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was asked for cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not TOML, or has a key or a value that does not exist.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, key and what is wrong.
        reason: String,
    },
    /// A variable whose value cannot be used.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Settings that exclude each other or are out of bounds.
    #[error("{0}")]
    Value(String),
}

macro_rules! merge {
    ($high:expr, $low:expr, { $($field:ident),* $(,)? }) => {
        Settings { $($field: $high.$field.or($low.$field)),* }
    };
}

impl Settings {
    /// What is said here, else what is said in `lower`.
    #[must_use]
    pub fn over(self, lower: Settings) -> Settings {
        merge!(self, lower, {
            data_dir, bind, port, grpc_port, rest_port, max_total_clients, client_buffer_size,
            stream_batch_size, base_url, cors_origin, webhook_allow_cidr, callback_ca, demo,
            demo_interval_ms, durability, event_bytes_max, request_bytes_max, batch_events_max, require_schemas,
            queue_bytes_max, group_bytes_max, segment_bytes, tail_bytes, search, search_language,
            search_wait_ms_max, shutdown_ms_max, log_format, log,
        })
    }

    /// Reads a file of settings.
    pub fn read(path: &Path) -> Result<Settings, ConfigError> {
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Ok(text) => Settings::parse(&path, &text),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    /// Reads the text of a file of settings. `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let reason = error.to_string().trim_end().to_owned();
            ConfigError::File { path: path.to_owned(), reason }
        })
    }

    /// Puts the levels together: `self` is what the flags say.
    pub fn resolve(
        self,
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Settings, ConfigError> {
        let from_file = match file {
            Some(path) => Settings::read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => Settings::read(Path::new(DEFAULT_FILE))?,
            None => Settings::default(),
        };
        Ok(self.over(environment.settings()?).over(from_file))
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| DEFAULT_DATA_DIR.into())
    }

    /// Whether the demo world is wanted.
    pub fn demo(&self) -> bool {
        self.demo.is_some_and(|demo| demo.0)
    }

    /// Time between demo events.
    pub fn demo_interval(&self) -> Duration {
        Duration::from_millis(self.demo_interval_ms.unwrap_or(10_000))
    }

    /// Time that a graceful shutdown may take.
    pub fn shutdown_max(&self) -> Duration {
        Duration::from_millis(self.shutdown_ms_max.unwrap_or(10_000))
    }

    /// The port for gRPC, if there is to be one.
    pub fn grpc_port(&self) -> Option<u16> {
        self.grpc_port.unwrap_or(Door(Some(DEFAULT_GRPC_PORT))).0
    }

    /// The port for clients of Events-DB by REST, if there is to be one.
    pub fn rest_port(&self) -> Option<u16> {
        self.rest_port.and_then(|door| door.0)
    }

    /// What an acknowledgement promises.
    pub fn promise(&self) -> Promise {
        self.durability.unwrap_or(Promise(Durability::Always))
    }

    /// How long a query may wait for search.
    pub fn search_wait_max(&self) -> Duration {
        Duration::from_millis(self.search_wait_ms_max.unwrap_or(5_000))
    }

    /// Authorities that webhooks trust besides those that this machine trusts. Reads the file.
    pub fn callback_authorities(&self) -> Result<CallbackAuthorities, ConfigError> {
        let Some(path) = self.callback_ca.clone() else {
            return Ok(CallbackAuthorities::default());
        };
        match fs::read(&path) {
            Ok(text) => CallbackAuthorities::from_pem(&text)
                .map_err(|error| ConfigError::File { path, reason: error.to_string() }),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    fn search_options(&self) -> Option<SearchOptions> {
        let events = match self.search.unwrap_or_default() {
            SearchScope::All => true,
            SearchScope::Resources => false,
            SearchScope::Off => return None,
        };
        let stemming = self.search_language.and_then(|language| language.0);
        Some(SearchOptions { stemming, events, ..SearchOptions::default() })
    }

    /// How the engine is to be set up.
    pub fn engine_options(&self) -> Result<EngineOptions, ConfigError> {
        let mut options =
            EngineOptions { durability: self.promise().0, ..EngineOptions::default() };
        set(&mut options.limits.event_bytes_max, self.event_bytes_max);
        set(&mut options.limits.request_bytes_max, self.request_bytes_max);
        set(&mut options.limits.batch_events_max, self.batch_events_max.map(Size));
        options.require_schemas = self.require_schemas.is_some_and(|required| required.0);
        set(&mut options.queue_bytes_max, self.queue_bytes_max);
        set(&mut options.group_bytes_max, self.group_bytes_max);
        set(&mut options.log.tail_bytes, self.tail_bytes);
        if let Some(size) = self.segment_bytes {
            options.log.segment_bytes = size.0;
        }
        options.search = self.search_options();
        check_bounds(&options)?;
        Ok(options)
    }
}

fn set(target: &mut usize, size: Option<Size>) {
    if let Some(size) = size {
        *target = usize::try_from(size.0).unwrap_or(usize::MAX);
    }
}

/// What the CloudEvents specification asks every receiver to take (1.0.2, "Size Limits").
const EVENT_BYTES_LEAST: usize = 64 * 1024;

/// Below this a segment is all overhead.
const SEGMENT_BYTES_LEAST: u64 = 1024 * 1024;

fn check_bounds(options: &EngineOptions) -> Result<(), ConfigError> {
    let refuse = |text: String| Err(ConfigError::Value(text));
    let limits = &options.limits;
    if limits.event_bytes_max < EVENT_BYTES_LEAST {
        return refuse(format!(
            "event_bytes_max is {}; CloudEvents asks for at least 64KiB",
            limits.event_bytes_max
        ));
    }
    if limits.request_bytes_max < limits.event_bytes_max {
        return refuse(format!(
            "request_bytes_max ({}) is less than event_bytes_max ({}); raise it",
            limits.request_bytes_max, limits.event_bytes_max
        ));
    }
    if options.queue_bytes_max < limits.event_bytes_max {
        return refuse(format!(
            "queue_bytes_max ({}) is less than event_bytes_max ({}); raise it",
            options.queue_bytes_max, limits.event_bytes_max
        ));
    }
    if options.log.segment_bytes < SEGMENT_BYTES_LEAST {
        return refuse(format!("segment_bytes is {}; at least 1MiB", options.log.segment_bytes));
    }
    Ok(())
}
