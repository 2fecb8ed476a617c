//! `annal doctor`: is this a good place to run? Each check says what it saw and what to do.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use annal_storage::{DirLock, LockError};
use anyhow::bail;
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};

use crate::{
    cli::{Setting, Usage},
    config::{DEFAULT_PORT, Settings},
};

/// Syncs that are timed.
const SYNCS: usize = 64;

/// What one sync writes: the smallest a commit can be.
const BLOCK: [u8; 4096] = [0; 4096];

/// Faster than any disk that really syncs.
const SUSPICIOUSLY_FAST: Duration = Duration::from_micros(10);
const GOOD: Duration = Duration::from_millis(2);
const BAD: Duration = Duration::from_millis(20);

const SPACE_LEAST: u64 = 1 << 30;

/// 10,000 streams, and room for files.
const FILES_GOOD: u64 = 16_384;

/// 2026-01-01T00:00:00Z: this program is younger than any right clock.
const EPOCH_LEAST_S: u64 = 1_767_225_600;

enum Verdict {
    Good(String),
    Doubtful(String),
    Bad(String),
}

use Verdict::{Bad, Doubtful, Good};

/// Runs all checks and prints what they say. Fails if one of them is bad.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<()> {
    if setting.url.is_some() {
        let wrong = "doctor looks at the machine it runs on; run it there, without --url";
        return Err(Usage(wrong.to_owned()).into());
    }
    let settings = &setting.settings;
    let dir = settings.data_dir();
    let checks = [
        ("configuration", configuration(settings)),
        ("data directory", writable(&dir)),
        ("lock", lock(&dir)),
        ("fdatasync", sync_latency(&dir)),
        ("disk space", space(&dir)),
        ("open files", open_files()),
        ("clock", clock()),
        ("port", port(settings)),
    ];
    let mut bad = 0;
    for (name, verdict) in checks {
        let (mark, text) = match verdict {
            Good(text) => ("ok", text),
            Doubtful(text) => ("hm", text),
            Bad(text) => {
                bad += 1;
                ("BAD", text)
            }
        };
        println!("{mark:<4}{name:<16}{text}");
    }
    if bad > 0 {
        bail!("{bad} checks are bad");
    }
    Ok(())
}

fn configuration(settings: &Settings) -> Verdict {
    match settings.engine_options() {
        Ok(_) => Good(format!("durability {}", settings.promise())),
        Err(error) => Bad(error.to_string()),
    }
}

/// The directory itself, or the nearest one above it that is there.
fn existing(dir: &Path) -> &Path {
    let above = dir.ancestors().find(|dir| dir.is_dir());
    above.unwrap_or(Path::new("."))
}

fn writable(dir: &Path) -> Verdict {
    let place = existing(dir);
    let probe = place.join(format!(".annal-doctor-{}", std::process::id()));
    let written = File::create(&probe).and_then(|mut file| file.write_all(b"?"));
    let removed = fs::remove_file(&probe);
    let new = if dir.is_dir() { "" } else { ", to be made" };
    match written.and(removed) {
        Ok(()) => Good(format!("{}{new}", dir.display())),
        Err(error) => Bad(format!("{} cannot be written: {error}", place.display())),
    }
}

fn lock(dir: &Path) -> Verdict {
    if !dir.is_dir() {
        return Good("free".to_owned());
    }
    match DirLock::acquire(dir) {
        Ok(_) => Good("free".to_owned()),
        Err(error @ LockError::Held { .. }) => Doubtful(error.to_string()),
        Err(error) => Bad(format!("{error}; is this a network file system?")),
    }
}

fn sync_latency(dir: &Path) -> Verdict {
    match measure_sync(existing(dir)) {
        Ok(median) => judge_sync(median),
        Err(error) => Bad(format!("cannot be measured: {error}")),
    }
}

fn measure_sync(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join(format!(".annal-doctor-sync-{}", std::process::id()));
    let taken = times(&path);
    fs::remove_file(&path)?;
    let mut taken = taken?;
    taken.sort_unstable();
    Ok(taken.get(taken.len() / 2).copied().unwrap_or_default())
}

fn times(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let mut taken = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        taken.push(start.elapsed());
    }
    Ok(taken)
}

fn judge_sync(median: Duration) -> Verdict {
    let micros = median.as_micros();
    let rate = 1_000_000 / micros.max(1);
    let seen = format!("{micros} µs in the median of {SYNCS}, about {rate} commits a second");
    if median < SUSPICIOUSLY_FAST {
        Doubtful(format!("{seen}: no disk is so fast; memory, or syncs are ignored here"))
    } else if median <= GOOD {
        Good(seen)
    } else if median <= BAD {
        Doubtful(format!("{seen}: a slow disk; batches help"))
    } else {
        Bad(format!("{seen}: every lone append waits this long; find a better disk"))
    }
}

fn space(dir: &Path) -> Verdict {
    match statvfs(existing(dir)) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
            if free < SPACE_LEAST { Bad(format!("{text}: make room")) } else { Good(text) }
        }
        Err(error) => Bad(format!("cannot be asked for: {error}")),
    }
}

fn open_files() -> Verdict {
    // What a server may raise it to, as it does when it starts.
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < FILES_GOOD => Doubtful(format!(
            "{limit}: every connection takes one; raise it (ulimit -n, LimitNOFILE=) for more clients"
        )),
        Some(limit) => Good(limit.to_string()),
        None => Good("unlimited".to_owned()),
    }
}

fn clock() -> Verdict {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = annal_event::Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    if now.as_secs() < EPOCH_LEAST_S {
        return Bad(format!("{time}: it is later than that; events would be recorded in the past"));
    }
    Good(time.to_string())
}

fn port(settings: &Settings) -> Verdict {
    let bind = settings.bind.unwrap_or([127, 0, 0, 1].into());
    let address = SocketAddr::new(bind, settings.port.unwrap_or(DEFAULT_PORT));
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) => Doubtful(format!("{address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Verdict, judge_sync};

    #[test]
    fn sync_times_are_judged() {
        let judged = |micros| judge_sync(Duration::from_micros(micros));
        assert!(matches!(judged(2), Verdict::Doubtful(_)));
        assert!(matches!(judged(63), Verdict::Good(_)));
        assert!(matches!(judged(5_000), Verdict::Doubtful(_)));
        assert!(matches!(judged(50_000), Verdict::Bad(_)));
    }
}
