//! A few friendly lines on where to look.

use std::{
    io::{self, Write},
    path::Path,
};

use annal_engine::Engine;

use super::Place;
use crate::config::{LogFormat, Settings};

/// Says that the server is up: in words, or as one log line where a machine reads.
pub(super) fn print(settings: &Settings, place: &Place, dir: &Path, engine: &Engine) {
    let head = engine.head().get();
    if place.public {
        tracing::warn!(
            "other machines can reach this server, and nobody has to authenticate; bind 127.0.0.1, \
             or put it behind something that asks"
        );
    }
    if settings.log_format == Some(LogFormat::Json) {
        let (url, data_dir) = (place.local_url.as_str(), dir.display().to_string());
        tracing::info!(url, base_url = place.base_url, data_dir, head, "serving");
        return;
    }
    let text = text(settings, place, dir, head);
    // Whoever closed our output does not want to know.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn text(settings: &Settings, place: &Place, dir: &Path, head: u64) -> String {
    let (version, url) = (env!("CARGO_PKG_VERSION"), &place.base_url);
    let demo = match settings.demo() {
        true => format!("  demo        an event every {:?}\n", settings.demo_interval()),
        false => String::new(),
    };
    let grpc = match place.grpc {
        Some(address) => format!("  grpc        {address}\n"),
        None if settings.grpc_port().is_some() => {
            "  grpc        none: its port is taken; choose one with --grpc-port\n".to_owned()
        }
        None => String::new(),
    };
    let rest = match place.rest {
        Some(address) => format!("  events-db   http://{address}\n"),
        None => String::new(),
    };
    format!(
        "annal {version} is up\n\
        \x20 url         {url}\n\
        {grpc}{rest}\
        \x20 reference   {url}/docs\n\
        \x20 watch       curl -N {url}/events/stream\n\
        \x20 append      curl {url}/events --json '{{\"source\":\"me\",\"type\":\"hello\"}}'\n\
        \x20 data        {} ({head} events)\n\
        \x20 durability  {}\n\
        {demo}\
        \x20 stop        Ctrl-C\n",
        dir.display(),
        settings.promise(),
    )
}
