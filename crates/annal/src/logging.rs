//! Structured logs on standard error: for people, or JSON lines for collectors.
//!
//! Only what the code names is logged; settings and requests are never dumped whole, so that no
//! token ends up in a log.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    cli::Usage,
    config::{LogFormat, Settings},
};

/// Begins to log. A server, and what takes long, says what it does; other commands only what worries
/// them. The library of search tells every step of every commit.
pub(crate) fn start(settings: &Settings, talkative: bool) -> anyhow::Result<()> {
    let default = if talkative { "info,tantivy=warn" } else { "warn" };
    let directives = settings.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Usage(format!("`{directives}` is no log filter ({error}); write info, or annal_log=debug"))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format.unwrap_or_default() {
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            registry.with(layer).try_init()?;
        }
        LogFormat::Human => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(fmt::layer().with_ansi(colour).with_writer(io::stderr)).try_init()?;
        }
    }
    Ok(())
}
